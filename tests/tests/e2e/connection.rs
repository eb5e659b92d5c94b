//! The life of a connection: greeting, pings, refusals, the end.

use std::time::Duration;

use futures_util::future::join_all;
use proto::v1::{App, DeleteAppRequest};
use serde_json::json;
use tests::{
    client::{Client, Incoming, refused_status},
    cluster::{Cluster, Shape},
    rest::get,
};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

const APP: &str = "/app/app-key?protocol=7&client=js&version=8.6.0&flash=false";

#[tokio::test]
async fn the_first_frame_is_the_greeting() {
    let cluster = Cluster::start(Shape::default()).await;
    let node = cluster.node_address(0);
    let mut ids = Vec::new();
    for path in
        [APP, "/app/app-key", "/app/app-key/", "/app/app-key/?protocol=5", "/app/app-key?x=y"]
    {
        let mut client = Client::open(node, path, None).await;
        client.greeted().await;
        assert_eq!(client.activity_timeout, 120);
        let (left, right) = client.socket_id.split_once('.').unwrap();
        for part in [left, right] {
            let number: u64 = part.parse().unwrap();
            assert!((1..=10_000_000_000).contains(&number), "{part}");
            assert_eq!(number.to_string(), part, "not zero padded");
        }
        ids.push(client.socket_id.clone());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

#[tokio::test]
async fn what_is_no_upgrade_gets_an_http_answer() {
    let cluster = Cluster::start(Shape::default()).await;
    let node = cluster.node_address(0);
    for path in ["/", "/app", "/app/", "/application/app-key", "/app/app-key/more"] {
        let refused = Client::try_open(node, path, None).await.unwrap_err();
        assert_eq!(refused_status(&refused), Some(404), "{path}");
    }
    assert_eq!(get(node, "/app/app-key").await.0, 426);
}

#[tokio::test]
async fn refusals_are_told_before_the_close() {
    let cluster = Cluster::start(Shape::default()).await;
    let node = cluster.node_address(0);
    for (path, code) in [
        ("/app/unknown", 4001),
        ("/app/APP-KEY", 4001),
        ("/app/app-key?protocol=x", 4006),
        ("/app/app-key?protocol=", 4006),
        ("/app/app-key?protocol=8", 4007),
        ("/app/app-key?protocol=99999999999999999999", 4007),
    ] {
        Client::open(node, path, None).await.expect_refusal(code).await;
    }
}

#[tokio::test]
async fn a_disabled_app_is_4003() {
    let cluster = Cluster::start(Shape::default().app(json!({ "enabled": false }))).await;
    let mut client = Client::open(cluster.node_address(0), APP, None).await;
    client.expect_refusal(4003).await;
}

#[tokio::test]
async fn the_quota_of_an_app_counts_all_nodes() {
    let shape = Shape::wide().app(json!({ "limits": { "connections_max": 3 } }));
    let cluster = Cluster::start(shape).await;
    let first = cluster.client(0).await;
    let _others = (cluster.client(1).await, cluster.client(2).await);
    for node in 0..3 {
        let over = || async {
            let mut client = Client::open(cluster.node_address(node), APP, None).await;
            let frame = client.next_frame().await;
            if frame["event"] != "pusher:error" {
                return None;
            }
            assert_eq!(frame["data"]["code"], 4004);
            client.expect_close(4004).await;
            Some(())
        };
        tests::eventually("the quota is known everywhere", over).await;
    }
    drop(first);
    let free = || async {
        let mut client = Client::open(cluster.node_address(1), APP, None).await;
        let frame = client.next_frame().await;
        (frame["event"] == "pusher:connection_established").then_some(())
    };
    tests::eventually("a place is free", free).await;
}

#[tokio::test]
async fn a_full_node_is_4100() {
    let cluster = Cluster::start(Shape::default().node("--sockets-max=1")).await;
    let _first = cluster.client(0).await;
    let mut client = Client::open(cluster.node_address(0), APP, None).await;
    client.expect_refusal(4100).await;
}

#[tokio::test]
async fn origins_are_checked_where_the_app_names_some() {
    let shape = Shape::default().app(json!({
        "allowed_origins": ["https://ok.example", "bare.example", "*.sub.example"],
    }));
    let cluster = Cluster::start(shape).await;
    let node = cluster.node_address(0);
    for good in
        ["https://ok.example", "HTTPS://OK.example", "http://bare.example", "https://a.sub.example"]
    {
        Client::open(node, APP, Some(good)).await.greeted().await;
    }
    for bad in [
        Some("http://ok.example"),
        Some("https://evil.example"),
        Some("https://xsub.example"),
        None,
    ] {
        Client::open(node, APP, bad).await.expect_refusal(4009).await;
    }
}

#[tokio::test]
async fn open_sockets_hear_when_their_app_ends() {
    let cluster = Cluster::start(Shape::default()).await;
    let admin = cluster.admin();
    let mut client = cluster.client(0).await;
    let disabled = App { app_id: "app-id".into(), enabled: Some(false), ..App::default() };
    admin.update(disabled).await.unwrap();
    client.expect_refusal(4003).await;
    let enabled = App { app_id: "app-id".into(), enabled: Some(true), ..App::default() };
    admin.update(enabled).await.unwrap();
    let open = || async {
        let mut client = Client::open(cluster.node_address(0), APP, None).await;
        let frame = client.next_frame().await;
        (frame["event"] == "pusher:connection_established").then_some(client)
    };
    let mut client = tests::eventually("the app is back", open).await;
    let delete = DeleteAppRequest { app_id: "app-id".into(), ..Default::default() };
    admin.client.clone().delete_app(admin.request(delete)).await.unwrap();
    client.expect_refusal(4001).await;
}

#[tokio::test]
async fn a_ping_of_any_shape_is_answered() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    for ping in [
        json!({ "event": "pusher:ping" }),
        json!({ "event": "pusher:ping", "data": null }),
        json!({ "event": "pusher:ping", "data": {} }),
        json!({ "event": "pusher:ping", "data": "{}" }),
        json!({ "event": "pusher:ping", "data": [1, 2], "channel": "x", "more": true }),
    ] {
        client.send(&ping).await;
        client.expect(&json!({ "event": "pusher:pong", "data": {} })).await;
    }
    client.send_message(Message::Ping("are you there".into())).await;
    assert_eq!(client.next().await, Incoming::Pong(b"are you there".to_vec()));
}

#[tokio::test]
async fn a_bad_message_closes_nothing() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    let deep = "[".repeat(50_000);
    for bad in ["", "nonsense", "{", "[]", "7", "{}", r#"{"event":7}"#, r#"{"event":"x"}}"#, &deep]
    {
        client.send_message(Message::text(bad)).await;
        client.expect_error(4000).await;
    }
    for no_channel in
        [json!({}), json!({ "channel": 7 }), json!({ "channel": null }), json!("x"), json!(null)]
    {
        client.send(&json!({ "event": "pusher:subscribe", "data": no_channel })).await;
        client.expect_error(4000).await;
    }
    // What is merely unknown is passed over.
    for unknown in ["pusher:new", "pusher_internal:subscription_succeeded", "anything"] {
        client.send(&json!({ "event": unknown, "data": {} })).await;
    }
    client.expect_nothing().await;
    cluster.backend(0).publish_text("room", "e", "still here").await;
    client.expect_event("room", "e", "still here").await;
}

#[tokio::test]
async fn a_binary_message_that_is_no_text_ends_the_connection() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    client.send_message(Message::binary(&b"\xff\xfe"[..])).await;
    assert!(matches!(client.next().await, Incoming::Close(1003, _)));
}

#[tokio::test]
async fn messages_may_come_in_fragments_and_as_binary() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    let text = json!({ "event": "pusher:subscribe", "data": { "channel": "room" } }).to_string();
    let parts = [&text[..10], &text[10..11], "", &text[11..]];
    for (place, part) in parts.iter().enumerate() {
        let kind = if place == 0 { Data::Text } else { Data::Continue };
        let last = place == parts.len() - 1;
        let frame = Frame::message(part.as_bytes().to_vec(), OpCode::Data(kind), last);
        client.send_message(Message::Frame(frame)).await;
        // A control frame may come between them.
        client.send_message(Message::Ping("between".into())).await;
    }
    for _ in 0..3 {
        assert_eq!(client.next().await, Incoming::Pong(b"between".to_vec()));
    }
    let mut last = [client.next().await, client.next().await];
    last.sort_by_key(|incoming| matches!(incoming, Incoming::Pong(_)));
    let [Incoming::Frame(frame), Incoming::Pong(_)] = &last else {
        panic!("{last:?}");
    };
    assert_eq!(frame["event"], "pusher_internal:subscription_succeeded");
    let again = json!({ "event": "pusher:subscribe", "data": { "channel": "other" } }).to_string();
    client.send_message(Message::binary(again.into_bytes())).await;
    client.expect_subscribed("other").await;
}

#[tokio::test]
async fn a_silent_client_is_asked_and_then_closed() {
    let shape = Shape::default().node("--activity-timeout=1 --pong-timeout=1");
    let cluster = Cluster::start(shape).await;
    let mut client = cluster.client(0).await;
    assert_eq!(client.activity_timeout, 1);
    let began = Instant::now();
    client.expect(&json!({ "event": "pusher:ping" })).await;
    let pinged = began.elapsed();
    client.expect_refusal(4201).await;
    let closed = began.elapsed();
    let about = |seconds: f64, given: Duration| {
        assert!((seconds - 0.2..seconds + 1.0).contains(&given.as_secs_f64()), "{given:?}");
    };
    about(1.0, pinged);
    about(2.0, closed);
}

#[tokio::test]
async fn any_sign_of_life_counts() {
    let shape = Shape::default().node("--activity-timeout=1 --pong-timeout=1");
    let cluster = Cluster::start(shape).await;
    let signs = [
        Message::text(r#"{"event":"pusher:pong","data":{}}"#),
        Message::text(r#"{"event":"anything"}"#),
        Message::binary(&br#"{"event":"anything"}"#[..]),
        Message::Ping("x".into()),
        Message::Pong("x".into()),
    ];
    let lives = signs.map(|sign| {
        let cluster = &cluster;
        async move {
            let mut client = cluster.client(0).await;
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(2_500) {
                sleep(Duration::from_millis(400)).await;
                client.send_message(sign.clone()).await;
                if matches!(sign, Message::Ping(_)) {
                    assert_eq!(client.next().await, Incoming::Pong(b"x".to_vec()));
                }
            }
            // Never asked, never closed.
            client.expect_nothing().await;
        }
    });
    join_all(lives).await;
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let shape = Shape::default().node("--activity-timeout=1 --pong-timeout=1");
    let cluster = Cluster::start(shape).await;
    let mut client = cluster.client(0).await;
    for _ in 0..3 {
        client.expect(&json!({ "event": "pusher:ping" })).await;
        client.send(&json!({ "event": "pusher:pong", "data": {} })).await;
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_node_that_stops_says_4200_to_everyone() {
    let mut cluster = Cluster::start(Shape::default()).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = cluster.client(0).await;
        client.subscribe("room").await;
        clients.push(client);
    }
    let told = join_all(clients.iter_mut().map(|client| client.expect_refusal(4200)));
    tokio::join!(told, cluster.restart_node(0));
    cluster.ready().await;
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    cluster.backend(0).publish_text("room", "e", "after").await;
    client.expect_event("room", "e", "after").await;
}
