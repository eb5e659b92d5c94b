//! Laravel Echo with its broadcaster for servers of one's own.

use serde_json::{Value, json};
use tests::rig::Rig;

use super::{
    in_both_layouts,
    libraries::{Backend, of_clients},
    planes::{Layout, Planes, account},
};

in_both_layouts![echo_listens_joins_and_whispers];

/// Echoes of several users, who are known by their bearer tokens.
struct Echoes {
    rig: Rig,
}

impl Echoes {
    async fn tell(&mut self, user: &str, verb: &str, more: Value) {
        let mut order = json!({ "user": user, "do": verb });
        for (name, value) in more.as_object().unwrap() {
            order[name] = value.clone();
        }
        self.rig.order(&order).await;
    }

    /// Enters a channel and waits for the confirmation.
    async fn enter(&mut self, user: &str, verb: &str, channel: &str) {
        self.tell(user, verb, json!({ "channel": channel })).await;
        let confirmed = json!({ "user": user, "at": channel, "event": "subscribed" });
        self.rig.take(&confirmed).await;
    }

    async fn expect(&mut self, user: &str, channel: &str, event: &str, data: Value) {
        let next = self.rig.take(&json!({ "user": user, "at": channel })).await;
        assert_eq!((&next["event"], &next["data"]), (&json!(event), &data), "{user} in {channel}");
    }
}

async fn echo_listens_joins_and_whispers(layout: Layout) {
    let app = json!({ "features": { "client_events": true } });
    let planes = Planes::start(layout, app).await;
    let mut laravel = Backend::node(&planes).await;
    let mut echoes = Echoes { rig: of_clients("echo.mjs", &planes, &account().key, &laravel) };
    for user in ["ann", "bob"] {
        echoes.tell(user, "open", json!({})).await;
        echoes.rig.take(&json!({ "user": user, "event": "connected" })).await;
    }
    listens(&mut echoes, &mut laravel).await;
    joins(&mut echoes, &mut laravel).await;
    signs_in(&mut echoes, &mut laravel).await;
    echoes.tell("ann", "private", json!({ "channel": "forbidden" })).await;
    let refused = echoes.rig.take(&json!({ "user": "ann", "at": "forbidden" })).await;
    assert_eq!((&refused["event"], &refused["data"]["status"]), (&json!("error"), &json!(403)));
}

/// Public, private and encrypted channels; events by class, by name, and notifications.
async fn listens(echoes: &mut Echoes, laravel: &mut Backend) {
    for (verb, channel, name) in [
        ("channel", "orders", "orders"),
        ("private", "orders.1", "private-orders.1"),
        ("encryptedPrivate", "orders.2", "private-encrypted-orders.2"),
    ] {
        echoes.enter("ann", verb, channel).await;
        for (event, heard) in [
            ("App\\Events\\OrderShipped", "OrderShipped"),
            ("order.paid", ".order.paid"),
            ("Illuminate\\Notifications\\Events\\BroadcastNotificationCreated", "notification"),
        ] {
            laravel.call("trigger", json!([name, event, { "order": { "id": 1 } }])).await;
            echoes.expect("ann", channel, heard, json!({ "order": { "id": 1 } })).await;
        }
    }
    echoes.enter("bob", "private", "orders.1").await;
    echoes.tell("bob", "whisper", json!({ "channel": "orders.1", "data": { "on": 1 } })).await;
    echoes.expect("ann", "orders.1", "whisper", json!({ "on": 1 })).await;
}

async fn joins(echoes: &mut Echoes, laravel: &mut Backend) {
    let [ann, bob] = ["ann", "bob"].map(|user| json!({ "name": user }));
    echoes.enter("ann", "join", "chat").await;
    echoes.expect("ann", "chat", "here", json!([ann])).await;
    echoes.enter("bob", "join", "chat").await;
    echoes.expect("bob", "chat", "here", json!([ann, bob])).await;
    echoes.expect("ann", "chat", "joining", bob.clone()).await;
    echoes.tell("ann", "whisper", json!({ "channel": "chat", "data": { "on": 1 } })).await;
    echoes.expect("bob", "chat", "whisper", json!({ "on": 1 })).await;
    laravel.call("trigger", json!(["presence-chat", "order.paid", {}])).await;
    for user in ["ann", "bob"] {
        echoes.expect(user, "chat", ".order.paid", json!({})).await;
    }
    echoes.tell("bob", "leave", json!({ "channel": "chat" })).await;
    echoes.expect("ann", "chat", "leaving", bob).await;
}

async fn signs_in(echoes: &mut Echoes, laravel: &mut Backend) {
    echoes.tell("ann", "signin", json!({})).await;
    let ann = json!({ "id": "ann", "user_info": { "name": "ann" } });
    echoes.expect("ann", "user", "signed in", ann).await;
    laravel.call("sendToUser", json!(["ann", "order.paid", { "id": 1 }])).await;
    echoes.expect("ann", "user", "order.paid", json!({ "id": 1 })).await;
}
