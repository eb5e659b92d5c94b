//! What is never filtered and never compressed: who comes and goes, what clients say, counts. And who
//! asks for nothing gets everything as it is.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::{Form, Reader, confirmation};

/// Enters a presence channel on terms under which no event of the backend matches.
async fn enter(reader: &mut Reader, channel: &str, user: &str) -> Value {
    let channel_data = json!({ "user_id": user }).to_string();
    let auth = reader.client.auth(&format!("{channel}:{channel_data}"));
    let filter = json!({ "key": "never", "cmp": "ex" });
    let terms = json!({
        "auth": auth, "channel_data": channel_data, "delta": "fossil", "filter": filter,
    });
    reader.ask(channel, &terms).await;
    let frame = reader.client.next_frame().await;
    assert_eq!(frame["event"], "pusher_internal:subscription_succeeded", "{frame}");
    frame
}

#[tokio::test]
async fn members_and_client_events_pass_every_filter() {
    let app = json!({ "features": { "client_events": true } });
    let cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }.app(app)).await;
    let channel = "presence-room";
    let [mut ann, mut bob] = [Reader::of(&cluster, 0).await, Reader::of(&cluster, 1).await];
    enter(&mut ann, channel, "ann").await;
    ann.client.expect(&confirmation(channel, "fossil")).await;
    enter(&mut bob, channel, "bob").await;
    bob.client.expect(&confirmation(channel, "fossil")).await;
    ann.client.expect_added(channel, "bob").await;
    for n in 0..3 {
        // Alike and long enough: a delta would pay.
        let data = json!({ "n": n, "rest": "all the same ".repeat(20) });
        bob.client.trigger(channel, "client-typing", data.clone()).await;
        let expected = json!({
            "event": "client-typing", "channel": channel, "data": data, "user_id": "bob",
        });
        ann.client.expect(&expected).await;
    }
    cluster.backend(0).publish_text(channel, "e", "nobody wants this").await;
    bob.client.unsubscribe(channel).await;
    ann.client.expect_removed(channel, "bob").await;
    ann.client.expect_nothing().await;
    bob.client.expect_nothing().await;
}

#[tokio::test]
async fn counts_pass_every_filter() {
    let app = json!({ "features": { "subscription_count_events": true } });
    let cluster = Cluster::start(Shape::default().app(app)).await;
    let mut reader = Reader::of(&cluster, 0).await;
    let filter = json!({ "key": "never", "cmp": "ex" });
    reader.subscribe("room", &json!({ "delta": "fossil", "filter": filter })).await;
    let mut frames = [reader.client.next_frame().await, reader.client.next_frame().await];
    frames.sort_by_key(|frame| frame["event"].to_string());
    assert_eq!(frames[0], confirmation("room", "fossil"));
    let count = |count: u32| {
        let data = json!({ "subscription_count": count }).to_string();
        json!({ "event": "pusher_internal:subscription_count", "channel": "room", "data": data })
    };
    assert_eq!(frames[1], count(1));
    let mut other = Reader::of(&cluster, 0).await;
    other.subscribe("room", &json!({})).await;
    reader.client.expect(&count(2)).await;
}

#[tokio::test]
async fn who_asks_for_nothing_gets_everything_as_it_is() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut stock = Reader::of(&cluster, 0).await;
    stock.subscribe("room", &json!({ "auth": "" })).await;
    let mut deltas = Reader::of(&cluster, 0).await;
    let filter = json!({ "key": "to", "cmp": "eq", "val": "you" });
    deltas.subscribe_to_deltas("room", &json!({ "delta": true, "filter": filter }), "fossil").await;
    for n in 0..10 {
        let data = json!({ "n": n, "rest": "all the same ".repeat(20) }).to_string();
        let delta = [None, Some(true), Some(false)][n % 3];
        let mut event = json!({ "name": "e", "channel": "room", "data": data });
        let mut frame = json!({ "event": "e", "channel": "room", "data": data });
        if n % 2 == 0 {
            event["tags"] = json!({ "to": "you" });
            frame["tags"] = json!({ "to": "you" });
        }
        if let Some(delta) = delta {
            event["delta"] = json!(delta);
        }
        assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
        stock.client.expect(&frame).await;
        if n % 2 == 0 {
            let (form, text) = deltas.next().await;
            assert_eq!(text, frame);
            assert_eq!(form == Form::Unmarked, delta == Some(false));
        }
    }
}
