//! Channels: who may enter, what is answered, how one leaves.

use serde_json::{Value, json};
use tests::{
    client::Client,
    cluster::{Cluster, Shape},
};

async fn subscribe(client: &mut Client, data: Value) {
    client.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
}

/// The refusal of one channel; the connection stays.
async fn expect_refused(client: &mut Client, channel: &str, kind: &str, status: u16) {
    let frame = client.next_frame().await;
    assert_eq!(frame["event"], "pusher:subscription_error", "{frame}");
    assert_eq!(frame["channel"], channel, "{frame}");
    assert_eq!(frame["data"]["type"], kind, "{frame}");
    assert_eq!(frame["data"]["status"], status, "{frame}");
    assert!(!frame["data"]["error"].as_str().unwrap().is_empty(), "{frame}");
}

#[tokio::test]
async fn public_private_and_encrypted_channels_are_served() {
    let cluster = Cluster::start(Shape::wide()).await;
    let mut clients = [cluster.client(0).await, cluster.client(1).await, cluster.client(2).await];
    let channels = ["room", "private-room", "private-encrypted-room", "privateer", "cache"];
    for channel in channels {
        for client in &mut clients {
            client.subscribe(channel).await;
        }
        // What an encrypted channel carries is opaque and passes unchanged.
        let data = r#"{"nonce":"4sVYwy4j/8dCcjyxtPCWyk19GaaViaW9","ciphertext":"/GMESnFGlbNn01BuBjp31XYa3i9vZsGKR8fgR9EDhXKx3lzGiUD501A="}"#;
        cluster.backend(0).publish_text(channel, "e", data).await;
        for client in &mut clients {
            client.expect_event(channel, "e", data).await;
        }
    }
}

#[tokio::test]
async fn clients_say_it_in_several_ways() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    for data in [
        json!({ "channel": "room" }),
        json!({ "auth": "", "channel": "room" }),
        json!({ "channel": "room", "unknown": [1] }),
        json!(r#"{"channel":"room"}"#),
    ] {
        subscribe(&mut client, data).await;
        client.expect_subscribed("room").await;
    }
    cluster.backend(0).publish_text("room", "e", "once").await;
    client.expect_event("room", "e", "once").await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_private_channel_needs_the_apps_signature() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    let other = cluster.client(0).await;
    for channel in [
        "private-room",
        "private-encrypted-room",
        "private-cache-room",
        "private-encrypted-cache-room",
    ] {
        let good = client.auth(channel);
        let (key, signature) = good.split_once(':').unwrap();
        for bad in [
            json!({ "channel": channel }),
            json!({ "channel": channel, "auth": null }),
            json!({ "channel": channel, "auth": "" }),
            json!({ "channel": channel, "auth": "nonsense" }),
            json!({ "channel": channel, "auth": signature }),
            json!({ "channel": channel, "auth": format!("{key}:") }),
            json!({ "channel": channel, "auth": format!("other-key:{signature}") }),
            json!({ "channel": channel, "auth": format!("{key}:{}", signature.to_uppercase()) }),
            json!({ "channel": channel, "auth": format!("{key}:{}", "0".repeat(64)) }),
            json!({ "channel": channel, "auth": other.auth(channel) }),
            json!({ "channel": channel, "auth": client.auth("private-other") }),
            json!({ "channel": channel, "auth": good, "channel_data": "{\"user_id\":1}" }),
        ] {
            subscribe(&mut client, bad).await;
            expect_refused(&mut client, channel, "AuthError", 401).await;
        }
        cluster.backend(0).publish_text(channel, "e", "secret").await;
        client.expect_nothing().await;

        // Channel data on a private channel is part of what is signed.
        let data = r#"{"user_id":"ü"}"#;
        let signed = client.auth(&format!("{channel}:{data}"));
        subscribe(&mut client, json!({ "channel": channel, "auth": signed, "channel_data": data }))
            .await;
        client.expect_subscribed(channel).await;
        expect_cached(&mut client, channel).await;
        subscribe(&mut client, json!({ "channel": channel, "auth": good })).await;
        client.expect_subscribed(channel).await;
        expect_cached(&mut client, channel).await;
    }
}

/// A cache channel shows what was published before.
async fn expect_cached(client: &mut Client, channel: &str) {
    if channel.contains("-cache-") {
        client.expect_event(channel, "e", "secret").await;
    }
}

#[tokio::test]
async fn names_are_checked() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    let longest = "x".repeat(200);
    for good in ["a", "A-z_0=@,.;:", &longest] {
        client.subscribe(good).await;
    }
    for bad in ["", "a b", "ä", "#room", "a/b", "a\u{0}", "\"", "#server-to-user-"] {
        subscribe(&mut client, json!({ "channel": bad })).await;
        expect_refused(&mut client, bad, "InvalidChannel", 400).await;
    }
    let too_long = "x".repeat(201);
    subscribe(&mut client, json!({ "channel": too_long })).await;
    expect_refused(&mut client, &too_long, "LimitReached", 4009).await;
}

#[tokio::test]
async fn the_number_of_channels_is_limited() {
    let shape = Shape::default().app(json!({ "limits": { "channels_per_connection_max": 2 } }));
    let cluster = Cluster::start(shape).await;
    let mut client = cluster.client(0).await;
    client.subscribe("one").await;
    client.subscribe("two").await;
    subscribe(&mut client, json!({ "channel": "three" })).await;
    expect_refused(&mut client, "three", "LimitReached", 4100).await;
    client.subscribe("two").await;
    client.unsubscribe("one").await;
    client.subscribe("three").await;
}

#[tokio::test]
async fn leaving_is_silent_and_final() {
    let cluster = Cluster::start(Shape::wide()).await;
    let mut client = cluster.client(0).await;
    let mut stays = cluster.client(0).await;
    for client in [&mut client, &mut stays] {
        client.subscribe("room").await;
    }
    client.unsubscribe("room").await;
    client.unsubscribe("room").await;
    client.unsubscribe("never-there").await;
    client.expect_nothing().await;
    cluster.backend(0).publish_text("room", "e", "x").await;
    stays.expect_event("room", "e", "x").await;
    client.expect_nothing().await;
    client.subscribe("room").await;
    cluster.backend(1).publish_text("room", "e", "y").await;
    client.expect_event("room", "e", "y").await;
    stays.expect_event("room", "e", "y").await;
}

#[tokio::test]
async fn apps_do_not_hear_each_other() {
    let cluster = Cluster::start(Shape::default()).await;
    let other = serde_json::from_value(json!({ "app_id": "other", "key": "other-key" })).unwrap();
    cluster.admin().create(other, "other-secret").await;
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    let backend = cluster.backend(0).with(|who| {
        who.app_id = "other".into();
        who.key = "other-key".into();
        who.secret = "other-secret".into();
    });
    let event = json!({ "name": "e", "channel": "room", "data": "x" });
    let known = || async { (backend.publish(&event).await.status == 200).then_some(()) };
    tests::eventually("the other app is known", known).await;
    client.expect_nothing().await;
}
