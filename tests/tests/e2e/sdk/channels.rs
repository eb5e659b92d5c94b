//! pusher-js in every kind of channel.

use serde_json::{Value, json};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![every_kind_of_channel_has_its_events, who_may_not_enter_is_told_why];

/// Each kind but presence, with and without the "last event" of cache channels.
const PLAIN: [&str; 3] = ["room", "private-room", "private-encrypted-room"];
const CACHE: [&str; 3] = ["cache-room", "private-cache-room", "private-encrypted-cache-room"];

async fn every_kind_of_channel_has_its_events(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("ann", "ann").await;
    tabs.open("bob", "bob").await;
    for channel in PLAIN.into_iter().chain(CACHE) {
        assert_eq!(tabs.subscribe("ann", channel).await, json!({}), "{channel}");
    }
    for channel in CACHE {
        tabs.expect("ann", channel, "pusher:cache_miss", json!({})).await;
    }
    for channel in PLAIN.into_iter().chain(CACHE) {
        node.greet(channel, 1).await;
        tabs.expect_greeting("ann", channel, 1).await;
        python.greet(channel, 2).await;
        tabs.expect_greeting("ann", channel, 2).await;
    }
    for channel in CACHE {
        tabs.subscribe("bob", channel).await;
        tabs.expect_greeting("bob", channel, 2).await;
        node.greet(channel, 3).await;
        tabs.expect_greeting("bob", channel, 3).await;
        tabs.expect_greeting("ann", channel, 3).await;
    }
    who_has_left_hears_nothing(&mut tabs, &mut node).await;
}

async fn who_has_left_hears_nothing(tabs: &mut Tabs, node: &mut Backend) {
    tabs.unsubscribe("ann", "room").await;
    node.subscriptions("room", 0).await;
    node.greet("room", 4).await;
    tabs.subscribe("ann", "room").await;
    node.greet("room", 5).await;
    tabs.expect_greeting("ann", "room", 5).await;
}

async fn who_may_not_enter_is_told_why(layout: Layout) {
    let app = json!({ "limits": { "presence_members_max": 1, "channels_per_connection_max": 2 } });
    let planes = Planes::start(layout, app).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("ann", "ann").await;
    tabs.open_with("forger", json!({ "user": "bob", "forged": 1 })).await;
    tabs.open("bob", "bob").await;

    let by_the_endpoint = refusal(&mut tabs, "ann", "private-forbidden").await;
    assert_eq!(
        (&by_the_endpoint["type"], &by_the_endpoint["status"]),
        (&json!("AuthError"), &json!(403))
    );
    let by_the_server = refusal(&mut tabs, "forger", "private-room").await;
    assert_eq!(
        (&by_the_server["type"], &by_the_server["status"]),
        (&json!("AuthError"), &json!(401))
    );

    tabs.subscribe("ann", "presence-room").await;
    let full = refusal(&mut tabs, "bob", "presence-room").await;
    assert_eq!(full["type"], "LimitReached", "{full}");
    refusal(&mut tabs, "bob", "no channel's name").await;
    tabs.subscribe("ann", "room").await;
    let many = refusal(&mut tabs, "ann", "one-too-many").await;
    assert_eq!(many["type"], "LimitReached", "{many}");

    // All of them are still connected.
    tabs.subscribe("bob", "room").await;
    tabs.subscribe("forger", "room").await;
    node.greet("room", 1).await;
    for tab in ["ann", "bob", "forger"] {
        tabs.expect_greeting(tab, "room", 1).await;
    }
}

async fn refusal(tabs: &mut Tabs, tab: &str, channel: &str) -> Value {
    tabs.ask_for(tab, channel).await;
    let refused = tabs.next(tab, channel).await;
    assert_eq!(refused["event"], "pusher:subscription_error", "{refused}");
    refused["data"].clone()
}
