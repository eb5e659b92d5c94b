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
    AllInOne(Box<AllInOne>),
    /// Two gateways, a control plane and three nodes, all in this process.
    Planes(Box<Cluster>),
}

/// The program `carillon`.
pub(crate) struct AllInOne {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// The app's.
    pub(crate) credentials: Credentials,
    /// The process; it ends with this.
    pub(crate) process: Process,
    operations: SocketAddr,
    token: String,
    _folder: TempDir,
}

/// Plays a scenario on separate planes and on the all-in-one. The app has these settings.
pub(crate) async fn both(settings: Value, scenario: impl AsyncFn(&Stage)) {
    both_with("", settings, scenario).await;
}

/// The same with further arguments for the control plane and the all-in-one, as one line.
pub(crate) async fn both_with(line: &str, settings: Value, scenario: impl AsyncFn(&Stage)) {
    let shape = Shape::wide().app(settings);
    let shape = if line.is_empty() { shape } else { shape.control_plane(line) };
    let (app, arguments) = (shape.app.clone(), shape.control_plane.clone());
    // The cluster holds the test's place on the machine until both have ended.
    let planes = Stage::Planes(Box::new(Box::pin(Cluster::start(shape)).await));
    let on_planes = play("separate planes", &planes, &scenario);
    let on_all_in_one = async {
        let all_in_one = AllInOne::start(app, &arguments).await;
        play("the all-in-one", &Stage::AllInOne(Box::new(all_in_one)), &scenario).await;
    };
    tokio::join!(Box::pin(on_planes), Box::pin(on_all_in_one));
}

async fn play(name: &str, stage: &Stage, scenario: &impl AsyncFn(&Stage)) {
    let played = AssertUnwindSafe(scenario(stage)).catch_unwind().await;
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
            Self::AllInOne(all_in_one) => all_in_one.admin(),
            Self::Planes(cluster) => cluster.admin(),
        }
    }

    /// Changes settings of the app.
    pub(crate) async fn update(&self, settings: Value) {
        update(&self.admin(), self.backend(0).credentials, settings).await;
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
    /// Starts the process, with an app of its own besides the development app.
    pub(crate) async fn start(app: App, arguments: &[String]) -> Self {
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
        let all_in_one = Self { address, credentials, process, operations, token, _folder: folder };
        all_in_one.create(app).await;
        all_in_one
    }

    fn admin(&self) -> Admin {
        Admin::new(self.operations, &self.token)
    }

    /// Changes settings of the app.
    pub(crate) async fn update(&self, settings: Value) {
        update(&self.admin(), self.credentials.clone(), settings).await;
    }

    /// Creates the app and waits until it is known.
    async fn create(&self, app: App) {
        let Credentials { app_id, key, secret } = self.credentials.clone();
        let (up, path) = (format!("/up/{app_id}"), format!("/app/{key}"));
        self.admin().create(App { app_id, key, ..app }, &secret).await;
        let known = || async {
            let mut client = Client::open(self.address, &path, None).await;
            let greeted = client.next_frame().await["event"] == "pusher:connection_established";
            (greeted && get(self.address, &up).await.0 == 200).then_some(())
        };
        tests::eventually("the app is known", known).await;
    }
}

async fn update(admin: &Admin, app: Credentials, settings: Value) {
    let settings: App = serde_json::from_value(settings).expect("the settings are an App");
    let updated = admin.update(App { app_id: app.app_id, ..settings }).await;
    updated.expect("the settings are valid");
}
