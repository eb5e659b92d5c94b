//! One event, from a backend's REST call to clients' sockets, and what the backend is answered.

use serde_json::json;
use tests::cluster::{Cluster, Shape};

#[tokio::test]
async fn an_event_reaches_every_subscriber_on_every_node() {
    let cluster = Cluster::start(Shape::wide()).await;
    let mut clients = Vec::new();
    for node in 0..3 {
        let mut client = cluster.client(node).await;
        client.subscribe("room").await;
        clients.push(client);
    }
    for gateway in 0..2 {
        let event = json!({ "name": "greeting", "channel": "room", "data": "hello" });
        let answer = cluster.backend(gateway).publish(&event).await;
        assert_eq!((answer.status, &*answer.text), (200, r#"{"ok":true}"#));
        assert_eq!(answer.header("content-type"), "application/json");
        for client in &mut clients {
            client.expect_event("room", "greeting", "hello").await;
            client.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn data_arrives_as_a_string_with_every_byte_kept() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    let cases = [
        (r#""plain text""#, "plain text"),
        (r#""""#, ""),
        (r#""{\"a\": 1.10}""#, r#"{"a": 1.10}"#),
        (
            r#"{"z":1.10,"a":{"y":[1e2,-0.0],"b":null}}"#,
            r#"{"z":1.10,"a":{"y":[1e2,-0.0],"b":null}}"#,
        ),
        (r#"{ "z" : 1 ,  "a" : [ 1, 2 ] }"#, r#"{"z":1,"a":[1,2]}"#),
        (r#"[1,{"b":2}]"#, r#"[1,{"b":2}]"#),
        ("12345678901234567890.10", "12345678901234567890.10"),
        ("true", "true"),
        ("null", "null"),
        (r#""héllo — 日本 🚀 \" \\ \n \u0001""#, "héllo — 日本 🚀 \" \\ \n \u{1}"),
        (r#""h\u00e9llo \ud83d\ude80""#, "héllo 🚀"),
    ];
    for (sent, received) in cases {
        let body = format!(r#"{{"name":"e","channel":"room","data":{sent}}}"#);
        let answer = backend.call(body).send().await;
        assert_eq!(answer.status, 200, "{sent}: {answer:?}");
        client.expect_event("room", "e", received).await;
    }
}

#[tokio::test]
async fn names_may_be_any_unicode() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    client.subscribe("A-z_0=@,.;:").await;
    let backend = cluster.backend(0);
    backend.publish_text("A-z_0=@,.;:", "注文 \"new\"", "1").await;
    client.expect_event("A-z_0=@,.;:", "注文 \"new\"", "1").await;
}

#[tokio::test]
async fn the_named_socket_is_left_out_on_every_channel_and_node() {
    let cluster = Cluster::start(Shape::wide()).await;
    let mut sender = cluster.client(0).await;
    let mut others =
        vec![cluster.client(0).await, cluster.client(1).await, cluster.client(2).await];
    for channel in ["one", "two"] {
        sender.subscribe(channel).await;
        for other in &mut others {
            other.subscribe(channel).await;
        }
    }
    let event = json!({
        "name": "moved", "channels": ["one", "two"], "data": "x", "socket_id": sender.socket_id,
    });
    for gateway in 0..2 {
        assert_eq!(cluster.backend(gateway).publish(&event).await.status, 200);
        for other in &mut others {
            other.expect_event("one", "moved", "x").await;
            other.expect_event("two", "moved", "x").await;
        }
        sender.expect_nothing().await;
    }
    let nobody = json!({ "name": "moved", "channel": "one", "data": "x", "socket_id": "1.2" });
    assert_eq!(cluster.backend(0).publish(&nobody).await.status, 200);
    sender.expect_event("one", "moved", "x").await;
}

#[tokio::test]
async fn counts_are_those_of_all_nodes() {
    let cluster = Cluster::start(Shape::wide()).await;
    let mut clients = Vec::new();
    for (node, channels) in [(0, 2), (0, 1), (1, 1), (2, 2)] {
        let mut client = cluster.client(node).await;
        for channel in &["first", "second"][..channels] {
            client.subscribe(channel).await;
        }
        clients.push(client);
    }
    let counted = |info: &str| {
        let channels = ["second", "nobody", "first"];
        json!({ "name": "e", "channels": channels, "data": "x", "info": info })
    };
    let answer = cluster.backend(1).publish(&counted("subscription_count")).await;
    let expected = concat!(
        r#"{"channels":{"second":{"subscription_count":2},"#,
        r#""nobody":{"subscription_count":0},"first":{"subscription_count":4}}}"#
    );
    assert_eq!((answer.status, &*answer.text), (200, expected));

    let answer = cluster.backend(0).publish(&counted("user_count, unknown")).await;
    let expected = r#"{"channels":{"second":{},"nobody":{},"first":{}}}"#;
    assert_eq!((answer.status, &*answer.text), (200, expected));
}

#[tokio::test]
async fn counts_include_the_socket_that_is_left_out_and_follow_those_who_leave() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut client = cluster.client(0).await;
    let mut leaver = cluster.client(0).await;
    client.subscribe("room").await;
    leaver.subscribe("room").await;
    let event = json!({
        "name": "e", "channel": "room", "data": "x",
        "info": "subscription_count", "socket_id": client.socket_id,
    });
    let count = async |expected: u64| {
        let counted = || async {
            let answer = backend.publish(&event).await.json();
            (answer["channels"]["room"]["subscription_count"] == expected).then_some(())
        };
        tests::eventually(&format!("{expected} subscribers"), counted).await;
    };
    count(2).await;
    leaver.unsubscribe("room").await;
    count(1).await;
    drop(client);
    count(0).await;
}

#[tokio::test]
async fn tags_reach_clients_where_the_app_wants_it() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    let event = json!({
        "name": "e", "channel": "room", "data": "x", "tags": { "b": "2", "a": "1" }, "delta": false,
    });
    assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
    client
        .expect(&json!({ "event": "e", "channel": "room", "data": "x", "tags": { "a": "1", "b": "2" } }))
        .await;
}
