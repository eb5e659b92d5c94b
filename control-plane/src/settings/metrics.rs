//! What the settings measure.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{
        counter::Counter,
        gauge::{ConstGauge, Gauge},
    },
    registry::Registry,
};
use tokio::time::Instant;

/// What the settings measure; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) revision: Gauge,
    pub(super) apps: Gauge,
    pub(super) bad_records: Gauge,
    pub(super) relist_repairs: Counter,
    pub(super) guard_holds: Counter,
    pub(super) store_faults: Counter,
    confirmed: Confirmed,
}

/// When the store last showed that it is there.
#[derive(Clone, Debug, Default)]
struct Confirmed(Arc<Mutex<Option<Instant>>>);

impl Metrics {
    /// The store has just shown that it is there.
    pub(super) fn confirm(&self) {
        *self.confirmed.0.lock().expect("no holder panics") = Some(Instant::now());
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Option<Duration> {
        self.confirmed.0.lock().expect("no holder panics").map(|then| then.elapsed())
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let name = "settings_revision";
        registry.register(name, "Revision of the settings in force", self.revision.clone());
        let help = "Apps in force";
        registry.register("settings_apps", help, self.apps.clone());
        let help = "Records in the store that cannot be read; their last good ones are in force";
        registry.register("settings_bad_records", help, self.bad_records.clone());
        let help = "Changes that only a listing showed, and not the watch";
        registry.register("settings_relist_repairs", help, self.relist_repairs.clone());
        let help = "Times that so many apps vanished at once that they were kept";
        registry.register("settings_guard_holds", help, self.guard_holds.clone());
        let help = "Listings and watches of the store that failed";
        registry.register("settings_store_faults", help, self.store_faults.clone());
        registry.register_collector(Box::new(self.confirmed.clone()));
    }
}

impl Collector for Confirmed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(then) = *self.0.lock().expect("no holder panics") else {
            return Ok(());
        };
        let age = ConstGauge::new(then.elapsed().as_secs_f64());
        let help = "Seconds since the store last confirmed the settings";
        let name = "settings_age_seconds";
        age.encode(encoder.encode_descriptor(name, help, None, age.metric_type())?)
    }
}
