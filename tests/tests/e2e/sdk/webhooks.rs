//! Webhooks at receivers that validate them with the stock libraries.

use serde_json::{Value, json};
use tests::process::free_port;

use super::{
    in_both_layouts,
    libraries::{Backend, Tabs},
    planes::{Layout, Planes},
};

in_both_layouts![webhooks_are_valid_and_tell_everything];

async fn webhooks_are_valid_and_tell_everything(layout: Layout) {
    let port = free_port();
    let app = json!({
        "features": { "client_events": true },
        "webhooks": [{ "url": format!("http://127.0.0.1:{port}/webhooks") }],
    });
    let planes = Planes::start(layout, app).await;
    let mut node = Backend::listening(&planes, port).await;
    let mut python = Backend::python(&planes);
    let mut tabs = Tabs::new(&planes, &node);
    let ann = tabs.open("ann", "ann").await;
    tabs.subscribe("ann", "presence-cache-room").await;
    tabs.subscribe("ann", "room").await;
    let typing = json!({
        "do": "trigger", "channel": "presence-cache-room", "event": "client-typing", "data": { "on": true },
    });
    tabs.tell("ann", typing).await;
    told(
        &mut node,
        &mut python,
        vec![
            json!({ "name": "channel_occupied", "channel": "presence-cache-room" }),
            json!({ "name": "member_added", "channel": "presence-cache-room", "user_id": "ann" }),
            json!({ "name": "cache_miss", "channel": "presence-cache-room" }),
            json!({
                "name": "client_event", "channel": "presence-cache-room", "event": "client-typing",
                "data": r#"{"on":true}"#, "socket_id": ann, "user_id": "ann",
            }),
            json!({ "name": "channel_occupied", "channel": "room" }),
            json!({ "name": "subscription_count", "channel": "room", "subscription_count": 1 }),
        ],
    )
    .await;
    tabs.close("ann").await;
    told(
        &mut node,
        &mut python,
        vec![
            json!({ "name": "subscription_count", "channel": "room", "subscription_count": 0 }),
            json!({ "name": "member_removed", "channel": "presence-cache-room", "user_id": "ann" }),
            json!({ "name": "channel_vacated", "channel": "presence-cache-room" }),
            json!({ "name": "channel_vacated", "channel": "room" }),
        ],
    )
    .await;
}

/// Exactly these events are told next, in any order and in any number of calls, each of them valid.
async fn told(node: &mut Backend, python: &mut Backend, mut wanted: Vec<Value>) {
    while !wanted.is_empty() {
        let webhook = node.webhook().await;
        assert_eq!(webhook["valid"], true, "{webhook}");
        let call = json!([webhook["key"], webhook["signature"], webhook["body"]]);
        let validated = python.call("validate_webhook", call).await;
        assert_eq!(validated["events"], webhook["events"], "{webhook}");
        for event in webhook["events"].as_array().unwrap() {
            let place = wanted.iter().position(|wanted| has(event, wanted));
            let Some(place) = place else { panic!("{event} came, {wanted:#?} was to come") };
            wanted.remove(place);
        }
    }
}

/// Events may have fields beside those that Pusher's have.
fn has(event: &Value, wanted: &Value) -> bool {
    wanted.as_object().unwrap().iter().all(|(name, value)| event[name] == *value)
}
