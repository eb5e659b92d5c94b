//! The life of a control plane of its own: bind, load the settings, serve, drain.

use std::{
    fs::DirBuilder, net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc,
};

use anyhow::Context as _;
use proto::{
    plane::{
        identity::Role,
        operations::Operations,
        serve::{Listener, ListenerMetrics},
        tls::Tls,
    },
    replicas::Seeds,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::{Config, Etcd as EtcdPlace, Options},
    control_plane::{Cluster, ControlPlane},
    node::LAG_MAX,
    settings::{self, FileStore, Settings, Store},
};

const CONNECTIONS_MAX: usize = 10_000;

/// A control plane that serves.
#[derive(Debug)]
pub struct Running {
    /// Where backends call.
    pub address: SocketAddr,
    /// Where gateways and nodes call.
    pub internal_address: SocketAddr,
    /// Where probes, metrics and the admin API are.
    pub operations_address: SocketAddr,
    /// The control plane.
    pub control_plane: ControlPlane,
    serving: JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain.
    pub async fn wait(self) -> anyhow::Result<()> {
        self.serving.await.context("the control plane panicked")
    }
}

/// The store of the options: etcd where endpoints are given, else files.
pub async fn settings(
    etcd: &EtcdPlace,
    data: &Path,
    options: &Options,
) -> anyhow::Result<Settings> {
    let (store, last_known_good): (Arc<dyn Store>, _) = if etcd.etcd_endpoints.is_empty() {
        (Arc::new(FileStore::open(data).await?), None)
    } else {
        // What is kept may hold secrets: for the owner's eyes, as in the embedded store.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(data);
        made.with_context(|| format!("the folder {} cannot be made", data.display()))?;
        (store_in(etcd)?, Some(data.join("last-known-good")))
    };
    let options = settings::Options {
        encryption_keys: options.encryption_key_file.clone(),
        last_known_good,
        ..settings::Options::default()
    };
    Settings::start(store, options).await
}

#[cfg(feature = "etcd")]
fn store_in(etcd: &EtcdPlace) -> anyhow::Result<Arc<dyn Store>> {
    let password = |path: &std::path::PathBuf| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("{} cannot be read", path.display()))
    };
    let password = etcd.etcd_password_file.as_ref().map(password).transpose()?;
    // An editor ends the file with a line break, which is no part of it.
    let password = password.map(|text| text.trim_end_matches(['\n', '\r']).to_owned());
    let options = settings::EtcdOptions {
        user: etcd.etcd_user.clone().zip(password),
        ca_certificate: etcd.etcd_ca.clone(),
        identity: etcd.etcd_certificate.clone().zip(etcd.etcd_key.clone()),
        ..settings::EtcdOptions::new(etcd.etcd_endpoints.clone())
    };
    Ok(Arc::new(settings::EtcdStore::new(options)?))
}

#[cfg(not(feature = "etcd"))]
fn store_in(_: &EtcdPlace) -> anyhow::Result<Arc<dyn Store>> {
    anyhow::bail!("this program was built without etcd; use carillon-control-plane")
}

/// Binds, loads the settings and serves until `shutdown`; then drains.
pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Running> {
    let (tcp, address) = bind(config.listen).await?;
    let (internal_tcp, internal_address) = bind(config.internal_listen).await?;
    let (operations_tcp, operations_address) = bind(config.operations_listen).await?;
    let tls = Tls::configured(config.tls_certificate.zip(config.tls_key))?;
    let trust = config.internal_tls.trust(Role::Control)?;
    let internal_tls = trust.listener(internal_address)?;
    let scheme = if internal_tls.is_some() { "https" } else { "http" };
    let operations_tls = config.options.operations_tls.listener()?;
    let settings = settings(&config.etcd, &config.data, &config.options).await?;
    let operations = Operations::new(&config.metrics);
    let loaded = operations.condition("settings");
    let accepting = operations.condition("accepting");
    accepting.set(true);
    tokio::spawn(when_loaded(settings.clone(), loaded));
    let cluster = Cluster {
        name: config.name,
        address: config.advertise.unwrap_or_else(|| format!("{scheme}://{internal_address}")),
        peers: Seeds::at(&config.peer)?.trusting(trust)?,
        life: None,
    };
    let control_plane = ControlPlane::start(&config.options, cluster, settings, &operations);
    info!(%address, %internal_address, %operations_address, "control plane listens");
    let listener =
        |tcp, tls, router| Listener { tcp, tls, router, connections_max: CONNECTIONS_MAX };
    let public = listener(tcp, tls, control_plane.public_router());
    let internal = listener(internal_tcp, internal_tls, control_plane.internal_router());
    let admin = operations.router().merge(control_plane.admin_router());
    let admin = listener(operations_tcp, operations_tls, admin);
    let accepted = ListenerMetrics::default();
    accepted.register(&operations, "control_plane");
    let (stopped, finished) = (control_plane.clone(), control_plane.clone());
    let serving = tokio::spawn(async move {
        let ended = CancellationToken::new();
        let drained = ended.clone();
        let stop = async {
            shutdown.cancelled().await;
            accepting.set(false);
            stopped.hand_over().await;
            // By then what is in flight has been acknowledged, or is waited for no longer.
            tokio::time::sleep(2 * LAG_MAX).await;
            stopped.stop();
            ended.cancel();
        };
        tokio::join!(
            stop,
            public.serve(accepted, shutdown.clone().cancelled_owned()),
            internal.serve(ListenerMetrics::default(), drained.clone().cancelled_owned()),
            admin.serve(ListenerMetrics::default(), drained.clone().cancelled_owned()),
        );
        finished.finish().await;
        info!("control plane has ended");
    });
    Ok(Running { address, internal_address, operations_address, control_plane, serving })
}

/// Sets the condition once there are settings.
pub async fn when_loaded(settings: Settings, loaded: proto::plane::operations::Condition) {
    let mut apps = settings.apps();
    if apps.wait_for(Option::is_some).await.is_ok() {
        loaded.set(true);
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let tcp =
        TcpListener::bind(address).await.with_context(|| format!("{address} cannot be bound"))?;
    let address = tcp.local_addr()?;
    Ok((tcp, address))
}
