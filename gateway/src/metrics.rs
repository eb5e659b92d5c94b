//! What a gateway counts.

use axum::http::StatusCode;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use proto::plane::metrics::{SECONDS, reading::Name};

type Labels = [(&'static str, &'static str); 1];

/// What is counted per app.
pub(crate) const OF_APPS: [Name; 2] = [
    Name::new("app_requests", "Requests that an app has signed"),
    Name::new(
        "app_refusals",
        "Requests that an app has signed and that were not answered with 200",
    ),
];
/// The places in it.
pub(crate) const REQUESTS: usize = 0;
pub(crate) const REFUSALS: usize = 1;

/// Counters and times; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<Labels, Counter>,
    /// The counters of the family by class, so that a request looks none up: 2xx, 4xx, 5xx.
    classes: [Counter; 3],
    /// From the head of a publish to its answer, in seconds.
    pub publish_duration: Histogram,
    /// From the head of any other request to its answer, in seconds.
    pub read_duration: Histogram,
    /// Requests that have no answer yet.
    pub in_flight: Gauge,
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
        Self {
            requests,
            classes,
            publish_duration: Histogram::new(SECONDS),
            read_duration: Histogram::new(SECONDS),
            in_flight: Gauge::default(),
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
        registry.register_with_unit(
            "read_duration",
            "From the head of a request that reads or terminates to its answer",
            Unit::Seconds,
            self.read_duration.clone(),
        );
        let help = "Requests that have no answer yet";
        registry.register("requests_in_flight", help, self.in_flight.clone());
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
