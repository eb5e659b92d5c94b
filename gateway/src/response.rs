//! What goes back: answers, refusals and their headers.

mod bodies;

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use model::{Quota, Rejection};
use proto::v1::RateLimit;
use serde::Serialize;

pub(crate) use bodies::{
    BatchBody, Cached, ChannelBody, ChannelsBody, Counts, PublishBody, UserBody, UsersBody,
};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ANY: HeaderValue = HeaderValue::from_static("*");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
/// Browsers show pages these headers only where they are named here.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Accept, X-Requested-With, X-Idempotency-Key, X-Pusher-Library, \
     X-Request-Id, traceparent",
);
const DAY: HeaderValue = HeaderValue::from_static("86400");

/// A success.
#[derive(Debug)]
pub(crate) struct Answer {
    /// JSON.
    pub body: Bytes,
    /// The app's limiter, where it has one.
    pub quota: Option<Quota>,
}

impl Answer {
    /// With one of the bodies of this module.
    pub(crate) fn json(body: &impl Serialize, rate_limit: Option<RateLimit>) -> Self {
        let body = serde_json::to_vec(body).expect("texts, numbers and maps of text are JSON");
        Self { body: body.into(), quota: rate_limit.map(Quota::from) }
    }

    /// `{"ok":true}`, where there is nothing else to say.
    pub(crate) fn ok(rate_limit: Option<RateLimit>) -> Self {
        let body = Bytes::from_static(br#"{"ok":true}"#);
        Self { body, quota: rate_limit.map(Quota::from) }
    }
}

/// The body of every refusal.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'a str,
    code: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
}

/// The response to a request whose address has `quota` left.
pub(crate) fn respond(outcome: Result<Answer, Rejection>, quota: Option<Quota>) -> Response {
    let (mut response, of_app) = match outcome {
        Ok(answer) => (json(StatusCode::OK, answer.body), answer.quota),
        Err(rejection) => (refusal(&rejection), rejection.quota),
    };
    let tripped = response.status() == StatusCode::TOO_MANY_REQUESTS;
    describe(&mut response, tightest(of_app, quota, tripped));
    response
}

/// Says in the headers what a limiter has left.
pub(crate) fn describe(response: &mut Response, quota: Option<Quota>) {
    let Some(quota) = quota else { return };
    let headers = response.headers_mut();
    headers.insert(LIMIT, quota.limit.into());
    headers.insert(REMAINING, quota.remaining.into());
    headers.insert(RESET, quota.reset_seconds().into());
}

/// The limiter that tripped, else the one with the least left.
fn tightest(of_app: Option<Quota>, of_address: Option<Quota>, tripped: bool) -> Option<Quota> {
    match of_app {
        Some(quota) if tripped => Some(quota),
        _ => of_app.into_iter().chain(of_address).min_by_key(|quota| quota.remaining),
    }
}

fn refusal(rejection: &Rejection) -> Response {
    let status = proto::status::http(rejection.reason);
    let slug = rejection.reason.slug();
    let mut response = error(status, slug, &rejection.message, &rejection.field);
    if let Some(milliseconds) = rejection.retry_ms() {
        let seconds = milliseconds.div_ceil(1_000).max(1);
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// A refusal as JSON.
pub(crate) fn error(status: StatusCode, code: &str, text: &str, field: &str) -> Response {
    let body = ErrorBody { error: text, code, status: status.as_u16(), field };
    let body = serde_json::to_vec(&body).expect("texts and a number are JSON");
    json(status, body.into())
}

fn json(status: StatusCode, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(header::CONTENT_TYPE, JSON);
    allow_any_origin(headers);
    response
}

fn allow_any_origin(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}

/// What a browser asks before a request to another origin. No credentials go with `*`, and none are
/// needed: requests are signed.
pub(crate) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_any_origin(headers);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, DAY);
    response
}

#[cfg(test)]
mod tests {
    use model::Reason;

    use super::*;

    #[test]
    fn headers_describe_the_tightest_limiter() {
        let quota = |limit: u32, remaining: u32| Quota { limit, remaining, reset_ms: 1_001 };
        let check = |of_app: Option<Quota>, of_address: Option<Quota>, expected: [&str; 3]| {
            let answer = Answer { body: Bytes::new(), quota: of_app };
            let response = respond(Ok(answer), of_address);
            let shown = [LIMIT, REMAINING, RESET]
                .map(|name| response.headers().get(name).map_or("", |v| v.to_str().unwrap()));
            assert_eq!(shown, expected);
        };
        check(None, None, ["", "", ""]);
        check(None, Some(quota(10, 3)), ["10", "3", "2"]);
        check(Some(quota(5, 2)), Some(quota(10, 3)), ["5", "2", "2"]);
        check(Some(quota(5, 4)), Some(quota(10, 3)), ["10", "3", "2"]);
        check(Some(quota(5, 0)), Some(quota(10, 0)), ["5", "0", "2"]);
    }

    #[test]
    fn trying_again_is_offered_where_it_helps() {
        let seconds = |rejection: Rejection| {
            let response = respond(Err(rejection), None);
            let after = response.headers().get(header::RETRY_AFTER).cloned();
            after.map(|seconds| seconds.to_str().unwrap().to_owned())
        };
        let quota = Some(Quota { limit: 1, remaining: 0, reset_ms: 59_001 });
        let limited = Rejection { quota, ..Rejection::new(Reason::RateLimited, "slow down") };
        assert_eq!(seconds(limited).as_deref(), Some("60"));
        assert_eq!(seconds(Rejection::new(Reason::Unavailable, "")).as_deref(), Some("1"));
        assert_eq!(seconds(Rejection::new(Reason::AuthFailed, "")), None);
    }
}
