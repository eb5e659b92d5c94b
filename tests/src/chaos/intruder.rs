//! A stranger who tries what only those may who have a secret.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::{
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::{history::Intrusion, scene::Scene};
use crate::{
    arena::credentials,
    rest::{Backend, Call, unix_seconds},
};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Signatures that are older are worth nothing.
const STALE_SECONDS: u64 = 700;

/// Tries everything again and again until nobody publishes any more.
pub async fn run(
    gateways: Vec<SocketAddr>,
    nodes: Vec<SocketAddr>,
    scene: Arc<Scene>,
) -> Vec<Intrusion> {
    let mut intrusions = Vec::new();
    for turn in 0.. {
        tokio::select! {
            () = scene.published.cancelled() => break,
            () = sleep(PAUSE) => {}
        }
        let backend = Backend::new(gateways[turn % gateways.len()], credentials(0));
        let node = nodes[turn % nodes.len()];
        let tried = async {
            match turn % 4 {
                0 => forged(&backend).await,
                1 => stale(&backend).await,
                2 => other_app(&backend).await,
                _ => private(node).await,
            }
        };
        // Who does not answer has not accepted.
        if let Ok(Some(intrusion)) = timeout(Duration::from_secs(2), tried).await {
            intrusions.push(intrusion);
        }
    }
    intrusions
}

async fn forged(backend: &Backend) -> Option<Intrusion> {
    let stranger = backend.with(|credentials| credentials.secret = "guessed".into());
    publish("a forged signature", stranger.call(event())).await
}

async fn stale(backend: &Backend) -> Option<Intrusion> {
    let then = unix_seconds() - STALE_SECONDS;
    publish("a stale signature", backend.call(event()).set("auth_timestamp", then)).await
}

/// The key and secret of one app at the path of another.
async fn other_app(backend: &Backend) -> Option<Intrusion> {
    let other = credentials(1).app_id;
    let stranger = backend.with(|credentials| credentials.app_id = other);
    publish("another app's key", stranger.call(event())).await
}

async fn publish(what: &'static str, call: Call) -> Option<Intrusion> {
    let answer = call.try_send().await?;
    Some(Intrusion { what, accepted: answer.status == 200 })
}

async fn private(node: SocketAddr) -> Option<Intrusion> {
    let credentials = credentials(0);
    let tcp = TcpStream::connect(node).await.ok()?;
    let uri = format!("ws://{node}/app/{}?protocol=7", credentials.key);
    let (mut stream, _) = client_async(uri, tcp).await.ok()?;
    let _greeting = stream.next().await?.ok()?;
    let auth = format!("{}:{}", credentials.key, "0".repeat(64));
    let data = json!({ "channel": "private-secret", "auth": auth });
    let frame = json!({ "event": "pusher:subscribe", "data": data });
    stream.send(Message::text(frame.to_string())).await.ok()?;
    let Message::Text(text) = stream.next().await?.ok()? else { return None };
    let accepted = text.contains("subscription_succeeded");
    Some(Intrusion { what: "a forged subscription", accepted })
}

fn event() -> String {
    json!({ "name": "e", "channel": "busy-0", "data": "intruder" }).to_string()
}
