//! The data plane: a node that holds WebSockets.
//!
//! The way of one event: [`attach`] takes it from the stream and encodes it once → [`inbox`] → the
//! [`shard`] thread asks the hub who subscribes and pushes the frame into each [`outbox`] → one write
//! per [`socket`] → the acknowledgement goes back up through [`attach`].
//! The way of a connection: [`listener`] → [`shard`]; what its client says is decided by
//! `data_plane_core`.

pub mod config;

pub mod attach;
pub mod deliver;
pub mod fence;
pub mod interest;
pub mod reports;
pub mod states;

pub mod inbox;
pub mod ledger;
pub mod node;
pub mod outbox;
pub mod shard;
pub mod socket;
pub mod transport;
pub mod wire;

pub mod listener;
pub mod metrics;

use std::{
    hash::{BuildHasher as _, RandomState},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use axum::Router;
use data_plane_core::SessionConfig;
use model::{BootId, NodeId};
use proto::{
    link::Link,
    plane::{
        descriptors,
        identity::Role,
        memory,
        operations::{Condition, Operations},
        serve::{Listener as HttpListener, ListenerMetrics},
        tls::Tls,
    },
    watch::{AppsReceiver, Watcher},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{
    attach::Attachment,
    config::{Config, Options},
    inbox::{Command, Inbox},
    node::{Node, NodeParts},
    outbox::OutboxLimits,
    shard::Shard,
    socket::SocketLimits,
};

/// A node at work: its shard threads run and it stays attached to its control plane.
#[derive(Clone, Debug)]
pub struct DataPlane {
    node: Arc<Node>,
    listener: listener::Listener,
    stopped: CancellationToken,
}

/// Where a node finds what it needs.
#[derive(Debug)]
pub struct Surroundings {
    /// The app settings.
    pub apps: AppsReceiver,
    /// The control plane, for interest and events.
    pub link: Link,
    /// The control plane, for heartbeats.
    pub heartbeats: Link,
    /// The node's name; made up where absent.
    pub node_id: Option<String>,
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
        let node = Arc::new(Node::new(parts(options, surroundings.apps, inboxes)));
        operations.register("data_plane", |registry| node.metrics.register(registry));
        for (thread, poll) in polls.into_iter().enumerate() {
            let shard_node = Arc::clone(&node);
            std::thread::Builder::new()
                .name(format!("shard-{thread}"))
                .spawn(move || {
                    Shard::new(thread, shard_node, poll, (shard::clock(), random() as u64)).run()
                })
                .context("no thread for a shard")?;
        }
        let attachment = Attachment {
            node: Arc::clone(&node),
            link: surroundings.link,
            heartbeats: surroundings.heartbeats,
            id: NodeId(surroundings.node_id.unwrap_or_else(made_up_name).into()),
            boot: BootId(random()),
            attached: operations.condition("control plane"),
        };
        info!(node = %attachment.id, threads, "node started");
        let stopped = CancellationToken::new();
        let follow = follow_apps(Arc::clone(&node), operations.condition("settings"));
        tokio::spawn(stopped.clone().run_until_cancelled_owned(attachment.run()));
        tokio::spawn(stopped.clone().run_until_cancelled_owned(follow));
        let hops = surroundings.trusted_proxy_hops;
        let listener = listener::Listener::new(Arc::clone(&node), options, hops);
        Ok(Self { node, listener, stopped })
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
        self.node.tell_all(|| Command::Stop);
    }
}

fn parts(options: &Options, apps: AppsReceiver, inboxes: Vec<Arc<Inbox>>) -> NodeParts {
    NodeParts {
        apps,
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

fn made_up_name() -> String {
    format!("node-{:08x}", random() as u32)
}

/// 128 bits from the randomness that the standard library takes from the system.
fn random() -> u128 {
    let random = RandomState::new();
    u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))
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
    let operations = Operations::default();
    let tcp = TcpListener::bind(config.listen).await.context("listen")?;
    let operations_tcp =
        TcpListener::bind(config.operations_listen).await.context("operations_listen")?;
    let (address, operations_address) = (tcp.local_addr()?, operations_tcp.local_addr()?);
    let tls = Tls::configured(config.tls_certificate.zip(config.tls_key))?;
    let trust = config.internal_tls.trust(Role::Node)?;
    let connect = || trust.link(&config.control_plane);
    let node_id = config.node_id.clone().unwrap_or_else(made_up_name);
    let watcher = Watcher {
        name: node_id.clone(),
        links: vec![connect()?],
        last_known_good: config.last_known_good.clone(),
    };
    let surroundings = Surroundings {
        apps: watcher.spawn(),
        link: connect()?,
        heartbeats: connect()?,
        node_id: Some(node_id),
        trusted_proxy_hops: config.trusted_proxy_hops,
    };
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
    let drained = data_plane.clone();
    let serving = tokio::spawn(async move {
        let done = CancellationToken::new();
        let drain = async {
            shutdown.cancelled().await;
            accepting.set(false);
            drained.drain().await;
            done.cancel();
        };
        let public = public.serve(ListenerMetrics::default(), done.clone().cancelled_owned());
        let probes = probes.serve(ListenerMetrics::default(), done.clone().cancelled_owned());
        tokio::join!(drain, public, probes);
    });
    Ok(Running { address, operations_address, data_plane, serving })
}
