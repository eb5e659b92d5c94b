//! Events that clients publish.

use proto::v1::App;
use serde_json::{Value, json};
use tests::rest::Credentials;

use crate::stage::{Stage, both};

fn enabled(limits: Value) -> Value {
    json!({ "features": { "client_events": true }, "limits": limits })
}

#[tokio::test]
async fn everybody_else_gets_it_with_its_data_as_it_was() {
    both(enabled(json!({})), async |stage: &Stage| {
        for channel in ["private-room", "private-cache-room"] {
            let [mut ann, mut bob, mut eve] = stage.clients().await;
            let mut near = stage.client(0).await;
            for client in [&mut ann, &mut bob, &mut eve, &mut near] {
                client.subscribe(channel).await;
                if channel.contains("cache") {
                    client.expect_miss(channel).await;
                }
            }
            for data in [
                json!({ "on": true, "channel": "x", "user_data": { "a": [1.5, null] } }),
                json!("text with \"quotes\" \u{1f600}"),
                json!("{\"looks\":\"like JSON\"}"),
                json!(1.25),
                json!(false),
                json!([1, "a"]),
                json!({}),
            ] {
                ann.trigger(channel, "client-typing", data.clone()).await;
                let frame = json!({ "event": "client-typing", "channel": channel, "data": data });
                for other in [&mut bob, &mut eve, &mut near] {
                    other.expect(&frame).await;
                }
            }
            // What is absent stays absent; a user is not what the client says.
            let frame = json!({ "event": "client-typing", "channel": channel });
            ann.send(&json!({
                "event": "client-typing", "channel": channel,
                "user_id": "forged", "tags": { "a": "1" }, "socket_id": bob.socket_id,
            }))
            .await;
            for other in [&mut bob, &mut eve, &mut near] {
                other.expect(&frame).await;
                other.expect_nothing().await;
            }
            ann.expect_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn members_of_a_presence_channel_hear_whose_it_is() {
    both(enabled(json!({})), async |stage: &Stage| {
        let channel = "presence-room";
        let [mut ann, mut bob, mut tab] = stage.clients().await;
        bob.join(channel, "bob", &["bob"]).await;
        ann.join(channel, "ann", &["ann", "bob"]).await;
        bob.expect_added(channel, "ann").await;
        tab.join(channel, "ann", &["ann", "bob"]).await;
        let forged =
            json!({ "event": "client-e", "channel": channel, "data": 1, "user_id": "bob" });
        ann.send(&forged).await;
        let told = json!({ "event": "client-e", "channel": channel, "data": 1, "user_id": "ann" });
        // Another connection of the same user is somebody else.
        for other in [&mut bob, &mut tab] {
            other.expect(&told).await;
        }
        stage.quiet(channel, [&mut ann, &mut bob, &mut tab]).await;
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_published_is_answered_and_not_passed_on() {
    let limits = json!({ "event_name_chars_max": 20, "event_payload_kib_max": 1 });
    both(enabled(limits), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        let channels = ["room", "cache-room", "private-encrypted-room", "private-room"];
        for channel in channels {
            for client in [&mut ann, &mut bob] {
                client.subscribe(channel).await;
                if channel == "cache-room" {
                    client.expect_miss(channel).await;
                }
            }
        }
        bob.subscribe("private-bob").await;
        let long = format!("client-{}", "é".repeat(14));
        let large = "x".repeat(1_025);
        for (channel, name, data, code) in [
            ("room", "client-e", json!(1), 4301),
            ("cache-room", "client-e", json!(1), 4301),
            ("private-encrypted-room", "client-e", json!(1), 4301),
            ("private-bob", "client-e", json!(1), 4301),
            ("private-nowhere", "client-e", json!(1), 4301),
            ("#server-to-user-bob", "client-e", json!(1), 4301),
            ("private-room", &long, json!(1), 4000),
            ("private-room", "client-e", json!(large), 4301),
        ] {
            ann.trigger(channel, name, data).await;
            ann.expect_error(code).await;
        }
        ann.send(&json!({ "event": "client-e", "data": 1 })).await;
        ann.expect_error(4301).await;
        // These are nobody's, and nobody is told.
        for name in ["e", "clientele", "pusher:error", "pusher_internal:member_added"] {
            ann.trigger("private-room", name, json!(1)).await;
        }
        ann.unsubscribe("private-room").await;
        ann.trigger("private-room", "client-e", json!(1)).await;
        ann.expect_error(4301).await;
        ann.subscribe("private-room").await;
        // At the limits.
        let (long, large) = (&long[..long.len() - "é".len()], "x".repeat(1_024));
        ann.trigger("private-room", long, json!(large)).await;
        let told = json!({ "event": long, "channel": "private-room", "data": large });
        bob.expect(&told).await;
        bob.expect_nothing().await;
        ann.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn an_app_must_allow_it() {
    both(json!({}), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        for client in [&mut ann, &mut bob] {
            client.subscribe("private-room").await;
        }
        ann.trigger("private-room", "client-e", json!(1)).await;
        let message = ann.expect_error(4301).await;
        assert!(message.contains("not enabled"), "{message}");
        stage.update(enabled(json!({}))).await;
        let allowed = async || {
            let mut eve = stage.client(2).await;
            eve.subscribe("private-room").await;
            eve.trigger("private-room", "client-e", json!(2)).await;
            eve.send(&json!({ "event": "pusher:ping", "data": {} })).await;
            (eve.next_frame().await["event"] == "pusher:pong").then_some(())
        };
        tests::eventually("it is allowed", allowed).await;
        let told = json!({ "event": "client-e", "channel": "private-room", "data": 2 });
        for client in [&mut ann, &mut bob] {
            client.expect(&told).await;
        }
    })
    .await;
}

#[tokio::test]
async fn over_the_rate_each_event_is_refused_and_the_connection_stays() {
    let limits = json!({ "client_events_per_second": 3, "client_events_window_seconds": 2 });
    both(enabled(limits), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        for client in [&mut ann, &mut bob] {
            client.subscribe("private-room").await;
        }
        for n in 0..5 {
            ann.trigger("private-room", "client-e", json!(n)).await;
        }
        for _ in 3..5 {
            ann.expect_error(4301).await;
        }
        // It is the connection's own limit.
        bob.trigger("private-room", "client-e", json!("bob")).await;
        let told = json!({ "event": "client-e", "channel": "private-room", "data": "bob" });
        ann.expect(&told).await;
        for n in 0..3 {
            let told = json!({ "event": "client-e", "channel": "private-room", "data": n });
            bob.expect(&told).await;
        }
        bob.expect_nothing().await;
        // A new window begins.
        loop {
            ann.trigger("private-room", "client-e", json!("later")).await;
            ann.send(&json!({ "event": "pusher:ping", "data": {} })).await;
            if ann.next_frame().await["event"] == "pusher:pong" {
                break;
            }
            ann.expect(&json!({ "event": "pusher:pong", "data": {} })).await;
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(bob.next_frame().await["data"], "later");
    })
    .await;
}

#[tokio::test]
async fn over_the_rate_the_connection_ends_where_the_app_wants_it() {
    let limits = json!({
        "client_events_per_second": 1, "client_events_window_seconds": 60,
        "client_events_terminate": true,
    });
    both(enabled(limits), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        for client in [&mut ann, &mut bob] {
            client.subscribe("private-room").await;
        }
        for n in 0..2 {
            ann.trigger("private-room", "client-e", json!(n)).await;
        }
        ann.expect_refusal(4301).await;
        assert_eq!(bob.next_frame().await["data"], 0);
        bob.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn apps_do_not_hear_each_other() {
    both(enabled(json!({})), async |stage: &Stage| {
        let [app_id, key, secret] = ["other-id", "other-key", "other-secret"].map(str::to_owned);
        let other = Credentials { app_id, key, secret };
        let settings: App = serde_json::from_value(enabled(json!({}))).unwrap();
        let app = App { app_id: other.app_id.clone(), key: other.key.clone(), ..settings };
        stage.admin().create(app, &other.secret).await;
        let backend = stage.backend(0).with(|credentials| credentials.clone_from(&other));
        let known = async || {
            let event = json!({ "name": "e", "channel": "x", "data": "" });
            (backend.publish(&event).await.status == 200).then_some(())
        };
        tests::eventually("the other app is known", known).await;
        let [mut ann, mut bob, _] = stage.clients().await;
        let mut stranger = stage.client_of(1, &other).await;
        for client in [&mut ann, &mut bob, &mut stranger] {
            client.join("presence-room", "same", &["same"]).await;
        }
        ann.trigger("presence-room", "client-e", json!(1)).await;
        assert_eq!(bob.next_frame().await["event"], "client-e");
        backend.publish_text("presence-room", "e", "theirs").await;
        stranger.expect_event("presence-room", "e", "theirs").await;
        stranger.expect_nothing().await;
        stage.quiet("presence-room", [&mut ann, &mut bob]).await;
    })
    .await;
}
