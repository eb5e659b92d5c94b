//! `carillon sign`: what a backend's library does before each REST call.

use clap::Args;
use gateway::signed::{Query, string_to_sign};
use md5::{Digest as _, Md5};
use model::{AppSecret, Rejection, Signature};

use super::Target;

/// Print a signed URL for a REST call; it is valid for ten minutes
#[derive(Args, Debug)]
pub(crate) struct Sign {
    /// GET, POST and so on
    method: String,
    /// The path, such as /apps/app-id/events, with the query if there is one
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
        let signed = signed_path(&self.target, call, super::unix_seconds())?;
        println!("{}{signed}", self.target.url);
        Ok(())
    }
}

/// Path and query of a signed call (spec/http.md, section 1.1).
pub(crate) fn signed_path(
    target: &Target,
    (method, path, body): (&str, &str, &[u8]),
    now: u64,
) -> Result<String, Rejection> {
    let (path, more) = path.split_once('?').unwrap_or((path, ""));
    let mut query = format!("auth_key={}&auth_timestamp={now}&auth_version=1.0", target.key);
    if !body.is_empty() {
        query.push_str("&body_md5=");
        query.push_str(&hex::encode(Md5::digest(body)));
    }
    if !more.is_empty() {
        query.push('&');
        query.push_str(more);
    }
    let message = string_to_sign(method, path, &Query::parse(&query)?);
    let signature = Signature::sign(&AppSecret::new(&target.secret), message.as_bytes());
    Ok(format!("{path}?{query}&auth_signature={signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors V2 and V3b of spec/http.md.
    #[test]
    fn calls_are_signed_as_libraries_sign_them() {
        let target = Target {
            url: String::new(),
            app_id: "app-1".into(),
            key: "app-key".into(),
            secret: "app-secret".into(),
            ca_certificate: None,
        };
        let check = |call, signature: &str| {
            let signed = signed_path(&target, call, 1_700_000_000).expect("the query is UTF-8");
            assert!(signed.ends_with(&format!("&auth_signature={signature}")), "{signed}");
        };
        let body =
            r#"{"name":"chat-message","channel":"room-1","data":"{\"text\":\"héllo — 日本 🚀\"}"}"#;
        let v2 = "2af043d6d5510b2f9d86d1e2142bf9810a17a5cc0d1dc0921cae93a08b696139";
        check(("POST", "/apps/app-1/events", body.as_bytes()), v2);
        let path =
            "/apps/app-1/channels?info=user_count%2Csubscription_count&filter_by_prefix=presence-";
        let v3b = "b7599fdb69875cc517432763f22c0c8d2e3d057f65653f5808a63a6e77c6dc08";
        check(("GET", path, b""), v3b);
    }
}
