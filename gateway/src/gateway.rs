//! A gateway's parts, shared by all its requests.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, extract::Request};
use model::{App, MessageId, MessageIds, Quota, Reason, Rejection};
use prometheus_client::registry::Registry;
use proto::{
    chance,
    plane::{
        address,
        address_limit::{ADDRESSES_MAX, AddressLimit},
        metrics::{
            Age, AppCounters, age,
            reading::{self, Name},
        },
        operations::{Condition, Operations},
    },
    replicas::Replicas,
    watch::AppsReceiver,
};

use crate::{
    config::Options,
    control_planes::ControlPlanes,
    in_flight::InFlight,
    metrics::{Metrics, OF_APPS, REFUSALS, REQUESTS},
    router,
};

/// Unix time in seconds.
pub type Clock = fn() -> u64;

/// REST in, gRPC out; cheap to clone.
#[derive(Clone, Debug)]
pub struct Gateway(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    options: Options,
    apps: AppsReceiver,
    control_planes: ControlPlanes,
    message_ids: MessageIds,
    /// `None` where requests are not limited by address.
    addresses: Option<Mutex<AddressLimit>>,
    in_flight: InFlight,
    metrics: Metrics,
    clock: Clock,
    draining: AtomicBool,
    accepting: OnceLock<Condition>,
    /// What apps do; counted from [`Gateway::register`] on.
    of_apps: OnceLock<AppCounters>,
}

/// What `/up` can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Ok,
    /// No apps yet.
    Error,
    Draining,
}

impl Gateway {
    /// A gateway for `apps` that calls these control planes.
    #[must_use]
    pub fn new(options: Options, apps: AppsReceiver, replicas: Replicas) -> Self {
        Self::with_clock(options, apps, replicas, unix_time)
    }

    /// As [`Gateway::new`], with a clock for the timestamps of signatures.
    #[must_use]
    pub fn with_clock(
        options: Options,
        apps: AppsReceiver,
        replicas: Replicas,
        clock: Clock,
    ) -> Self {
        let metrics = Metrics::new();
        let timeout = Duration::from_millis(options.publish_timeout_ms);
        let control_planes = ControlPlanes::new(replicas, timeout, metrics.retries.clone());
        let (requests, bytes) = (options.requests_in_flight_max, options.body_bytes_in_flight_max);
        let in_flight = InFlight::new(requests, bytes, metrics.overloaded.clone());
        let window = Duration::from_secs(options.requests_per_address_window_seconds.into());
        let limit = options.requests_per_address;
        let addresses = AddressLimit::new(limit, window, ADDRESSES_MAX);
        Self(Arc::new(Parts {
            addresses: (limit > 0).then(|| Mutex::new(addresses)),
            options,
            apps,
            control_planes,
            message_ids: MessageIds::new(chance::number()),
            in_flight,
            metrics,
            clock,
            draining: AtomicBool::new(false),
            accepting: OnceLock::new(),
            of_apps: OnceLock::new(),
        }))
    }

    /// All routes, for a listener that puts a [`proto::plane::serve::Peer`] into every request.
    pub fn router(&self) -> Router {
        router::router(self.clone())
    }

    /// Registers metrics and two conditions for readiness: "settings" holds when the first apps are
    /// known, "accepting" until [`Gateway::drain`].
    pub fn register(&self, operations: &Operations) {
        let of_apps = AppCounters::new(self.0.apps.clone(), operations.apps_max(), &OF_APPS);
        operations.register("gateway", |registry| {
            self.0.metrics.register(registry);
            of_apps.register(registry);
            self.register_addresses(registry);
        });
        let _ = self.0.of_apps.set(of_apps);
        let accepting = operations.condition("accepting");
        accepting.set(true);
        let _ = self.0.accepting.set(accepting);
        let (settings, mut apps) = (operations.condition("settings"), self.0.apps.clone());
        tokio::spawn(async move {
            // An error says that the watcher has ended, and with it the process.
            if apps.wait_for(Option::is_some).await.is_ok() {
                settings.set(true);
            }
        });
    }

    /// Registers how old the settings are.
    pub fn register_age(&self, operations: &Operations, age: &Age) {
        operations.register("gateway", |registry| age::register(registry, age, &self.0.apps));
    }

    fn register_addresses(&self, registry: &mut Registry) {
        let (parts, name) = (self.clone(), Name::new("address_windows", "Addresses counted"));
        reading::gauge(registry, name, move || {
            let addresses = parts.0.addresses.as_ref()?.lock().expect("no holder panics");
            Some(addresses.len() as f64)
        });
    }

    /// An app's signed request has been answered.
    pub(crate) fn count_app(&self, app: &App, well: bool) {
        if let Some(of_apps) = self.0.of_apps.get() {
            of_apps.add(app.id.as_str(), REQUESTS, 1);
            if !well {
                of_apps.add(app.id.as_str(), REFUSALS, 1);
            }
        }
    }

    /// Says on `/up` and by readiness that this process is about to end. Requests are served as
    /// before.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
        if let Some(accepting) = self.0.accepting.get() {
            accepting.set(false);
        }
    }

    /// The app of that id, by the settings in force; a refusal while there are none.
    pub(crate) fn app(&self, id: &str) -> Result<Option<Arc<App>>, Rejection> {
        match &*self.0.apps.borrow() {
            Some(apps) => Ok(apps.by_id(id).cloned()),
            None => {
                let message = "the apps are not known yet: no control plane has told them";
                Err(Rejection::new(Reason::Unavailable, message))
            }
        }
    }

    pub(crate) fn health(&self) -> Health {
        if self.0.draining.load(Ordering::Acquire) {
            return Health::Draining;
        }
        match &*self.0.apps.borrow() {
            Some(apps) if !apps.is_empty() => Health::Ok,
            Some(_) | None => Health::Error,
        }
    }

    /// Counts a request against its address; the second value says whether it is over the limit.
    pub(crate) fn count(&self, request: &Request) -> (Option<Quota>, Result<(), Rejection>) {
        let Some(addresses) = &self.0.addresses else {
            return (None, Ok(()));
        };
        let hops = self.0.options.trusted_proxy_hops;
        let address = address::of(request.headers(), request.extensions(), hops);
        let now = tokio::time::Instant::now().into_std();
        let counted = addresses.lock().expect("no holder panics").count(address, now);
        if counted.evicted {
            self.0.metrics.addresses_evicted.inc();
        }
        if counted.allowed {
            return (Some(counted.quota), Ok(()));
        }
        self.0.metrics.addresses_refused.inc();
        let options = &self.0.options;
        let (limit, seconds) =
            (options.requests_per_address, options.requests_per_address_window_seconds);
        let message = format!("more than {limit} requests in {seconds} s from one address");
        let rejection = Rejection::new(Reason::RateLimited, Cow::from(message));
        let quota = Some(counted.quota);
        (quota, Err(Rejection { quota, ..rejection }))
    }

    pub(crate) fn message_id(&self) -> MessageId {
        self.0.message_ids.next()
    }

    pub(crate) fn now(&self) -> u64 {
        (self.0.clock)()
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn control_planes(&self) -> &ControlPlanes {
        &self.0.control_planes
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
