//! What a control plane counts besides its settings.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters and gauges of admission and dispatch.
#[derive(Clone, Debug, Default)]
pub struct DispatchMetrics {
    /// Events admitted, one per channel.
    pub events: Counter,
    /// Events queued for nodes, one per node.
    pub dispatched: Counter,
    /// Publishes refused by an app's limit.
    pub rate_limited: Counter,
    /// Queues to nodes that overflowed.
    pub overflowed: Counter,
    /// Times a node left the set of those that are waited for.
    pub lagging: Counter,
    /// Nodes that were given up after their stream broke.
    pub nodes_gone: Counter,
    /// Attachments begun.
    pub attached: Counter,
    /// Nodes with a stream and a complete snapshot.
    pub nodes: Gauge,
    /// Channels with interest.
    pub channels: Gauge,
    /// Events on their way to nodes.
    pub queued_events: Gauge,
    /// Bytes on their way to nodes.
    pub queued_bytes: Gauge,
}

impl DispatchMetrics {
    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("events", "Events admitted, one per channel", &self.events);
        counter("dispatched", "Events queued for nodes, one per node", &self.dispatched);
        counter("rate_limited", "Publishes refused by an app's limit", &self.rate_limited);
        counter("node_queue_overflows", "Queues to nodes that overflowed", &self.overflowed);
        counter("node_lags", "Times a node left the set of those waited for", &self.lagging);
        counter("nodes_gone", "Nodes given up after their stream broke", &self.nodes_gone);
        counter("attachments", "Attachments of nodes begun", &self.attached);
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("nodes", "Nodes with a stream and a complete snapshot", &self.nodes);
        gauge("channels", "Channels with interest", &self.channels);
        gauge("node_queue_events", "Events on their way to nodes", &self.queued_events);
        gauge("node_queue_bytes", "Bytes on their way to nodes", &self.queued_bytes);
    }
}
