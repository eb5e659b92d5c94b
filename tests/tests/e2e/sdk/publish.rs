//! The server libraries publish.

use serde_json::{Value, json};
use tests::{process::free_port, rest::Credentials};

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes, account},
};

in_both_layouts![
    events_arrive_as_they_were_sent,
    batches_arrive_in_order,
    hundred_channels_at_once
];

async fn events_arrive_as_they_were_sent(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    let ann = tabs.open("ann", "ann").await;
    tabs.open("bob", "bob").await;
    for channel in ["room", "private-room"] {
        tabs.subscribe("ann", channel).await;
        tabs.subscribe("bob", channel).await;
    }
    let object = json!({ "z": 1, "a": "ü 🚀", "nested": { "list": [1.5, null, "\"" ] } });
    for data in [object, json!("plain text"), json!(["a", "b"])] {
        let event = json!(["private-room", "greeting", data]);
        assert_eq!(node.call("trigger", event.clone()).await, json!({ "ok": true }));
        assert_eq!(python.call("trigger", event).await, json!({ "ok": true }));
        for tab in ["ann", "ann", "bob", "bob"] {
            tabs.expect(tab, "private-room", "greeting", data.clone()).await;
        }
    }
    let info = json!({ "info": "subscription_count", "socket_id": ann });
    let both = json!([["room", "private-room"], "greeting", "not for ann", info]);
    let counted = json!({ "subscription_count": 2 });
    let counted = json!({ "channels": { "room": counted, "private-room": counted } });
    assert_eq!(node.call("trigger", both).await, counted);
    python.call("trigger", json!(["room", "greeting", "not for ann", ann])).await;
    for channel in ["room", "room", "private-room"] {
        tabs.expect("bob", channel, "greeting", json!("not for ann")).await;
    }
    for channel in ["room", "private-room"] {
        node.greet(channel, 1).await;
        tabs.expect_greeting("ann", channel, 1).await;
    }
}

async fn batches_arrive_in_order(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("ann", "ann").await;
    tabs.subscribe("ann", "room").await;
    tabs.subscribe("ann", "presence-room").await;
    let greeting = |n: u32| json!({ "channel": "room", "name": "greeting", "data": { "n": n } });
    let batch: Vec<_> = (0..10).map(greeting).collect();
    assert_eq!(node.call("triggerBatch", json!([batch])).await, json!({}));
    assert_eq!(python.call("trigger_batch", json!([batch])).await, json!({}));
    for n in (0..10).chain(0..10) {
        tabs.expect_greeting("ann", "room", n).await;
    }
    let with_info = json!([[
        { "channel": "room", "name": "a", "data": "1", "info": "subscription_count" },
        { "channel": "room", "name": "b", "data": "2" },
        { "channel": "presence-room", "name": "c", "data": "3", "info": "user_count,subscription_count" },
    ]]);
    let counted = json!({ "batch": [
        { "subscription_count": 1 }, {}, { "user_count": 1, "subscription_count": 1 },
    ] });
    assert_eq!(node.call("triggerBatch", with_info).await, counted);
    let eleven: Vec<_> = (0..11).map(greeting).collect();
    let refused = node.fail("triggerBatch", json!([eleven])).await;
    assert_eq!(refused["error"]["status"], 400, "{refused}");
    // Nothing of what was refused arrives.
    tabs.expect("ann", "room", "a", json!(1)).await;
    tabs.expect("ann", "room", "b", json!(2)).await;
    node.greet("room", 99).await;
    tabs.expect_greeting("ann", "room", 99).await;
}

async fn hundred_channels_at_once(layout: Layout) {
    let planes = Planes::start(layout, json!({})).await;
    let (mut node, mut python) = (Backend::node(&planes).await, Backend::python(&planes));
    let mut tabs = Tabs::new(&planes, &node);
    tabs.open("ann", "ann").await;
    let channels = |count: u32| -> Vec<_> { (0..count).map(|n| format!("room-{n}")).collect() };
    for channel in ["room-0", "room-99"] {
        tabs.subscribe("ann", channel).await;
    }
    let event = |count: u32| json!([channels(count), "greeting", { "n": count }]);
    assert_eq!(node.call("trigger", event(100)).await, json!({ "ok": true }));
    assert_eq!(python.call("trigger", event(100)).await, json!({ "ok": true }));
    for channel in ["room-0", "room-99", "room-0", "room-99"] {
        tabs.expect_greeting("ann", channel, 100).await;
    }
    // The libraries themselves refuse more, and what would not be encrypted for all.
    let many = node.fail("trigger", event(101)).await;
    assert!(many["error"]["message"].to_string().contains("100 channels"), "{many}");
    assert_eq!(python.fail("trigger", event(101)).await["error"], "ValueError");
    let encrypted = json!([["private-encrypted-a", "private-encrypted-b"], "greeting", {}]);
    node.fail("trigger", encrypted.clone()).await;
    python.fail("trigger", encrypted).await;
}

#[tokio::test]
async fn the_libraries_name_what_the_server_refuses() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let greeting = || json!(["room", "greeting", {}]);
    let guessed = Credentials { secret: "guessed".into(), ..account() };
    let unknown = Credentials { app_id: "404".into(), ..account() };
    for (app, status, class) in [(guessed, 401, "PusherBadAuth"), (unknown, 404, "PusherBadStatus")]
    {
        let mut node = Backend::node_of(&planes, &app, free_port()).await;
        let error = node.fail("trigger", greeting()).await;
        assert_eq!(error["error"]["status"], status, "{error}");
        let body = error["error"]["body"].as_str().unwrap();
        let body: Value = serde_json::from_str(body).expect("an error has a JSON body");
        assert_eq!(body["status"], status);
        let mut python = Backend::python_of(&planes, &app);
        assert_eq!(python.fail("trigger", greeting()).await["error"], class);
    }
    let mut node = Backend::node(&planes).await;
    let reserved = node.fail("trigger", json!(["room", "pusher:greeting", {}])).await;
    assert_eq!(reserved["error"]["status"], 400, "{reserved}");
    let mut python = Backend::python(&planes);
    let reserved = python.fail("trigger", json!(["room", "pusher:greeting", {}])).await;
    assert_eq!(reserved["error"], "PusherBadRequest", "{reserved}");
}

#[tokio::test]
async fn pusher_js_is_told_that_its_key_is_unknown() {
    let planes = Planes::start(Layout::OneProcess, json!({})).await;
    let backend = Backend::node(&planes).await;
    let mut tabs = Tabs::of_key(&planes, "unknown", &backend);
    tabs.tell("ann", json!({ "do": "open" })).await;
    let error = tabs.next("ann", "connection").await;
    assert_eq!((&error["event"], &error["data"]["code"]), (&json!("error"), &json!(4001)));
}
