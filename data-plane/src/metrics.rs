//! What a node counts.

use data_plane_core::CloseCode;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Counters and gauges of a node; cheap to clone.
#[derive(Clone, Debug, Default)]
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
    /// Sockets closed because all outboxes together took too much memory.
    pub relieved: Counter,
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
    /// Claims of shards answered.
    pub claims: Counter,
    /// Control planes with a stream.
    pub attached: Gauge,
    /// Attachments that ended.
    pub detached: Counter,
    /// Channels with interest.
    pub channels: Gauge,
    closes: Family<CloseLabel, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabel {
    code: u16,
}

impl NodeMetrics {
    /// A socket is closed by us.
    pub fn closed(&self, code: CloseCode) {
        self.closes.get_or_create(&CloseLabel { code: code.number() }).inc();
    }

    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("sockets_opened", "WebSocket upgrades answered", &self.opened);
        counter("deliveries", "Frames of events put into outboxes", &self.deliveries);
        counter("writes", "Turns in which a socket was written to", &self.writes);
        counter("events", "Events that came in", &self.events);
        counter("messages_received", "Messages that clients sent", &self.received);
        counter("stale_events", "Events refused because their epoch was stale", &self.stale);
        counter("degraded_confirms", "Subscribers confirmed unacknowledged", &self.degraded);
        counter("gaps", "Times that events for this node were lost on the way", &self.gaps);
        counter("reports_dropped", "Client events and misses not sent up", &self.reports_dropped);
        counter("client_events", "Client events sent up", &self.client_events);
        let refused = &self.addresses_refused;
        counter("address_limit_refused", "Upgrades over the limit of their address", refused);
        let evicted = &self.addresses_evicted;
        counter("address_limit_evicted", "Windows given up, too many addresses", evicted);
        counter("relieved", "Sockets closed, outboxes took too much memory", &self.relieved);
        counter("detachments", "Streams to control planes that ended", &self.detached);
        counter("duplicates", "Events that came again and were dropped", &self.duplicates);
        counter("message_ids_evicted", "Ids forgotten, too many", &self.ids_evicted);
        let dropped = &self.unstable_dropped;
        counter("unstable_dropped", "Events not kept for a takeover, too large", dropped);
        counter("claims", "Claims of shards answered", &self.claims);
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("control_planes", "Control planes with a stream", &self.attached);
        gauge("unstable_events", "Events kept for a takeover", &self.unstable_events);
        gauge("unstable_bytes", "Bytes of those", &self.unstable_bytes);
        registry.register("sockets", "Open WebSockets", self.sockets.clone());
        registry.register("channels", "Channels with interest", self.channels.clone());
        registry.register("closes", "Sockets closed by the node, by code", self.closes.clone());
    }
}
