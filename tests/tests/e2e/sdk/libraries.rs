//! The scripts that run the libraries, and what is asked of them.

use serde_json::{Value, json};
use tests::{eventually, process::free_port, rest::Credentials, rig::Rig};

use super::planes::{Planes, account};

/// An app's backend: a server library that calls the REST API.
pub(super) struct Backend {
    rig: Rig,
    /// Where it serves auth requests, webhooks and a page.
    pub(super) url: String,
}

/// pusher-js in several tabs, each of which is a client of its own.
pub(super) struct Tabs {
    rig: Rig,
}

impl Backend {
    /// The library for Node, with auth endpoints.
    pub(super) async fn node(planes: &Planes) -> Self {
        Self::listening(planes, free_port()).await
    }

    /// The same with its endpoints at this port.
    pub(super) async fn listening(planes: &Planes, port: u16) -> Self {
        Self::node_of(planes, &account(), port).await
    }

    /// The library for Node as the backend of that app.
    pub(super) async fn node_of(planes: &Planes, app: &Credentials, port: u16) -> Self {
        let (api, listen) = (planes.rest.to_string(), port.to_string());
        let ports = ["--port", &api, "--listen", &listen];
        let mut rig = Rig::node("backend.mjs", &[&flags(app)[..], &ports].concat());
        rig.expect("listening").await;
        Self { rig, url: format!("http://127.0.0.1:{port}") }
    }

    /// The library for Python, which serves nothing.
    pub(super) fn python(planes: &Planes) -> Self {
        Self::python_of(planes, &account())
    }

    /// The library for Python as the backend of that app.
    pub(super) fn python_of(planes: &Planes, app: &Credentials) -> Self {
        let port = planes.rest.to_string();
        let rig = Rig::python("backend.py", &[&flags(app)[..], &["--port", &port]].concat());
        Self { rig, url: String::new() }
    }

    /// Calls a method of the library; what it answers.
    pub(super) async fn call(&mut self, method: &str, arguments: Value) -> Value {
        let answer = self.answer(method, arguments).await;
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["body"].clone()
    }

    /// Calls a method of the library, which fails; the error with its facts.
    pub(super) async fn fail(&mut self, method: &str, arguments: Value) -> Value {
        let answer = self.answer(method, arguments).await;
        assert!(!answer["error"].is_null(), "{method}: {answer}");
        answer
    }

    async fn answer(&mut self, method: &str, arguments: Value) -> Value {
        self.rig.order(&json!({ "call": method, "args": arguments })).await;
        self.rig.expect("answer").await
    }

    /// Publishes `{"n": n}` as a greeting.
    pub(super) async fn greet(&mut self, channel: &str, n: u32) {
        let answer = self.call("trigger", json!([channel, "greeting", { "n": n }])).await;
        assert_eq!(answer, json!({ "ok": true }));
    }

    /// A read of the library for Node.
    pub(super) async fn get(&mut self, path: &str, parameters: Value) -> Value {
        self.call("get", json!([{ "path": path, "params": parameters }])).await
    }

    /// Waits until a channel has that many subscriptions.
    pub(super) async fn subscriptions(&mut self, channel: &str, wanted: u32) {
        let path = format!("/channels/{channel}");
        let asked = tokio::sync::Mutex::new(self);
        let counted = || async {
            let info = json!({ "info": "subscription_count" });
            let read = asked.lock().await.get(&path, info).await;
            (read["subscription_count"] == wanted).then_some(())
        };
        eventually("so many subscriptions", counted).await;
    }

    /// The next call of a webhook.
    pub(super) async fn webhook(&mut self) -> Value {
        self.rig.expect("webhook").await
    }
}

impl Tabs {
    /// No tab yet.
    pub(super) fn new(planes: &Planes, backend: &Backend) -> Self {
        Self::of_key(planes, &account().key, backend)
    }

    /// No tab yet; they will connect with this key.
    pub(super) fn of_key(planes: &Planes, key: &str, backend: &Backend) -> Self {
        Self { rig: of_clients("tabs.mjs", planes, key, backend) }
    }

    /// Opens a tab of that user and waits until it is connected; its socket id.
    pub(super) async fn open(&mut self, tab: &str, user: &str) -> String {
        self.open_with(tab, json!({ "user": user })).await
    }

    /// The same; the form is what the auth endpoint is sent.
    pub(super) async fn open_with(&mut self, tab: &str, form: Value) -> String {
        self.tell(tab, json!({ "do": "open", "form": form })).await;
        self.connected(tab).await
    }

    /// Waits until a tab is connected, whatever is in its way; its socket id.
    pub(super) async fn connected(&mut self, tab: &str) -> String {
        let connected = json!({ "tab": tab, "at": "connection", "event": "connected" });
        self.rig.take(&connected).await["data"].as_str().unwrap().to_owned()
    }

    /// Gives an order.
    pub(super) async fn tell(&mut self, tab: &str, mut order: Value) {
        order["tab"] = json!(tab);
        self.rig.order(&order).await;
    }

    /// Asks to subscribe.
    pub(super) async fn ask_for(&mut self, tab: &str, channel: &str) {
        self.tell(tab, json!({ "do": "subscribe", "channel": channel })).await;
    }

    /// Subscribes; what is said of a presence channel's members.
    pub(super) async fn subscribe(&mut self, tab: &str, channel: &str) -> Value {
        self.ask_for(tab, channel).await;
        let subscribed = self.next(tab, channel).await;
        assert_eq!(subscribed["event"], "pusher:subscription_succeeded", "{subscribed}");
        subscribed["data"].clone()
    }

    /// Leaves a channel.
    pub(super) async fn unsubscribe(&mut self, tab: &str, channel: &str) {
        self.tell(tab, json!({ "do": "unsubscribe", "channel": channel })).await;
    }

    /// Signs in; what the library knows of the user.
    pub(super) async fn sign_in(&mut self, tab: &str) -> Value {
        self.tell(tab, json!({ "do": "signin" })).await;
        self.signed_in(tab).await
    }

    /// Waits until a tab has signed in; what the library knows of the user.
    pub(super) async fn signed_in(&mut self, tab: &str) -> Value {
        let signed_in = self.next(tab, "user").await;
        assert_eq!(signed_in["event"], "signed in", "{signed_in}");
        signed_in["data"].clone()
    }

    /// Closes the connection.
    pub(super) async fn close(&mut self, tab: &str) {
        self.tell(tab, json!({ "do": "close" })).await;
    }

    /// What happens next in a tab, there: on a channel, on the "connection", to the "user", in the
    /// "watchlist".
    pub(super) async fn next(&mut self, tab: &str, at: &str) -> Value {
        self.rig.take(&json!({ "tab": tab, "at": at })).await
    }

    /// Exactly this happens next there.
    pub(super) async fn expect(&mut self, tab: &str, at: &str, event: &str, data: Value) {
        let next = self.next(tab, at).await;
        assert_eq!((&next["event"], &next["data"]), (&json!(event), &data), "{tab} at {at}");
    }

    /// A greeting with that number is next on the channel.
    pub(super) async fn expect_greeting(&mut self, tab: &str, channel: &str, n: u32) {
        self.expect(tab, channel, "greeting", json!({ "n": n })).await;
    }
}

fn flags(app: &Credentials) -> [&str; 6] {
    ["--app-id", &app.app_id, "--key", &app.key, "--secret", &app.secret]
}

/// A script whose clients ask that backend for signatures.
pub(super) fn of_clients(script: &str, planes: &Planes, key: &str, backend: &Backend) -> Rig {
    let port = planes.sockets.to_string();
    Rig::node(script, &["--key", key, "--port", &port, "--backend", &backend.url])
}
