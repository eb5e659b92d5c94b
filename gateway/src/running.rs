//! The life of a gateway of its own: bind, watch, serve, drain.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use proto::{
    chance, convert,
    plane::{
        descriptors,
        identity::Role,
        metrics::Age,
        operations::Operations,
        serve::{Listener, ListenerMetrics},
        tls::Tls,
    },
    replicas::{Caller, Replicas, Seeds},
    watch::Watcher,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{Gateway, config::Config};

/// Connections served at once; each has small buffers.
const CONNECTIONS_MAX: usize = 65_536;
const OPERATIONS_CONNECTIONS_MAX: usize = 256;

/// A gateway that serves.
#[derive(Debug)]
pub struct Running {
    /// Where REST is.
    pub address: SocketAddr,
    /// Where probes and metrics are.
    pub operations_address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Running {
    /// Waits until the gateway has ended after its shutdown.
    pub async fn wait(self) -> anyhow::Result<()> {
        self.serving.await.context("the gateway panicked")
    }
}

/// Starts a gateway; it ends some time after `shutdown`: it says that it is not ready, goes on for a
/// moment, accepts no more, finishes what is in flight.
pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Running> {
    descriptors::raise();
    let tcp = bind(config.listen).await?;
    let operations_tcp = bind(config.operations_listen).await?;
    let (address, operations_address) = (tcp.local_addr()?, operations_tcp.local_addr()?);
    let tls = Tls::configured(config.tls_certificate.zip(config.tls_key))?;
    let trust = config.internal_tls.trust(Role::Gateway)?;
    let seeds = Seeds::at(&config.control_plane)?.trusting(trust)?;
    let replicas = Replicas::start(seeds, caller());
    let watcher = Watcher {
        name: format!("gateway at {address}"),
        replicas: replicas.clone(),
        last_known_good: config.last_known_good,
        age: Age::default(),
    };
    let age = watcher.age.clone();
    let gateway = Gateway::new(config.options, watcher.spawn(), replicas);
    let (operations, metrics) = (Operations::new(&config.metrics), ListenerMetrics::default());
    gateway.register(&operations);
    gateway.register_age(&operations, &age);
    metrics.register(&operations, "gateway");
    info!(%address, %operations_address, encrypted = tls.is_some(), "gateway listens");

    let router = gateway.router();
    let rest = Listener { tcp, tls, router, connections_max: CONNECTIONS_MAX };
    let probes = Listener {
        tcp: operations_tcp,
        tls: None,
        router: operations.router(),
        connections_max: OPERATIONS_CONNECTIONS_MAX,
    };
    let (closed, ended) = (CancellationToken::new(), CancellationToken::new());
    let drained = {
        let closed = closed.clone();
        let delay = Duration::from_millis(config.drain_delay_ms);
        async move {
            shutdown.cancelled().await;
            gateway.drain();
            tokio::time::sleep(delay).await;
            closed.cancel();
        }
    };
    let serving = tokio::spawn(async move {
        let rest = async {
            rest.serve(metrics, closed.clone().cancelled_owned()).await;
            ended.cancel();
        };
        // Probes are answered until the last request is.
        let probes = probes.serve(ListenerMetrics::default(), ended.cancelled());
        tokio::join!(drained, rest, probes);
        info!("gateway has ended");
    });
    Ok(Running { address, operations_address, serving })
}

/// A gateway's heartbeats only ask who is there.
#[must_use]
pub fn caller() -> Caller {
    let boot_id = convert::id_bytes(chance::wide_number());
    Caller { node_id: String::new(), boot_id }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{address} cannot be bound"))
}
