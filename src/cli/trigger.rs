//! `carillon trigger`: publishes one event as a backend's library would.

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{Target, call::call};

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
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        call(&self.target, ("POST", "/events"), self.body()?.to_string()).await
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
