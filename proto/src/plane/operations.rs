//! The operations listener: `/livez`, `/readyz`, `/metrics`.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use prometheus_client::{encoding::text::encode, metrics::info::Info, registry::Registry};

use super::metrics::{self, process};

/// What stands between a process and being ready, and what it measures.
#[derive(Clone, Debug)]
pub struct Operations {
    conditions: Arc<Mutex<Vec<Condition>>>,
    registry: Arc<Mutex<Registry>>,
    apps_max: usize,
}

/// One thing that must hold before a process is ready.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    holds: Arc<AtomicBool>,
}

impl Condition {
    /// Says whether it holds.
    pub fn set(&self, holds: bool) {
        self.holds.store(holds, Ordering::Release);
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds.load(Ordering::Acquire)
    }
}

impl Default for Operations {
    fn default() -> Self {
        Self::new(&metrics::Options { metrics_apps_max: metrics::APPS_MAX })
    }
}

impl Operations {
    /// No conditions yet; measured are the program's version and what the process takes.
    #[must_use]
    pub fn new(options: &metrics::Options) -> Self {
        let mut registry = Registry::default();
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("carillon_build", "Which program this is", version);
        process::register(&mut registry);
        let registry = Arc::new(Mutex::new(registry));
        Self { conditions: Arc::default(), registry, apps_max: options.metrics_apps_max }
    }

    /// Apps that have metrics of their own.
    #[must_use]
    pub fn apps_max(&self) -> usize {
        self.apps_max
    }

    /// Adds a condition for readiness; it does not hold at first.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition { name, holds: Arc::default() };
        self.conditions.lock().expect("no holder panics").push(condition.clone());
        condition
    }

    /// Registers metrics, all names under `carillon_<plane>_`.
    pub fn register(&self, plane: &str, register: impl FnOnce(&mut Registry)) {
        let mut registry = self.registry.lock().expect("no holder panics");
        register(registry.sub_registry_with_prefix(format!("carillon_{plane}")));
    }

    /// The names of conditions that do not hold.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let conditions = self.conditions.lock().expect("no holder panics");
        conditions.iter().filter(|one| !one.holds()).map(|one| one.name).collect()
    }

    /// `/livez`: 200 while the process runs. `/readyz`: 200, or 503 and what is missing.
    /// `/metrics`: OpenMetrics text.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(scrape))
            .with_state(self.clone())
    }
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn readyz(State(operations): State<Operations>) -> impl IntoResponse {
    let missing = operations.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for: {}\n", missing.join(", ")))
}

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn scrape(State(operations): State<Operations>) -> impl IntoResponse {
    let mut text = String::new();
    let encoded = encode(&mut text, &operations.registry.lock().expect("no holder panics"));
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match encoded {
        Ok(()) => (StatusCode::OK, [("content-type", content_type)], text),
        Err(error) => {
            (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], error.to_string())
        }
    }
}
