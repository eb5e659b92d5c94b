//! `/up` and `/up/{appId}`: what load balancers of Pusher-like servers ask.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::{
    gateway::{Gateway, Health},
    signed::parameter,
};

const HEALTH: HeaderName = HeaderName::from_static("x-health-check");

/// Whether this gateway serves.
#[allow(clippy::unused_async, reason = "handlers are async")]
pub(crate) async fn up(State(gateway): State<Gateway>) -> Response {
    say(overall(gateway.health()))
}

/// Whether this gateway serves that app.
#[allow(clippy::unused_async, reason = "handlers are async")]
pub(crate) async fn up_app(State(gateway): State<Gateway>, request: Request) -> Response {
    let id = parameter(request.uri().path(), request.extensions(), "app_id");
    let app = id.and_then(|id| gateway.app(&id));
    say(match (gateway.health(), app) {
        (health @ (Health::Draining | Health::Error), _) => overall(health),
        (Health::Ok, Ok(Some(app))) if app.enabled => overall(Health::Ok),
        (Health::Ok, Ok(Some(_)) | Err(_)) => overall(Health::Error),
        (Health::Ok, Ok(None)) => (StatusCode::NOT_FOUND, "NOT_FOUND"),
    })
}

fn overall(health: Health) -> (StatusCode, &'static str) {
    match health {
        Health::Ok => (StatusCode::OK, "OK"),
        Health::Error => (StatusCode::SERVICE_UNAVAILABLE, "ERROR"),
        Health::Draining => (StatusCode::SERVICE_UNAVAILABLE, "DRAINING"),
    }
}

fn say((status, word): (StatusCode, &'static str)) -> Response {
    (status, [(HEALTH, HeaderValue::from_static(word))], word).into_response()
}
