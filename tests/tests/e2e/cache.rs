//! Cache channels: the last event for those who come later.

use std::time::Duration;

use serde_json::json;
use tests::client::Client;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, both, both_with};

const KINDS: [&str; 4] =
    ["cache-a", "private-cache-a", "private-encrypted-cache-a", "presence-cache-a"];

/// Subscribes to a channel of any kind, all as one user, and takes the confirmation.
async fn enter(client: &mut Client, channel: &str) {
    if channel.starts_with("presence-") {
        client.join(channel, "ann", &["ann"]).await;
    } else {
        client.subscribe(channel).await;
    }
}

#[tokio::test]
async fn the_confirmation_comes_first_then_the_last_event_or_a_miss_then_what_is_new() {
    both(json!({}), async |stage: &Stage| {
        for channel in KINDS {
            let [mut first, mut second, mut third] = stage.clients().await;
            enter(&mut first, channel).await;
            first.expect_miss(channel).await;
            let backend = stage.backend(0);
            // Tags and the request for full data are for those who are there.
            let event = json!({
                "name": "old", "channel": channel, "data": { "x": 1.50 },
                "tags": { "a": "1" }, "delta": false,
            });
            assert_eq!(backend.publish(&event).await.status, 200);
            first
                .expect(&json!({
                    "event": "old", "channel": channel, "data": r#"{"x":1.5}"#, "tags": { "a": "1" },
                }))
                .await;
            for other in [&mut second, &mut third] {
                enter(other, channel).await;
                other.expect_event(channel, "old", r#"{"x":1.5}"#).await;
            }
            // On the same node, and again on the same socket.
            for _ in 0..2 {
                enter(&mut first, channel).await;
                first.expect_event(channel, "old", r#"{"x":1.5}"#).await;
            }
            stage.quiet(channel, [&mut first, &mut second, &mut third]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn names_that_only_look_like_it_keep_nothing() {
    both(json!({}), async |stage: &Stage| {
        let mut client = stage.client(0).await;
        for channel in ["my-cache-room", "cached", "private-my-cache-room"] {
            stage.backend(0).publish_text(channel, "e", "x").await;
            client.subscribe(channel).await;
            client.expect_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_outlives_its_audience() {
    both(json!({}), async |stage: &Stage| {
        let backend = stage.backend(0);
        let [mut first, mut second, mut third] = stage.clients().await;
        for channel in KINDS {
            // Nobody has ever been here.
            backend.publish_text(channel, "e", "0").await;
            enter(&mut first, channel).await;
            first.expect_event(channel, "e", "0").await;
            backend.publish_text(channel, "e", "1").await;
            first.expect_event(channel, "e", "1").await;
            first.unsubscribe(channel).await;
            let empty = async || {
                let answer = backend.get(&format!("channels/{channel}")).send().await.json();
                (answer["occupied"] == false).then_some(())
            };
            tests::eventually("the channel is empty", empty).await;
            // On the node that had it, and on one that had not.
            enter(&mut first, channel).await;
            first.expect_event(channel, "e", "1").await;
            enter(&mut second, channel).await;
            second.expect_event(channel, "e", "1").await;
        }
        // One event for many channels, and a batch, are kept as any other.
        let many = json!({ "name": "many", "channels": &KINDS[..2], "data": "2" });
        assert_eq!(backend.publish(&many).await.status, 200);
        enter(&mut third, KINDS[1]).await;
        third.expect_event(KINDS[1], "many", "2").await;
        let batch = json!({ "batch": [
            { "name": "b", "channel": "cache-b", "data": "1" },
            { "name": "b", "channel": "cache-b", "data": "2" },
        ] });
        let answer = backend.post("batch_events", batch.to_string()).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        third.subscribe("cache-b").await;
        third.expect_event("cache-b", "b", "2").await;
    })
    .await;
}

#[tokio::test]
async fn an_event_is_kept_for_the_socket_that_it_was_not_for() {
    both(json!({}), async |stage: &Stage| {
        let [mut sender, mut other, mut later] = stage.clients().await;
        for client in [&mut sender, &mut other] {
            client.subscribe("cache-a").await;
            client.expect_miss("cache-a").await;
        }
        let event = json!({
            "name": "e", "channel": "cache-a", "data": "x", "socket_id": sender.socket_id,
        });
        assert_eq!(stage.backend(0).publish(&event).await.status, 200);
        other.expect_event("cache-a", "e", "x").await;
        sender.expect_nothing().await;
        for client in [&mut later, &mut sender] {
            client.subscribe("cache-a").await;
            client.expect_event("cache-a", "e", "x").await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_clients_publish_is_not_kept() {
    both(json!({ "features": { "client_events": true } }), async |stage: &Stage| {
        for channel in ["private-cache-a", "presence-cache-a"] {
            let [mut ann, mut bob, _] = stage.clients().await;
            for client in [&mut ann, &mut bob] {
                enter(client, channel).await;
                client.expect_miss(channel).await;
            }
            for kept in [None, Some("kept")] {
                if let Some(data) = kept {
                    stage.backend(0).publish_text(channel, "e", data).await;
                    ann.expect_event(channel, "e", data).await;
                    bob.expect_event(channel, "e", data).await;
                }
                ann.trigger(channel, "client-e", json!("mine")).await;
                assert_eq!(bob.next_frame().await["event"], "client-e");
                let mut later = stage.client(2).await;
                for client in [&mut bob, &mut later] {
                    enter(client, channel).await;
                    match kept {
                        Some(data) => client.expect_event(channel, "e", data).await,
                        None => client.expect_miss(channel).await,
                    }
                }
            }
            stage.quiet(channel, [&mut ann, &mut bob]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_is_kept_for_as_long_as_the_operator_says() {
    both_with("--cache-ttl-seconds=1", json!({}), async |stage: &Stage| {
        let mut there = stage.client(0).await;
        there.subscribe("cache-a").await;
        there.expect_miss("cache-a").await;
        let published = Instant::now();
        stage.backend(0).publish_text("cache-a", "e", "x").await;
        there.expect_event("cache-a", "e", "x").await;
        // On the node that has seen it, and on another one.
        for node in [0, 2] {
            let missed = async || {
                let mut client = stage.client(node).await;
                client.subscribe("cache-a").await;
                let frame = client.next_frame().await;
                (frame["event"] == "pusher:cache_miss").then_some(())
            };
            tests::eventually("the event is forgotten", missed).await;
            let after = published.elapsed();
            assert!(after >= Duration::from_millis(990), "forgotten after {after:?}");
        }
        let answer = stage.backend(0).get("channels/cache-a").set("info", "cache").send().await;
        assert_eq!(answer.json()["cache"], json!(null), "{answer:?}");
        stage.quiet("cache-a", [&mut there]).await;
    })
    .await;
}

#[tokio::test]
async fn a_backend_can_read_what_is_kept() {
    both(json!({}), async |stage: &Stage| {
        let read = async || {
            let backend = stage.backend(1);
            backend.get("channels/cache-a").set("info", "cache").send().await.json()
        };
        assert_eq!(read().await, json!({ "occupied": false, "cache": null }));
        stage.backend(0).publish_text("cache-a", "e", r#"{"x":1}"#).await;
        let answer = read().await;
        let ttl = answer["cache"]["ttl"].as_u64().unwrap();
        assert!((3_590..=3_600).contains(&ttl), "{answer}");
        let cache = json!({ "data": r#"{"x":1}"#, "ttl": ttl });
        assert_eq!(answer, json!({ "occupied": false, "cache": cache }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_in_the_middle_misses_nothing_and_gets_nothing_twice() {
    both(json!({}), async |stage: &Stage| {
        for channel in ["cache-a", "presence-cache-a"] {
            let backend = stage.backend(0);
            backend.publish_text(channel, "e", "0").await;
            let ended = CancellationToken::new();
            let publisher = {
                let ended = ended.clone();
                tokio::spawn(async move {
                    let mut next = 1_u64;
                    while !ended.is_cancelled() {
                        backend.publish_text(channel, "e", &next.to_string()).await;
                        next += 1;
                    }
                })
            };
            let mut keeper = stage.client(0).await;
            for trial in 0..30 {
                // A new holder, a second subscriber, one who comes back.
                let mut fresh = stage.client(trial % 3).await;
                let client = if trial % 2 == 0 { &mut fresh } else { &mut keeper };
                enter(client, channel).await;
                let mut expected = None;
                for _ in 0..10 {
                    let frame = client.next_frame().await;
                    let number: u64 = frame["data"].as_str().unwrap().parse().unwrap();
                    assert_eq!(number, expected.unwrap_or(number), "{frame}");
                    expected = Some(number + 1);
                }
                client.unsubscribe(channel).await;
                // What was on its way ends with the answer.
                client.send(&json!({ "event": "pusher:ping", "data": {} })).await;
                while client.next_frame().await["event"] != "pusher:pong" {}
            }
            ended.cancel();
            publisher.await.unwrap();
        }
    })
    .await;
}
