//! pusher-js to pusher-js.

use serde_json::{Value, json};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![client_events_reach_the_others, client_events_are_off_unless_allowed];

async fn type_in(tabs: &mut Tabs, channel: &str, data: Value) {
    let order =
        json!({ "do": "trigger", "channel": channel, "event": "client-typing", "data": data });
    tabs.tell("ann", order).await;
}

async fn client_events_reach_the_others(layout: Layout) {
    let app = json!({ "features": { "client_events": true } });
    let planes = Planes::start(layout, app).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    for (tab, user) in [("ann", "ann"), ("ann's phone", "ann"), ("bob", "bob")] {
        tabs.open(tab, user).await;
    }
    for (channel, user_id) in [("private-room", json!(null)), ("presence-room", json!("ann"))] {
        for tab in ["bob", "ann", "ann's phone"] {
            tabs.subscribe(tab, channel).await;
        }
        if channel == "presence-room" {
            let ann = json!({ "id": "ann", "info": { "name": "ann" } });
            tabs.expect("bob", channel, "pusher:member_added", ann).await;
        }
        for data in [json!({ "on": true, "text": "Zoë 🚀" }), json!("on"), json!([1.5])] {
            type_in(&mut tabs, channel, data.clone()).await;
            for tab in ["bob", "ann's phone"] {
                let heard = tabs.next(tab, channel).await;
                assert_eq!(heard["event"], "client-typing", "{heard}");
                assert_eq!((&heard["data"], &heard["user_id"]), (&data, &user_id), "{heard}");
            }
        }
        // The one who types is not told what they type.
        node.greet(channel, 1).await;
        tabs.expect_greeting("ann", channel, 1).await;
    }
}

async fn client_events_are_off_unless_allowed(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    for tab in ["ann", "bob"] {
        tabs.open(tab, tab).await;
        tabs.subscribe(tab, "private-room").await;
    }
    type_in(&mut tabs, "private-room", json!({})).await;
    let refused = tabs.next("ann", "connection").await;
    assert_eq!((&refused["event"], &refused["data"]["code"]), (&json!("error"), &json!(4301)));
    node.greet("private-room", 1).await;
    for tab in ["ann", "bob"] {
        tabs.expect_greeting(tab, "private-room", 1).await;
    }
}
