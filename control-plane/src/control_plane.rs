//! The parts of a control plane, put together.

use std::{sync::Arc, time::Duration};

use axum::Router;
use model::{MessageIds, OwnerId};
use proto::{
    chance,
    internal::{
        dispatch_service_server::DispatchServiceServer, peer_service_server::PeerServiceServer,
    },
    plane::{
        authorize::{self, Gate},
        operations::Operations,
        reflection,
    },
    replicas::Seeds,
    v1::event_service_server::EventServiceServer,
};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::{
    callers::Callers,
    config::Options,
    console::{Console, cluster, history::History},
    credentials,
    dispatch::Dispatcher,
    events::Events,
    metrics::DispatchMetrics,
    node::LAG_MAX,
    nodes::Nodes,
    publisher::{Publisher, Ways},
    replicas::{Identity, Replicas, discovery::Discovery, service::Peering},
    rpc::RpcMetrics,
    settings::{AdminTokens, Settings},
    shards::{Budget, Shards},
    webhooks::{WebhookMetrics, WebhookOptions, Webhooks},
};

/// A message may carry one event of the largest payload that an app may have, or a batch of small ones.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// A control plane may send on such a batch, with each event written out for each of its channels.
const FORWARD_BYTES_MAX: usize = 32 << 20;

/// How long a process that ends goes on calling webhooks.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// The longest that giving all shards away is waited for, at the end of the process.
const HAND_OVER_MAX: Duration = Duration::from_secs(3);

/// This control plane among others; alone by default.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Its name; made up where absent.
    pub name: Option<String>,
    /// How others reach its internal listener.
    pub address: String,
    /// The others' internal listeners.
    pub peers: Seeds,
    /// This life of it, larger than those before; from the clock and by chance where absent.
    pub life: Option<OwnerId>,
}

/// A control plane at work; cheap to clone.
#[derive(Clone, Debug)]
pub struct ControlPlane {
    settings: Settings,
    dispatcher: Dispatcher,
    events: Events,
    peering: Peering,
    admin_tokens: AdminTokens,
    rpcs: RpcMetrics,
    history: History,
    internal_gate: Gate,
    operations_gate: Gate,
}

impl ControlPlane {
    /// Starts to look after nodes; publishes are refused until they have attached.
    #[must_use]
    pub fn start(
        options: &Options,
        cluster: Cluster,
        settings: Settings,
        operations: &Operations,
    ) -> Self {
        let metrics = DispatchMetrics::new(settings.apps(), operations.apps_max());
        let rpcs = RpcMetrics::default();
        operations.register("control_plane", |registry| rpcs.register(registry));
        operations.register("dispatch", |registry| metrics.register(registry));
        settings.register(operations);
        let owner = cluster.life.unwrap_or_else(new_owner);
        let ttl = Duration::from_secs(options.cache_ttl_seconds);
        let cache = Budget::new(ttl, options.cache_bytes_max, metrics.cache_evictions.clone());
        let began = tokio::time::Instant::now().into_std();
        let shards = Arc::new(Shards::new(owner, cache, began));
        let nodes = Arc::new(Nodes::new(owner));
        operations.register("dispatch", |registry| shards.register(registry));
        let message_ids = Arc::new(MessageIds::new(chance::number()));
        let warm = operations.condition("nodes");
        let made_up = || format!("control-plane-{:08x}", chance::number() as u32);
        let name = cluster.name.unwrap_or_else(made_up);
        let me = Identity { name: name.into(), address: cluster.address, owner };
        let parts = (Arc::clone(&shards), Arc::clone(&nodes));
        let replicas = Replicas::new(me, parts, metrics.clone());
        operations.register("dispatch", |registry| replicas.register(registry));
        let callers = Callers::new(settings.apps(), metrics.clone(), warm.clone());
        let ways = Ways {
            shards: Arc::clone(&shards),
            nodes: Arc::clone(&nodes),
            replicas: Arc::clone(&replicas),
        };
        let publisher = Publisher::new(callers, ways, metrics.clone());
        let webhooks = webhooks(options, &settings, operations);
        let stopped = CancellationToken::new();
        let dispatcher = Dispatcher {
            publisher: publisher.clone(),
            reads: publisher.reads(),
            shards,
            nodes,
            replicas: Arc::clone(&replicas),
            relays: Arc::default(),
            apps: settings.apps(),
            webhooks,
            inquiries: Arc::default(),
            message_ids: Arc::clone(&message_ids),
            metrics: metrics.clone(),
            stopped: stopped.clone(),
        };
        let (discovery, told) = Discovery::new(Arc::clone(&replicas), metrics, cluster.peers);
        tokio::spawn(stopped.clone().run_until_cancelled_owned(discovery.run()));
        let peering = Peering { replicas, dispatcher: dispatcher.clone(), told, stopped };
        // 0: however many nodes there are, they have the whole warm-up time.
        let expected = if options.expect_nodes == 0 { usize::MAX } else { options.expect_nodes };
        let patience = Duration::from_millis(options.warm_up_ms);
        tokio::spawn(dispatcher.clone().tick(warm, expected, patience));
        let events = Events {
            reads: publisher.reads(),
            publisher,
            message_ids,
            plaintext_allowed: options.allow_plaintext_credentials,
            in_flight: dispatcher.metrics.stream_publishes.clone(),
        };
        let history = History::start(&dispatcher.metrics, &dispatcher.nodes);
        let admin_tokens = AdminTokens::new(options.admin_token.as_deref());
        let (internal_gate, operations_gate) = gates(operations);
        Self {
            settings,
            dispatcher,
            events,
            peering,
            admin_tokens,
            rpcs,
            history,
            internal_gate,
            operations_gate,
        }
    }

    /// What gateways and nodes call, over the network.
    pub fn internal_router(&self) -> Router {
        let mut routes = Routes::builder();
        let peers = PeerServiceServer::new(self.peering.clone())
            .max_decoding_message_size(FORWARD_BYTES_MAX);
        routes
            .add_service(self.dispatch_service())
            .add_service(self.settings.settings_service())
            .add_service(peers);
        let router = self.internal_gate.guard(routes.routes().prepare().into_axum_router());
        self.rpcs.measured(router)
    }

    /// What a gateway and a node in the same process call.
    #[must_use]
    pub fn dispatch_service(&self) -> DispatchServiceServer<Dispatcher> {
        DispatchServiceServer::new(self.dispatcher.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// What backends call: `EventService`, reflection, health.
    pub fn public_router(&self) -> Router {
        let events = EventServiceServer::new(self.events.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let mut routes = Routes::builder();
        routes.add_service(events);
        reflection::add(&mut routes, &["carillon.v1.EventService"]);
        let router = routes.routes().prepare().into_axum_router();
        self.rpcs.measured(router.layer(axum::middleware::from_fn(credentials::verify_body)))
    }

    /// What operators call: `AppService`, reflection, health; and what they look at.
    pub fn admin_router(&self) -> Router {
        let mut routes = Routes::builder();
        routes.add_service(self.settings.app_service(self.admin_tokens.clone()));
        reflection::add(&mut routes, &["carillon.v1.AppService"]);
        let calls = self.operations_gate.guard(routes.routes().prepare().into_axum_router());
        self.rpcs.measured(calls).merge(self.console().router())
    }

    fn console(&self) -> Console {
        let Dispatcher { shards, replicas, .. } = &self.dispatcher;
        let parts = (Arc::clone(shards), Arc::clone(&self.dispatcher.nodes), Arc::clone(replicas));
        Console {
            administration: self.settings.apps_administration(self.admin_tokens.clone()),
            tokens: self.admin_tokens.clone(),
            publisher: self.events.publisher.clone(),
            reads: self.events.reads.clone(),
            message_ids: Arc::clone(&self.events.message_ids),
            inquiries: Arc::clone(&self.dispatcher.inquiries),
            replicas: Arc::clone(&self.dispatcher.replicas),
            taps: self.dispatcher.metrics.taps.clone(),
            cluster: cluster::Cluster::new(self.settings.clone(), parts),
            history: self.history.clone(),
            stopped: self.settings.stopped(),
        }
    }

    /// Gives all shards to the other control planes, if there are any. Calls are served meanwhile, and
    /// sent on to the new owners.
    pub async fn hand_over(&self) {
        let replicas = &self.peering.replicas;
        let mut changes = replicas.changes();
        replicas.drain(tokio::time::Instant::now().into_std());
        let given = async {
            while replicas.has_peers() && (replicas.held() > 0 || !replicas.is_complete()) {
                let _ = tokio::time::timeout(LAG_MAX, changes.changed()).await;
            }
        };
        if tokio::time::timeout(HAND_OVER_MAX, given).await.is_err() {
            tracing::warn!("not all shards have been taken over by others");
        }
    }

    /// Ends the streams that would otherwise outlive a shutdown.
    pub fn stop(&self) {
        self.settings.stop();
        self.peering.stopped.cancel();
        let now = tokio::time::Instant::now().into_std();
        self.dispatcher.nodes.detach_all(now);
    }

    /// Tells backends what they have not been told yet; the last thing before the process ends.
    pub async fn finish(&self) {
        self.dispatcher.webhooks.stop(FINISH_MAX).await;
    }
}

/// Those of the internal and of the operations listener.
fn gates(operations: &Operations) -> (Gate, Gate) {
    let internal = Gate::new(authorize::INTERNAL);
    operations.register("internal", |registry| internal.register(registry));
    let admin = Gate::new(authorize::OPERATIONS);
    operations.register("operations", |registry| admin.register(registry));
    (internal, admin)
}

fn webhooks(options: &Options, settings: &Settings, operations: &Operations) -> Webhooks {
    let metrics = WebhookMetrics::default();
    operations.register("control_plane", |registry| metrics.register(registry));
    let options = WebhookOptions {
        calls_max: options.webhook_calls_max,
        private_addresses_allowed: options.webhooks_private_addresses_allowed,
    };
    let webhooks = Webhooks::start(settings.apps(), &options, metrics);
    operations.register("control_plane", |registry| webhooks.register(registry));
    webhooks
}

/// A later life of a control plane has a larger number: milliseconds since 1970, then chance.
fn new_owner() -> OwnerId {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    OwnerId((since as u64) << 20 | (chance::number() & 0xf_ffff))
}
