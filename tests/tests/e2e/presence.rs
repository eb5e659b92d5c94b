//! Presence channels: who is there, as every socket and the backend see it.

use serde_json::json;
use tests::{client::Client, rest::Backend};

use crate::stage::{Stage, both};

mod nodes;

pub(crate) const ROOM: &str = "presence-room";

/// The users of the channel, as the backend is told.
pub(crate) async fn users(backend: &Backend, channel: &str) -> Vec<String> {
    let answer = backend.get(&format!("channels/{channel}/users")).send().await.json();
    let users = answer["users"].as_array().unwrap_or_else(|| panic!("{answer}"));
    users.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn everybody_sees_everybody_and_itself() {
    both(json!({}), async |stage: &Stage| {
        let [mut ann, mut ten, mut eve] = stage.clients().await;
        let info = json!({ "name": "Zoë \"Z\"", "more": [1.5, null, { "a": "\u{1f600}" }] });
        ann.ask_to_join(ROOM, &json!({ "user_id": "ann", "user_info": info })).await;
        ann.expect_roster(ROOM, &json!({ "ann": info })).await;
        // A number is an id too; other members of channel_data are nobody's business.
        ten.ask_to_join(ROOM, &json!({ "user_id": 10, "other": true })).await;
        ten.expect_roster(ROOM, &json!({ "ann": info, "10": {} })).await;
        ann.expect_added(ROOM, "10").await;
        eve.ask_to_join(ROOM, &json!({ "user_id": "eve", "user_info": "busy" })).await;
        eve.expect_roster(ROOM, &json!({ "ann": info, "10": {}, "eve": "busy" })).await;
        for other in [&mut ann, &mut ten] {
            other.expect_added_as(ROOM, "eve", &json!("busy")).await;
        }
        stage.quiet(ROOM, [&mut ann, &mut ten, &mut eve]).await;

        eve.unsubscribe(ROOM).await;
        for other in [&mut ann, &mut ten] {
            other.expect_removed(ROOM, "eve").await;
        }
        stage.quiet(ROOM, [&mut ann, &mut ten]).await;
        eve.expect_nothing().await;
        eve.join("presence-other", "eve", &["eve"]).await;
        stage.quiet(ROOM, [&mut ann, &mut ten]).await;
    })
    .await;
}

#[tokio::test]
async fn two_tabs_are_one_user() {
    both(json!({}), async |stage: &Stage| {
        let [mut first, mut second, mut bob] = stage.clients().await;
        let mut third = stage.client(0).await;
        bob.join(ROOM, "bob", &["bob"]).await;
        first.join(ROOM, "ann", &["ann", "bob"]).await;
        bob.expect_added(ROOM, "ann").await;
        // Another node, then the same node; what the first tab said of the user stays.
        for tab in [&mut second, &mut third] {
            tab.ask_to_join(ROOM, &json!({ "user_id": "ann", "user_info": { "tab": 2 } })).await;
            tab.expect_users(ROOM, &["ann", "bob"]).await;
        }
        stage.quiet(ROOM, [&mut first, &mut second, &mut third, &mut bob]).await;

        first.unsubscribe(ROOM).await;
        third.unsubscribe(ROOM).await;
        first.expect_nothing().await;
        third.expect_nothing().await;
        // What these nodes say next has arrived, so the leaves before it have.
        let mut later = stage.client(0).await;
        later.join(ROOM, "later", &["ann", "bob", "later"]).await;
        second.expect_added(ROOM, "later").await;
        bob.expect_added(ROOM, "later").await;
        stage.quiet(ROOM, [&mut second, &mut bob, &mut later]).await;

        drop(second);
        bob.expect_removed(ROOM, "ann").await;
        later.expect_removed(ROOM, "ann").await;
        stage.quiet(ROOM, [&mut bob, &mut later]).await;
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_breaks_is_a_leave() {
    both(json!({}), async |stage: &Stage| {
        let [mut ann, bob, eve] = stage.clients().await;
        ann.join(ROOM, "ann", &["ann"]).await;
        for (mut client, user) in [(bob, "bob"), (eve, "eve")] {
            client.join(ROOM, user, &["ann", user]).await;
            ann.expect_added(ROOM, user).await;
            // No close frame, no farewell.
            drop(client);
            ann.expect_removed(ROOM, user).await;
        }
        stage.quiet(ROOM, [&mut ann]).await;
        assert_eq!(users(&stage.backend(0), ROOM).await, ["ann"]);
    })
    .await;
}

#[tokio::test]
async fn subscribing_again_is_acknowledged_and_told_to_nobody() {
    both(json!({}), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        ann.join(ROOM, "ann", &["ann"]).await;
        bob.join(ROOM, "bob", &["ann", "bob"]).await;
        ann.expect_added(ROOM, "bob").await;
        for _ in 0..3 {
            bob.join(ROOM, "bob", &["ann", "bob"]).await;
        }
        stage.quiet(ROOM, [&mut ann, &mut bob]).await;
        bob.unsubscribe(ROOM).await;
        ann.expect_removed(ROOM, "bob").await;
        // As another user: the former one has gone.
        bob.join(ROOM, "bob", &["ann", "bob"]).await;
        ann.expect_added(ROOM, "bob").await;
        bob.ask_to_join(ROOM, &json!({ "user_id": "rob" })).await;
        let mut told = Vec::new();
        for _ in 0..2 {
            let frame = ann.next_frame().await;
            told.push(format!("{} {}", frame["event"], frame["data"]));
        }
        told.sort();
        assert!(told[0].contains("member_added") && told[0].contains("rob"), "{told:?}");
        assert!(told[1].contains("member_removed") && told[1].contains("bob"), "{told:?}");
        stage.quiet(ROOM, [&mut ann]).await;
        assert_eq!(users(&stage.backend(0), ROOM).await, ["ann", "rob"]);
    })
    .await;
}

const OF_TWO: &str = r#"{ "limits": { "presence_members_max": 2 } }"#;

#[tokio::test]
async fn a_full_channel_refuses_users_but_not_tabs() {
    both(serde_json::from_str(OF_TWO).unwrap(), async |stage: &Stage| {
        let [mut ann, mut bob, mut eve] = stage.clients().await;
        let mut tab = stage.client(2).await;
        ann.join(ROOM, "ann", &["ann"]).await;
        bob.join(ROOM, "bob", &["ann", "bob"]).await;
        ann.expect_added(ROOM, "bob").await;
        for _ in 0..2 {
            eve.ask_to_join(ROOM, &json!({ "user_id": "eve" })).await;
            eve.expect_refused(ROOM, "LimitReached", 4100).await;
        }
        tab.join(ROOM, "bob", &["ann", "bob"]).await;
        stage.quiet(ROOM, [&mut ann, &mut bob, &mut tab]).await;
        eve.expect_nothing().await;
        assert_eq!(users(&stage.backend(0), ROOM).await, ["ann", "bob"]);

        drop(tab);
        bob.unsubscribe(ROOM).await;
        ann.expect_removed(ROOM, "bob").await;
        eve.join(ROOM, "eve", &["ann", "eve"]).await;
        ann.expect_added(ROOM, "eve").await;
        stage.quiet(ROOM, [&mut ann, &mut eve]).await;
        bob.expect_nothing().await;
    })
    .await;
}

/// Tries until the channel takes a user.
async fn enters(client: &mut Client, user: &str) {
    let began = tokio::time::Instant::now();
    loop {
        client.ask_to_join(ROOM, &json!({ "user_id": user })).await;
        let frame = client.next_frame().await;
        if frame["event"] == "pusher_internal:subscription_succeeded" {
            return;
        }
        assert_eq!(frame["event"], "pusher:subscription_error", "{frame}");
        assert!(began.elapsed() < tests::PATIENCE, "the limit is not in force: {frame}");
    }
}

#[tokio::test]
async fn the_limit_can_be_changed_while_users_are_there() {
    both(serde_json::from_str(OF_TWO).unwrap(), async |stage: &Stage| {
        let [mut ann, mut bob, mut eve] = stage.clients().await;
        ann.join(ROOM, "ann", &["ann"]).await;
        bob.join(ROOM, "bob", &["ann", "bob"]).await;
        eve.ask_to_join(ROOM, &json!({ "user_id": "eve" })).await;
        eve.expect_refused(ROOM, "LimitReached", 4100).await;
        stage.update(json!({ "limits": { "presence_members_max": 3 } })).await;
        enters(&mut eve, "eve").await;

        stage.update(json!({ "limits": { "presence_members_max": 1 } })).await;
        let refused = || async {
            let mut other = stage.client(1).await;
            let channel = "presence-other";
            let mut first = stage.client(0).await;
            first.ask_to_join(channel, &json!({ "user_id": "first" })).await;
            first.next_frame().await;
            other.ask_to_join(channel, &json!({ "user_id": "other" })).await;
            let frame = other.next_frame().await;
            (frame["event"] == "pusher:subscription_error").then_some(())
        };
        tests::eventually("the limit is lower", refused).await;
        // Who is there stays, and may have further tabs.
        for user in ["ann", "bob", "eve"] {
            let mut tab = stage.client(2).await;
            tab.join(ROOM, user, &["ann", "bob", "eve"]).await;
        }
        let mut dan = stage.client(0).await;
        dan.ask_to_join(ROOM, &json!({ "user_id": "dan" })).await;
        dan.expect_refused(ROOM, "LimitReached", 4100).await;
        ann.expect_added(ROOM, "bob").await;
        ann.expect_added(ROOM, "eve").await;
        bob.expect_added(ROOM, "eve").await;
        stage.quiet(ROOM, [&mut ann, &mut bob, &mut eve]).await;
    })
    .await;
}

#[tokio::test]
async fn what_is_no_member_is_refused_and_told_to_nobody() {
    both(json!({ "limits": { "presence_member_kib_max": 1 } }), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        ann.join(ROOM, "ann", &["ann"]).await;
        // 1,024 bytes with the quotes.
        let fits = "x".repeat(1_022);
        for (channel_data, kind, status) in [
            (json!({ "user_id": "bob", "user_info": format!("{fits}x") }), "LimitReached", 4301),
            (json!({ "user_info": {} }), "InvalidChannelData", 400),
            (json!({ "user_id": null }), "InvalidChannelData", 400),
            (json!({ "user_id": "" }), "InvalidChannelData", 400),
            (json!({ "user_id": ["bob"] }), "InvalidChannelData", 400),
            (json!({ "user_id": "b".repeat(129) }), "InvalidChannelData", 400),
            (json!("bob"), "InvalidChannelData", 400),
        ] {
            bob.ask_to_join(ROOM, &channel_data).await;
            bob.expect_refused(ROOM, kind, status).await;
        }
        // Signed, but by nobody who knows the secret; signed for another member.
        let auth = bob.auth(&format!("{ROOM}:{}", json!({ "user_id": "bob" })));
        for auth in ["", "app-key:00", &auth] {
            let channel_data = json!({ "user_id": "eve" }).to_string();
            let data = json!({ "channel": ROOM, "auth": auth, "channel_data": channel_data });
            bob.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
            bob.expect_refused(ROOM, "AuthError", 401).await;
        }
        stage.quiet(ROOM, [&mut ann]).await;
        bob.ask_to_join(ROOM, &json!({ "user_id": "bob", "user_info": fits })).await;
        bob.expect_roster(ROOM, &json!({ "ann": {}, "bob": fits })).await;
    })
    .await;
}

#[tokio::test]
async fn without_channel_data_a_client_is_whom_it_is_signed_in_as() {
    both(json!({}), async |stage: &Stage| {
        let [mut ann, mut bob, _] = stage.clients().await;
        ann.ask_to_join_signed_in(ROOM).await;
        ann.expect_refused(ROOM, "AuthError", 401).await;
        ann.sign_in(&json!({ "id": "ann", "user_info": { "name": "Ann" } })).await;
        ann.ask_to_join_signed_in(ROOM).await;
        ann.expect_roster(ROOM, &json!({ "ann": { "name": "Ann" } })).await;
        bob.join_with(ROOM, "bob", &json!({ "ann": { "name": "Ann" }, "bob": {} })).await;
        ann.expect_added(ROOM, "bob").await;
        ann.unsubscribe(ROOM).await;
        bob.expect_removed(ROOM, "ann").await;
        stage.quiet(ROOM, [&mut bob]).await;
    })
    .await;
}

/// What a socket has been told, frame by frame: each change once.
#[derive(Default)]
struct Observer {
    users: std::collections::BTreeSet<String>,
}

impl Observer {
    /// Reads up to the next event.
    async fn read(&mut self, client: &mut Client) {
        loop {
            let frame = client.next_frame().await;
            if frame["event"] == "quiet" {
                return;
            }
            let data: serde_json::Value =
                serde_json::from_str(frame["data"].as_str().unwrap()).unwrap();
            let user = data["user_id"].as_str().unwrap();
            let changed = match frame["event"].as_str().unwrap() {
                "pusher_internal:member_added" => self.users.insert(user.to_owned()),
                "pusher_internal:member_removed" => self.users.remove(user),
                other => panic!("{other}"),
            };
            assert!(changed, "{frame} was known: {:?}", self.users);
        }
    }
}

#[tokio::test]
async fn sockets_and_backend_agree_after_any_coming_and_going() {
    both(json!({}), async |stage: &Stage| {
        let mut observers = [Observer::default(), Observer::default(), Observer::default()];
        let mut watching = stage.clients().await;
        for (observer, client) in observers.iter_mut().zip(&mut watching) {
            client.ask_to_join(ROOM, &json!({ "user_id": "0" })).await;
            client.expect_users(ROOM, &["0"]).await;
            observer.users.insert("0".into());
        }
        // Two tabs each of six users, on any node, come and go.
        let mut tabs: Vec<Option<Client>> = (0..12).map(|_| None).collect();
        let mut random = 7_u64;
        for _ in 0..120 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let place = (random >> 33) as usize % tabs.len();
            tabs[place] = match tabs[place].take() {
                // Half of them say farewell.
                Some(mut client) => {
                    if random >> 63 == 0 {
                        client.unsubscribe(ROOM).await;
                    }
                    None
                }
                None => {
                    let mut client = stage.client((random >> 45) as usize % 3).await;
                    let user = (1 + place / 2).to_string();
                    client.ask_to_join(ROOM, &json!({ "user_id": user })).await;
                    client.next_frame().await;
                    Some(client)
                }
            };
        }
        let there = tabs.iter().enumerate().filter(|(_, tab)| tab.is_some());
        let mut there: Vec<_> = there.map(|(place, _)| (1 + place / 2).to_string()).collect();
        let subscriptions = 3 + there.len();
        there.insert(0, "0".into());
        there.dedup();
        let backend = stage.backend(1);
        let agreed = async || (users(&backend, ROOM).await == there).then_some(());
        tests::eventually("the backend sees who is there", agreed).await;
        let event = json!({ "name": "quiet", "channel": ROOM, "data": "", "info": "user_count" });
        let answer = backend.publish(&event).await.json();
        assert_eq!(answer["channels"][ROOM]["user_count"], there.len());
        for (observer, client) in observers.iter_mut().zip(&mut watching) {
            observer.read(client).await;
            assert!(observer.users.iter().eq(&there), "{:?} {there:?}", observer.users);
        }
        let info = backend.get(&format!("channels/{ROOM}"));
        let answer = info.set("info", "user_count,subscription_count").send().await.json();
        let expected = json!({
            "occupied": true, "user_count": there.len(), "subscription_count": subscriptions,
        });
        assert_eq!(answer, expected);
    })
    .await;
}
