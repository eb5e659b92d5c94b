//! Subscriptions that are given up at once, each to another channel.

use std::{ops::Range, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tests::{client::Client, fleet::Fleet, rest::Credentials};
use tokio::time::Instant;

use crate::size::say;

/// A node's interest in a channel lingers for ten seconds after the last subscription's end.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(12);

const SOCKETS: usize = 8;
/// Subscriptions of one socket at once.
const AT_ONCE: usize = 50;
const KINDS: [&str; 3] = ["", "presence-", "cache-"];

/// Subscribes to these and leaves them again.
pub(crate) async fn run(fleet: &Fleet, numbers: Range<usize>) {
    let (begun, count) = (Instant::now(), numbers.len());
    let nodes = fleet.node_addresses();
    let sockets = (0..SOCKETS).map(|socket| {
        let node = nodes[socket % nodes.len()];
        let own: Vec<_> = numbers.clone().skip(socket).step_by(SOCKETS).collect();
        tokio::spawn(async move {
            let mut client = Client::connect(node, &Credentials::default()).await;
            for numbers in own.chunks(AT_ONCE) {
                cycle(&mut client, numbers).await;
            }
        })
    });
    for socket in join_all(sockets.collect::<Vec<_>>()).await {
        socket.unwrap();
    }
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    say(&format!("{count} cycles, {per_second:.0} a second"));
}

async fn cycle(client: &mut Client, numbers: &[usize]) {
    let channels: Vec<_> = numbers
        .iter()
        .map(|number| format!("{}cycle-{number}", KINDS[number % KINDS.len()]))
        .collect();
    for channel in &channels {
        if channel.starts_with("presence-") {
            client.ask_to_join(channel, &json!({ "user_id": "u", "user_info": "?" })).await;
        } else {
            client.ask_for(channel).await;
        }
    }
    // Confirmations, and of some channels that they have nothing to show.
    let missing = channels.iter().filter(|channel| channel.starts_with("cache-")).count();
    for _ in 0..channels.len() + missing {
        let frame = client.next_frame().await;
        let event = frame["event"].as_str().unwrap();
        let expected = ["pusher_internal:subscription_succeeded", "pusher:cache_miss"];
        assert!(expected.contains(&event), "{frame}");
    }
    for channel in &channels {
        client.unsubscribe(channel).await;
    }
    client.expect_nothing().await;
}
