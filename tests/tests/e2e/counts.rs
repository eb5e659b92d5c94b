//! How many are subscribed, as subscribers are told.

use std::time::Duration;

use serde_json::{Value, json};
use tests::client::Client;
use tokio::time::Instant;

use crate::stage::{Stage, both};

fn counted() -> Value {
    json!({ "features": { "subscription_count_events": true } })
}

/// Subscribes as the one that makes it so many; all hear it.
async fn subscribe(channel: &str, all: &mut [&mut Client]) {
    let count = all.len() as u32;
    let (last, others) = all.split_last_mut().unwrap();
    last.subscribe(channel).await;
    last.expect_count(channel, count).await;
    for other in others {
        other.expect_count(channel, count).await;
    }
}

#[tokio::test]
async fn every_change_is_told_to_all_who_are_subscribed_then() {
    both(counted(), async |stage: &Stage| {
        for channel in ["room", "private-room", "private-encrypted-room"] {
            let [mut one, mut two, mut three] = stage.clients().await;
            subscribe(channel, &mut [&mut one]).await;
            subscribe(channel, &mut [&mut one, &mut two]).await;
            subscribe(channel, &mut [&mut one, &mut two, &mut three]).await;
            // Subscribing again changes nothing.
            two.subscribe(channel).await;
            stage.quiet(channel, [&mut one, &mut two, &mut three]).await;
            two.unsubscribe(channel).await;
            for other in [&mut one, &mut three] {
                other.expect_count(channel, 2).await;
            }
            drop(one);
            three.expect_count(channel, 1).await;
            two.expect_nothing().await;
            subscribe(channel, &mut [&mut three, &mut two]).await;
            stage.quiet(channel, [&mut three, &mut two]).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_cache_channel_shows_its_event_before_the_number() {
    both(counted(), async |stage: &Stage| {
        let [mut one, mut two, _] = stage.clients().await;
        one.subscribe("cache-room").await;
        one.expect_miss("cache-room").await;
        one.expect_count("cache-room", 1).await;
        stage.quiet("cache-room", [&mut one]).await;
        two.subscribe("cache-room").await;
        two.expect_event("cache-room", "quiet", "?").await;
        two.expect_count("cache-room", 2).await;
        one.expect_count("cache-room", 2).await;
    })
    .await;
}

#[tokio::test]
async fn members_and_users_are_not_counted() {
    both(counted(), async |stage: &Stage| {
        let [mut one, mut two, _] = stage.clients().await;
        for client in [&mut one, &mut two] {
            client.join("presence-room", "ann", &["ann"]).await;
            client.sign_in(&json!({ "id": "ann" })).await;
        }
        stage.quiet("presence-room", [&mut one, &mut two]).await;
        stage.quiet("#server-to-user-ann", [&mut one, &mut two]).await;
    })
    .await;
}

#[tokio::test]
async fn nobody_is_told_where_the_app_does_not_want_it() {
    both(json!({}), async |stage: &Stage| {
        let [mut one, mut two, _] = stage.clients().await;
        for client in [&mut one, &mut two] {
            client.subscribe("room").await;
        }
        stage.quiet("room", [&mut one, &mut two]).await;
    })
    .await;
}

#[tokio::test]
async fn above_100_the_number_is_told_every_5_s() {
    both(counted(), async |stage: &Stage| {
        let mut observer = stage.client(0).await;
        observer.subscribe("room").await;
        observer.expect_count("room", 1).await;
        let mut crowd = Vec::new();
        for count in 2..=101 {
            let mut client = stage.client(count % 3).await;
            client.subscribe("room").await;
            observer.expect_count("room", count as u32).await;
            crowd.push(client);
        }
        let told = Instant::now();
        for node in 0..3 {
            let mut client = stage.client(node).await;
            client.subscribe("room").await;
            crowd.push(client);
        }
        let published = json!({
            "name": "e", "channel": "room", "data": "x", "info": "subscription_count",
        });
        // The backend is told at once.
        loop {
            let answer = stage.backend(0).publish(&published).await.json();
            observer.expect_event("room", "e", "x").await;
            if answer["channels"]["room"]["subscription_count"] == 104 {
                break;
            }
            assert!(told.elapsed() < Duration::from_secs(3), "104 are not counted");
        }
        observer.expect_count("room", 104).await;
        let took = told.elapsed();
        assert!((4_500..6_500).contains(&took.as_millis()), "{took:?}");
        stage.quiet("room", [&mut observer]).await;
    })
    .await;
}
