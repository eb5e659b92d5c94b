//! The last event of a cache channel, for those with filters and deltas.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::{Form, Reader, confirmation};

/// Long enough for deltas to pay.
const REST: &str = "the quick brown fox jumps over the lazy dog, and it does so again and again, every day \
    of the week but on Sundays, when it rests beneath the old elm and counts the passing clouds until \
    the evening bell calls everybody home for supper";

fn event(channel: &str, n: u32, to: &str) -> Value {
    let data = json!({ "n": n, "rest": REST }).to_string();
    json!({ "name": "e", "channel": channel, "data": data, "tags": { "to": to } })
}

fn wants(to: &str) -> Value {
    json!({ "key": "to", "cmp": "eq", "val": to })
}

#[tokio::test]
async fn the_filter_decides_whether_the_last_event_is_shown() {
    let cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }).await;
    for channel in ["cache-room", "private-cache-room"] {
        let published = event(channel, 1, "ann");
        let data = published["data"].as_str().unwrap();
        assert_eq!(cluster.backend(0).publish(&published).await.status, 200);
        // One after the other: the first one of each node asks the control plane, others do not.
        for node in [0, 1, 0, 1] {
            for (filter, shown) in [("ann", true), ("bob", false)] {
                let mut reader = Reader::of(&cluster, node).await;
                reader.subscribe(channel, &json!({ "filter": wants(filter) })).await;
                match shown {
                    true => reader.client.expect_event(channel, "e", data).await,
                    false => reader.client.expect_miss(channel).await,
                }
                reader.client.expect_nothing().await;
            }
            let mut reader = Reader::of(&cluster, node).await;
            reader.subscribe(channel, &json!({})).await;
            reader.client.expect_event(channel, "e", data).await;
        }
        // One that came by while a subscriber was there: its tags are kept too.
        let mut there = Reader::of(&cluster, 0).await;
        there.subscribe(channel, &json!({})).await;
        there.client.expect_event(channel, "e", data).await;
        let second = event(channel, 2, "bob");
        assert_eq!(cluster.backend(0).publish(&second).await.status, 200);
        there.next().await;
        there.subscribe(channel, &json!({ "filter": wants("ann") })).await;
        there.client.expect_miss(channel).await;
        there.subscribe(channel, &json!({ "filter": wants("bob") })).await;
        there.client.expect_event(channel, "e", second["data"].as_str().unwrap()).await;
    }
}

#[tokio::test]
async fn what_is_shown_is_no_base() {
    let cluster = Cluster::start(Shape::default()).await;
    let channel = "cache-room";
    let publish = async |n: u32| {
        let published = event(channel, n, "all");
        assert_eq!(cluster.backend(0).publish(&published).await.status, 200);
        let mut frame = json!({ "event": "e", "channel": channel, "data": published["data"] });
        let shown = frame.clone();
        frame["tags"] = json!({ "to": "all" });
        (frame, shown)
    };
    let mut reader = Reader::of(&cluster, 0).await;
    let mut shown: Option<Value> = None;
    for round in 0..3 {
        reader.subscribe(channel, &json!({ "delta": "fossil" })).await;
        match shown.take() {
            // As it is: no marker, no tags.
            Some(shown) => assert_eq!(reader.next().await, (Form::Unmarked, shown)),
            None => reader.client.expect_miss(channel).await,
        }
        reader.client.expect(&confirmation(channel, "fossil")).await;
        for n in 0..3 {
            let (frame, kept) = publish(10 * round + n).await;
            let (form, text) = reader.next().await;
            assert_eq!(text, frame);
            assert_ne!(form, Form::Unmarked);
            assert!(n == 0 || form == Form::Delta, "{form:?}");
            shown = Some(kept);
        }
    }
}
