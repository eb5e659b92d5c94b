//! What a node counts.

use std::sync::{Arc, Weak};

use data_plane_core::CloseCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use proto::{
    plane::metrics::{
        AppCounters, SECONDS,
        reading::{self, Name},
    },
    watch::AppsReceiver,
};

use crate::node::Node;

/// What is counted per app.
const OF_APPS: [Name; 1] =
    [Name::new("app_deliveries", "Frames of an app's events put into outboxes")];

/// Counters and gauges of a node; cheap to clone.
#[derive(Clone, Debug)]
pub struct NodeMetrics {
    /// Open WebSockets.
    pub sockets: Gauge,
    /// Upgrades answered.
    pub opened: Counter,
    /// Frames of events put into outboxes.
    pub deliveries: Counter,
    /// Sockets written to: deliveries per write say how many events left together.
    pub writes: Counter,
    /// Events that came in.
    pub events: Counter,
    /// Messages that clients sent.
    pub received: Counter,
    /// Events refused because their epoch was stale.
    pub stale: Counter,
    /// Events that came too late for a channel here, whose sockets are told to come back.
    pub holes: Counter,
    /// First subscribers confirmed without a control plane's acknowledgement.
    pub degraded: Counter,
    /// Times that events for this node were lost on the way.
    pub gaps: Counter,
    /// Client events and cache misses that found the queue up full or closed.
    pub reports_dropped: Counter,
    /// Client events sent up.
    pub client_events: Counter,
    /// Upgrades over the limit of their address.
    pub addresses_refused: Counter,
    /// Windows given up because there were too many addresses.
    pub addresses_evicted: Counter,
    /// Events that came again.
    pub duplicates: Counter,
    /// Message ids forgotten because there were too many.
    pub ids_evicted: Counter,
    /// Events that one control plane has not yet seen through, for others to take over.
    pub unstable_events: Gauge,
    /// Their bytes.
    pub unstable_bytes: Gauge,
    /// Those given up because they were too large.
    pub unstable_dropped: Counter,
    /// Places of events forgotten before their time, because there were too many.
    pub places_dropped: Counter,
    /// Claims of shards answered.
    pub claims: Counter,
    /// Control planes with a stream.
    pub attached: Gauge,
    /// Sockets closed because all outboxes together took too much memory.
    pub relieved: Counter,
    /// Attachments that ended.
    pub detached: Counter,
    /// Channels with interest.
    pub channels: Gauge,
    /// Subscriptions of all sockets.
    pub subscriptions: Gauge,
    /// From the oldest command of a thread's turn to the end of its writes.
    pub turn_duration: Histogram,
    /// Frames that wait in outboxes.
    pub outbox_frames: Gauge,
    /// Bytes that wait in outboxes.
    pub outbox_bytes: Gauge,
    /// Sockets that take no more for now.
    pub sockets_blocked: Gauge,
    /// Filters that were evaluated.
    pub filters_tried: Counter,
    /// Subscribers whose filter spared them an event.
    pub filtered_out: Counter,
    /// Bytes of the frames that deltas are made from.
    pub delta_bases: Gauge,
    /// Deliveries that were made as a delta.
    deltas: Counter,
    /// Bytes by which these were shorter than the event as it is.
    delta_saved: Counter,
    closes: Family<CloseLabel, Counter>,
    of_apps: Option<AppCounters>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabel {
    code: u16,
}

/// What deltas have saved in the delivery of one event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Savings {
    deltas: u64,
    bytes: u64,
}

impl Savings {
    /// A subscriber got `own` bytes instead of `plain`.
    pub fn add(&mut self, plain: usize, own: usize) {
        // A full frame with its marks is longer than the event as it is.
        if own < plain {
            self.deltas += 1;
            self.bytes += (plain - own) as u64;
        }
    }
}

impl Default for NodeMetrics {
    /// No app is counted on its own.
    fn default() -> Self {
        Self {
            sockets: Gauge::default(),
            opened: Counter::default(),
            deliveries: Counter::default(),
            writes: Counter::default(),
            events: Counter::default(),
            received: Counter::default(),
            stale: Counter::default(),
            holes: Counter::default(),
            degraded: Counter::default(),
            gaps: Counter::default(),
            reports_dropped: Counter::default(),
            client_events: Counter::default(),
            addresses_refused: Counter::default(),
            addresses_evicted: Counter::default(),
            relieved: Counter::default(),
            duplicates: Counter::default(),
            ids_evicted: Counter::default(),
            unstable_events: Gauge::default(),
            unstable_bytes: Gauge::default(),
            unstable_dropped: Counter::default(),
            places_dropped: Counter::default(),
            claims: Counter::default(),
            attached: Gauge::default(),
            detached: Counter::default(),
            channels: Gauge::default(),
            subscriptions: Gauge::default(),
            turn_duration: Histogram::new(SECONDS),
            outbox_frames: Gauge::default(),
            outbox_bytes: Gauge::default(),
            sockets_blocked: Gauge::default(),
            filters_tried: Counter::default(),
            filtered_out: Counter::default(),
            delta_bases: Gauge::default(),
            deltas: Counter::default(),
            delta_saved: Counter::default(),
            closes: Family::default(),
            of_apps: None,
        }
    }
}

impl NodeMetrics {
    /// Nothing counted yet; `apps_max` apps are counted on their own.
    #[must_use]
    pub fn new(apps: AppsReceiver, apps_max: usize) -> Self {
        Self { of_apps: Some(AppCounters::new(apps, apps_max, &OF_APPS)), ..Self::default() }
    }

    /// A socket is closed by us.
    pub fn closed(&self, code: CloseCode) {
        self.closes.get_or_create(&CloseLabel { code: code.number() }).inc();
    }

    /// An app's event has been put into that many outboxes of a thread.
    pub fn delivered(&self, app: &str, deliveries: u32, savings: Savings) {
        if deliveries == 0 {
            return;
        }
        self.deliveries.inc_by(deliveries.into());
        if let Some(of_apps) = &self.of_apps {
            of_apps.add(app, 0, deliveries.into());
        }
        if savings.deltas > 0 {
            self.deltas.inc_by(savings.deltas);
            self.delta_saved.inc_by(savings.bytes);
        }
    }
}

/// Names them.
pub fn register(node: &Arc<Node>, registry: &mut Registry) {
    let metrics = &node.metrics;
    register_counters(metrics, registry);
    registry.register("sockets", "Open WebSockets", metrics.sockets.clone());
    registry.register("channels", "Channels with interest", metrics.channels.clone());
    let help = "Subscriptions of all sockets";
    registry.register("subscriptions", help, metrics.subscriptions.clone());
    registry.register("closes", "Sockets closed by the node, by code", metrics.closes.clone());
    registry.register_with_unit(
        "turn_duration",
        "From the oldest command of a shard thread's turn to the end of its writes",
        Unit::Seconds,
        metrics.turn_duration.clone(),
    );
    let help = "Frames that wait in outboxes";
    registry.register("outbox_frames", help, metrics.outbox_frames.clone());
    let (help, bytes) = ("Bytes that wait in outboxes", metrics.outbox_bytes.clone());
    registry.register_with_unit("outbox", help, Unit::Bytes, bytes);
    let help = "Sockets that take no more for now";
    registry.register("sockets_blocked", help, metrics.sockets_blocked.clone());
    registry.register("control_planes", "Control planes with a stream", metrics.attached.clone());
    let help = "Events kept for a takeover";
    registry.register("unstable_events", help, metrics.unstable_events.clone());
    let (help, bytes) = ("Bytes of those", metrics.unstable_bytes.clone());
    registry.register_with_unit("unstable", help, Unit::Bytes, bytes);
    let (help, bases) = ("Bytes of the frames that deltas are made from", &metrics.delta_bases);
    registry.register_with_unit("delta_bases", help, Unit::Bytes, bases.clone());
    register_queues(node, registry);
    if let Some(of_apps) = &metrics.of_apps {
        of_apps.register(registry);
        let held = Arc::downgrade(node);
        let name = Name::new("app_sockets", "Open WebSockets of an app");
        of_apps.watch(name, move |tell| {
            if let Some(node) = held.upgrade() {
                node.interest().for_each_app(|app, connections| tell(app, connections.into()));
            }
        });
    }
}

fn register_counters(metrics: &NodeMetrics, registry: &mut Registry) {
    let mut counter = |name: &str, help: &str, counter: &Counter| {
        registry.register(name, help, counter.clone());
    };
    counter("sockets_opened", "WebSocket upgrades answered", &metrics.opened);
    counter("deliveries", "Frames of events put into outboxes", &metrics.deliveries);
    counter("writes", "Turns in which a socket was written to", &metrics.writes);
    counter("events", "Events that came in", &metrics.events);
    counter("messages_received", "Messages that clients sent", &metrics.received);
    counter("stale_events", "Events refused because their epoch was stale", &metrics.stale);
    counter("holes", "Events too late for a channel, whose sockets are closed", &metrics.holes);
    counter("degraded_confirms", "Subscribers confirmed unacknowledged", &metrics.degraded);
    counter("gaps", "Times that events for this node were lost on the way", &metrics.gaps);
    counter("reports_dropped", "Client events and misses not sent up", &metrics.reports_dropped);
    counter("client_events", "Client events sent up", &metrics.client_events);
    let refused = &metrics.addresses_refused;
    counter("address_limit_refused", "Upgrades over the limit of their address", refused);
    let evicted = &metrics.addresses_evicted;
    counter("address_limit_evicted", "Windows given up, too many addresses", evicted);
    counter("relieved", "Sockets closed, outboxes took too much memory", &metrics.relieved);
    counter("detachments", "Streams to control planes that ended", &metrics.detached);
    counter("duplicates", "Events that came again and were dropped", &metrics.duplicates);
    counter("message_ids_evicted", "Ids forgotten, too many", &metrics.ids_evicted);
    let dropped = &metrics.unstable_dropped;
    counter("unstable_dropped", "Events not kept for a takeover, too large", dropped);
    let dropped = &metrics.places_dropped;
    counter("places_dropped", "Places of events forgotten before their time, too many", dropped);
    counter("claims", "Claims of shards answered", &metrics.claims);
    let help = "Filters evaluated: one for all subscribers of a thread who have the same";
    counter("filter_evaluations", help, &metrics.filters_tried);
    let help = "Deliveries that filters made unnecessary";
    counter("filtered_out", help, &metrics.filtered_out);
    counter("delta_deliveries", "Deliveries made as a delta", &metrics.deltas);
    let (help, saved) = ("Bytes that deltas have saved", metrics.delta_saved.clone());
    registry.register_with_unit("delta_saved", help, Unit::Bytes, saved);
}

/// Queues that are looked at when somebody asks.
fn register_queues(node: &Arc<Node>, registry: &mut Registry) {
    let read = |read: fn(&Node) -> usize| {
        let held: Weak<Node> = Arc::downgrade(node);
        move || held.upgrade().map(|node| read(&node) as f64)
    };
    let name = Name::new("inbox_commands", "Commands that wait for shard threads");
    reading::gauge(registry, name, read(|node| node.inboxes.iter().map(|one| one.len()).sum()));
    let name = Name::new("report_queue_messages", "Client events and misses on their way up");
    reading::gauge(registry, name, read(|node| node.reports().waiting().0));
    let name = Name::of("report_queue", "Bytes of these", Unit::Bytes);
    reading::gauge(registry, name, read(|node| node.reports().waiting().1));
    let name = Name::new("sockets_max", "Open WebSockets that are allowed");
    reading::gauge(registry, name, read(|node| node.sockets_max as usize));
}
