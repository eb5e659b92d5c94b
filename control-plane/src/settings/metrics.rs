//! What the settings measure.

use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};
use proto::plane::metrics::Age;

/// What the settings measure; clones count together.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    pub(super) revision: Gauge,
    pub(super) apps: Gauge,
    pub(super) bad_records: Gauge,
    pub(super) relist_repairs: Counter,
    pub(super) guard_holds: Counter,
    pub(super) store_faults: Counter,
    age: Age,
}

impl Metrics {
    /// The store has just shown that it is there.
    pub(super) fn confirm(&self) {
        self.age.confirm();
    }

    /// How long ago that was.
    pub(super) fn age(&self) -> Option<Duration> {
        self.age.elapsed()
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let name = "config_revision";
        registry.register(name, "Revision of the settings in force", self.revision.clone());
        let help = "Apps in force";
        registry.register("config_apps", help, self.apps.clone());
        let help = "Records in the store that cannot be read; their last good ones are in force";
        registry.register("settings_bad_records", help, self.bad_records.clone());
        let help = "Changes that only a listing showed, and not the watch";
        registry.register("settings_relist_repairs", help, self.relist_repairs.clone());
        let help = "Times that so many apps vanished at once that they were kept";
        registry.register("settings_guard_holds", help, self.guard_holds.clone());
        let help = "Listings and watches of the store that failed";
        registry.register("settings_store_faults", help, self.store_faults.clone());
        self.age.register(registry);
    }
}
