//! The planes as processes of their own: they can be killed, and their memory is theirs alone.

use std::{fs::File, net::SocketAddr, path::Path};

use proto::v1::App;
use tempfile::TempDir;

use crate::{
    cluster::{ADMIN_TOKEN, is_ready},
    grpc::{Admin, Events},
    process::{Process, free_port},
    quiet::Place,
    rest::{Backend, Credentials},
};

/// What a fleet is made of. Arguments are those of the programs' command lines.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// How many gateways.
    pub gateways: usize,
    /// How many nodes.
    pub nodes: usize,
    /// The settings of its one app; id, key and secret are those of [`Credentials::default`].
    pub app: App,
    /// Further arguments of each node.
    pub node: Vec<String>,
    /// Further arguments of the control plane.
    pub control_plane: Vec<String>,
    /// Further arguments of each process.
    pub every: Vec<String>,
    /// No other test runs meanwhile.
    pub alone: bool,
}

/// A control plane, gateways and nodes.
#[derive(Debug)]
pub struct Fleet {
    control_plane: Process,
    gateways: Vec<Ship>,
    nodes: Vec<Ship>,
    addresses: Addresses,
    order: Order,
    folder: TempDir,
    _place: Place,
}

#[derive(Debug)]
struct Ship {
    process: Process,
    public: SocketAddr,
    operations: SocketAddr,
}

/// Those of the control plane.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    public: SocketAddr,
    internal: SocketAddr,
    operations: SocketAddr,
}

impl Fleet {
    /// Starts everything and waits until it is ready.
    pub async fn start(order: Order) -> Self {
        let place = Place::take(order.alone).await;
        let folder = TempDir::new().expect("a folder for the test");
        let [public, internal, operations] = [(); 3].map(|()| loopback());
        let addresses = Addresses { public, internal, operations };
        let control_plane = control_plane(&order, addresses, folder.path());
        let Credentials { app_id, key, secret } = Credentials::default();
        let app = App { app_id, key, ..order.app.clone() };
        answers(operations).await;
        Admin::new(operations, ADMIN_TOKEN).create(app, &secret).await;
        let mut fleet = Self {
            control_plane,
            gateways: Vec::new(),
            nodes: Vec::new(),
            addresses,
            order,
            folder,
            _place: place,
        };
        fleet.nodes = (0..fleet.order.nodes).map(|number| fleet.node(number)).collect();
        fleet.gateways = (0..fleet.order.gateways).map(|number| fleet.gateway(number)).collect();
        for ship in fleet.gateways.iter().chain(&fleet.nodes) {
            is_ready(ship.operations).await;
        }
        is_ready(operations).await;
        fleet
    }

    fn node(&self, number: usize) -> Ship {
        self.node_at(number, loopback(), loopback())
    }

    fn node_at(&self, number: usize, public: SocketAddr, operations: SocketAddr) -> Ship {
        let kept = self.folder.path().join(format!("node-{number}.apps"));
        let own = [
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--control-plane=http://{}", self.addresses.internal),
            format!("--node-id=node-{number}"),
            format!("--last-known-good={}", kept.display()),
        ];
        let further = [&self.order.node[..], &self.order.every].concat();
        let arguments = [&own[..], &further].concat();
        let log = log(self.folder.path(), &format!("node-{number}"));
        let process = Process::start_with_log("carillon-data-plane", &arguments, log);
        Ship { process, public, operations }
    }

    fn gateway(&self, number: usize) -> Ship {
        let [public, operations] = [loopback(), loopback()];
        let own = [
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--control-plane=http://{}", self.addresses.internal),
        ];
        let arguments = [&own[..], &self.order.every].concat();
        let log = log(self.folder.path(), &format!("gateway-{number}"));
        let process = Process::start_with_log("carillon-gateway", &arguments, log);
        Ship { process, public, operations }
    }

    /// Ends a node as `kill -9` does.
    pub async fn kill_node(&mut self, number: usize) {
        self.nodes[number].process.signal("KILL");
        self.nodes[number].process.ended().await;
    }

    /// Asks a node to end, and waits until it has.
    pub async fn drain_node(&mut self, number: usize) {
        self.nodes[number].process.signal("TERM");
        let code = self.nodes[number].process.ended().await;
        assert_eq!(code, Some(0), "the node ends well");
    }

    /// Starts a node that has ended again, with its name, its address and its files.
    pub async fn start_node_again(&mut self, number: usize) {
        let Ship { public, operations, .. } = self.nodes[number];
        self.nodes[number] = self.node_at(number, public, operations);
        is_ready(operations).await;
    }

    /// The operations listeners: the control plane's, the gateways', the nodes'.
    #[must_use]
    pub fn operations_addresses(&self) -> Vec<SocketAddr> {
        let ships = self.gateways.iter().chain(&self.nodes).map(|ship| ship.operations);
        std::iter::once(self.addresses.operations).chain(ships).collect()
    }

    /// The admin API, with the token.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin::new(self.addresses.operations, ADMIN_TOKEN)
    }

    /// What each process has logged so far, by its name.
    #[must_use]
    pub fn logs(&self) -> Vec<(String, String)> {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let paths = files.map(|file| file.expect("the folder can be read").path());
        let logs = paths.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
        logs.map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a log is text"))
        })
        .collect()
    }

    /// Where the nodes take WebSockets.
    #[must_use]
    pub fn node_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| node.public).collect()
    }

    /// The app's backend that calls a gateway.
    #[must_use]
    pub fn backend(&self, gateway: usize) -> Backend {
        Backend::new(self.gateways[gateway].public, Credentials::default())
    }

    /// The public gRPC API, as the app's backend.
    #[must_use]
    pub fn events(&self) -> Events {
        Events::new(self.addresses.public, Credentials::default())
    }

    /// Resident memory of each process, in KiB: the control plane's, the gateways', the nodes'.
    #[must_use]
    pub fn resident_kib(&self) -> Vec<(String, u64)> {
        let named = |name: &str, ships: &[Ship]| -> Vec<_> {
            let numbered = ships.iter().enumerate();
            numbered
                .map(|(number, ship)| (format!("{name} {number}"), ship.process.resident_kib()))
                .collect()
        };
        let control_plane = ("control plane".to_owned(), self.control_plane.resident_kib());
        let others = [named("gateway", &self.gateways), named("node", &self.nodes)].concat();
        std::iter::once(control_plane).chain(others).collect()
    }
}

fn control_plane(order: &Order, addresses: Addresses, folder: &Path) -> Process {
    let Addresses { public, internal, operations } = addresses;
    let own = [
        format!("--listen={public}"),
        format!("--internal-listen={internal}"),
        format!("--operations-listen={operations}"),
        format!("--data={}", folder.join("control-plane").display()),
        format!("--admin-token={ADMIN_TOKEN}"),
        format!("--expect-nodes={}", order.nodes),
        "--warm-up-ms=10000".to_owned(),
    ];
    let arguments = [&own, &order.control_plane[..], &order.every].concat();
    Process::start_with_log("carillon-control-plane", &arguments, log(folder, "control-plane"))
}

fn log(folder: &Path, name: &str) -> File {
    File::create(folder.join(format!("{name}.log"))).expect("the test's folder is writable")
}

/// Waits until the listener is there, whatever it says.
async fn answers(operations: SocketAddr) {
    let alive = || async { (crate::rest::get(operations, "/livez").await.0 == 200).then_some(()) };
    crate::eventually("the control plane lives", alive).await;
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}
