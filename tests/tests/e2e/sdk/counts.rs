//! pusher-js is told how many subscriptions a channel has.

use serde_json::json;

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![a_channel_knows_its_subscription_count];

async fn a_channel_knows_its_subscription_count(layout: Layout) {
    let app = json!({ "features": { "subscription_count_events": true } });
    let planes = Planes::start(layout, app).await;
    let node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    for tab in ["ann", "bob"] {
        tabs.open(tab, tab).await;
    }
    let count = |n: u32| json!({ "subscription_count": n });
    for channel in ["room", "private-room"] {
        tabs.subscribe("ann", channel).await;
        tabs.expect("ann", channel, "pusher:subscription_count", count(1)).await;
        tabs.subscribe("bob", channel).await;
        for tab in ["ann", "bob"] {
            tabs.expect(tab, channel, "pusher:subscription_count", count(2)).await;
        }
    }
    tabs.unsubscribe("bob", "room").await;
    tabs.expect("ann", "room", "pusher:subscription_count", count(1)).await;
    tabs.close("bob").await;
    tabs.expect("ann", "private-room", "pusher:subscription_count", count(1)).await;
}
