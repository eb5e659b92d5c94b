//! Since when the settings in force are known to be current.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;

use super::reading::{self, Name};
use crate::watch::AppsReceiver;

/// When the source of the settings last showed that it is there; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Age(Arc<Mutex<Option<Instant>>>);

impl Age {
    /// The source has just shown that it is there.
    pub fn confirm(&self) {
        *self.0.lock().expect("no holder panics") = Some(Instant::now());
    }

    /// How long ago that was; `None` where it never has.
    #[must_use]
    pub fn elapsed(&self) -> Option<Duration> {
        self.0.lock().expect("no holder panics").map(|then| then.elapsed())
    }

    /// Registers it as `config_age_seconds`.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Since the source of the settings last confirmed them";
        let (name, age) = (Name::of("config_age", help, Unit::Seconds), self.clone());
        reading::gauge(registry, name, move || age.elapsed().map(|age| age.as_secs_f64()));
    }
}

/// Registers how old the settings of a gateway or node are, and which they are.
pub fn register(registry: &mut Registry, age: &Age, apps: &AppsReceiver) {
    age.register(registry);
    let (revisions, counts) = (apps.clone(), apps.clone());
    let name = Name::new("config_revision", "Revision of the settings in force");
    reading::gauge(registry, name, move || {
        Some(revisions.borrow().as_ref().map_or(0.0, |apps| apps.revision() as f64))
    });
    let name = Name::new("config_apps", "Apps in force");
    reading::gauge(registry, name, move || {
        Some(counts.borrow().as_ref().map_or(0.0, |apps| apps.len() as f64))
    });
}
