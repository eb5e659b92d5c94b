//! Users: signing in, what is sent to them, who watches them, how they are thrown out.

use serde_json::{Value, json};
use tests::client::Client;

use crate::stage::{Stage, both};

const WATCHLISTS: &str = r#"{ "features": { "watchlist_events": true } }"#;

fn watchlists() -> Value {
    serde_json::from_str(WATCHLISTS).unwrap()
}

fn user(id: &str) -> Value {
    json!({ "id": id })
}

/// A client that is signed in.
async fn signed_in(stage: &Stage, node: usize, id: &str) -> Client {
    let mut client = stage.client(node).await;
    client.sign_in(&user(id)).await;
    client
}

async fn throw_out(stage: &Stage, id: &str) {
    let path = format!("users/{id}/terminate_connections");
    let answer = stage.backend(1).post(&path, "{}").send().await;
    assert_eq!((answer.status, &*answer.text), (200, r#"{"ok":true}"#));
}

#[tokio::test]
async fn a_sign_in_is_echoed_byte_by_byte_and_can_be_repeated() {
    both(json!({}), async |stage: &Stage| {
        let mut client = stage.client(0).await;
        // Blanks, escapes and unknown members are part of what is signed.
        let user_data = r#"{ "id":"u1", "user_info":{"name":"Zo\u00eb"},"more":[1.50] }"#;
        for _ in 0..2 {
            client.ask_to_sign_in(user_data).await;
            client.expect_signed_in(user_data).await;
        }
        client.sign_in(&json!({ "id": "u1", "user_info": { "name": "Ann" } })).await;
        client.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_that_is_refused_changes_nothing() {
    both(json!({}), async |stage: &Stage| {
        let mut client = stage.client(0).await;
        for bad in [r#"{"id":7}"#, r#"{"id":""}"#, r#"{"id":null}"#, "{}", "u1", "[]", ""] {
            client.ask_to_sign_in(bad).await;
            client.expect_error(4009).await;
        }
        let good = user("u1").to_string();
        let forged = client.auth(":user::{\"id\":\"u2\"}");
        for data in [
            json!({ "auth": forged, "user_data": good }),
            json!({ "auth": "", "user_data": good }),
            json!({ "user_data": good }),
            json!({ "auth": forged }),
            json!({}),
        ] {
            client.send(&json!({ "event": "pusher:signin", "data": data })).await;
            client.expect_error(4009).await;
        }
        client.ask_for("#server-to-user-u1").await;
        client.expect_refused("#server-to-user-u1", "AuthError", 401).await;

        client.sign_in(&user("u1")).await;
        client.ask_to_sign_in(&user("u2").to_string()).await;
        client.expect_error(4009).await;
        // Still the first one.
        client.subscribe("#server-to-user-u1").await;
        client.ask_for("#server-to-user-u2").await;
        client.expect_refused("#server-to-user-u2", "AuthError", 401).await;
        stage.backend(0).publish_text("#server-to-user-u2", "e", "not for you").await;
        stage.backend(0).publish_text("#server-to-user-u1", "e", "for you").await;
        client.expect_event("#server-to-user-u1", "e", "for you").await;
        client.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_to_a_user_reaches_all_its_connections_once() {
    both(json!({}), async |stage: &Stage| {
        let channel = "#server-to-user-ann";
        let mut anns = [
            signed_in(stage, 0, "ann").await,
            signed_in(stage, 1, "ann").await,
            signed_in(stage, 1, "ann").await,
        ];
        let mut bob = signed_in(stage, 1, "bob").await;
        let mut nobody = stage.client(2).await;
        // In a presence channel under this name, but not signed in.
        nobody.join("presence-room", "ann", &["ann"]).await;
        // The first one has subscribed as pusher-js does; it makes no difference.
        anns[0].subscribe(channel).await;
        for n in ["1", "2"] {
            stage.backend(0).publish_text(channel, "hello", n).await;
            for ann in &mut anns {
                ann.expect_event(channel, "hello", n).await;
                ann.expect_nothing().await;
            }
        }
        // Leaving the channel is not signing out; an excluded socket hears nothing.
        anns[0].unsubscribe(channel).await;
        let event = json!({
            "name": "hello", "channel": channel, "data": { "x": 1 },
            "socket_id": anns[1].socket_id,
        });
        assert_eq!(stage.backend(1).publish(&event).await.status, 200);
        anns[0].expect_event(channel, "hello", r#"{"x":1}"#).await;
        anns[1].expect_nothing().await;
        anns[2].expect_event(channel, "hello", r#"{"x":1}"#).await;
        for other in [&mut bob, &mut nobody] {
            other.expect_nothing().await;
        }
        // Such channels are nobody's business.
        let answer = stage.backend(0).get("channels").send().await.json();
        assert_eq!(answer, json!({ "channels": { "presence-room": {} } }));
    })
    .await;
}

#[tokio::test]
async fn a_user_who_is_thrown_out_is_so_on_all_nodes() {
    both(json!({}), async |stage: &Stage| {
        let mut anns = [
            signed_in(stage, 0, "ann").await,
            signed_in(stage, 1, "ann").await,
            signed_in(stage, 2, "ann").await,
            signed_in(stage, 2, "ann").await,
        ];
        let mut bob = signed_in(stage, 0, "bob").await;
        let mut present = stage.client(0).await;
        present.join("presence-room", "ann", &["ann"]).await;
        throw_out(stage, "ann").await;
        for ann in &mut anns {
            let told = ann.next_frame().await;
            let data = json!({ "code": 4009, "message": "You got disconnected by the app." });
            assert_eq!(told, json!({ "event": "pusher:error", "data": data }));
            ann.expect_close(4009).await;
        }
        throw_out(stage, "nobody").await;
        bob.expect_nothing().await;
        stage.quiet("presence-room", [&mut present]).await;
        // The user may come back.
        let mut again = signed_in(stage, 1, "ann").await;
        stage.backend(0).publish_text("#server-to-user-ann", "e", "x").await;
        again.expect_event("#server-to-user-ann", "e", "x").await;
    })
    .await;
}

#[tokio::test]
async fn who_does_not_say_who_it_is_in_time_is_closed() {
    let settings = json!({
        "features": { "user_authentication": true },
        "limits": { "user_authentication_timeout_seconds": 1 },
    });
    both(settings, async |stage: &Stage| {
        let mut signed_in = signed_in(stage, 0, "ann").await;
        let mut private = stage.client(1).await;
        private.subscribe("private-room").await;
        let mut present = stage.client(2).await;
        present.join("presence-room", "ann", &["ann"]).await;
        // All others have had their time when these have.
        let mut public = stage.client(1).await;
        public.subscribe("room").await;
        let mut failed = stage.client(0).await;
        failed.ask_to_sign_in(r#"{"id":7}"#).await;
        failed.expect_error(4009).await;
        let unsigned = json!({ "channel": "private-room", "auth": "" });
        failed.send(&json!({ "event": "pusher:subscribe", "data": unsigned })).await;
        failed.expect_refused("private-room", "AuthError", 401).await;
        for late in [&mut public, &mut failed] {
            let told = late.next_frame().await;
            let message = "Connection not authorized within timeout.";
            let data = json!({ "code": 4009, "message": message });
            assert_eq!(told, json!({ "event": "pusher:error", "data": data }));
            late.expect_close(4009).await;
        }
        for client in [&mut signed_in, &mut private, &mut present] {
            client.expect_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_watcher_hears_who_is_there_and_then_who_comes_and_goes() {
    both(watchlists(), async |stage: &Stage| {
        let mut bob = signed_in(stage, 1, "bob").await;
        let mut ann = stage.client(0).await;
        ann.sign_in(&json!({ "id": "ann", "watchlist": ["eve", "bob", "dan"] })).await;
        ann.expect_watched(&["bob"], &["eve", "dan"]).await;
        // In a presence channel under that name, but not signed in.
        let mut present = stage.client(2).await;
        present.join("presence-room", "eve", &["eve"]).await;
        ann.expect_nothing().await;

        let mut eve = signed_in(stage, 2, "eve").await;
        ann.expect_watched(&["eve"], &[]).await;
        let mut tab = signed_in(stage, 0, "eve").await;
        eve.expect_nothing().await;
        drop(eve);
        let dan = signed_in(stage, 1, "dan").await;
        // Nothing of the second connection of eve, nor of the end of the first one.
        ann.expect_watched(&["dan"], &[]).await;
        drop(tab);
        ann.expect_watched(&[], &["eve"]).await;
        drop(dan);
        ann.expect_watched(&[], &["dan"]).await;
        tab = signed_in(stage, 1, "eve").await;
        ann.expect_watched(&["eve"], &[]).await;
        throw_out(stage, "eve").await;
        ann.expect_watched(&[], &["eve"]).await;
        drop(tab);
        // Bob watches nobody.
        bob.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_watchlist_is_replaced_and_cut() {
    both(watchlists(), async |stage: &Stage| {
        let _bob = signed_in(stage, 1, "bob").await;
        let mut ann = stage.client(0).await;
        // Without anybody to watch there is nothing to tell.
        ann.sign_in(&json!({ "id": "ann", "watchlist": [] })).await;
        ann.sign_in(&json!({ "id": "ann", "watchlist": ["eve"] })).await;
        ann.expect_watched(&[], &["eve"]).await;
        ann.sign_in(&json!({ "id": "ann", "watchlist": ["bob", "ann"] })).await;
        ann.expect_watched(&["bob", "ann"], &[]).await;
        let _eve = signed_in(stage, 2, "eve").await;
        ann.expect_nothing().await;

        let many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        let mut dan = stage.client(2).await;
        dan.sign_in(&json!({ "id": "dan", "watchlist": many })).await;
        dan.expect_error(4302).await;
        let watched: Vec<_> = many[..100].iter().map(String::as_str).collect();
        dan.expect_watched(&[], &watched).await;
        dan.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn without_the_feature_nobody_is_watched() {
    both(json!({}), async |stage: &Stage| {
        let mut ann = stage.client(0).await;
        ann.sign_in(&json!({ "id": "ann", "watchlist": ["bob"] })).await;
        let mut bob = signed_in(stage, 1, "bob").await;
        bob.expect_nothing().await;
        ann.expect_nothing().await;
    })
    .await;
}
