//! `carillon trigger`: publishes one event as a backend's library would.

use anyhow::bail;
use clap::Args;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, body::Bytes};
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::{Target, connect::connect, sign::signed_path};

/// Publish one event over REST
#[derive(Args, Debug)]
pub(crate) struct Trigger {
    /// The channel; several, separated by commas
    channels: String,
    /// The event's name
    name: String,
    /// The event's data: text, often JSON
    data: String,
    /// The connection that does not receive the event
    #[arg(long, value_name = "ID")]
    socket_id: Option<String>,
    /// Counts to answer with: subscription_count, user_count
    #[arg(long, value_name = "LIST")]
    info: Option<String>,
    /// A tag, as key=value; repeatable
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    #[command(flatten)]
    target: Target,
}

impl Trigger {
    #[allow(clippy::print_stdout, reason = "this is the command's answer")]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let body = self.body()?.to_string();
        let path = format!("/apps/{}/events", self.target.app_id);
        let call = ("POST", &*path, body.as_bytes());
        let uri = signed_path(&self.target, call, super::unix_seconds());
        let ca = self.target.ca_certificate.as_deref();
        let (stream, host) = connect(&self.target.url, ca).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::post(uri)
            .header("host", host)
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        println!("{}", String::from_utf8_lossy(&answer));
        if !status.is_success() {
            bail!("refused with status {status}");
        }
        Ok(())
    }

    fn body(&self) -> anyhow::Result<serde_json::Value> {
        let channels: Vec<&str> = self.channels.split(',').collect();
        let mut body = json!({ "name": self.name, "channels": channels, "data": self.data });
        if let Some(id) = &self.socket_id {
            body["socket_id"] = json!(id);
        }
        if let Some(info) = &self.info {
            body["info"] = json!(info);
        }
        if !self.tags.is_empty() {
            let mut tags = serde_json::Map::new();
            for tag in &self.tags {
                let Some((key, value)) = tag.split_once('=') else {
                    bail!("--tag {tag:?} must be key=value");
                };
                tags.insert(key.to_owned(), json!(value));
            }
            body["tags"] = json!(tags);
        }
        Ok(body)
    }
}
