//! All planes in one process: the same services, called in process instead of over TCP.

use std::{net::SocketAddr, path::Path};

use anyhow::Context as _;
use axum::Router;
use control_plane::{Cluster, ControlPlane};
use data_plane::{DataPlane, Surroundings, identity::Identity};
use gateway::Gateway;
use proto::{
    link,
    plane::{
        operations::Operations,
        serve::{Listener, ListenerMetrics},
        tls::Tls,
    },
    replicas::{Replicas, Seeds},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{config::Config, welcome};

const CONNECTIONS_MAX: usize = 65_536;

/// A process that serves.
#[derive(Debug)]
pub(crate) struct Running {
    serving: JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain.
    pub(crate) async fn wait(self) -> anyhow::Result<()> {
        self.serving.await.context("the process panicked")
    }
}

/// Binds, starts all planes and serves until `shutdown`; then drains.
pub(crate) async fn start(
    mut config: Config,
    shutdown: CancellationToken,
) -> anyhow::Result<Running> {
    let (tcp, address) = bind(config.listen).await?;
    let (operations_tcp, operations_address) = bind(config.operations_listen).await?;
    let encrypted = config.tls_certificate.is_some();
    let tls = Tls::configured(config.tls_certificate.take().zip(config.tls_key.take()))?;
    let operations_tls = config.control_plane.operations_tls.listener()?;
    let files = control_plane::config::Etcd::default();
    let settings =
        control_plane::open_settings(&files, &config.data, &config.control_plane).await?;
    let (app, secret) = welcome::development_app();
    let first_start = settings.create_if_new(app, secret).await?;
    // The one node is here: publishes need not wait for others.
    config.control_plane.expect_nodes = 1;
    config.control_plane.admin_token = Some(admin_token(&config)?);

    let operations = Operations::new(&config.metrics);
    let loaded = operations.condition("settings");
    tokio::spawn(control_plane::when_loaded(settings.clone(), loaded));
    let control_plane = ControlPlane::start(
        &config.control_plane,
        Cluster::default(),
        settings.clone(),
        &operations,
    );
    let link = link::local(control_plane.dispatch_service());
    let identity = Identity::new(Some("all-in-one".to_owned()));
    let surroundings = Surroundings {
        apps: settings.apps(),
        replicas: Replicas::start(Seeds::local(link.clone()), identity.caller()),
        identity,
        trusted_proxy_hops: config.gateway.trusted_proxy_hops,
    };
    let data_plane = DataPlane::start(&config.data_plane, surroundings, &operations)?;
    let replicas = Replicas::start(Seeds::local(link), gateway::caller());
    let gateway = Gateway::new(config.gateway.clone(), settings.apps(), replicas);
    gateway.register(&operations);

    let public = gateway
        .router()
        .merge(data_plane.router())
        .merge(grpc_only(control_plane.public_router()))
        .merge(welcome::router());
    let admin = operations.router().merge(control_plane.admin_router());
    let listener =
        |tcp, tls, router| Listener { tcp, tls, router, connections_max: CONNECTIONS_MAX };
    let (public, admin) =
        (listener(tcp, tls, public), listener(operations_tcp, operations_tls, admin));
    info!(%address, %operations_address, "carillon listens");
    welcome::print(address, operations_address, (&config.data, first_start, encrypted));

    let serving = tokio::spawn(async move {
        let (closed, ended) = (CancellationToken::new(), CancellationToken::new());
        let drain = async {
            shutdown.cancelled().await;
            gateway.drain();
            data_plane.drain().await;
            control_plane.stop();
            closed.cancel();
            control_plane.finish().await;
        };
        let public = async {
            public.serve(ListenerMetrics::default(), closed.clone().cancelled_owned()).await;
            ended.cancel();
        };
        let admin = admin.serve(ListenerMetrics::default(), ended.cancelled());
        tokio::join!(drain, public, admin);
        info!("carillon has ended");
    });
    Ok(Running { serving })
}

/// The gRPC routes without their fallback: what is no gRPC path is the gateway's to refuse.
fn grpc_only(router: Router) -> Router {
    router.reset_fallback()
}

async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let tcp =
        TcpListener::bind(address).await.with_context(|| format!("{address} cannot be bound"))?;
    let address = tcp.local_addr()?;
    Ok((tcp, address))
}

/// The token given, or the one that is kept under `--data`: made at the first start.
fn admin_token(config: &Config) -> anyhow::Result<String> {
    if let Some(token) = &config.control_plane.admin_token {
        return Ok(token.clone());
    }
    let path = config.data.join("admin-token");
    let made = || -> anyhow::Result<String> {
        use std::hash::{BuildHasher as _, RandomState};
        let random = || RandomState::new().hash_one(0);
        let token = format!("{:016x}{:016x}", random(), random());
        write_private(&path, &token)?;
        Ok(token)
    };
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(token.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => made(),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("{} cannot be written", path.display()))?;
    file.write_all(text.as_bytes())?;
    Ok(())
}
