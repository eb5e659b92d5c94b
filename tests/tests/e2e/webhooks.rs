//! What an app's backend is told over HTTP.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{client::Client, rest::Credentials};
use tokio::time::{Instant, sleep};

use crate::stage::{Stage, both, both_with};
use receiver::Receiver;

mod receiver;

const PRIVATE: &str = "--webhooks-private-addresses-allowed";

/// Grace of those who leave, and what may pass on top of it until it is told.
const GRACE: Duration = Duration::from_secs(3);

/// The app has one webhook, with these settings besides its URL, and all features.
async fn told_of(webhook: Value, scenario: impl AsyncFn(&Stage, &mut Receiver)) {
    let features = json!({ "client_events": true, "subscription_count_events": false });
    both_with(PRIVATE, json!({ "features": features }), async |stage: &Stage| {
        let mut receiver = hooked(stage, webhook.clone()).await;
        scenario(stage, &mut receiver).await;
    })
    .await;
}

/// A receiver that the app's webhook names, and the settings are in force.
async fn hooked(stage: &Stage, webhook: Value) -> Receiver {
    let receiver = Receiver::start(stage.backend(0).credentials).await;
    // The second one tells when the settings are in force, and of nothing else.
    let probe = Receiver::start(stage.backend(0).credentials).await;
    let mut first = webhook;
    first["url"] = json!(receiver.url());
    let second = json!({
        "url": probe.url(), "event_types": ["cache_miss"], "filter": { "channel_prefix": "cache-probe-" },
    });
    stage.update(json!({ "webhooks": [first, second] })).await;
    let known = async || {
        let mut client = stage.client(0).await;
        client.subscribe(&format!("cache-probe-{}", client.socket_id.clone())).await;
        sleep(Duration::from_millis(100)).await;
        (!probe.events().is_empty()).then_some(())
    };
    tests::eventually("the webhooks are known", known).await;
    receiver
}

/// A webhook for some kinds of events, on all channels but those of the probe.
fn webhook(kinds: &[&str]) -> Value {
    json!({ "event_types": kinds, "filter": { "channel_pattern": "room" } })
}

#[tokio::test]
async fn a_channel_is_occupied_at_once_and_vacated_after_a_grace() {
    let kinds = ["channel_occupied", "channel_vacated"];
    told_of(webhook(&kinds), async |stage: &Stage, receiver: &mut Receiver| {
        let [mut one, mut two, _] = stage.clients().await;
        one.subscribe("room").await;
        two.subscribe("room").await;
        let occupied = json!({ "name": "channel_occupied", "channel": "room" });
        receiver.expect(&[&occupied]).await;
        // Back within the grace: nothing has happened.
        one.unsubscribe("room").await;
        two.unsubscribe("room").await;
        two.expect_nothing().await;
        one.subscribe("room").await;
        two.subscribe("room-2").await;
        receiver.expect(&[&json!({ "name": "channel_occupied", "channel": "room-2" })]).await;
        drop(one);
        let left = Instant::now();
        receiver.expect(&[&json!({ "name": "channel_vacated", "channel": "room" })]).await;
        let took = left.elapsed();
        assert!(took >= GRACE - Duration::from_millis(100), "told after {took:?}");
        // The user's own channel is told of in no webhook.
        two.sign_in(&json!({ "id": "ann" })).await;
        two.subscribe("room-3").await;
        receiver.expect(&[&json!({ "name": "channel_occupied", "channel": "room-3" })]).await;
        receiver.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn members_are_told_once_per_user() {
    let kinds = ["member_added", "member_removed"];
    told_of(webhook(&kinds), async |stage: &Stage, receiver: &mut Receiver| {
        let room = "presence-room";
        let member =
            |name: &str, user: &str| json!({ "name": name, "channel": room, "user_id": user });
        let [mut ann, mut tab, mut ten] = stage.clients().await;
        ann.join(room, "ann", &["ann"]).await;
        tab.join(room, "ann", &["ann"]).await;
        ten.ask_to_join(room, &json!({ "user_id": 10 })).await;
        ten.expect_users(room, &["10", "ann"]).await;
        receiver.expect(&[&member("member_added", "ann"), &member("member_added", "10")]).await;
        // One tab is enough to stay; a user who is back within the grace has not left.
        drop(ann);
        ten.unsubscribe(room).await;
        tab.expect_added(room, "10").await;
        tab.expect_removed(room, "10").await;
        ten.join(room, "10", &["10", "ann"]).await;
        drop(tab);
        receiver.expect(&[&member("member_removed", "ann")]).await;
        sleep(Duration::from_millis(500)).await;
        receiver.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn what_clients_publish_is_told_with_its_sender() {
    told_of(webhook(&["client_event"]), async |stage: &Stage, receiver: &mut Receiver| {
        let mut ann = stage.client(0).await;
        ann.subscribe("private-room").await;
        ann.join("presence-room", "ann", &["ann"]).await;
        let socket = ann.socket_id.clone();
        let told = |channel: &str, data: &str| {
            json!({
                "name": "client_event", "channel": channel, "event": "client-e", "data": data,
                "socket_id": socket,
            })
        };
        ann.trigger("private-room", "client-e", json!({ "who": "Zoë" })).await;
        ann.trigger("private-room", "client-e", json!("text")).await;
        ann.trigger("presence-room", "client-e", json!(1.5)).await;
        // Refused, so it did not happen.
        ann.trigger("private-elsewhere", "client-e", json!(2)).await;
        ann.expect_error(4301).await;
        let mut present = told("presence-room", "1.5");
        present["user_id"] = json!("ann");
        let private = [told("private-room", r#"{"who":"Zoë"}"#), told("private-room", "text")];
        receiver.expect(&[&private[0], &private[1], &present]).await;
        let absent = json!({ "event": "client-e", "channel": "private-room" });
        ann.send(&absent).await;
        let mut told = told("private-room", "");
        told.as_object_mut().unwrap().remove("data");
        receiver.expect(&[&told]).await;
        receiver.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn misses_and_counts_are_told() {
    let kinds = ["cache_miss", "subscription_count"];
    told_of(webhook(&kinds), async |stage: &Stage, receiver: &mut Receiver| {
        let [mut one, mut two, mut three] = stage.clients().await;
        let count = |channel: &str, count: u32| {
            json!({ "name": "subscription_count", "channel": channel, "subscription_count": count })
        };
        one.subscribe("cache-room").await;
        one.expect_miss("cache-room").await;
        let miss = json!({ "name": "cache_miss", "channel": "cache-room" });
        receiver.expect(&[&miss, &count("cache-room", 1)]).await;
        stage.backend(0).publish_text("cache-room", "e", "x").await;
        two.subscribe("cache-room").await;
        two.expect_event("cache-room", "e", "x").await;
        receiver.expect(&[&count("cache-room", 2)]).await;
        // Members count themselves.
        three.join("presence-room", "ann", &["ann"]).await;
        drop(one);
        receiver.expect(&[&count("cache-room", 1)]).await;
        drop(two);
        receiver.expect(&[&count("cache-room", 0)]).await;
        receiver.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn each_webhook_hears_what_it_asks_for() {
    both_with(PRIVATE, json!({}), async |stage: &Stage| {
        let credentials = || stage.backend(0).credentials;
        let mut receivers = Vec::new();
        let mut webhooks = Vec::new();
        for filter in [
            json!({}),
            json!({ "channel_prefix": "private-" }),
            json!({ "channel_suffix": "-1" }),
            json!({ "channel_pattern": "^[a-z]+-[0-9]$" }),
            json!({ "channel_prefix": "r", "channel_suffix": "2" }),
            json!({ "channel_namespaces": ["chat"] }),
        ] {
            let receiver = Receiver::start(credentials()).await;
            webhooks.push(json!({
                "url": receiver.url(), "event_types": ["channel_occupied"], "filter": filter,
                "headers": { "X-Team": "ours", "X-Pusher-Key": "forged", "Content-Type": "text/x" },
            }));
            receivers.push(receiver);
        }
        stage.update(json!({ "webhooks": webhooks })).await;
        let known = async || {
            let mut client = stage.client(0).await;
            client.subscribe(&format!("-{}", client.socket_id.clone())).await;
            sleep(Duration::from_millis(100)).await;
            (!receivers[0].events().is_empty()).then_some(())
        };
        tests::eventually("the webhooks are known", known).await;
        let mut client = stage.client(1).await;
        for channel in ["room-1", "private-room-1", "room-2", "chat:x", "private-chat:y"] {
            client.subscribe(channel).await;
        }
        for (receiver, channels) in receivers[1..].iter_mut().zip([
            &["private-room-1", "private-chat:y"][..],
            &["room-1", "private-room-1"],
            &["room-1", "room-2"],
            &["room-2"],
            &["chat:x", "private-chat:y"],
        ]) {
            let events: Vec<_> = channels
                .iter()
                .map(|channel| json!({ "name": "channel_occupied", "channel": channel }))
                .collect();
            receiver.expect(&events.iter().collect::<Vec<_>>()).await;
            receiver.expect_nothing().await;
            assert!(receiver.calls().iter().all(|call| call.header("x-team") == "ours"));
        }
    })
    .await;
}

#[tokio::test]
async fn addresses_within_are_not_called_unless_the_operator_says_so() {
    both(json!({}), async |stage: &Stage| {
        let receiver = Receiver::start(stage.backend(0).credentials).await;
        let port = receiver.url().rsplit_once(':').unwrap().1.to_owned();
        let urls = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]"];
        let webhooks: Vec<_> =
            urls.iter().map(|host| json!({ "url": format!("http://{host}:{port}") })).collect();
        stage.update(json!({ "webhooks": webhooks })).await;
        let mut clients: Vec<Client> = Vec::new();
        // Well over the time that settings take to be in force and calls to be made.
        for n in 0..10 {
            let mut client = stage.client(0).await;
            client.subscribe(&format!("room-{n}")).await;
            clients.push(client);
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(receiver.connections(), 0);
    })
    .await;
}

/// Every event of a run of channels, each once.
async fn expect_run(receiver: &mut Receiver, channels: usize) {
    let events: Vec<_> = (0..channels)
        .map(|n| json!({ "name": "channel_occupied", "channel": format!("room-{n}") }))
        .collect();
    receiver.expect(&events.iter().collect::<Vec<_>>()).await;
    receiver.expect_nothing().await;
}

#[tokio::test]
async fn a_receiver_that_was_away_hears_everything_once() {
    let mut hook = webhook(&["channel_occupied"]);
    hook["retry"] = json!({ "initial_backoff_ms": 200, "backoff_ms_max": 400 });
    told_of(hook, async |stage: &Stage, receiver: &mut Receiver| {
        let mut client = stage.client(0).await;
        receiver.leave().await;
        for n in 0..30 {
            client.subscribe(&format!("room-{n}")).await;
            sleep(Duration::from_millis(100)).await;
        }
        receiver.come_back().await;
        client.subscribe("room-30").await;
        expect_run(receiver, 31).await;
        // Each call was taken once: what was taken is not told again.
        assert_eq!(receiver.repeated(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_call_that_is_not_taken_is_repeated_as_it_was() {
    let mut hook = webhook(&["channel_occupied"]);
    hook["retry"] = json!({ "initial_backoff_ms": 50, "backoff_ms_max": 100 });
    told_of(hook, async |stage: &Stage, receiver: &mut Receiver| {
        let mut client = stage.client(0).await;
        for status in [500, 503, 429, 408] {
            receiver.answer_next(3, status);
            let channel = format!("room-{status}");
            client.subscribe(&channel).await;
            receiver.expect(&[&json!({ "name": "channel_occupied", "channel": channel })]).await;
        }
        assert_eq!(receiver.repeated(), 4 * 3);
        // These mean that it is not wanted.
        for status in [400, 404, 302] {
            receiver.answer_next(1, status);
            client.subscribe(&format!("room-{status}")).await;
            receiver.refused().await;
        }
        client.subscribe("room-last").await;
        receiver.expect(&[&json!({ "name": "channel_occupied", "channel": "room-last" })]).await;
        assert_eq!(receiver.repeated(), 4 * 3);
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_signed_with_the_secret_in_force() {
    told_of(webhook(&["channel_occupied"]), async |stage: &Stage, receiver: &mut Receiver| {
        let mut client = stage.client(0).await;
        client.subscribe("room-1").await;
        receiver.expect(&[&json!({ "name": "channel_occupied", "channel": "room-1" })]).await;
        let admin = stage.admin();
        let Credentials { app_id, .. } = stage.backend(0).credentials;
        let secret = "another-secret".to_owned();
        let request =
            proto::v1::RotateAppSecretRequest { app_id, secret: secret.clone(), revision: 0 };
        admin.client.clone().rotate_app_secret(admin.request(request)).await.unwrap();
        receiver.accept_also(&secret);
        // The old one is used until the change is in force, and not longer.
        let began = Instant::now();
        for n in 2.. {
            let channel = format!("room-{n}");
            client.subscribe(&channel).await;
            receiver.expect(&[&json!({ "name": "channel_occupied", "channel": channel })]).await;
            if receiver.calls().last().is_some_and(|call| call.secret == secret) {
                break;
            }
            assert!(began.elapsed() < tests::PATIENCE, "the new secret is not in force");
        }
    })
    .await;
}
