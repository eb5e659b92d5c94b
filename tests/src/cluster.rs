//! The three programs in this process, each on ports of its own.

use std::{net::SocketAddr, path::Path, time::Duration};

use clap::{Args, Command, FromArgMatches};
use proto::v1::App;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    PATIENCE,
    client::Client,
    grpc::{Admin, Events},
    process::free_port,
    quiet::Place,
    rest::{Backend, Credentials, get},
    soon,
};

/// The token of every cluster's admin API.
pub const ADMIN_TOKEN: &str = "only-in-tests";

/// What a cluster is made of. Arguments are those of the programs' command lines.
#[derive(Clone, Debug)]
pub struct Shape {
    /// How many gateways.
    pub gateways: usize,
    /// How many nodes.
    pub nodes: usize,
    /// The settings of the app that exists from the start; id, key and secret are those of
    /// [`Credentials::default`].
    pub app: App,
    /// Further arguments of each gateway.
    pub gateway: Vec<String>,
    /// Further arguments of each node.
    pub node: Vec<String>,
    /// Further arguments of the control plane.
    pub control_plane: Vec<String>,
    /// Where the first node finds the control plane, where that is not its own address: a proxy's.
    pub first_node_calls: Option<SocketAddr>,
    /// No other test runs meanwhile.
    pub alone: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            gateways: 1,
            nodes: 1,
            app: App::default(),
            gateway: Vec::new(),
            node: Vec::new(),
            control_plane: Vec::new(),
            first_node_calls: None,
            alone: false,
        }
    }
}

impl Shape {
    /// Two gateways and three nodes.
    #[must_use]
    pub fn wide() -> Self {
        Self { gateways: 2, nodes: 3, ..Self::default() }
    }

    /// The same with further arguments for each node, as one line.
    #[must_use]
    pub fn node(mut self, line: &str) -> Self {
        self.node.extend(line.split(' ').map(str::to_owned));
        self
    }

    /// The same with further arguments for each gateway, as one line.
    #[must_use]
    pub fn gateway(mut self, line: &str) -> Self {
        self.gateway.extend(line.split(' ').map(str::to_owned));
        self
    }

    /// The same with further arguments for the control plane, as one line.
    #[must_use]
    pub fn control_plane(mut self, line: &str) -> Self {
        self.control_plane.extend(line.split(' ').map(str::to_owned));
        self
    }

    /// The same with these settings of the app, as a JSON object.
    #[must_use]
    pub fn app(mut self, settings: serde_json::Value) -> Self {
        self.app = serde_json::from_value(settings).expect("the test's settings are an App");
        self
    }

    /// The same, with no other test beside it.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }
}

/// A running program.
#[derive(Debug)]
pub struct Plane<T> {
    /// What its start returned.
    pub running: T,
    _stop: DropGuard,
}

/// A control plane, gateways, nodes and a folder for what they keep.
#[derive(Debug)]
pub struct Cluster {
    /// The control plane; `None` while it is stopped.
    pub control_plane: Option<Plane<control_plane::Running>>,
    /// The gateways.
    pub gateways: Vec<Plane<gateway::Running>>,
    /// The nodes.
    pub nodes: Vec<Plane<data_plane::Running>>,
    /// Where the programs keep their files.
    pub folder: TempDir,
    shape: Shape,
    internal: SocketAddr,
    _place: Place,
}

impl Cluster {
    /// Starts everything and waits until it is ready.
    pub async fn start(shape: Shape) -> Self {
        let place = Place::take(shape.alone).await;
        let folder = TempDir::new().expect("a folder for the test");
        // A test may stop it and start it again at the same address.
        let internal = ([127, 0, 0, 1], free_port()).into();
        let control_plane = start_control_plane(&shape, folder.path(), internal).await;
        let mut cluster = Self {
            internal: control_plane.running.internal_address,
            control_plane: Some(control_plane),
            gateways: Vec::new(),
            nodes: Vec::new(),
            folder,
            shape,
            _place: place,
        };
        cluster.create_first_app().await;
        for place in 0..cluster.shape.nodes {
            let node = cluster.start_node(place).await;
            cluster.nodes.push(node);
        }
        for place in 0..cluster.shape.gateways {
            let gateway = cluster.start_gateway(place).await;
            cluster.gateways.push(gateway);
        }
        cluster.ready().await;
        cluster
    }

    async fn create_first_app(&self) {
        let Credentials { app_id, key, secret } = Credentials::default();
        let app = App { app_id, key, ..self.shape.app.clone() };
        self.admin().create(app, &secret).await;
    }

    async fn start_node(&self, place: usize) -> Plane<data_plane::Running> {
        let calls = self.shape.first_node_calls.filter(|_| place == 0).unwrap_or(self.internal);
        let kept = self.folder.path().join(format!("node-{place}.apps"));
        let own = [
            "--listen=127.0.0.1:0".to_owned(),
            "--operations-listen=127.0.0.1:0".to_owned(),
            "--drain-seconds=1".to_owned(),
            "--shard-threads=2".to_owned(),
            format!("--control-plane=http://{calls}"),
            format!("--node-id=node-{place}"),
            format!("--last-known-good={}", kept.display()),
        ];
        let stop = CancellationToken::new();
        let running = data_plane::start(config(&own, &self.shape.node), stop.clone());
        let running = running.await.expect("the node starts");
        Plane { running, _stop: stop.drop_guard() }
    }

    async fn start_gateway(&self, place: usize) -> Plane<gateway::Running> {
        let kept = self.folder.path().join(format!("gateway-{place}.apps"));
        let own = [
            "--listen=127.0.0.1:0".to_owned(),
            "--operations-listen=127.0.0.1:0".to_owned(),
            "--drain-delay-ms=0".to_owned(),
            format!("--control-plane=http://{}", self.internal),
            format!("--last-known-good={}", kept.display()),
        ];
        let stop = CancellationToken::new();
        let running = gateway::start(config(&own, &self.shape.gateway), stop.clone());
        let running = running.await.expect("the gateway starts");
        Plane { running, _stop: stop.drop_guard() }
    }

    /// Waits until every program says that it is ready.
    pub async fn ready(&self) {
        let control_plane = self.control_plane.iter();
        let control_plane = control_plane.map(|plane| plane.running.operations_address);
        let gateways = self.gateways.iter();
        let gateways = gateways.map(|plane| plane.running.operations_address);
        let nodes = self.nodes.iter();
        let nodes = nodes.map(|plane| plane.running.operations_address);
        for address in control_plane.chain(gateways).chain(nodes) {
            is_ready(address).await;
        }
    }

    /// Stops a node, which closes its sockets, and starts one of the same name and files.
    pub async fn restart_node(&mut self, place: usize) {
        let Plane { running, _stop } = self.nodes.remove(place);
        drop(_stop);
        soon("the node's end", running.wait()).await;
        let started = self.start_node(place).await;
        self.nodes.insert(place, started);
    }

    /// Stops a gateway and starts one with the same files.
    pub async fn restart_gateway(&mut self, place: usize) {
        let Plane { running, _stop } = self.gateways.remove(place);
        drop(_stop);
        let ended = soon("the gateway's end", running.wait()).await;
        ended.expect("the gateway ends well");
        let started = self.start_gateway(place).await;
        self.gateways.insert(place, started);
    }

    /// Stops the control plane.
    pub async fn stop_control_plane(&mut self) {
        let Plane { running, _stop } = self.control_plane.take().expect("it runs");
        drop(_stop);
        let ended = soon("the control plane's end", running.wait()).await;
        ended.expect("the control plane ends well");
    }

    /// Starts a control plane at the address that gateways and nodes know.
    pub async fn start_control_plane(&mut self) {
        let started = start_control_plane(&self.shape, self.folder.path(), self.internal).await;
        self.control_plane = Some(started);
    }

    /// An app's backend that calls a gateway.
    #[must_use]
    pub fn backend(&self, gateway: usize) -> Backend {
        let address = self.gateways[gateway].running.address;
        Backend::new(address, Credentials::default())
    }

    /// A client of a node: connected and greeted.
    pub async fn client(&self, node: usize) -> Client {
        Client::connect(self.node_address(node), &Credentials::default()).await
    }

    /// Where a node takes WebSockets.
    #[must_use]
    pub fn node_address(&self, node: usize) -> SocketAddr {
        self.nodes[node].running.address
    }

    /// The admin API, with the token.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.operations_address(), ADMIN_TOKEN)
    }

    /// The control plane's operations listener.
    #[must_use]
    pub fn operations_address(&self) -> SocketAddr {
        self.control_plane_running().operations_address
    }

    /// The public gRPC API, as the app's backend.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.grpc_address(), Credentials::default())
    }

    /// The public gRPC listener.
    #[must_use]
    pub fn grpc_address(&self) -> SocketAddr {
        self.control_plane_running().address
    }

    /// Where gateways and nodes call.
    #[must_use]
    pub fn internal_address(&self) -> SocketAddr {
        self.internal
    }

    fn control_plane_running(&self) -> &control_plane::Running {
        let plane = self.control_plane.as_ref();
        &plane.expect("the control plane runs").running
    }
}

async fn start_control_plane(
    shape: &Shape,
    folder: &Path,
    internal: SocketAddr,
) -> Plane<control_plane::Running> {
    let own = [
        "--listen=127.0.0.1:0".to_owned(),
        "--operations-listen=127.0.0.1:0".to_owned(),
        format!("--internal-listen={internal}"),
        format!("--data={}", folder.join("control-plane").display()),
        format!("--admin-token={ADMIN_TOKEN}"),
        format!("--expect-nodes={}", shape.nodes),
        "--warm-up-ms=10000".to_owned(),
    ];
    let stop = CancellationToken::new();
    let running = control_plane::start(config(&own, &shape.control_plane), stop.clone());
    let running = running.await.expect("the control plane starts");
    Plane { running, _stop: stop.drop_guard() }
}

/// Waits for 200 on `/readyz`.
pub async fn is_ready(operations: SocketAddr) {
    let began = Instant::now();
    loop {
        let (status, text) = get(operations, "/readyz").await;
        if status == 200 {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{operations} is not ready: {text}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A program's options from the arguments of its command line.
fn config<T: Args + FromArgMatches>(own: &[String], further: &[String]) -> T {
    let command = Command::new("test").no_binary_name(true);
    let command = T::augment_args(command).args_override_self(true);
    let matches = command
        .try_get_matches_from(own.iter().chain(further))
        .expect("the test's arguments are valid");
    T::from_arg_matches(&matches).expect("the test's arguments are valid")
}
