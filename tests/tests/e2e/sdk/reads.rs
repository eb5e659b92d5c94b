//! The server libraries ask what there is, and sign.

use serde_json::{Value, json};
use tests::client::Client;

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes, account, address},
};

in_both_layouts![channels_and_users_are_listed, signatures_of_python_are_taken];

/// Two users in the presence channel, one of them twice; nobody in "empty".
async fn people(tabs: &mut Tabs) {
    for (tab, user) in [("ann", "ann"), ("bob", "bob"), ("bob's phone", "bob")] {
        tabs.open(tab, user).await;
        tabs.subscribe(tab, "presence-room").await;
    }
    tabs.subscribe("ann", "private-team@acme;x=1,2").await;
    tabs.subscribe("ann", "cache-room").await;
}

async fn channels_and_users_are_listed(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    people(&mut tabs).await;
    node.greet("cache-room", 1).await;

    // What is asked by path and query, by a method of Python's library, and the answer.
    let both = "user_count,subscription_count";
    let all = json!({ "channels": { "cache-room": {}, "presence-room": {}, "private-team@acme;x=1,2": {} } });
    let counts = json!({ "user_count": 2, "subscription_count": 3 });
    let present = json!({ "channels": { "presence-room": counts } });
    let room = json!({ "occupied": true, "user_count": 2, "subscription_count": 3 });
    let team = json!({ "occupied": true, "subscription_count": 1 });
    let empty = json!({ "occupied": false, "subscription_count": 0 });
    let users = json!({ "users": [{ "id": "ann" }, { "id": "bob" }] });
    for (path, query, method, arguments, answer) in [
        ("/channels", json!({}), "channels_info", json!([]), all),
        (
            "/channels",
            json!({ "filter_by_prefix": "presence-", "info": both }),
            "channels_info",
            json!(["presence-", ["user_count", "subscription_count"]]),
            present,
        ),
        (
            "/channels/presence-room",
            json!({ "info": both }),
            "channel_info",
            json!(["presence-room", ["user_count", "subscription_count"]]),
            room,
        ),
        (
            "/channels/private-team@acme;x=1,2",
            json!({ "info": "subscription_count" }),
            "channel_info",
            json!(["private-team@acme;x=1,2", ["subscription_count"]]),
            team,
        ),
        (
            "/channels/empty",
            json!({ "info": "subscription_count" }),
            "channel_info",
            json!(["empty", ["subscription_count"]]),
            empty,
        ),
        ("/channels/presence-room/users", json!({}), "users_info", json!(["presence-room"]), users),
    ] {
        assert_eq!(node.get(path, query).await, answer, "{path}");
        assert_eq!(python.call(method, arguments).await, answer, "{path}");
    }
    let cache = node.get("/channels/cache-room", json!({ "info": "cache" })).await;
    assert_eq!(cache["cache"]["data"], r#"{"n":1}"#, "{cache}");
    assert!(cache["cache"]["ttl"].as_u64().is_some_and(|ttl| ttl > 3_500), "{cache}");
    refusals(&mut node, &mut python).await;
}

async fn refusals(node: &mut Backend, python: &mut Backend) {
    let no_presence = node.fail("get", json!([{ "path": "/channels/room/users" }])).await;
    assert_eq!(no_presence["error"]["status"], 400, "{no_presence}");
    assert_eq!(python.fail("users_info", json!(["room"])).await["error"], "PusherBadRequest");
    let unlimited = json!(["", ["user_count"]]);
    assert_eq!(python.fail("channels_info", unlimited).await["error"], "PusherBadRequest");
    // Python's library leaves the app out of this one path, so that no server can know it.
    let terminated = python.fail("terminate_user_connections", json!(["ann"])).await;
    assert_eq!(terminated["error"], "PusherBadStatus", "{terminated}");
    assert!(terminated["message"].to_string().contains("404"), "{terminated}");
}

/// Python escapes what is not ASCII and puts spaces between: other bytes than another library's.
async fn signatures_of_python_are_taken(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let mut python = Backend::python(&planes);
    let mut client = Client::connect(address(planes.sockets), &account()).await;
    let socket = client.socket_id.clone();
    let zoe = json!({ "user_id": 7, "user_info": { "name": "Zoë 🚀" } });
    let mut subscribe = python.call("authenticate", json!(["presence-room", socket, zoe])).await;
    subscribe["channel"] = json!("presence-room");
    client.send(&json!({ "event": "pusher:subscribe", "data": subscribe })).await;
    let presence = json!({ "presence": {
        "ids": ["7"], "hash": { "7": { "name": "Zoë 🚀" } }, "count": 1,
    } });
    let subscribed = client.next_frame().await;
    assert_eq!(subscribed["event"], "pusher_internal:subscription_succeeded", "{subscribed}");
    assert_eq!(data(&subscribed), presence);

    let user = json!({ "id": "zoe", "user_info": { "name": "Zoë 🚀" } });
    let sign_in = python.call("authenticate_user", json!([socket, user])).await;
    client.send(&json!({ "event": "pusher:signin", "data": sign_in })).await;
    let signed_in = client.next_frame().await;
    assert_eq!(signed_in["event"], "pusher:signin_success", "{signed_in}");
    assert_eq!(signed_in["data"]["user_data"], sign_in["user_data"]);
}

/// A frame's data, which is a string that holds JSON.
fn data(frame: &Value) -> Value {
    let text = frame["data"].as_str().expect("data is a string");
    serde_json::from_str(text).expect("that holds JSON")
}
