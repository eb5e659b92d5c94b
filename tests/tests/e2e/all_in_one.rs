//! The life of a connection where all planes are one process.

use serde_json::{Value, json};
use tests::{client::Client, quiet::Place};

use crate::stage::AllInOne;

async fn start(settings: Value, arguments: &[&str]) -> AllInOne {
    let app = serde_json::from_value(settings).unwrap();
    AllInOne::start(app, &arguments.iter().map(|&one| one.to_owned()).collect::<Vec<_>>()).await
}

#[tokio::test]
async fn it_greets_answers_asks_and_says_why_it_closes() {
    let _place = Place::take(false).await;
    let settings = json!({ "limits": { "connections_max": 2 } });
    let all_in_one = start(settings, &["--activity-timeout=1", "--pong-timeout=1"]).await;
    let open = async |path: &str| Client::open(all_in_one.address, path, None).await;
    for (path, code) in [("/app/unknown", 4001), ("/app/stage-key?protocol=x", 4006)] {
        open(path).await.expect_refusal(code).await;
    }
    let mut client = Client::connect(all_in_one.address, &all_in_one.credentials).await;
    assert_eq!(client.activity_timeout, 1);
    client.send(&json!("nonsense")).await;
    client.expect_error(4000).await;
    client.expect_nothing().await;
    let _second = Client::connect(all_in_one.address, &all_in_one.credentials).await;
    let over = async || {
        let mut third = open("/app/stage-key").await;
        let frame = third.next_frame().await;
        (frame["data"]["code"] == 4004).then_some(third)
    };
    tests::eventually("the quota is known", over).await.expect_close(4004).await;
    client.expect(&json!({ "event": "pusher:ping" })).await;
    client.expect_refusal(4201).await;
}

#[tokio::test]
async fn it_lets_in_whom_the_app_wants() {
    let _place = Place::take(false).await;
    let all_in_one = start(json!({}), &["--sockets-max=2"]).await;
    all_in_one.update(json!({ "allowed_origins": ["https://ok.example"] })).await;
    let refused = async || {
        let mut client = Client::open(all_in_one.address, "/app/stage-key", None).await;
        let frame = client.next_frame().await;
        (frame["data"]["code"] == 4009).then_some(client)
    };
    tests::eventually("the origins are known", refused).await.expect_close(4009).await;
    let open = async || {
        let origin = Some("https://ok.example");
        let mut client = Client::open(all_in_one.address, "/app/stage-key", origin).await;
        let greeted = client.next_frame().await["event"] == "pusher:connection_established";
        greeted.then_some(client)
    };
    // Closed ones count until they have ended.
    let mut first = tests::eventually("there is room", open).await;
    let _second = tests::eventually("there is room", open).await;
    let over = Client::open(all_in_one.address, "/app/stage-key", Some("https://ok.example"));
    over.await.expect_refusal(4100).await;
    all_in_one.update(json!({ "enabled": false })).await;
    first.expect_refusal(4003).await;
}

#[tokio::test]
async fn when_it_is_told_to_stop_it_says_4200_to_everyone() {
    let _place = Place::take(false).await;
    let mut all_in_one = start(json!({}), &["--drain-seconds=1"]).await;
    let mut clients = Vec::new();
    for n in 0..10 {
        let mut client = Client::connect(all_in_one.address, &all_in_one.credentials).await;
        // Nobody hears of those who are told to come back.
        let user = n.to_string();
        client.ask_to_join("presence-room", &json!({ "user_id": user })).await;
        assert_eq!(client.next_frame().await["event"], "pusher_internal:subscription_succeeded");
        for earlier in &mut clients {
            Client::expect_added(earlier, "presence-room", &user).await;
        }
        clients.push(client);
    }
    all_in_one.process.signal("TERM");
    for client in &mut clients {
        client.expect_refusal(4200).await;
    }
    assert_eq!(all_in_one.process.ended().await, Some(0));
}
