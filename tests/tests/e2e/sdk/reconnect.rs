//! pusher-js finds its way back.

use serde_json::json;

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![a_crash_is_survived_with_channels_and_user];

async fn a_crash_is_survived_with_channels_and_user(layout: Layout) {
    let mut planes = Planes::start(layout, json!({})).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    let first = tabs.open("ann", "ann").await;
    tabs.sign_in("ann").await;
    let members = tabs.subscribe("ann", "presence-room").await;
    tabs.subscribe("ann", "private-room").await;

    planes.restart_sockets().await;
    let again = tabs.connected("ann").await;
    assert_ne!(again, first);
    // Nobody asked for these again: the library remembers its channels, and who has signed in.
    let succeeded = "pusher:subscription_succeeded";
    tabs.expect("ann", "presence-room", succeeded, members).await;
    tabs.expect("ann", "private-room", succeeded, json!({})).await;
    node.subscriptions("private-room", 1).await;
    node.greet("private-room", 1).await;
    tabs.expect_greeting("ann", "private-room", 1).await;
    tabs.signed_in("ann").await;
    node.call("sendToUser", json!(["ann", "greeting", { "n": 2 }])).await;
    tabs.expect("ann", "user", "greeting", json!({ "n": 2 })).await;
}
