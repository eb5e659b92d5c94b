//! A gateway with the apps of the specification's vectors.

use std::{net::SocketAddr, sync::Arc};

use gateway::{
    Clock, Gateway,
    config::Options,
    signed::{Query, string_to_sign},
};
use md5::{Digest as _, Md5};
use model::{App, AppId, AppSecret, Apps, Secrets, Signature};
use proto::{
    plane::{
        operations::Operations,
        serve::{Listener, ListenerMetrics},
    },
    replicas::{Replicas, Seeds},
    watch::AppsReceiver,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    client::{Client, Response},
    control_plane::ControlPlane,
};

pub(crate) const NOW: u64 = 1_700_000_000;

/// A gateway on a port of its own, and the control plane that it publishes to.
pub(crate) struct Fixture {
    pub address: SocketAddr,
    pub gateway: Gateway,
    pub operations: Operations,
    pub control_plane: ControlPlane,
    /// The settings; `None` until a test sends some.
    pub apps: watch::Sender<Option<Arc<Apps>>>,
}

/// An enabled app.
pub(crate) fn app(id: &str, key: &str, secret: &str) -> App {
    App::new(AppId::parse(id).unwrap(), key, Secrets::one(AppSecret::new(secret)))
}

/// The apps of the vectors, another one, and one that is disabled.
pub(crate) fn apps() -> Arc<Apps> {
    let disabled = App { enabled: false, ..app("off", "off-key", "off-secret") };
    let apps = [
        app("app-1", "app-key", "app-secret"),
        app("app-2", "other-key", "other-secret"),
        app("3", "278d425bdf160c739803", "7ad3773142a6692b25b8"),
        app("my-app", "key", "secret"),
        disabled,
    ];
    let (apps, conflicts) = Apps::new(1, apps.map(Arc::new));
    assert!(conflicts.is_empty());
    Arc::new(apps)
}

/// A gateway whose clock stands at [`NOW`].
pub(crate) async fn start() -> Fixture {
    start_with(Options::default(), || NOW).await
}

pub(crate) async fn start_with(options: Options, clock: Clock) -> Fixture {
    let control_plane = ControlPlane::default();
    let replicas = replicas(&[control_plane.listen().await]);
    let (sender, receiver): (_, AppsReceiver) = watch::channel(Some(apps()));
    let gateway = Gateway::with_clock(options, receiver, replicas, clock);
    let operations = Operations::default();
    gateway.register(&operations);
    let address = serve(&gateway).await;
    Fixture { address, gateway, operations, control_plane, apps: sender }
}

/// The control planes at these addresses.
pub(crate) fn replicas(addresses: &[SocketAddr]) -> Replicas {
    let addresses = addresses.iter().map(|address| format!("http://{address}"));
    Replicas::start(Seeds::at(addresses).unwrap(), gateway::caller())
}

/// Serves REST on a port of its own.
pub(crate) async fn serve(gateway: &Gateway) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener { tcp, tls: None, router: gateway.router(), connections_max: 1_000 };
    tokio::spawn(listener.serve(ListenerMetrics::default(), std::future::pending()));
    address
}

impl Fixture {
    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(
        &self,
        method: &str,
        target: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Response {
        self.client().await.request(method, target, headers, body).await
    }

    /// A signed GET of something of app-1's; `more` are further parameters, each with `&` in front.
    pub(crate) async fn get(&self, path: &str, more: &str) -> Response {
        let target = sign("GET", &format!("/apps/app-1{path}"), more, b"");
        self.request("GET", &target, &[], b"").await
    }

    /// A signed POST to something of app-1's.
    pub(crate) async fn post(&self, path: &str, headers: &[&str], body: &str) -> Response {
        let target = sign("POST", &format!("/apps/app-1{path}"), "", body.as_bytes());
        self.request("POST", &target, headers, body.as_bytes()).await
    }

    /// Publishes a body for app-1, signed.
    pub(crate) async fn publish(&self, body: &str) -> Response {
        self.post("/events", &[], body).await
    }

    /// The metrics as text.
    pub(crate) async fn metrics(&self) -> String {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let router = self.operations.router();
        let listener = Listener { tcp, tls: None, router, connections_max: 10 };
        tokio::spawn(listener.serve(ListenerMetrics::default(), std::future::pending()));
        Client::connect(address).await.request("GET", "/metrics", &[], b"").await.body
    }
}

/// Path and query of a request by app-1's backend at [`NOW`]; `more` are further parameters, each
/// with `&` in front.
pub(crate) fn sign(method: &str, path: &str, more: &str, body: &[u8]) -> String {
    let secret = match path.split('/').nth(2) {
        Some("off") => ("off-key", "off-secret"),
        _ => ("app-key", "app-secret"),
    };
    sign_as(secret, method, path, &format!("&auth_timestamp={NOW}{more}"), body)
}

/// As [`sign`], with key and secret, and without a timestamp of its own.
pub(crate) fn sign_as(
    (key, secret): (&str, &str),
    method: &str,
    path: &str,
    more: &str,
    body: &[u8],
) -> String {
    let md5 = match body {
        [] => String::new(),
        _ => format!("&body_md5={}", hex::encode(Md5::digest(body))),
    };
    let raw = format!("auth_key={key}&auth_version=1.0{md5}{more}");
    let message = string_to_sign(method, path, &Query::parse(&raw).unwrap());
    let signature = Signature::sign(&AppSecret::new(secret), message.as_bytes());
    format!("{path}?{raw}&auth_signature={signature}")
}
