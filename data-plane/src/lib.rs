//! The data plane: a node that holds WebSockets.
//!
//! The way of one event: [`attach`] takes it from a stream and through the [`gate`], [`deliver`] encodes
//! it once → [`inbox`] → the [`shard`] thread asks the hub who subscribes and pushes the frame into each [`outbox`] → one write
//! per [`socket`] → the acknowledgement goes back up through [`attach`].
//! The way of a connection: [`listener`] → [`shard`]; what its client says is decided by
//! `data_plane_core`.

pub mod config;

pub mod attach;
pub mod control_planes;
pub mod deliver;
pub mod fence;
pub mod gate;
pub mod identity;
pub mod interest;
pub mod reports;
pub mod states;

pub mod inbox;
pub mod inquiry;
pub mod ledger;
pub mod node;
pub mod outbox;
pub mod shard;
pub mod socket;
pub mod transport;
pub mod wire;

pub mod listener;
pub mod metrics;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use data_plane_core::{SessionConfig, delta::Numbers};
use proto::{
    chance,
    plane::{
        descriptors,
        identity::Role,
        memory,
        metrics::{Age, age},
        operations::{Condition, Operations},
        serve::{Listener as HttpListener, ListenerMetrics},
        tls::Tls,
    },
    replicas::{Replicas, Seeds},
    watch::{AppsReceiver, Watcher},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    config::{Config, Options},
    control_planes::ControlPlanes,
    identity::Identity,
    inbox::{Command, Inbox},
    node::{Node, NodeParts},
    outbox::OutboxLimits,
    shard::Shard,
    socket::SocketLimits,
};

/// A node at work: its shard threads run and it stays attached to all control planes.
#[derive(Clone, Debug)]
pub struct DataPlane {
    node: Arc<Node>,
    listener: listener::Listener,
    replicas: Replicas,
    stopped: CancellationToken,
}

/// Where a node finds what it needs.
#[derive(Debug)]
pub struct Surroundings {
    /// The app settings.
    pub apps: AppsReceiver,
    /// The control planes; the heartbeats to them are this node's.
    pub replicas: Replicas,
    /// Who this node is.
    pub identity: Identity,
    /// Proxies in front that append the address they saw to X-Forwarded-For.
    pub trusted_proxy_hops: usize,
}

impl DataPlane {
    /// Starts the shard threads and attaches.
    pub fn start(
        options: &Options,
        surroundings: Surroundings,
        operations: &Operations,
    ) -> anyhow::Result<Self> {
        let threads = match options.shard_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let polls: Vec<mio::Poll> = (0..threads.min(64))
            .map(|_| mio::Poll::new())
            .collect::<Result<_, _>>()
            .context("no epoll for a shard thread")?;
        let inbox = |poll: &mio::Poll| {
            mio::Waker::new(poll.registry(), Shard::wake_token()).map(Inbox::new).map(Arc::new)
        };
        let inboxes: Vec<_> =
            polls.iter().map(inbox).collect::<Result<_, _>>().context("no waker for a thread")?;
        let apps_max = operations.apps_max();
        let node = Arc::new(Node::new(parts(options, (surroundings.apps, apps_max), inboxes)));
        operations.register("data_plane", |registry| metrics::register(&node, registry));
        for (thread, poll) in polls.into_iter().enumerate() {
            let shard_node = Arc::clone(&node);
            std::thread::Builder::new()
                .name(format!("shard-{thread}"))
                .spawn(move || Shard::new(thread, shard_node, poll, shard::clock()).run())
                .context("no thread for a shard")?;
        }
        let Surroundings { replicas, identity, .. } = surroundings;
        info!(node = %identity.node, threads, "node started");
        let attached = operations.condition("control plane");
        let attach =
            ControlPlanes::new(Arc::clone(&node), replicas.clone(), identity, attached).run();
        let stopped = CancellationToken::new();
        let follow = follow_apps(Arc::clone(&node), operations.condition("settings"));
        tokio::spawn(stopped.clone().run_until_cancelled_owned(attach));
        tokio::spawn(stopped.clone().run_until_cancelled_owned(follow));
        let hops = surroundings.trusted_proxy_hops;
        let listener = listener::Listener::new(Arc::clone(&node), options, hops);
        Ok(Self { node, listener, replicas, stopped })
    }

    /// The routes of the public listener.
    pub fn router(&self) -> Router {
        self.listener.router()
    }

    /// Open WebSockets.
    #[must_use]
    pub fn sockets(&self) -> i64 {
        self.node.metrics.sockets.get()
    }

    /// Closes all sockets with 4200, in random order, over the drain window. When none is left, or a
    /// few seconds after the window, the node detaches and its threads end.
    pub async fn drain(&self) {
        self.node.drain();
        self.node.tell_all(|| Command::Drain);
        let patience = self.node.drain_window + Duration::from_secs(3);
        let emptied = async {
            while self.sockets() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let _ = tokio::time::timeout(patience, emptied).await;
        self.stopped.cancel();
        self.replicas.stop();
        self.node.tell_all(|| Command::Stop);
    }
}

fn parts(
    options: &Options,
    (apps, metrics_apps_max): (AppsReceiver, usize),
    inboxes: Vec<Arc<Inbox>>,
) -> NodeParts {
    NodeParts {
        numbers: Numbers::new(chance::number()),
        apps,
        metrics_apps_max,
        limits: SocketLimits {
            message_bytes_max: options.message_bytes_max,
            outbox: OutboxLimits {
                frames: options.outbox_frames_max,
                bytes: options.outbox_bytes_max,
            },
            thread_bytes_max: outboxes_bytes_max(options) / inboxes.len().max(1),
        },
        session: SessionConfig {
            activity_timeout: Duration::from_secs(options.activity_timeout),
            pong_timeout: Duration::from_secs(options.pong_timeout),
        },
        drain_window: Duration::from_secs(options.drain_seconds),
        sockets_max: options.sockets_max.min(sockets_possible()),
        inboxes: inboxes.into(),
    }
}

/// What is configured, or a quarter of the memory that the process may use.
fn outboxes_bytes_max(options: &Options) -> usize {
    let quarter = || memory::limit().map_or(usize::MAX, |bytes| (bytes / 4) as usize);
    if options.outboxes_bytes_max == 0 { quarter() } else { options.outboxes_bytes_max }
}

/// What the limit of file descriptors leaves for sockets: others are on their way in or out, and each of
/// those needs one too. Over it a client is told 4100, where otherwise it would hear nothing.
fn sockets_possible() -> u32 {
    let limit = descriptors::raise();
    let kept = (limit / 4).clamp(64, 1_024);
    u32::try_from(limit.saturating_sub(kept)).unwrap_or(u32::MAX)
}

/// Tells the shard threads each change of the settings.
async fn follow_apps(node: Arc<Node>, ready: Condition) {
    let mut apps = node.apps.clone();
    loop {
        let current = apps.borrow_and_update().clone();
        if let Some(current) = current {
            ready.set(true);
            node.tell_all(|| Command::Apps(Arc::clone(&current)));
        }
        if apps.changed().await.is_err() {
            return;
        }
    }
}

/// A node of its own, with its listeners bound.
#[derive(Debug)]
pub struct Running {
    /// Where it takes WebSockets.
    pub address: SocketAddr,
    /// Where it answers probes.
    pub operations_address: SocketAddr,
    /// The node.
    pub data_plane: DataPlane,
    serving: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Waits for the end of the drain.
    pub async fn wait(self) {
        let _ = self.serving.await;
    }
}

/// Binds, starts and serves until `shutdown`; then drains.
pub async fn start(config: Config, shutdown: CancellationToken) -> anyhow::Result<Running> {
    let operations = Operations::new(&config.metrics);
    let tcp = TcpListener::bind(config.listen).await.context("listen")?;
    let operations_tcp =
        TcpListener::bind(config.operations_listen).await.context("operations_listen")?;
    let (address, operations_address) = (tcp.local_addr()?, operations_tcp.local_addr()?);
    let tls = Tls::configured(config.tls_certificate.zip(config.tls_key))?;
    let identity = Identity::new(config.node_id.clone());
    let trust = config.internal_tls.trust(Role::Node)?;
    let seeds = Seeds::at(&config.control_plane)?.trusting(trust).context("control_plane")?;
    let replicas = Replicas::start(seeds, identity.caller());
    let watcher = Watcher {
        name: identity.node.to_string(),
        replicas: replicas.clone(),
        last_known_good: config.last_known_good.clone(),
        age: Age::default(),
    };
    let (age, apps) = (watcher.age.clone(), watcher.spawn());
    operations.register("data_plane", |registry| age::register(registry, &age, &apps));
    let surroundings =
        Surroundings { apps, replicas, identity, trusted_proxy_hops: config.trusted_proxy_hops };
    let data_plane = DataPlane::start(&config.options, surroundings, &operations)?;
    let public = HttpListener { tcp, tls, router: data_plane.router(), connections_max: 10_000 };
    let probes = HttpListener {
        tcp: operations_tcp,
        tls: None,
        router: operations.router(),
        connections_max: 100,
    };
    let accepting = operations.condition("accepting");
    accepting.set(true);
    let accepted = ListenerMetrics::default();
    accepted.register(&operations, "data_plane");
    let drained = data_plane.clone();
    let serving = tokio::spawn(async move {
        let done = CancellationToken::new();
        let drain = async {
            shutdown.cancelled().await;
            accepting.set(false);
            drained.drain().await;
            done.cancel();
        };
        let public = public.serve(accepted, done.clone().cancelled_owned());
        let probes = probes.serve(ListenerMetrics::default(), done.clone().cancelled_owned());
        tokio::join!(drain, public, probes);
    });
    Ok(Running { address, operations_address, data_plane, serving })
}
