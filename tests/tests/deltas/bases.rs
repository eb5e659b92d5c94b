//! What a delta is based on: the last message that this very subscription has received.

use serde_json::{Value, json};
use tests::{
    cluster::{Cluster, Shape},
    rest::Backend,
};

use crate::{
    decoder::Failure,
    reader::{Form, Reader},
};

/// Long enough for deltas to pay.
const REST: &str = "the quick brown fox jumps over the lazy dog, and it does so again and again, every day \
    of the week but on Sundays, when it rests beneath the old elm and counts the passing clouds until \
    the evening bell calls everybody home for supper";

fn data(n: u32) -> String {
    json!({ "n": n, "rest": REST }).to_string()
}

/// The number of a frame, and that of its base.
fn numbers(frame: &str) -> (Option<u64>, Option<u64>) {
    let frame: Value = serde_json::from_str(frame).unwrap();
    let number = frame["__delta_seq"].as_u64().or_else(|| frame["data"]["seq"].as_u64());
    (number, frame["data"]["base_index"].as_u64())
}

async fn publish(backend: &Backend, further: Value, n: u32) {
    let mut event = json!({ "name": "e", "channel": "room", "data": data(n) });
    event.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let answer = backend.publish(&event).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn fossil(cluster: &Cluster, terms: Value) -> Reader {
    let mut reader = Reader::of(cluster, 0).await;
    reader.subscribe_to_deltas("room", &terms, "fossil").await;
    reader
}

#[tokio::test]
async fn events_of_any_name_share_one_base() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut last = None;
    for (n, name) in ["a", "b", "c", "b", "a"].into_iter().enumerate() {
        cluster.backend(0).publish_text("room", name, &data(n as u32)).await;
        let (frame, text) = reader.read().await;
        let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(event, json!({ "event": name, "channel": "room", "data": data(n as u32) }));
        let (number, base) = numbers(&frame);
        assert_eq!(base, last, "{frame}");
        last = number;
    }
}

#[tokio::test]
async fn a_message_without_delta_leaves_the_base() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut taken = Vec::new();
    for n in 0..6 {
        let further = if n % 3 == 2 { json!({ "delta": false }) } else { json!({}) };
        publish(&backend, further, n).await;
        let (frame, text) = reader.read().await;
        let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(event["data"], data(n));
        taken.push(numbers(&frame));
    }
    let first = taken[0].0.unwrap();
    // Numbers are those of all the node's events.
    let delta = |n, base| (Some(first + n), Some(first + base));
    let unmarked = (None, None);
    let expected = [(Some(first), None), delta(1, 0), unmarked, delta(3, 1), delta(4, 3), unmarked];
    assert_eq!(taken, expected);
}

#[tokio::test]
async fn a_full_frame_follows_a_hundred_deltas() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    for n in 0..203 {
        publish(&backend, json!({}), n).await;
        let form = if n % 101 == 0 { Form::Full } else { Form::Delta };
        reader.expect(form, "room", "e", &data(n)).await;
    }
}

#[tokio::test]
async fn a_filtered_subscriber_has_the_base_that_it_received() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let filter = json!({ "key": "to", "cmp": "eq", "val": "me" });
    let mut some = fossil(&cluster, json!({ "delta": "fossil", "filter": filter })).await;
    let mut all = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut last = None;
    for n in 0..12 {
        let to = if n % 4 == 0 { "me" } else { "others" };
        publish(&backend, json!({ "tags": { "to": to } }), n).await;
        let text = all.read().await.1.unwrap();
        if to == "me" {
            let (frame, own) = some.read().await;
            assert_eq!(own.unwrap(), text);
            let (number, base) = numbers(&frame);
            // The first base is forgotten by then: nobody had been behind before.
            let expected = if n == 4 { None } else { last };
            assert_eq!(base, expected, "{frame}");
            last = number;
        }
    }
    some.client.expect_nothing().await;
}

#[tokio::test]
async fn sockets_with_different_bases_get_different_deltas() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut publisher = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut other = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut xdelta3 = Reader::of(&cluster, 0).await;
    xdelta3.subscribe_to_deltas("room", &json!({ "delta": "xdelta3" }), "xdelta3").await;
    let mut without = Reader::of(&cluster, 0).await;
    without.subscribe("room", &json!({})).await;
    let mut numbered = Vec::new();
    for n in 0..8 {
        // The publisher of some does not get them.
        let mine = [2, 3, 6].contains(&n);
        let excluded = json!({ "socket_id": publisher.client.socket_id });
        publish(&backend, if mine { excluded } else { json!({}) }, n).await;
        without.expect(Form::Unmarked, "room", "e", &data(n)).await;
        let form = if n == 0 { Form::Full } else { Form::Delta };
        other.expect(form, "room", "e", &data(n)).await;
        xdelta3.expect(form, "room", "e", &data(n)).await;
        if !mine {
            let (frame, text) = publisher.read().await;
            let event: Value = serde_json::from_str(&text.unwrap()).unwrap();
            assert_eq!(event["data"], data(n));
            numbered.push(numbers(&frame));
        }
    }
    let first = numbered[0].0.unwrap();
    let delta = |n, base| (Some(first + n), Some(first + base));
    let expected = [(Some(first), None), delta(1, 0), delta(4, 1), delta(5, 4), delta(7, 5)];
    assert_eq!(numbered, expected, "each is based on what its publisher has received");
    publisher.client.expect_nothing().await;
    // Who comes later begins with a full frame, and nobody else notices.
    let mut late = fossil(&cluster, json!({ "delta": "fossil" })).await;
    for (n, form) in [(8, Form::Full), (9, Form::Delta)] {
        publish(&backend, json!({}), n).await;
        late.expect(form, "room", "e", &data(n)).await;
        other.expect(Form::Delta, "room", "e", &data(n)).await;
        publisher.expect(Form::Delta, "room", "e", &data(n)).await;
        xdelta3.expect(Form::Delta, "room", "e", &data(n)).await;
    }
}

#[tokio::test]
async fn who_has_lost_its_base_gets_a_full_frame() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut loser = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut other = fossil(&cluster, json!({ "delta": "fossil" })).await;
    for n in 0..3 {
        publish(&backend, json!({}), n).await;
        let form = if n == 0 { Form::Full } else { Form::Delta };
        loser.expect(form, "room", "e", &data(n)).await;
        other.expect(form, "room", "e", &data(n)).await;
    }
    loser.lose("room").await;
    loser.client.expect_nothing().await;
    for n in 3..6 {
        publish(&backend, json!({}), n).await;
        let form = if n == 3 { Form::Full } else { Form::Delta };
        loser.expect(form, "room", "e", &data(n)).await;
        other.expect(Form::Delta, "room", "e", &data(n)).await;
    }
    // About channels that it is not in, or has no deltas of, there is nothing to say.
    other.lose("elsewhere").await;
    other.client.expect_nothing().await;
    let frame = json!({ "event": "sockudo:delta_sync_error", "data": { "channel": "room" } });
    other.client.send(&frame).await;
    other.client.expect_nothing().await;
    publish(&backend, json!({}), 6).await;
    other.expect(Form::Full, "room", "e", &data(6)).await;
}

#[tokio::test]
async fn subscribing_again_begins_anew() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut n = 0;
    let mut round = async |reader: &mut Reader, forms: [Form; 2]| {
        for form in forms {
            publish(&backend, json!({}), n).await;
            reader.expect(form, "room", "e", &data(n)).await;
            n += 1;
        }
    };
    let deltas = [Form::Full, Form::Delta];
    round(&mut reader, deltas).await;
    reader.unsubscribe("room").await;
    reader.subscribe_to_deltas("room", &json!({ "delta": "fossil" }), "fossil").await;
    round(&mut reader, deltas).await;
    reader.subscribe_to_deltas("room", &json!({ "delta": "xdelta3" }), "xdelta3").await;
    round(&mut reader, deltas).await;
    reader.subscribe("room", &json!({ "delta": false })).await;
    round(&mut reader, [Form::Unmarked; 2]).await;
    reader.subscribe_to_deltas("room", &json!({ "delta": true }), "fossil").await;
    round(&mut reader, deltas).await;
    // What is not said is not wished any more.
    reader.subscribe("room", &json!({})).await;
    round(&mut reader, [Form::Unmarked; 2]).await;
}

#[tokio::test]
async fn no_number_is_used_again() {
    let app = json!({ "channel_delta_compression": { "room": { "conflation_key": "key" } } });
    let shape = Shape { nodes: 2, ..Shape::default() };
    let mut cluster = Cluster::start(shape.app(app)).await;
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    let mut seen = std::collections::BTreeSet::new();
    for life in 0..4 {
        for n in 0..20 {
            let text = format!(r#"{{"key":"{}","n":{n},"rest":"{REST}"}}"#, n % 3);
            cluster.backend(0).publish_text("room", "e", &text).await;
            let (frame, read) = reader.read().await;
            let read: Value = serde_json::from_str(&read.unwrap()).unwrap();
            assert_eq!(read["data"], text);
            let (number, base) = numbers(&frame);
            assert!(seen.insert(number.unwrap()), "{number:?} in life {life}");
            assert_eq!(base.is_none(), n < 3, "a full frame per key: {frame}");
        }
        // The last one leaves and comes back, to the same node, to another one, to a new life of it.
        if life == 2 {
            cluster.restart_node(1).await;
            cluster.ready().await;
        }
        reader.reconnect(cluster.node_address(usize::from(life > 0))).await;
        reader.subscribe_to_deltas("room", &json!({ "delta": "fossil" }), "fossil").await;
    }
}

#[tokio::test]
async fn a_client_that_knows_nothing_says_so_and_goes_on() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut reader = fossil(&cluster, json!({ "delta": "fossil" })).await;
    publish(&backend, json!({}), 0).await;
    reader.expect(Form::Full, "room", "e", &data(0)).await;
    // Another client's state: without a base there is no text.
    let mut blank = crate::decoder::Decoder::default();
    publish(&backend, json!({}), 1).await;
    let frame = reader.client.next_text().await;
    assert_eq!(blank.read(&frame), Err(Failure::NoBase));
    reader.lose("room").await;
    reader.client.expect_nothing().await;
    publish(&backend, json!({}), 2).await;
    reader.expect(Form::Full, "room", "e", &data(2)).await;
}
