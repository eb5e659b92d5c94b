//! Whole clusters of real processes, each with a network of its own where that is allowed, to be broken.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use proto::v1::App;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::{
    cluster::{ADMIN_TOKEN, is_ready},
    etcd::fast_disk,
    eventually,
    grpc::Admin,
    process::Process,
    quiet::Place,
    rest::{Backend, Credentials, get},
};

mod network;
mod part;
mod vitals;

pub use network::{Berth, Network};
pub use part::{Part, Station};
pub use vitals::Vitals;

/// What an arena is made of. Arguments are those of the programs' command lines.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Members of etcd; without any, the one control plane keeps its apps in a file.
    pub etcd: usize,
    /// How many control planes.
    pub control_planes: usize,
    /// How many gateways.
    pub gateways: usize,
    /// How many nodes.
    pub nodes: usize,
    /// All planes in one process instead.
    pub all_in_one: bool,
    /// The settings of every app; id, key and secret are those of [`credentials`].
    pub app: App,
    /// Further arguments of each control plane.
    pub control_plane: Vec<String>,
    /// Further arguments of each gateway.
    pub gateway: Vec<String>,
    /// Further arguments of each node.
    pub node: Vec<String>,
}

impl Order {
    /// Every plane several times, and etcd.
    #[must_use]
    pub fn of(control_planes: usize, gateways: usize, nodes: usize) -> Self {
        Self { etcd: 3, control_planes, gateways, nodes, ..Self::default() }
    }

    /// The same with these settings of the apps, as a JSON object.
    #[must_use]
    pub fn app(mut self, settings: serde_json::Value) -> Self {
        self.app = serde_json::from_value(settings).expect("the test's settings are an App");
        self
    }

    fn parts(&self) -> Vec<Part> {
        let etcd = (0..self.etcd).map(Part::Etcd);
        let control_planes = (0..self.control_planes).map(Part::ControlPlane);
        let gateways = (0..self.gateways).map(Part::Gateway);
        let nodes = (0..self.nodes).map(Part::Node);
        let all_in_one = self.all_in_one.then_some(Part::AllInOne);
        etcd.chain(control_planes).chain(gateways).chain(nodes).chain(all_in_one).collect()
    }
}

/// A running cluster. No other test runs beside it.
#[derive(Debug)]
pub struct Arena {
    order: Order,
    /// What the programs keep.
    data: TempDir,
    /// What they say.
    logs: PathBuf,
    stations: BTreeMap<Part, Station>,
    // Processes end before the network that they are in.
    processes: BTreeMap<Part, Process>,
    network: Network,
    _place: Place,
}

/// How many apps there are.
pub const APPS: u8 = 2;

/// Who calls for an app. The first one is the development app of the all-in-one.
#[must_use]
pub fn credentials(app: u8) -> Credentials {
    let first = Credentials::default();
    if app == 0 {
        return first;
    }
    let named = |name: String| format!("{name}-{app}");
    Credentials { app_id: named(first.app_id), key: named(first.key), secret: named(first.secret) }
}

impl Arena {
    /// Starts everything and waits until it is ready. What programs say goes into the folder `logs`.
    pub async fn start(order: Order, logs: &Path) -> Self {
        let place = Place::take(true).await;
        let mut network = Network::make();
        let parts = order.parts();
        let station = |part: &Part| (*part, Station::at(network.berth(&part.to_string())));
        let stations = parts.iter().map(station).collect();
        let mut arena = Self {
            order,
            data: TempDir::new_in(fast_disk()).expect("a folder for the programs"),
            logs: logs.to_owned(),
            stations,
            processes: BTreeMap::new(),
            network,
            _place: place,
        };
        let (stores, others): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| matches!(part, Part::Etcd(_)));
        for parts in [stores, others] {
            parts.iter().for_each(|part| arena.launch(*part));
            for part in parts {
                arena.is_alive(part).await;
            }
        }
        arena.create_apps().await;
        arena.all_ready().await;
        arena
    }

    async fn create_apps(&self) {
        // The all-in-one has made the first one itself.
        let first = u8::from(self.order.all_in_one);
        for app in first..APPS {
            let Credentials { app_id, key, secret } = credentials(app);
            let app = App { app_id, key, ..self.order.app.clone() };
            self.admin().create(app, &secret).await;
        }
    }

    fn launch(&mut self, part: Part) {
        let chart = part::Chart {
            order: &self.order,
            stations: &|part| &self.stations[&part],
            data: self.data.path(),
            logs: &self.logs,
        };
        self.processes.insert(part, Process::launch(&chart.launch(part)));
    }

    /// Waits until a part answers at all.
    async fn is_alive(&self, part: Part) {
        let station = &self.stations[&part];
        let (address, path) = match part {
            Part::Etcd(_) => (station.public, "/health"),
            Part::ControlPlane(_) | Part::Gateway(_) | Part::Node(_) | Part::AllInOne => {
                (station.operations, "/livez")
            }
        };
        let alive = || async move { (get(address, path).await.0 == 200).then_some(()) };
        eventually(&format!("{part} lives"), alive).await;
    }

    /// Waits until everything that runs says it is ready.
    pub async fn all_ready(&self) {
        for part in self.processes.keys() {
            self.ready(*part).await;
        }
    }

    /// Waits until a part says it is ready.
    pub async fn ready(&self, part: Part) {
        match part {
            Part::Etcd(_) => self.is_alive(part).await,
            Part::ControlPlane(_) | Part::Gateway(_) | Part::Node(_) | Part::AllInOne => {
                is_ready(self.stations[&part].operations).await;
            }
        }
    }

    /// Ends a part as `kill -9` does.
    pub async fn kill(&mut self, part: Part) {
        let mut process = self.processes.remove(&part).expect("it runs");
        process.signal("KILL");
        process.ended().await;
    }

    /// Asks a part to end, and waits until it has.
    pub async fn end(&mut self, part: Part) {
        let mut process = self.processes.remove(&part).expect("it runs");
        process.signal("TERM");
        let longest = Duration::from_secs(90);
        let ended = timeout(longest, process.ended_by_itself()).await;
        let code = ended.unwrap_or_else(|_| panic!("{part} goes on {longest:?} after SIGTERM"));
        assert_eq!(code, Some(0), "{part} ends well");
    }

    /// Starts a part that has ended again: same name, address and files, another boot.
    pub fn start_again(&mut self, part: Part) {
        self.launch(part);
    }

    /// A part stands still.
    pub fn stop(&self, part: Part) {
        self.processes[&part].signal("STOP");
    }

    /// It goes on where it was.
    pub fn go_on(&self, part: Part) {
        self.processes[&part].signal("CONT");
    }

    /// Whether parts can be cut off from each other here.
    #[must_use]
    pub fn can_be_cut(&self) -> bool {
        self.network.can_be_cut()
    }

    /// Nothing passes between any of these and any of those, in either direction.
    pub fn split(&self, these: &[Part], those: &[Part]) {
        for this in these {
            for that in those {
                self.cut(*this, *that);
                self.cut(*that, *this);
            }
        }
    }

    /// Nothing passes in this direction.
    pub fn cut(&self, from: Part, to: Part) {
        self.network.cut(&self.stations[&from].berth, &self.stations[&to].berth);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.network.heal();
    }

    /// Where a part listens.
    #[must_use]
    pub fn station(&self, part: Part) -> &Station {
        &self.stations[&part]
    }

    /// What it was made of.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Where WebSockets are taken.
    #[must_use]
    pub fn nodes(&self) -> Vec<SocketAddr> {
        self.publics(|part| matches!(part, Part::Node(_) | Part::AllInOne))
    }

    /// Where REST is taken.
    #[must_use]
    pub fn gateways(&self) -> Vec<SocketAddr> {
        self.publics(|part| matches!(part, Part::Gateway(_) | Part::AllInOne))
    }

    fn publics(&self, wanted: impl Fn(&Part) -> bool) -> Vec<SocketAddr> {
        let stations = self.stations.iter().filter(|(part, _)| wanted(part));
        stations.map(|(_, station)| station.public).collect()
    }

    /// An app's backend that calls a gateway.
    #[must_use]
    pub fn backend(&self, app: u8, gateway: usize) -> Backend {
        Backend::new(self.gateways()[gateway], credentials(app))
    }

    /// The admin API of the first control plane.
    #[must_use]
    pub fn admin(&self) -> Admin {
        let part = if self.order.all_in_one { Part::AllInOne } else { Part::ControlPlane(0) };
        Admin::new(self.stations[&part].operations, ADMIN_TOKEN)
    }

    /// Memory, files and processor time of each part that runs.
    #[must_use]
    pub fn vitals(&self) -> BTreeMap<Part, Vitals> {
        let running = self.processes.iter();
        running.filter_map(|(part, process)| Some((*part, Vitals::of(process.pid())?))).collect()
    }

    /// What each part that runs counts, by the names of `/metrics`.
    pub async fn counters(&self) -> BTreeMap<Part, BTreeMap<String, f64>> {
        let mut counters = BTreeMap::new();
        for part in self.processes.keys().filter(|part| !matches!(part, Part::Etcd(_))) {
            let answer = get(self.stations[part].operations, "/metrics");
            let answer = timeout(Duration::from_secs(2), answer).await;
            let (_, text) = answer.unwrap_or_default();
            counters.insert(*part, vitals::counters(&text));
        }
        counters
    }
}
