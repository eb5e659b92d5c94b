//! What a control plane counts besides its settings.

use model::{App, AppId};
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use proto::{
    plane::metrics::{AppCounters, reading::Name},
    watch::AppsReceiver,
};

use crate::{
    shards::Dispatched,
    tap::{Seen, Taps},
};

/// What is counted per app.
const OF_APPS: [Name; 3] = [
    Name::new("app_events", "Events of an app admitted, one per channel"),
    Name::new("app_client_events", "Events that clients of an app published"),
    Name::new("app_rate_limited", "Publishes and reads refused by the app's own limit"),
];
const EVENTS: usize = 0;
const CLIENT_EVENTS: usize = 1;
const RATE_LIMITED: usize = 2;

/// Counters and gauges of admission and dispatch.
#[derive(Clone, Debug, Default)]
pub struct DispatchMetrics {
    /// Events admitted, one per channel.
    pub events: Counter,
    /// Events queued for nodes, one per node.
    pub dispatched: Counter,
    /// Events that clients published.
    pub client_events: Counter,
    /// Events of cache channels that went before their time, to make room.
    pub cache_evictions: Counter,
    /// Publishes refused by an app's limit.
    pub rate_limited: Counter,
    /// Reads refused by an app's limit.
    pub reads_limited: Counter,
    /// Publishes answered as another one with the same idempotency key was.
    pub repeated: Counter,
    /// Idempotency keys forgotten before their time, to make room.
    pub keys_evicted: Counter,
    /// Queues to nodes that overflowed.
    pub overflowed: Counter,
    /// Times a node left the set of those that are waited for.
    pub lagging: Counter,
    /// Events that were answered before a node had acknowledged them: they were under way too long.
    pub overdue: Counter,
    /// Publishes refused because too much of their app is on its way to a node.
    pub crowded: Counter,
    /// Clients' events dropped for the same reason.
    pub relays_dropped: Counter,
    /// Nodes that were given up after their stream broke.
    pub nodes_gone: Counter,
    /// Attachments begun.
    pub attached: Counter,
    /// Shards that were asked for.
    pub shards_claimed: Counter,
    /// Shards that another control plane turned out to own.
    pub shards_lost: Counter,
    /// Events of former owners that were dispatched again in a takeover.
    pub recovered: Counter,
    /// Times this process stood still.
    pub stalls: Counter,
    /// Gaps of nodes that refused events which nobody sends again.
    pub holes: Counter,
    /// Events of former owners that nodes told of too late.
    pub recovered_late: Counter,
    /// Messages sent on to other control planes.
    pub forwarded: Counter,
    /// Messages for other control planes that were dropped.
    pub forwards_dropped: Counter,
    /// Events sent once more, because their shard had changed hands or had nobody.
    pub sent_again: Counter,
    /// Publishes of gRPC streams that are not answered yet.
    pub stream_publishes: Gauge,
    /// Shards that are this control plane's.
    pub owned_shards: Gauge,
    /// Other control planes that are alive.
    pub peers: Gauge,
    /// Nodes with a stream and a complete snapshot.
    pub nodes: Gauge,
    /// Channels with interest.
    pub channels: Gauge,
    /// Idempotency keys that are remembered.
    pub keys: Gauge,
    /// Bytes of the last events of cache channels.
    pub cache_bytes: Gauge,
    /// Events on their way to nodes.
    pub queued_events: Gauge,
    /// Bytes on their way to nodes.
    pub queued_bytes: Gauge,
    /// Who follows events.
    pub taps: Taps,
    of_apps: Option<AppCounters>,
}

impl DispatchMetrics {
    /// Nothing counted yet; `apps_max` apps are counted on their own.
    #[must_use]
    pub fn new(apps: AppsReceiver, apps_max: usize) -> Self {
        let of_apps = Some(AppCounters::new(apps, apps_max, &OF_APPS));
        Self { of_apps, ..Self::default() }
    }

    /// A backend's event has been dispatched to one of its channels. `seen` is what [`Taps::look`] gave.
    pub fn published(&self, app: &AppId, seen: Option<Seen>, dispatched: Dispatched) {
        self.events.inc();
        self.count(app, EVENTS);
        self.taps.show(app, seen, (dispatched.subscriptions, dispatched.nodes));
    }

    /// A client's event has been dispatched.
    pub fn relayed(&self, app: &AppId, seen: Option<Seen>, dispatched: Dispatched) {
        self.client_events.inc();
        self.count(app, CLIENT_EVENTS);
        self.taps.show(app, seen, (dispatched.subscriptions, dispatched.nodes));
    }

    /// A publish or read was refused by the app's limit.
    pub fn limited(&self, app: &App, counter: &Counter) {
        counter.inc();
        self.count(&app.id, RATE_LIMITED);
    }

    fn count(&self, app: &AppId, counter: usize) {
        if let Some(of_apps) = &self.of_apps {
            of_apps.add(app.as_str(), counter, 1);
        }
    }

    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("events", "Events admitted, one per channel", &self.events);
        counter("dispatched", "Events queued for nodes, one per node", &self.dispatched);
        counter("client_events", "Events that clients published", &self.client_events);
        counter("cache_evictions", "Cached events dropped to make room", &self.cache_evictions);
        counter("rate_limited", "Publishes refused by an app's limit", &self.rate_limited);
        counter("reads_rate_limited", "Reads refused by an app's limit", &self.reads_limited);
        counter("repeats", "Publishes answered from an idempotency key", &self.repeated);
        counter("key_evictions", "Idempotency keys dropped to make room", &self.keys_evicted);
        counter("node_queue_overflows", "Queues to nodes that overflowed", &self.overflowed);
        counter("node_lags", "Times a node left the set of those waited for", &self.lagging);
        counter("overdue", "Events answered before a slow node had them", &self.overdue);
        counter("crowded", "Publishes refused: too much of their app waits", &self.crowded);
        counter("relays_dropped", "Clients' events dropped for that reason", &self.relays_dropped);
        counter("nodes_gone", "Nodes given up after their stream broke", &self.nodes_gone);
        counter("attachments", "Attachments of nodes begun", &self.attached);
        counter("shard_claims", "Shards asked for", &self.shards_claimed);
        counter("shard_losses", "Shards that another control plane took", &self.shards_lost);
        counter("recovered_events", "Events dispatched again in a takeover", &self.recovered);
        counter("stalls", "Times this process stood still", &self.stalls);
        counter("refusal_gaps", "Gaps of nodes that refused what nobody sends again", &self.holes);
        counter("recovered_late", "Events of former owners told of too late", &self.recovered_late);
        counter("forwards", "Messages sent on to other control planes", &self.forwarded);
        counter("forwards_dropped", "Messages to others that were dropped", &self.forwards_dropped);
        counter("sent_again", "Events sent once more to a new owner", &self.sent_again);
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("nodes", "Nodes with a stream and a complete snapshot", &self.nodes);
        gauge("shards", "Shards that are this control plane's", &self.owned_shards);
        gauge("peers", "Other control planes that are alive", &self.peers);
        gauge("channels", "Channels with interest", &self.channels);
        gauge("idempotency_keys", "Idempotency keys that are remembered", &self.keys);
        let help = "Publishes of gRPC streams that are not answered yet";
        gauge("stream_publishes", help, &self.stream_publishes);
        gauge("node_queue_events", "Events on their way to nodes", &self.queued_events);
        let mut bytes = |name: &str, help: &str, gauge: &Gauge| {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        };
        bytes("cache", "Bytes of the last events of cache channels", &self.cache_bytes);
        bytes("node_queue", "Bytes on their way to nodes", &self.queued_bytes);
        self.taps.register(registry);
        if let Some(of_apps) = &self.of_apps {
            of_apps.register(registry);
        }
    }
}
