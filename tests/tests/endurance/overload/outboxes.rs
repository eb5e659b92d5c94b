//! All outboxes of a node together: the largest are closed first, and nobody who reads.

use serde_json::json;
use tests::{client::Client, quiet::Place, rest::Credentials};

use super::Server;
use crate::size::say;

const MIB: u64 = 1 << 20;
const BUDGET: u64 = 8 * MIB;
const SLOW: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_memory_is_short_the_largest_queues_go_and_readers_stay() {
    let _place = Place::take(true).await;
    // Each socket alone may have more than all of them.
    let server = Server::start(
        &[
            &format!("--outboxes-bytes-max={BUDGET}"),
            "--outbox-bytes-max=1073741824",
            "--outbox-frames-max=1000000",
            "--shard-threads=1",
        ],
        None,
    )
    .await;
    let backend = server.backend();
    let mut slow = Vec::new();
    for place in 0..SLOW {
        let mut client = Client::connect(server.public, &Credentials::default()).await;
        client.subscribe(&format!("room-{place}")).await;
        slow.push(client);
    }
    let mut reader = Client::connect(server.public, &Credentials::default()).await;
    reader.subscribe("room").await;
    let before = server.process.resident_kib();
    let data = "x".repeat(64 << 10);
    let (mut sent, mut peak) = (0, 0);
    while server.metric("carillon_data_plane_relieved_total").await == 0 {
        for _ in 0..10 {
            for place in 0..SLOW {
                backend.publish_text(&format!("room-{place}"), "e", &data).await;
                sent += data.len() as u64;
            }
            backend.publish_text("room", "e", &data).await;
            reader.expect_event("room", "e", &data).await;
        }
        peak = peak.max(server.process.resident_kib().saturating_sub(before));
        assert!(sent < 1_024 * MIB, "{sent} bytes, and nobody was closed");
    }
    let relieved = server.metric("carillon_data_plane_relieved_total").await;
    say(&format!("{sent} bytes to {SLOW} that do not read: {relieved} closed, +{peak} KiB"));
    assert!(peak * 1_024 < 4 * BUDGET + 32 * MIB, "{peak} KiB");
    let event = json!({ "name": "last", "channel": "room", "data": "x" });
    assert_eq!(backend.publish(&event).await.status, 200);
    reader.expect_event("room", "last", "x").await;
}
