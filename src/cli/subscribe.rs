//! `carillon subscribe`: prints the events of a channel as they arrive.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use futures_util::{SinkExt as _, StreamExt as _};
use model::{AppSecret, Signature};
use serde_json::{Value, json};
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use super::{Target, connect::connect};

const PING_EVERY: Duration = Duration::from_secs(30);

/// Print the events of a channel as they arrive, one JSON object per line
#[derive(Args, Debug)]
pub(crate) struct Subscribe {
    /// The channel; several, separated by commas. Private ones are signed with the app's secret
    #[arg(value_delimiter = ',', required = true)]
    channels: Vec<String>,
    /// End after this many events
    #[arg(long, value_name = "EVENTS")]
    count: Option<u64>,
    #[command(flatten)]
    target: Target,
}

impl Subscribe {
    #[allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command's answer")]
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let ca = self.target.ca_certificate.as_deref();
        let (stream, authority) = connect(&self.target.url, ca).await?;
        let key = &self.target.key;
        let version = env!("CARGO_PKG_VERSION");
        let url =
            format!("ws://{authority}/app/{key}?protocol=7&client=carillon&version={version}");
        let (mut socket, _) = client_async(url, stream).await.context("no WebSocket there")?;
        let mut pings = tokio::time::interval(PING_EVERY);
        let mut printed = 0;
        loop {
            let message = tokio::select! {
                message = socket.next() => message,
                _ = pings.tick() => {
                    socket.send(Message::text(r#"{"event":"pusher:ping","data":{}}"#)).await?;
                    continue;
                }
            };
            let text = match message.context("the connection was lost")?? {
                Message::Text(text) => text,
                Message::Close(Some(CloseFrame { code, reason })) => {
                    bail!("closed with {code}: {reason}")
                }
                Message::Close(None) => bail!("closed"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {
                    continue;
                }
            };
            let frame: Value = serde_json::from_str(&text)?;
            match frame["event"].as_str().unwrap_or_default() {
                "pusher:connection_established" => {
                    for channel in &self.channels {
                        let subscribe = self.subscribe(channel, &frame)?;
                        socket.send(Message::text(subscribe.to_string())).await?;
                    }
                }
                "pusher_internal:subscription_succeeded" => {
                    eprintln!("subscribed to {}", frame["channel"].as_str().unwrap_or_default());
                }
                "pusher:pong" => {}
                "pusher:ping" => {
                    socket.send(Message::text(r#"{"event":"pusher:pong","data":{}}"#)).await?;
                }
                "pusher:error" | "pusher:subscription_error" => eprintln!("{text}"),
                _ => {
                    println!("{text}");
                    printed += 1;
                }
            }
            if self.count.is_some_and(|count| printed >= count) {
                return Ok(());
            }
        }
    }

    /// The subscribe frame, signed where the channel needs it.
    fn subscribe(&self, channel: &str, established: &Value) -> anyhow::Result<Value> {
        let data = established["data"].as_str().unwrap_or_default();
        let data: Value = serde_json::from_str(data)?;
        let socket_id = data["socket_id"].as_str().context("no socket id in the greeting")?;
        let mut subscribe = json!({ "channel": channel });
        if channel.starts_with("private-") {
            let secret = AppSecret::new(&self.target.secret);
            let signed = Signature::sign(&secret, format!("{socket_id}:{channel}").as_bytes());
            subscribe["auth"] = json!(format!("{}:{signed}", self.target.key));
        }
        Ok(json!({ "event": "pusher:subscribe", "data": subscribe }))
    }
}
