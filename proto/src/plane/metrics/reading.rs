//! Gauges and counters that are read where they are when somebody looks.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};

/// What a number is called.
#[derive(Clone, Debug)]
pub struct Name {
    /// Without prefix, unit and `_total`.
    pub name: &'static str,
    /// One line, without a full stop.
    pub help: &'static str,
    /// Ends the name.
    pub unit: Option<Unit>,
}

impl Name {
    /// A number without a unit.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, help, unit: None }
    }

    /// A number of these units.
    #[must_use]
    pub const fn of(name: &'static str, help: &'static str, unit: Unit) -> Self {
        Self { name, help, unit: Some(unit) }
    }
}

/// Registers a gauge; it is left out of a scrape while there is nothing to say.
pub fn gauge(
    registry: &mut Registry,
    name: Name,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    let make = |value| Box::new(ConstGauge::new(value)) as Box<dyn EncodeMetric>;
    registry.register_collector(Box::new(Reading { name, read, make }));
}

/// Registers a counter.
pub fn counter(
    registry: &mut Registry,
    name: Name,
    read: impl Fn() -> Option<f64> + Send + Sync + 'static,
) {
    let make = |value| Box::new(ConstCounter::new(value)) as Box<dyn EncodeMetric>;
    registry.register_collector(Box::new(Reading { name, read, make }));
}

struct Reading<F> {
    name: Name,
    read: F,
    make: fn(f64) -> Box<dyn EncodeMetric>,
}

impl<F> fmt::Debug for Reading<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reading").field(&self.name).finish()
    }
}

impl<F: Fn() -> Option<f64> + Send + Sync + 'static> Collector for Reading<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(value) = (self.read)() else {
            return Ok(());
        };
        let metric = (self.make)(value);
        let Name { name, help, unit } = &self.name;
        metric.encode(encoder.encode_descriptor(name, help, unit.as_ref(), metric.metric_type())?)
    }
}
