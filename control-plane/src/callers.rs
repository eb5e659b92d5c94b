//! Who calls, and may it at present: apps, their limiters, and whether this control plane is warm.

use std::{collections::HashMap, sync::Arc, time::Instant};

use model::{App, AppId, Quota, Reason, Rejection};
use proto::{internal::AppDemand, plane::operations::Condition, watch::AppsReceiver};

use crate::{content::Content, metrics::DispatchMetrics, rate_limit::Buckets};

/// What every call passes first.
#[derive(Debug)]
pub struct Callers {
    apps: AppsReceiver,
    publishes: Buckets,
    reads: Buckets,
    metrics: DispatchMetrics,
    warm: Condition,
}

impl Callers {
    /// `warm` says whether the known nodes have attached: before that, publishes would be answered
    /// and delivered to nobody, and counts would be too low.
    #[must_use]
    pub fn new(apps: AppsReceiver, metrics: DispatchMetrics, warm: Condition) -> Self {
        Self { apps, publishes: Buckets::default(), reads: Buckets::default(), metrics, warm }
    }

    /// The app of a call: it must exist and be enabled.
    pub fn app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        let app = self.known_app(id)?;
        if !app.enabled {
            let message = format!("app {id:?} is disabled");
            return Err(Rejection::field(Reason::Forbidden, "app_id", message));
        }
        Ok(app)
    }

    /// The app of a call, enabled or not.
    pub fn known_app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        let apps = self.apps.borrow();
        let Some(apps) = apps.as_ref() else {
            let message = "the app settings are not loaded yet";
            return Err(Rejection::new(Reason::Unavailable, message));
        };
        apps.by_id(id).map(Arc::clone).ok_or_else(|| unknown_app(id))
    }

    /// Refuses while this control plane has not heard of its nodes.
    pub fn ready(&self) -> Result<(), Rejection> {
        if self.warm.holds() {
            return Ok(());
        }
        let message = "this control plane has just started and waits for its nodes; try again";
        Err(Rejection::new(Reason::Unavailable, message))
    }

    /// The app's publish limit: one token per channel. `None` where the app has no limit.
    pub fn take_publish(
        &self,
        app: &App,
        channels: usize,
        call: impl FnOnce() -> Content,
        now: Instant,
    ) -> Result<Option<Quota>, Rejection> {
        let Some(per_second) = app.limits.backend_events_per_second else {
            return Ok(None);
        };
        let cost = u32::try_from(channels.max(1)).unwrap_or(u32::MAX);
        self.publishes.take((&app.id, per_second), cost, call, now).map(Some).map_err(|quota| {
            self.metrics.limited(app, &self.metrics.rate_limited);
            limited(quota, |ms| {
                format!(
                    "the app may publish {per_second} events per second (one per channel); this \
                     call counts as {cost}; try again in {ms} ms"
                )
            })
        })
    }

    /// How much of their limits apps have asked for lately.
    pub fn demands(&self, now: Instant) -> Vec<AppDemand> {
        let mut demands: HashMap<AppId, AppDemand> = HashMap::new();
        for (app, publishes) in self.publishes.demands(now) {
            demands.entry(app).or_default().publishes = publishes;
        }
        for (app, reads) in self.reads.demands(now) {
            demands.entry(app).or_default().reads = reads;
        }
        let named =
            |(app, demand): (AppId, AppDemand)| AppDemand { app_id: app.to_string(), ..demand };
        demands.into_iter().map(named).collect()
    }

    /// What peers have asked for lately: this control plane gives a share of each limit, by what is
    /// asked for here and there.
    pub fn share(&self, elsewhere: impl Fn(&AppId) -> Option<(f64, f64, usize)>, now: Instant) {
        let publishes = |app: &AppId| elsewhere(app).map(|(asked, _, peers)| (asked, peers));
        self.publishes.share(publishes, now);
        let reads = |app: &AppId| elsewhere(app).map(|(_, asked, peers)| (asked, peers));
        self.reads.share(reads, now);
    }

    /// The state of the app's publish limit.
    pub fn look_at_publishes(&self, app: &App, now: Instant) -> Option<Quota> {
        let per_second = app.limits.backend_events_per_second?;
        Some(self.publishes.look(&app.id, per_second, now))
    }

    /// The app's read limit: one token per call.
    pub fn take_read(
        &self,
        app: &App,
        call: impl FnOnce() -> Content,
        now: Instant,
    ) -> Result<Option<Quota>, Rejection> {
        let Some(per_second) = app.limits.read_requests_per_second else {
            return Ok(None);
        };
        self.reads.take((&app.id, per_second), 1, call, now).map(Some).map_err(|quota| {
            self.metrics.limited(app, &self.metrics.reads_limited);
            limited(quota, |ms| {
                format!("the app may read {per_second} times per second; try again in {ms} ms")
            })
        })
    }

    /// The state of the app's read limit.
    pub fn look_at_reads(&self, app: &App, now: Instant) -> Option<Quota> {
        let per_second = app.limits.read_requests_per_second?;
        Some(self.reads.look(&app.id, per_second, now))
    }

    /// Forgets the limiters of apps that are gone.
    pub fn retain_apps(&self, now: Instant) {
        let apps = self.apps.borrow().clone();
        if let Some(apps) = apps {
            let known = |id: &AppId| apps.by_id(id.as_str()).is_some();
            self.publishes.retain(known, now);
            self.reads.retain(known, now);
        }
    }
}

fn unknown_app(id: &str) -> Rejection {
    let shown: String = id.chars().take(AppId::BYTES_MAX).collect();
    Rejection::field(Reason::AppNotFound, "app_id", format!("there is no app {shown:?}"))
}

fn limited(quota: Quota, message: impl FnOnce(u32) -> String) -> Rejection {
    let message = message(quota.reset_ms);
    Rejection { quota: Some(quota), ..Rejection::new(Reason::RateLimited, message) }
}
