//! What a gateway counts.

use axum::http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

type Labels = [(&'static str, &'static str); 1];

/// Counters and times; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    /// The counters of the family by class, so that a request looks none up: 2xx, 4xx, 5xx.
    classes: [Counter; 3],
    /// From the head of a publish to its answer, in seconds.
    pub publish_duration: Histogram,
    /// Requests over the limit of their address.
    pub addresses_refused: Counter,
    /// Windows given up because there were too many addresses.
    pub addresses_evicted: Counter,
    /// Signed bodies over the cap.
    pub bodies_over_cap: Counter,
    /// Requests that found no place or no room.
    pub overloaded: Counter,
    /// Calls that were tried again at another control plane, or later at the same.
    pub retries: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let requests = Family::<Labels, Counter>::default();
        let classes = ["2xx", "4xx", "5xx"].map(|c| requests.get_or_create_owned(&[("class", c)]));
        let bounds =
            [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];
        Self {
            requests,
            classes,
            publish_duration: Histogram::new(bounds),
            addresses_refused: Counter::default(),
            addresses_evicted: Counter::default(),
            bodies_over_cap: Counter::default(),
            overloaded: Counter::default(),
            retries: Counter::default(),
        }
    }

    /// Counts an answer to a request that was counted against its address.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() {
            0..400 => 0,
            400..500 => 1,
            500.. => 2,
        };
        self.classes[class].inc();
    }

    /// Names them.
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests but /up by status class", self.requests.clone());
        registry.register_with_unit(
            "publish_duration",
            "From the head of a publish to its answer",
            Unit::Seconds,
            self.publish_duration.clone(),
        );
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        let refused = &self.addresses_refused;
        counter("address_limit_refused", "Requests over the limit of their address", refused);
        let evicted = &self.addresses_evicted;
        counter("address_limit_evicted", "Windows given up, too many addresses", evicted);
        counter("bodies_over_cap", "Signed bodies over the cap", &self.bodies_over_cap);
        counter("overloaded", "Requests refused, too many in flight", &self.overloaded);
        counter("retries", "Calls of control planes tried again", &self.retries);
    }
}
