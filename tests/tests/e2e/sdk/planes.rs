//! Processes that are ready, with an app for the libraries.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::{ADMIN_TOKEN, is_ready},
    etcd::Etcd,
    eventually,
    grpc::Admin,
    process::{Process, free_port},
    quiet::Place,
    rest::{Credentials, get},
};

/// What runs where.
#[derive(Clone, Copy, Debug)]
pub(super) enum Layout {
    /// The all-in-one, with the development app of a first start.
    OneProcess,
    /// A gateway, a control plane and a node, and a real etcd.
    ThreeProcesses,
}

/// Processes that are ready, and where they serve.
pub(super) struct Planes {
    pub(super) rest: u16,
    pub(super) sockets: u16,
    pub(super) grpc: u16,
    pub(super) operations: u16,
    pub(super) token: String,
    pub(super) folder: TempDir,
    /// The process with the sockets.
    node: Program,
    _others: Vec<Program>,
    _etcd: Option<Etcd>,
    _place: Place,
}

/// A process that can be started again as it was.
struct Program {
    name: &'static str,
    arguments: Vec<String>,
    process: Process,
}

impl Program {
    fn start(name: &'static str, arguments: Vec<String>) -> Self {
        let process = Process::start(name, &arguments);
        Self { name, arguments, process }
    }
}

pub(super) fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// The app that the libraries use. The Python library takes no app id but digits.
pub(super) fn account() -> Credentials {
    let [app_id, key, secret] = ["1000", "sdk-key", "sdk-secret"].map(str::to_owned);
    Credentials { app_id, key, secret }
}

fn flags(flags: &[(&str, String)]) -> Vec<String> {
    flags.iter().map(|(name, value)| format!("--{name}={value}")).collect()
}

impl Planes {
    /// Starts the processes; the app has these settings.
    pub(super) async fn start(layout: Layout, app: Value) -> Self {
        let planes = match layout {
            Layout::OneProcess => one_process().await,
            Layout::ThreeProcesses => three_processes().await,
        };
        planes.create_app(app).await;
        planes
    }

    /// Ends the process with the sockets as `kill -9` does and starts it again.
    pub(super) async fn restart_sockets(&mut self) {
        self.node.process.signal("KILL");
        self.node.process.ended().await;
        self.node.process = Process::start(self.node.name, &self.node.arguments);
    }

    /// Creates the app of the libraries and waits until gateway and node know it.
    async fn create_app(&self, mut app: Value) {
        let Credentials { app_id, key, secret } = account();
        app["app_id"] = json!(app_id);
        app["key"] = json!(key);
        let app = serde_json::from_value(app).expect("the test's settings are an App");
        Admin::new(address(self.operations), self.token.trim()).create(app, &secret).await;
        let (gateway, node) = (address(self.rest), address(self.sockets));
        let known = || async move {
            let mut client = Client::open(node, "/app/sdk-key", None).await;
            let greeted = client.next_frame().await["event"] == "pusher:connection_established";
            (greeted && get(gateway, "/up/1000").await.0 == 200).then_some(())
        };
        eventually("the app is known", known).await;
    }
}

async fn one_process() -> Planes {
    let place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let [public, operations] = [free_port(), free_port()];
    let mut arguments = flags(&[
        ("listen", address(public).to_string()),
        ("operations-listen", address(operations).to_string()),
        ("data", folder.path().display().to_string()),
    ]);
    arguments.push("--webhooks-private-addresses-allowed".into());
    let node = Program::start("carillon", arguments);
    is_ready(address(operations)).await;
    let token = std::fs::read_to_string(folder.path().join("admin-token")).unwrap();
    Planes {
        rest: public,
        sockets: public,
        grpc: public,
        operations,
        token,
        folder,
        node,
        _others: Vec::new(),
        _etcd: None,
        _place: place,
    }
}

async fn three_processes() -> Planes {
    let place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let etcd = Etcd::start().await;
    let [grpc, internal, operations, rest, sockets] = [(); 5].map(|()| free_port());
    let [of_gateway, of_node] = [free_port(), free_port()];
    let file = |name: &str| folder.path().join(name).display().to_string();
    let calls = format!("http://{}", address(internal));
    let mut control_plane = flags(&[
        ("listen", address(grpc).to_string()),
        ("internal-listen", address(internal).to_string()),
        ("operations-listen", address(operations).to_string()),
        ("etcd-endpoints", etcd.endpoint()),
        ("data", file("control-plane")),
        ("admin-token", ADMIN_TOKEN.to_owned()),
        ("expect-nodes", "1".to_owned()),
    ]);
    control_plane.push("--webhooks-private-addresses-allowed".into());
    let node = flags(&[
        ("listen", address(sockets).to_string()),
        ("operations-listen", address(of_node).to_string()),
        ("control-plane", calls.clone()),
        ("last-known-good", file("node.apps")),
    ]);
    let gateway = flags(&[
        ("listen", address(rest).to_string()),
        ("operations-listen", address(of_gateway).to_string()),
        ("control-plane", calls),
        ("last-known-good", file("gateway.apps")),
    ]);
    let others = vec![
        Program::start("carillon-control-plane", control_plane),
        Program::start("carillon-gateway", gateway),
    ];
    let node = Program::start("carillon-data-plane", node);
    for port in [operations, of_node, of_gateway] {
        is_ready(address(port)).await;
    }
    Planes {
        rest,
        sockets,
        grpc,
        operations,
        token: ADMIN_TOKEN.to_owned(),
        folder,
        node,
        _others: others,
        _etcd: Some(etcd),
        _place: place,
    }
}
