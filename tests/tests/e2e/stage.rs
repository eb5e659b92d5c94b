//! Where a scenario plays: everything in one process, or separate planes with several nodes.

use std::{net::SocketAddr, panic::AssertUnwindSafe};

use futures_util::FutureExt as _;
use proto::v1::App;
use serde_json::Value;
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::{Cluster, Shape, is_ready},
    grpc::Admin,
    process::{Process, free_port},
    rest::{Backend, Credentials, get},
};

/// A deployment with one app.
pub(crate) enum Stage {
    /// A process of its own.
    AllInOne(AllInOne),
    /// Two gateways, a control plane and three nodes, all in this process.
    Planes(Cluster),
}

/// The program `carillon`.
pub(crate) struct AllInOne {
    address: SocketAddr,
    operations: SocketAddr,
    token: String,
    credentials: Credentials,
    _process: Process,
    _folder: TempDir,
}

/// Plays a scenario on separate planes, then on the all-in-one. The app has these settings.
pub(crate) async fn both(settings: Value, scenario: impl AsyncFn(&Stage)) {
    both_with("", settings, scenario).await;
}

/// The same with further arguments for the control plane and the all-in-one, as one line.
pub(crate) async fn both_with(line: &str, settings: Value, scenario: impl AsyncFn(&Stage)) {
    let shape = Shape::wide().app(settings);
    let shape = if line.is_empty() { shape } else { shape.control_plane(line) };
    let app = shape.app.clone();
    let arguments = shape.control_plane.clone();
    let planes = Stage::Planes(Cluster::start(shape).await);
    play("separate planes", &planes, &scenario).await;
    // The cluster holds the test's place on the machine until the end.
    let all_in_one = Stage::AllInOne(AllInOne::start(app, &arguments).await);
    play("the all-in-one", &all_in_one, &scenario).await;
}

async fn play(name: &str, stage: &Stage, scenario: &impl AsyncFn(&Stage)) {
    let played = AssertUnwindSafe(Box::pin(scenario(stage))).catch_unwind().await;
    assert!(played.is_ok(), "that was on {name}");
}

impl Stage {
    /// A client of a node, connected and greeted; the all-in-one has but one.
    pub(crate) async fn client(&self, node: usize) -> Client {
        self.client_of(node, &self.backend(0).credentials).await
    }

    /// A client of another app.
    pub(crate) async fn client_of(&self, node: usize, app: &Credentials) -> Client {
        let address = match self {
            Self::AllInOne(all_in_one) => all_in_one.address,
            Self::Planes(cluster) => cluster.node_address(node),
        };
        Client::connect(address, app).await
    }

    /// A client of each of three nodes.
    pub(crate) async fn clients(&self) -> [Client; 3] {
        [self.client(0).await, self.client(1).await, self.client(2).await]
    }

    /// The app's backend.
    pub(crate) fn backend(&self, gateway: usize) -> Backend {
        match self {
            Self::AllInOne(all_in_one) => {
                Backend::new(all_in_one.address, all_in_one.credentials.clone())
            }
            Self::Planes(cluster) => cluster.backend(gateway),
        }
    }

    /// The admin API.
    pub(crate) fn admin(&self) -> Admin {
        match self {
            Self::AllInOne(all_in_one) => Admin::new(all_in_one.operations, &all_in_one.token),
            Self::Planes(cluster) => cluster.admin(),
        }
    }

    /// Changes settings of the app.
    pub(crate) async fn update(&self, settings: Value) {
        let app_id = self.backend(0).credentials.app_id;
        let app: App = serde_json::from_value(settings).expect("the settings are an App");
        self.admin().update(App { app_id, ..app }).await.expect("the settings are valid");
    }

    /// All events and notices of the channel have arrived, and these clients have read them: the next
    /// frame is that of an event published now.
    pub(crate) async fn quiet<const N: usize>(&self, channel: &str, clients: [&mut Client; N]) {
        self.backend(0).publish_text(channel, "quiet", "?").await;
        for client in clients {
            client.expect_event(channel, "quiet", "?").await;
            client.expect_nothing().await;
        }
    }
}

impl AllInOne {
    async fn start(app: App, arguments: &[String]) -> Self {
        let folder = TempDir::new().expect("a folder for the test");
        let [address, operations] =
            [free_port(), free_port()].map(|port| ([127, 0, 0, 1], port).into());
        let own = [
            format!("--listen={address}"),
            format!("--operations-listen={operations}"),
            format!("--data={}", folder.path().display()),
            "--drain-seconds=1".to_owned(),
        ];
        let process = Process::start("carillon", &[&own, arguments].concat());
        is_ready(operations).await;
        let token = std::fs::read_to_string(folder.path().join("admin-token"));
        let token = token.expect("it is made at the first start").trim().to_owned();
        let [app_id, key, secret] = ["stage-id", "stage-key", "stage-secret"].map(str::to_owned);
        let credentials = Credentials { app_id, key, secret };
        let all_in_one =
            Self { address, operations, token, credentials, _process: process, _folder: folder };
        all_in_one.create(app).await;
        all_in_one
    }

    /// Creates the app and waits until it is known.
    async fn create(&self, app: App) {
        let Credentials { app_id, key, secret } = self.credentials.clone();
        let (up, path) = (format!("/up/{app_id}"), format!("/app/{key}"));
        Admin::new(self.operations, &self.token).create(App { app_id, key, ..app }, &secret).await;
        let known = || async {
            let mut client = Client::open(self.address, &path, None).await;
            let greeted = client.next_frame().await["event"] == "pusher:connection_established";
            (greeted && get(self.address, &up).await.0 == 200).then_some(())
        };
        tests::eventually("the app is known", known).await;
    }
}
