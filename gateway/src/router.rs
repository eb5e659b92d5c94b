//! The route table.

use std::{future::Future, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::{get, post},
};
use http::{Method, StatusCode};
use model::Rejection;

use crate::{
    call::Call,
    channels, events,
    gateway::Gateway,
    health,
    response::{self, Answer},
    signed::Signed,
    users,
};

/// All routes; the prefix is an alternative, for proxies that do not strip it.
pub(crate) fn router(gateway: Gateway) -> Router {
    let mut router = Router::new();
    let prefix = gateway.options().path_prefix.clone();
    for prefix in std::iter::once(String::new()).chain(prefix) {
        let path = |rest: &str| format!("{prefix}{rest}");
        router = router
            .route(&path("/apps/{app_id}/events"), post(|g, r| signed(g, r, events::publish)))
            .route(
                &path("/apps/{app_id}/batch_events"),
                post(|g, r| signed(g, r, events::publish_batch)),
            )
            .route(&path("/apps/{app_id}/channels"), get(|g, r| signed(g, r, channels::list)))
            .route(
                &path("/apps/{app_id}/channels/{channel}"),
                get(|g, r| signed(g, r, channels::get)),
            )
            .route(
                &path("/apps/{app_id}/channels/{channel}/users"),
                get(|g, r| signed(g, r, channels::users)),
            )
            .route(
                &path("/apps/{app_id}/users/{user_id}/terminate_connections"),
                post(|g, r| signed(g, r, users::terminate)),
            )
            .route(&path("/up"), get(health::up))
            .route(&path("/up/{app_id}"), get(health::up_app));
    }
    router
        .method_not_allowed_fallback(|gateway, request| refuse(gateway, request, METHOD))
        .fallback(|gateway, request| refuse(gateway, request, PATH))
        .with_state(gateway)
}

/// What every endpoint under `/apps` has in common: the limit of the address, the signature, the
/// headers, the counts.
async fn signed<F>(
    State(gateway): State<Gateway>,
    request: Request,
    endpoint: impl FnOnce(Gateway, Signed) -> F,
) -> Response
where
    F: Future<Output = Result<Answer, Rejection>>,
{
    let call = Call::begin(&gateway, &request);
    let (quota, counted) = gateway.count(&request);
    let mut app = None;
    let outcome = match counted.and_then(|()| gateway.in_flight().enter()) {
        Ok(_place) => match Signed::read(&gateway, request, call.ids()).await {
            Ok(signed) => {
                app = Some(Arc::clone(&signed.app));
                endpoint(gateway.clone(), signed).await
            }
            Err(rejection) => Err(rejection),
        },
        Err(rejection) => Err(rejection),
    };
    call.answered(&gateway, app.as_deref(), response::respond(outcome, quota))
}

/// Status, slug and text for what is not in the table.
type Absent = (StatusCode, &'static str, &'static str);

const METHOD: Absent = (
    StatusCode::METHOD_NOT_ALLOWED,
    "method_not_allowed",
    "this path has other methods: see the Allow header",
);
const PATH: Absent = (StatusCode::NOT_FOUND, "not_found", "there is no such path");

#[allow(clippy::unused_async, reason = "handlers are async")]
async fn refuse(State(gateway): State<Gateway>, request: Request, absent: Absent) -> Response {
    if request.method() == Method::OPTIONS {
        return response::preflight();
    }
    let (quota, counted) = gateway.count(&request);
    let response = match counted {
        Ok(()) => {
            let (status, slug, text) = absent;
            let mut response = response::error(status, slug, text, "");
            response::describe(&mut response, quota);
            response
        }
        Err(rejection) => response::respond(Err(rejection), quota),
    };
    gateway.metrics().answered(response.status());
    response
}
