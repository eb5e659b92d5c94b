//! What gRPC calls take and how they end, whoever makes them.

use std::collections::HashMap;

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::HeaderMap;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use proto::plane::metrics::SECONDS;
use tokio::time::Instant;

/// The kinds of calls by method; what is not here is `other`, so that nobody can make a kind.
const CALLS: [(&str, &str); 23] = [
    ("TriggerEvent", "publish"),
    ("Publish", "publish"),
    ("TriggerEventBatch", "batch"),
    ("PublishBatch", "batch"),
    ("SendToUser", "publish"),
    ("TriggerEventStream", "stream"),
    ("Attach", "stream"),
    ("Heartbeat", "stream"),
    ("Watch", "stream"),
    ("WatchApps", "stream"),
    ("Follow", "stream"),
    ("Forward", "stream"),
    ("ListChannels", "read"),
    ("GetChannel", "read"),
    ("ListChannelUsers", "read"),
    ("TerminateUserConnections", "terminate"),
    ("CreateApp", "admin"),
    ("GetApp", "admin"),
    ("ListApps", "admin"),
    ("UpdateApp", "admin"),
    ("DeleteApp", "admin"),
    ("RotateAppSecret", "admin"),
    ("RetireAppSecret", "admin"),
];
const OTHER: &str = "other";
/// gRPC's status codes by number.
const CODES: [&str; 17] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
];

/// Counts and times; clones count together.
#[derive(Clone, Debug)]
pub struct RpcMetrics {
    calls: HashMap<&'static str, &'static str>,
    ended: Family<[(&'static str, &'static str); 2], Counter>,
    duration: Durations,
}

/// Times by kind of call.
type Durations = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

impl Default for RpcMetrics {
    fn default() -> Self {
        let duration = Family::new_with_constructor((|| Histogram::new(SECONDS)) as fn() -> _);
        Self { calls: CALLS.into(), ended: Family::default(), duration }
    }
}

impl RpcMetrics {
    /// Names them.
    pub fn register(&self, registry: &mut Registry) {
        let help = "gRPC calls over the network, by kind and status";
        registry.register("rpcs", help, self.ended.clone());
        registry.register_with_unit(
            "rpc_duration",
            "From a gRPC call to its answer, of a stream to its beginning",
            Unit::Seconds,
            self.duration.clone(),
        );
    }

    /// The same router, measured.
    pub fn measured(&self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self.clone(), measure))
    }

    fn call(&self, path: &str) -> &'static str {
        let method = path.rsplit_once('/').map_or(path, |(_, method)| method);
        self.calls.get(method).copied().unwrap_or(OTHER)
    }
}

async fn measure(State(metrics): State<RpcMetrics>, request: Request, next: Next) -> Response {
    let (call, began) = (metrics.call(request.uri().path()), Instant::now());
    let response = next.run(request).await;
    metrics.duration.get_or_create(&[("call", call)]).observe(began.elapsed().as_secs_f64());
    let code = code(response.headers());
    metrics.ended.get_or_create(&[("call", call), ("code", code)]).inc();
    response
}

/// A refused call says so in its head; one that has a body went well so far.
fn code(headers: &HeaderMap) -> &'static str {
    let number = headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
    CODES.get(number.unwrap_or(0_usize)).copied().unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_make_a_kind() {
        let metrics = RpcMetrics::default();
        assert_eq!(metrics.call("/carillon.v1.EventService/TriggerEvent"), "publish");
        assert_eq!(metrics.call("/carillon.v1.EventService/Random123"), "other");
        assert_eq!(metrics.call(""), "other");
        let mut headers = HeaderMap::new();
        assert_eq!(code(&headers), "ok");
        headers.insert("grpc-status", "16".parse().unwrap());
        assert_eq!(code(&headers), "unauthenticated");
        headers.insert("grpc-status", "99".parse().unwrap());
        assert_eq!(code(&headers), "unknown");
    }
}
