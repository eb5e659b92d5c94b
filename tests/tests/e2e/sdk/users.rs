//! pusher-js with users that have signed in.

use serde_json::{Value, json};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![
    a_user_hears_what_is_sent_to_them,
    a_watchlist_tells_who_is_online,
    a_terminated_user_stays_out,
];

async fn a_user_hears_what_is_sent_to_them(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    for (tab, user) in [("ann", "ann"), ("ann's phone", "ann"), ("bob", "bob")] {
        tabs.open(tab, user).await;
        let known = tabs.sign_in(tab).await;
        assert_eq!(known, json!({ "id": user, "user_info": { "name": user } }));
    }
    let to_ann = json!(["ann", "greeting", { "n": 1 }]);
    assert_eq!(node.call("sendToUser", to_ann).await, json!({ "ok": true }));
    let again = json!(["ann", "greeting", "in words"]);
    assert_eq!(python.call("send_to_user", again).await, json!({ "ok": true }));
    node.call("sendToUser", json!(["bob", "greeting", { "n": 2 }])).await;
    for tab in ["ann", "ann's phone"] {
        tabs.expect(tab, "user", "greeting", json!({ "n": 1 })).await;
        tabs.expect(tab, "user", "greeting", json!("in words")).await;
    }
    tabs.expect("bob", "user", "greeting", json!({ "n": 2 })).await;
    // Nobody is there: nobody hears it, and that is no error.
    let nobody = node.call("sendToUser", json!(["nobody", "greeting", {}])).await;
    assert_eq!(nobody, json!({ "ok": true }));
}

async fn a_watchlist_tells_who_is_online(layout: Layout) {
    let app = json!({ "features": { "watchlist_events": true } });
    let planes = Planes::start(layout, app).await;
    let node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("bob", "bob").await;
    tabs.sign_in("bob").await;
    tabs.open_with("ann", json!({ "user": "ann", "watchlist": "bob,cid" })).await;
    assert_eq!(tabs.sign_in("ann").await["watchlist"], json!(["bob", "cid"]));
    let mut at_first = [tabs.next("ann", "watchlist").await, tabs.next("ann", "watchlist").await];
    at_first.sort_by_key(|line| line["event"].to_string());
    let [offline, online] = at_first.map(|line| (line["event"].clone(), line["data"].clone()));
    assert_eq!(offline, (json!("offline"), json!(["cid"])));
    assert_eq!(online, (json!("online"), json!(["bob"])));

    for tab in ["cid", "cid's phone"] {
        tabs.open(tab, "cid").await;
        tabs.sign_in(tab).await;
    }
    tabs.expect("ann", "watchlist", "online", json!(["cid"])).await;
    tabs.close("cid").await;
    tabs.close("bob").await;
    tabs.expect("ann", "watchlist", "offline", json!(["bob"])).await;
    tabs.close("cid's phone").await;
    tabs.expect("ann", "watchlist", "offline", json!(["cid"])).await;
}

async fn a_terminated_user_stays_out(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let mut node = Backend::node(&planes).await;
    let mut tabs = Tabs::new(&planes, &node);
    for (tab, user) in [("ann", "ann"), ("ann's phone", "ann"), ("bob", "bob")] {
        tabs.open(tab, user).await;
        tabs.sign_in(tab).await;
    }
    // Who has merely entered under that name has not signed in.
    tabs.open("in ann's name", "ann").await;
    tabs.subscribe("in ann's name", "presence-room").await;
    tabs.subscribe("bob", "presence-room").await;
    let terminated = node.call("terminateUserConnections", json!(["ann"])).await;
    assert_eq!(terminated, json!({ "ok": true }));
    for tab in ["ann", "ann's phone"] {
        // The error that the server sends, then what pusher-js makes of the close code: an error of
        // the connection, and one of its socket.
        for _ in 0..3 {
            let error = tabs.next(tab, "connection").await;
            assert_eq!((&error["event"], &error["data"]["code"]), (&json!("error"), &json!(4009)));
        }
        tabs.expect(tab, "connection", "disconnected", Value::Null).await;
    }
    node.greet("presence-room", 1).await;
    tabs.expect_greeting("bob", "presence-room", 1).await;
    let heard = tabs.next("in ann's name", "presence-room").await;
    assert_eq!(heard["event"], "pusher:member_added", "bob came: {heard}");
    tabs.expect_greeting("in ann's name", "presence-room", 1).await;
}
