//! The official libraries, unchanged, against real processes.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::{ADMIN_TOKEN, is_ready},
    etcd::Etcd,
    grpc::Admin,
    process::{Process, free_port},
    quiet::Place,
    rest::get,
    rig::Rig,
};

/// Processes that are ready, and where they serve.
struct Planes {
    rest: u16,
    sockets: u16,
    grpc: u16,
    operations: u16,
    token: String,
    folder: TempDir,
    _processes: Vec<Process>,
    _etcd: Option<Etcd>,
    _place: Place,
}

/// The app that the libraries use. The Python library takes no app id but digits.
const APP: [&str; 6] = ["--app-id", "1000", "--key", "sdk-key", "--secret", "sdk-secret"];
const KEY: [&str; 4] = ["--key", "sdk-key", "--secret", "sdk-secret"];

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn flags(flags: &[(&str, String)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

/// Everything in one process, with the development app of a first start.
async fn all_in_one() -> Planes {
    let place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let [public, operations] = [free_port(), free_port()];
    let process = Process::start(
        "carillon",
        &flags(&[
            ("listen", address(public).to_string()),
            ("operations-listen", address(operations).to_string()),
            ("data", folder.path().display().to_string()),
        ]),
    );
    is_ready(address(operations)).await;
    let token = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
    let planes = Planes {
        rest: public,
        sockets: public,
        grpc: public,
        operations,
        token,
        folder,
        _processes: vec![process],
        _etcd: None,
        _place: place,
    };
    planes.with_app().await
}

/// A gateway, a control plane and a node as processes of their own, and a real etcd.
async fn three_processes() -> Planes {
    let place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let etcd = Etcd::start().await;
    let [grpc, internal, operations, rest, sockets] = [(); 5].map(|()| free_port());
    let [of_gateway, of_node] = [free_port(), free_port()];
    let file = |name: &str| folder.path().join(name).display().to_string();
    let control_plane = Process::start(
        "carillon-control-plane",
        &flags(&[
            ("listen", address(grpc).to_string()),
            ("internal-listen", address(internal).to_string()),
            ("operations-listen", address(operations).to_string()),
            ("etcd-endpoints", etcd.endpoint()),
            ("data", file("control-plane")),
            ("admin-token", ADMIN_TOKEN.to_owned()),
            ("expect-nodes", "1".to_owned()),
        ]),
    );
    let calls = format!("http://{}", address(internal));
    let node = Process::start(
        "carillon-data-plane",
        &flags(&[
            ("listen", address(sockets).to_string()),
            ("operations-listen", address(of_node).to_string()),
            ("control-plane", calls.clone()),
            ("last-known-good", file("node.apps")),
        ]),
    );
    let gateway = Process::start(
        "carillon-gateway",
        &flags(&[
            ("listen", address(rest).to_string()),
            ("operations-listen", address(of_gateway).to_string()),
            ("control-plane", calls),
            ("last-known-good", file("gateway.apps")),
        ]),
    );
    for port in [operations, of_node, of_gateway] {
        is_ready(address(port)).await;
    }
    let planes = Planes {
        rest,
        sockets,
        grpc,
        operations,
        token: ADMIN_TOKEN.to_owned(),
        folder,
        _processes: vec![control_plane, node, gateway],
        _etcd: Some(etcd),
        _place: place,
    };
    planes.with_app().await
}

impl Planes {
    /// Creates the app of the libraries and waits until gateway and node know it.
    async fn with_app(self) -> Self {
        let app = serde_json::from_value(json!({ "app_id": "1000", "key": "sdk-key" })).unwrap();
        Admin::new(address(self.operations), self.token.trim()).create(app, "sdk-secret").await;
        let (gateway, node) = (address(self.rest), address(self.sockets));
        let known = || async move {
            let mut client = Client::open(node, "/app/sdk-key", None).await;
            let greeted = client.next_frame().await["event"] == "pusher:connection_established";
            (greeted && get(gateway, "/up/1000").await.0 == 200).then_some(())
        };
        tests::eventually("the app is known", known).await;
        self
    }

    /// pusher-js, subscribed, until it has seen that many events.
    async fn subscriber(&self, channels: &str, count: usize) -> Rig {
        let (port, count) = (self.sockets.to_string(), count.to_string());
        let arguments = ["--port", &port, "--channels", channels, "--count", &count];
        let mut rig = Rig::node("subscribe.mjs", &[&KEY[..], &arguments].concat());
        rig.expect("connected").await;
        for _ in channels.split(',') {
            rig.expect("subscribed").await;
        }
        rig
    }

    async fn publish_from_node(&self, arguments: &[&str]) -> Value {
        answer(Rig::node("publish.mjs", &self.arguments(arguments))).await
    }

    async fn publish_from_python(&self, arguments: &[&str]) -> Value {
        answer(Rig::python("publish.py", &self.arguments(arguments))).await
    }

    fn arguments<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        let port: &'static str = self.rest.to_string().leak();
        [&APP[..], &["--port", port], arguments].concat()
    }

    /// An event for each SDK and each kind of channel reaches pusher-js.
    async fn serve_the_libraries(&self) {
        let mut subscriber = self.subscriber("room,private-room", 6).await;
        let from_node =
            self.publish_from_node(&["--channels", "room", "--json", r#"{"z":1,"a":"ü 🚀"}"#]);
        assert_eq!(from_node.await["body"], json!({ "ok": true }));
        let from_node = self.publish_from_node(&["--channels", "private-room", "--data", "plain"]);
        assert_eq!(from_node.await["status"], 200);
        let both = ["--channels", "room,private-room", "--info", "subscription_count"];
        let counted = json!({ "channels": {
            "room": { "subscription_count": 1 }, "private-room": { "subscription_count": 1 },
        } });
        assert_eq!(self.publish_from_node(&both).await["body"], counted);
        let from_python =
            self.publish_from_python(&["--channels", "room", "--json", r#"{"z":1,"a":"ü 🚀"}"#]);
        assert_eq!(from_python.await["body"], json!({ "ok": true }));
        self.publish_from_python(&["--channels", "private-room", "--data", "plain"]).await;

        let object = json!({ "z": 1, "a": "ü 🚀" });
        for (channel, data) in [
            ("room", &object),
            ("private-room", &json!("plain")),
            ("room", &json!("hello")),
            ("private-room", &json!("hello")),
            ("room", &object),
            ("private-room", &json!("plain")),
        ] {
            let event = subscriber.expect("event").await;
            assert_eq!((&event["channel"], &event["data"]), (&json!(channel), data), "{event}");
            assert_eq!(event["event"], "greeting");
        }
        let (_, ended_well) = subscriber.finish().await;
        assert!(ended_well);
    }

    async fn reflect(&self, port: u16, arguments: &[&str]) -> (Vec<Value>, bool) {
        let address = address(port).to_string();
        let arguments: Vec<_> = [&*address].into_iter().chain(arguments.iter().copied()).collect();
        Rig::python("reflect.py", &arguments).finish().await
    }

    /// A client that knows no .proto file manages apps and publishes.
    async fn serve_a_reflection_client(&self) {
        let token = format!("authorization: Bearer {}", self.token.trim());
        let call = async |method: &str, request: &str| {
            let target = format!("carillon.v1.AppService/{method}");
            let (lines, well) =
                self.reflect(self.operations, &["call", &target, request, "-H", &token]).await;
            assert!(well, "{method}: {lines:?}");
            lines[0]["body"].clone()
        };
        let (services, _) = self.reflect(self.operations, &["list"]).await;
        assert!(
            services.iter().any(|line| line["name"] == "carillon.v1.AppService"),
            "{services:?}"
        );
        let create = r#"{"app":{"app_id":"shop","key":"shop-key"},"secret":"shop-secret"}"#;
        assert_eq!(call("CreateApp", create).await["secret"], "shop-secret");
        let update = r#"{"app":{"app_id":"shop","limits":{"event_name_chars_max":5}},
                         "update_mask":{"paths":["limits.event_name_chars_max"]}}"#;
        let updated = call("UpdateApp", update).await;
        assert_eq!(updated["app"]["limits"]["event_name_chars_max"], 5);
        assert_eq!(call("GetApp", r#"{"app_id":"shop"}"#).await["app"], updated["app"]);

        let basic = base64("shop-key:shop-secret");
        let basic = format!("authorization: Basic {basic}");
        let publish = async |name: &str| {
            let request = json!({ "app_id": "shop", "event": { "name": name, "data": "x", "channels": ["room"] } });
            let target = "carillon.v1.EventService/TriggerEvent";
            self.reflect(self.grpc, &["call", target, &request.to_string(), "-H", &basic]).await
        };
        let (lines, well) = publish("short").await;
        assert!(well, "{lines:?}");
        let (lines, well) = publish("longer").await;
        assert!(!well);
        assert_eq!(lines[0]["code"], "INVALID_ARGUMENT", "{lines:?}");
        let details = lines[0]["details"].to_string();
        assert!(
            details.contains("LIMIT_EXCEEDED") && details.contains("google.rpc.BadRequest"),
            "{details}"
        );
        call("DeleteApp", r#"{"app_id":"shop"}"#).await;
        let (lines, well) =
            self.reflect(self.operations, &["call", "carillon.v1.AppService/ListApps"]).await;
        assert!(!well);
        assert_eq!(lines[0]["code"], "UNAUTHENTICATED", "{lines:?}");
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

async fn answer(rig: Rig) -> Value {
    let (lines, well) = rig.finish().await;
    assert!(well && lines.len() == 1, "{lines:?}");
    lines[0].clone()
}

#[tokio::test]
async fn libraries_talk_to_one_process() {
    all_in_one().await.serve_the_libraries().await;
}

#[tokio::test]
async fn libraries_talk_to_three_processes() {
    three_processes().await.serve_the_libraries().await;
}

#[tokio::test]
async fn a_reflection_client_talks_to_one_process() {
    all_in_one().await.serve_a_reflection_client().await;
}

#[tokio::test]
async fn a_reflection_client_talks_to_three_processes() {
    three_processes().await.serve_a_reflection_client().await;
}

#[tokio::test]
async fn the_sdk_leaves_its_own_socket_out_and_names_its_errors() {
    let planes = all_in_one().await;
    let port = planes.sockets.to_string();
    let arguments = [&KEY[..], &["--port", &port, "--channels", "room", "--count", "1"]].concat();
    let mut one = Rig::node("subscribe.mjs", &arguments);
    let socket_id = one.expect("connected").await["socket_id"].as_str().unwrap().to_owned();
    one.expect("subscribed").await;
    let mut other = planes.subscriber("room", 1).await;
    planes
        .publish_from_node(&["--channels", "room", "--data", "mine", "--socket-id", &socket_id])
        .await;
    assert_eq!(other.expect("event").await["data"], "mine");
    planes.publish_from_python(&["--channels", "room", "--data", "for all"]).await;
    assert_eq!(one.expect("event").await["data"], "for all");

    let wrong = planes.arguments(&["--secret", "guessed"]);
    let (lines, well) = Rig::node("publish.mjs", &wrong).finish().await;
    assert!(!well);
    assert_eq!(lines[0]["error"]["status"], 401, "{lines:?}");
    let (lines, well) = Rig::python("publish.py", &wrong).finish().await;
    assert!(!well);
    assert_eq!(lines[0]["name"], "PusherBadAuth", "{lines:?}");
}

#[tokio::test]
async fn pusher_js_is_told_why_it_may_not_enter() {
    let planes = all_in_one().await;
    let port = planes.sockets.to_string();
    let arguments =
        ["--port", &port, "--channels", "private-room", "--secret", "guessed", "--count", "0"];
    let mut rig = Rig::node("subscribe.mjs", &arguments);
    let error = rig.expect("error").await;
    assert_eq!(error["channel"], "private-room", "{error}");
    assert_eq!(error["error"]["type"], "AuthError", "{error}");
    let mut rig =
        Rig::node("subscribe.mjs", &["--port", &port, "--channels", "room", "--key", "unknown"]);
    assert_eq!(rig.expect("error").await["error"]["code"], 4001);
}

#[tokio::test]
async fn the_command_line_publishes_and_manages() {
    let planes = all_in_one().await;
    let url = format!("http://{}", address(planes.rest));
    let admin = format!("http://{}", address(planes.operations));
    let data = planes.folder.path().display().to_string();
    let port = planes.sockets.to_string();
    let arguments = ["--port", &port, "--channels", "my-channel"];
    let mut subscriber = Rig::node("subscribe.mjs", &arguments);
    subscriber.expect("subscribed").await;
    let printed = Process::output(
        "carillon",
        &["trigger", "my-channel", "hello", r#"{"text":"hi"}"#, "--url", &url],
    )
    .await;
    assert_eq!(printed.trim(), r#"{"ok":true}"#);
    assert_eq!(subscriber.expect("event").await["data"], json!({ "text": "hi" }));

    let apps = async |arguments: &[&str]| {
        let all = [&["apps"], arguments, &["--admin", &*admin, "--data", &*data]].concat();
        Process::output("carillon", &all).await
    };
    let created: Value = serde_json::from_str(&apps(&["create", "shop"]).await).unwrap();
    assert_eq!(created["app_id"], "shop");
    assert!(apps(&["update", "shop", r#"{"enabled":false}"#]).await.contains(r#""enabled":false"#));
    assert_eq!(apps(&["list"]).await.lines().count(), 3);
    apps(&["delete", "shop"]).await;
    assert_eq!(apps(&["list"]).await.lines().count(), 2);
}
