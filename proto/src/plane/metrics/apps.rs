//! Counters per app, of a bounded number of apps; what the others do is counted under `other`.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::reading::Name;
use crate::watch::AppsReceiver;

/// Under which name apps without a place of their own are counted. An app that has this id is counted
/// there too.
pub const OTHER: &str = "other";

/// A place is given to an app of the settings when something of it is first counted, and taken back when the
/// app is deleted. Nobody but an operator can make a series.
#[derive(Clone, Debug)]
pub struct AppCounters(Arc<Inner>);

struct Inner {
    apps: AppsReceiver,
    apps_max: usize,
    counters: Box<[Name]>,
    gauges: RwLock<Vec<Gauge>>,
    places: RwLock<HashMap<Box<str>, Row>>,
    other: Row,
}

/// Numbers of one app, in the order of the names.
type Row = Arc<[AtomicU64]>;

/// A number of each app that is read when somebody looks.
struct Gauge {
    name: Name,
    read: ReadAll,
}

type ReadAll = Box<dyn Fn(&mut dyn FnMut(&str, u64)) + Send + Sync>;

impl AppCounters {
    /// Counts for at most `apps_max` apps of `apps`.
    #[must_use]
    pub fn new(apps: AppsReceiver, apps_max: usize, counters: &[Name]) -> Self {
        let (counters, other) = (counters.to_vec().into_boxed_slice(), row(counters.len()));
        let (gauges, places) = (RwLock::default(), RwLock::default());
        Self(Arc::new(Inner { apps, apps_max, counters, gauges, places, other }))
    }

    /// Adds a gauge for the same apps: `read` calls back with each app and its number.
    pub fn watch(
        &self,
        name: Name,
        read: impl Fn(&mut dyn FnMut(&str, u64)) + Send + Sync + 'static,
    ) {
        let gauge = Gauge { name, read: Box::new(read) };
        self.0.gauges.write().expect("no holder panics").push(gauge);
    }

    /// Registers them, with the label `app`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register_collector(Box::new(self.clone()));
    }

    /// Counts for an app; `counter` is the place of the name among those given.
    pub fn add(&self, app: &str, counter: usize, by: u64) {
        let places = self.0.places.read().expect("no holder panics");
        if let Some(row) = places.get(app) {
            row[counter].fetch_add(by, Ordering::Relaxed);
            return;
        }
        drop(places);
        self.0.place(app)[counter].fetch_add(by, Ordering::Relaxed);
    }
}

impl Inner {
    /// The app's place, made where there is room for one more.
    #[cold]
    fn place(&self, app: &str) -> Row {
        let known = self.apps.borrow().as_ref().is_some_and(|apps| apps.by_id(app).is_some());
        let mut places = self.places.write().expect("no holder panics");
        if let Some(row) = places.get(app) {
            return Arc::clone(row);
        }
        if !known || app == OTHER || places.len() >= self.apps_max {
            return Arc::clone(&self.other);
        }
        let row = row(self.counters.len());
        places.insert(app.into(), Arc::clone(&row));
        row
    }

    /// Takes the places of deleted apps back.
    fn retain(&self) {
        if let Some(apps) = &*self.apps.borrow() {
            let mut places = self.places.write().expect("no holder panics");
            places.retain(|app, _| apps.by_id(app).is_some());
        }
    }

    /// An app of which only gauges speak has a place too, and from its first scrape on all series.
    fn place_all(&self) {
        for Gauge { read, .. } in &*self.gauges.read().expect("no holder panics") {
            read(&mut |app, _| drop(self.place(app)));
        }
    }

    fn encode_counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let places = self.places.read().expect("no holder panics");
        for (counter, Name { name, help, unit }) in self.counters.iter().enumerate() {
            let unit = unit.as_ref();
            let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
            let named = places.iter().map(|(app, row)| (&**app, row));
            for (app, row) in named.chain([(OTHER, &self.other)]) {
                let counted = ConstCounter::new(row[counter].load(Ordering::Relaxed));
                counted.encode(metric.encode_family(&[("app", app)])?)?;
            }
        }
        Ok(())
    }

    fn encode_gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for Gauge { name, read } in &*self.gauges.read().expect("no holder panics") {
            let mut found: HashMap<Box<str>, u64> = HashMap::new();
            read(&mut |app, value| *found.entry(app.into()).or_default() += value);
            let places = self.places.read().expect("no holder panics");
            let others = found.iter().filter(|(app, _)| !places.contains_key(*app));
            let others = others.map(|(_, value)| value).sum();
            let Name { name, help, unit } = name;
            let unit = unit.as_ref();
            let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            let named = places.keys().map(|app| (&**app, found.get(app).copied().unwrap_or(0)));
            for (app, value) in named.chain([(OTHER, others)]) {
                ConstGauge::new(value).encode(metric.encode_family(&[("app", app)])?)?;
            }
        }
        Ok(())
    }
}

fn row(counters: usize) -> Row {
    (0..counters).map(|_| AtomicU64::new(0)).collect()
}

impl Collector for AppCounters {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.retain();
        self.0.place_all();
        self.0.encode_counters(&mut encoder)?;
        self.0.encode_gauges(&mut encoder)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppCounters").field("apps_max", &self.apps_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use model::{App, AppId, AppSecret, Apps, Secrets};
    use prometheus_client::encoding::text::encode;
    use tokio::sync::watch;

    use super::*;

    fn apps(ids: &[&str]) -> Option<Arc<Apps>> {
        let app = |id: &&str| {
            let secrets = Secrets::one(AppSecret::new("s"));
            Arc::new(App::new(AppId::parse(id).unwrap(), id, secrets))
        };
        Some(Arc::new(Apps::new(1, ids.iter().map(app)).0))
    }

    fn series(registry: &Registry) -> Vec<String> {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let mut lines: Vec<_> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn only_apps_of_the_settings_get_a_series_and_only_so_many() {
        let (sender, receiver) = watch::channel(apps(&["a", "b", "c"]));
        let counters = AppCounters::new(receiver, 2, &[Name::new("events", "Events")]);
        counters.watch(Name::new("sockets", "Sockets"), |tell| {
            [("a", 3), ("c", 4), ("x", 5)].iter().for_each(|(app, number)| tell(app, *number));
        });
        let mut registry = Registry::default();
        counters.register(&mut registry);
        for (app, by) in [("stranger", 1), ("a", 2), ("b", 3), ("c", 4), ("a", 5)] {
            counters.add(app, 0, by);
        }
        let first = [
            r#"events_total{app="a"} 7"#,
            r#"events_total{app="b"} 3"#,
            r#"events_total{app="other"} 5"#,
            r#"sockets{app="a"} 3"#,
            r#"sockets{app="b"} 0"#,
            r#"sockets{app="other"} 9"#,
        ];
        assert_eq!(series(&registry), first);
        sender.send_replace(apps(&["a", "c"]));
        assert!(!series(&registry).iter().any(|line| line.contains(r#""b""#)), "b is deleted");
        counters.add("c", 0, 1);
        assert!(series(&registry).contains(&r#"events_total{app="c"} 1"#.to_owned()));
    }
}
