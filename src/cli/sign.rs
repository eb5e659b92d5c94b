//! `carillon sign`: what a backend's library does before each REST call.

use clap::Args;
use md5::{Digest as _, Md5};
use model::{AppSecret, Signature};

use super::Target;

/// Print a signed URL for a REST call; it is valid for ten minutes
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// GET, POST and so on
    method: String,
    /// The path, such as /apps/app-id/events
    path: String,
    /// The body, byte for byte as it will be sent
    #[arg(long, default_value = "")]
    body: String,
    #[command(flatten)]
    target: Target,
}

impl Sign {
    #[allow(clippy::print_stdout, reason = "this is the command's answer")]
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let call = (&*self.method.to_uppercase(), &*self.path, self.body.as_bytes());
        println!("{}{}", self.target.url, signed_path(&self.target, call, super::unix_seconds()));
        Ok(())
    }
}

/// Path and query of a signed call (spec/http.md, section 1.1).
pub(crate) fn signed_path(
    target: &Target,
    (method, path, body): (&str, &str, &[u8]),
    now: u64,
) -> String {
    let mut query = format!("auth_key={}&auth_timestamp={now}&auth_version=1.0", target.key);
    if !body.is_empty() {
        query.push_str("&body_md5=");
        query.push_str(&hex::encode(Md5::digest(body)));
    }
    let secret = AppSecret::new(&target.secret);
    let signature = Signature::sign(&secret, format!("{method}\n{path}\n{query}").as_bytes());
    format!("{path}?{query}&auth_signature={signature}")
}
