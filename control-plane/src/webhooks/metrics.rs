//! What the webhooks count.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Events that are lost, by reason.
pub(super) type Losses = Family<[(&'static str, &'static str); 1], Counter>;

/// Counters and gauges of webhooks; clones count together.
#[derive(Clone, Debug, Default)]
pub struct WebhookMetrics {
    /// Events that a target took.
    pub events_sent: Counter,
    /// Calls that a target took.
    pub sent: Counter,
    /// Calls that failed, each try counted.
    pub failed: Counter,
    /// Failed calls that are tried again.
    pub retried: Counter,
    /// Calls refused because of the target's address.
    pub refused: Counter,
    pub(super) losses: Losses,
    /// Events that wait for their targets.
    pub queued: Gauge,
    /// Calls under way, or waiting for a place.
    pub calls: Gauge,
}

impl WebhookMetrics {
    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("webhook_events_sent", "Events that a webhook took", &self.events_sent);
        counter("webhook_calls_sent", "Calls that a webhook took", &self.sent);
        counter("webhook_calls_failed", "Calls that failed, each try counted", &self.failed);
        counter("webhook_calls_retried", "Failed calls that are tried again", &self.retried);
        let help = "Calls refused because of the address that they would go to";
        counter("webhook_calls_refused", help, &self.refused);
        let help = "Events that a webhook will not hear of";
        registry.register("webhook_events_dropped", help, self.losses.clone());
        let mut gauge = |name: &str, help: &str, gauge: &Gauge| {
            registry.register(name, help, gauge.clone());
        };
        gauge("webhook_queue_events", "Events that wait for their webhooks", &self.queued);
        gauge("webhook_calls", "Calls under way or waiting for a place", &self.calls);
    }

    /// Counts events that are lost.
    pub(super) fn lose(&self, reason: &'static str, events: usize) {
        if events > 0 {
            self.losses.get_or_create(&[("reason", reason)]).inc_by(events as u64);
        }
    }

    /// Events lost so far for that reason.
    #[must_use]
    pub fn dropped(&self, reason: &'static str) -> u64 {
        self.losses.get_or_create(&[("reason", reason)]).get()
    }
}
