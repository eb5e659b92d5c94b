//! Who gets deltas, and what it is told of that.

use proto::v1::DeltaAlgorithm;
use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::{Form, Reader, confirmation};

/// Data that is long enough to be compressed.
fn data(n: u32) -> String {
    json!({ "n": n, "rest": "all the same ".repeat(20) }).to_string()
}

fn enabled(algorithm: Option<&str>) -> Value {
    let data = match algorithm {
        Some(algorithm) => json!({ "enabled": true, "algorithm": algorithm }),
        None => json!({ "enabled": false }),
    };
    json!({ "event": "pusher:delta_compression_enabled", "data": data })
}

async fn enable(reader: &mut Reader, prefix: &str, data: Value) {
    let event = format!("{prefix}:enable_delta_compression");
    reader.client.send(&json!({ "event": event, "data": data })).await;
}

#[tokio::test]
async fn every_form_of_the_wish() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let wishes = [
        (json!(true), Some("fossil")),
        (json!("fossil"), Some("fossil")),
        (json!("XDelta3"), Some("xdelta3")),
        (json!("vcdiff"), Some("xdelta3")),
        (json!("compact"), Some("compact")),
        (json!("whatever"), Some("fossil")),
        (json!({ "enabled": true }), Some("fossil")),
        (json!({ "algorithm": "xdelta3" }), Some("xdelta3")),
        (json!({ "enabled": true, "algorithm": "vcdiff" }), Some("xdelta3")),
        (json!(false), None),
        (json!("disabled"), None),
        (json!("false"), None),
        (json!("None"), None),
        (json!({ "enabled": false, "algorithm": "fossil" }), None),
    ];
    for (place, (wish, algorithm)) in wishes.into_iter().enumerate() {
        let channel = format!("room-{place}");
        let mut reader = Reader::of(&cluster, 0).await;
        let terms = json!({ "delta": wish });
        let forms = match algorithm {
            Some(algorithm) => {
                reader.subscribe_to_deltas(&channel, &terms, algorithm).await;
                [Form::Full, Form::Delta]
            }
            None => {
                reader.subscribe(&channel, &terms).await;
                [Form::Unmarked; 2]
            }
        };
        for (n, form) in [1, 2].into_iter().zip(forms) {
            backend.publish_text(&channel, "e", &data(n)).await;
            reader.expect(form, &channel, "e", &data(n)).await;
        }
        reader.client.expect_nothing().await;
    }
}

#[tokio::test]
async fn the_confirmation_comes_behind_the_cached_event() {
    let cluster = Cluster::start(Shape::default()).await;
    let channel = "cache-room";
    for n in 0..2 {
        let mut reader = Reader::of(&cluster, 0).await;
        reader.subscribe(channel, &json!({ "delta": "fossil" })).await;
        match n {
            0 => reader.client.expect_miss(channel).await,
            _ => reader.client.expect_event(channel, "e", &data(n)).await,
        }
        reader.client.expect(&confirmation(channel, "fossil")).await;
        cluster.backend(0).publish_text(channel, "e", &data(n + 1)).await;
        reader.expect(Form::Full, channel, "e", &data(n + 1)).await;
    }
}

#[tokio::test]
async fn a_connection_agrees_for_all_subscriptions_that_do_not_say_themselves() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let answers = [
        ("pusher", json!({ "algorithms": ["fossil", "xdelta3"] }), Some("fossil")),
        ("pusher", json!({ "algorithms": ["xdelta3"] }), Some("xdelta3")),
        ("sockudo", json!({ "algorithms": ["xdelta3", "fossil"] }), Some("fossil")),
        ("pusher", json!({}), Some("fossil")),
        ("pusher", json!({ "algorithms": ["brotli"] }), None),
    ];
    for (place, (prefix, data_sent, algorithm)) in answers.into_iter().enumerate() {
        let [before, off, own, after] =
            ["before", "off", "own", "after"].map(|name| format!("{name}-{place}"));
        let mut reader = Reader::of(&cluster, 0).await;
        reader.subscribe(&before, &json!({})).await;
        reader.subscribe(&off, &json!({ "delta": false })).await;
        reader.subscribe_to_deltas(&own, &json!({ "delta": "xdelta3" }), "xdelta3").await;
        enable(&mut reader, prefix, data_sent).await;
        reader.client.expect(&enabled(algorithm)).await;
        reader.subscribe(&after, &json!({})).await;
        let agreed = algorithm.map_or([Form::Unmarked; 2], |_| [Form::Full, Form::Delta]);
        let own_forms = [Form::Full, Form::Delta];
        let all = [(before, agreed), (off, [Form::Unmarked; 2]), (own, own_forms), (after, agreed)];
        for (channel, forms) in all {
            for (n, form) in [1, 2].into_iter().zip(forms) {
                backend.publish_text(&channel, "e", &data(n)).await;
                reader.expect(form, &channel, "e", &data(n)).await;
            }
        }
        reader.client.expect_nothing().await;
    }
}

#[tokio::test]
async fn enabling_again_begins_anew() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe("room", &json!({})).await;
    for round in 0..2 {
        enable(&mut reader, "pusher", json!({ "algorithms": ["fossil"] })).await;
        reader.client.expect(&enabled(Some("fossil"))).await;
        for (n, form) in [(1, Form::Full), (2, Form::Delta)] {
            backend.publish_text("room", "e", &data(10 * round + n)).await;
            reader.expect(form, "room", "e", &data(10 * round + n)).await;
        }
    }
}

#[tokio::test]
async fn an_app_without_deltas_says_nothing_of_them() {
    let app = json!({ "features": { "delta_compression": false } });
    let cluster = Cluster::start(Shape::default().app(app)).await;
    let mut reader = Reader::of(&cluster, 0).await;
    enable(&mut reader, "pusher", json!({ "algorithms": ["fossil"] })).await;
    reader.client.expect_nothing().await;
    reader.subscribe("room", &json!({ "delta": "fossil" })).await;
    reader.client.expect_nothing().await;
    for n in 0..3 {
        cluster.backend(0).publish_text("room", "e", &data(n)).await;
        reader.expect(Form::Unmarked, "room", "e", &data(n)).await;
    }
}

#[tokio::test]
async fn encrypted_channels_and_those_of_users_have_none() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    enable(&mut reader, "pusher", json!({})).await;
    reader.client.expect(&enabled(Some("fossil"))).await;
    let channel = "private-encrypted-room";
    reader.subscribe(channel, &json!({ "delta": "fossil" })).await;
    reader.client.expect_nothing().await;
    for n in 0..3 {
        cluster.backend(0).publish_text(channel, "e", &data(n)).await;
        reader.expect(Form::Unmarked, channel, "e", &data(n)).await;
    }
    let cached = "private-encrypted-cache-room";
    reader.subscribe(cached, &json!({ "delta": true })).await;
    reader.client.expect_miss(cached).await;
    reader.client.expect_nothing().await;
    for n in 0..3 {
        cluster.backend(0).publish_text(cached, "e", &data(n)).await;
        reader.expect(Form::Unmarked, cached, "e", &data(n)).await;
    }
    reader.client.sign_in(&json!({ "id": "ann" })).await;
    for n in 0..3 {
        let event = json!({ "name": "e", "channel": "#server-to-user-ann", "data": data(n) });
        assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
        reader.expect(Form::Unmarked, "#server-to-user-ann", "e", &data(n)).await;
    }
}

#[tokio::test]
async fn channels_have_settings_of_their_own() {
    let app = json!({ "channel_delta_compression": {
        "off-*": { "enabled": false },
        "other-*": { "algorithm": DeltaAlgorithm::Xdelta3 as i32 },
    } });
    let cluster = Cluster::start(Shape::default().app(app)).await;
    let backend = cluster.backend(0);
    let mut reader = Reader::of(&cluster, 0).await;
    reader.subscribe_to_deltas("other-room", &json!({ "delta": true }), "xdelta3").await;
    reader.ask("off-room", &json!({ "delta": true })).await;
    reader.client.expect_subscribed("off-room").await;
    for n in 0..2 {
        backend.publish_text("off-room", "e", &data(n)).await;
    }
    // The publisher may want it all the same.
    for n in 2..4 {
        let forced = json!({ "name": "e", "channel": "off-room", "data": data(n), "delta": true });
        assert_eq!(backend.publish(&forced).await.status, 200);
    }
    let (mut form, mut event) = reader.next().await;
    if event["event"] == "pusher:delta_compression_enabled" {
        (form, event) = reader.next().await;
    }
    assert_eq!((form, &event["data"]), (Form::Unmarked, &json!(data(0))));
    reader.expect(Form::Unmarked, "off-room", "e", &data(1)).await;
    reader.expect(Form::Full, "off-room", "e", &data(2)).await;
    reader.expect(Form::Delta, "off-room", "e", &data(3)).await;
}
