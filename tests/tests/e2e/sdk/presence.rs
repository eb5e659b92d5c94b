//! pusher-js knows who else is there.

use serde_json::{Value, json};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![members_come_and_go, who_has_signed_in_needs_no_channel_data];

fn member(id: &str, name: &str) -> Value {
    json!({ "id": id, "info": { "name": name } })
}

async fn members_come_and_go(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open_with("ann", json!({ "user": "ann", "name": "Ann" })).await;
    tabs.open_with("zoë", json!({ "user": "zoe", "name": "Zoë" })).await;
    tabs.open_with("zoë's phone", json!({ "user": "zoe", "name": "Zoë" })).await;
    for room in ["presence-room", "presence-cache-room"] {
        come_and_go(room, &mut tabs, &mut node).await;
    }
}

async fn come_and_go(room: &str, tabs: &mut Tabs, node: &mut Backend) {
    let cached = room.contains("cache");
    let alone =
        json!({ "me": member("ann", "Ann"), "count": 1, "members": { "ann": { "name": "Ann" } } });
    assert_eq!(tabs.subscribe("ann", room).await, alone);
    if cached {
        tabs.expect("ann", room, "pusher:cache_miss", json!({})).await;
    }
    let members = json!({ "ann": { "name": "Ann" }, "zoe": { "name": "Zoë" } });
    let both = json!({ "me": member("zoe", "Zoë"), "count": 2, "members": members });
    assert_eq!(tabs.subscribe("zoë", room).await, both);
    tabs.expect("ann", room, "pusher:member_added", member("zoe", "Zoë")).await;
    // A second tab of the same user is no second member.
    assert_eq!(tabs.subscribe("zoë's phone", room).await, both);
    if cached {
        tabs.expect("zoë", room, "pusher:cache_miss", json!({})).await;
        tabs.expect("zoë's phone", room, "pusher:cache_miss", json!({})).await;
    }
    node.greet(room, 1).await;
    for tab in ["ann", "zoë", "zoë's phone"] {
        tabs.expect_greeting(tab, room, 1).await;
    }
    tabs.unsubscribe("zoë", room).await;
    node.subscriptions(room, 2).await;
    node.greet(room, 2).await;
    tabs.expect_greeting("ann", room, 2).await;
    tabs.expect_greeting("zoë's phone", room, 2).await;
    let users = format!("/channels/{room}/users");
    let listed = json!({ "users": [{ "id": "ann" }, { "id": "zoe" }] });
    assert_eq!(node.get(&users, json!({})).await, listed);

    tabs.unsubscribe("zoë's phone", room).await;
    tabs.expect("ann", room, "pusher:member_removed", member("zoe", "Zoë")).await;
    assert_eq!(node.get(&users, json!({})).await, json!({ "users": [{ "id": "ann" }] }));
    tabs.tell("ann", json!({ "do": "members", "channel": room })).await;
    tabs.expect("ann", room, "members", alone).await;
}

async fn who_has_signed_in_needs_no_channel_data(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("bob", "bob").await;
    tabs.subscribe("bob", "presence-room").await;
    tabs.open_with("ann", json!({ "user": "ann", "name": "Ann", "nameless": 1 })).await;
    assert_eq!(tabs.sign_in("ann").await["id"], "ann");
    let members = tabs.subscribe("ann", "presence-room").await;
    assert_eq!((&members["me"], &members["count"]), (&member("ann", "Ann"), &json!(2)));
    tabs.expect("bob", "presence-room", "pusher:member_added", member("ann", "Ann")).await;
    tabs.close("ann").await;
    tabs.expect("bob", "presence-room", "pusher:member_removed", member("ann", "Ann")).await;
}
