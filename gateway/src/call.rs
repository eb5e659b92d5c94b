//! One request from its head to its answer: its ids, its span, its line in the log.

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, Uri};
use model::{App, MessageId};
use proto::plane::traces::Span;
use tokio::time::Instant;
use tracing::{Level, debug, enabled, warn};

use crate::gateway::Gateway;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request that is being answered.
#[derive(Debug)]
pub(crate) struct Call {
    began: Instant,
    method: Method,
    uri: Uri,
    ids: Ids,
    span: Span,
}

/// How a request is named, here and on the other planes.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    /// Names what the request publishes.
    pub message_id: MessageId,
    /// The trace that it belongs to; empty where it is not traced.
    pub traceparent: String,
    /// The caller's `X-Request-Id`, else the message id.
    request_id: HeaderValue,
}

impl Call {
    pub(crate) fn begin(gateway: &Gateway, request: &Request) -> Self {
        gateway.metrics().in_flight.inc();
        let headers = request.headers();
        let parent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let mut span = Span::root("gateway request", parent);
        let route = request.extensions().get::<MatchedPath>();
        span.set("http.route", || route.map_or("", MatchedPath::as_str).to_owned());
        span.set("http.request.method", || request.method().to_string());
        let message_id = gateway.message_id();
        let given = headers.get(REQUEST_ID).filter(|value| is_plain(value.as_bytes()));
        let request_id = given.cloned().unwrap_or_else(|| {
            let text = HeaderValue::try_from(message_id.to_string());
            text.expect("hexadecimal digits may stand in a header")
        });
        let ids = Ids { message_id, traceparent: span.traceparent(), request_id };
        let (method, uri) = (request.method().clone(), request.uri().clone());
        Self { began: Instant::now(), method, uri, ids, span }
    }

    pub(crate) fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// Counts the answer, names the request in it, and says in the log what became of it. `app` is the
    /// one that has signed.
    pub(crate) fn answered(
        mut self,
        gateway: &Gateway,
        app: Option<&App>,
        mut response: Response,
    ) -> Response {
        let status = response.status();
        let metrics = gateway.metrics();
        metrics.in_flight.dec();
        metrics.answered(status);
        if let Some(app) = app {
            gateway.count_app(app, status.is_success());
        }
        self.span.set("http.response.status_code", || i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.fail("the request failed");
            self.log(app, &response);
        } else if enabled!(Level::DEBUG) {
            self.log(app, &response);
        }
        response.headers_mut().insert(REQUEST_ID, self.ids.request_id);
        response
    }

    /// The path only: the query carries the signature.
    fn log(&self, app: Option<&App>, response: &Response) {
        let Ids { message_id, request_id, .. } = &self.ids;
        let (request_id, status) = (request_id.to_str().unwrap_or_default(), response.status());
        let app_id = app.map_or("", |app| app.id.as_str());
        let (method, path, status) = (self.method.as_str(), self.uri.path(), status.as_u16());
        let (milliseconds, trace_id) = (self.began.elapsed().as_millis(), self.span.trace_id());
        if status >= 500 {
            warn!(
                request_id, %message_id, trace_id, app_id, method, path, status, milliseconds,
                "request failed"
            );
        } else {
            debug!(
                request_id, %message_id, trace_id, app_id, method, path, status, milliseconds,
                "request answered"
            );
        }
    }
}

/// Whether a caller's id can be repeated in a header and a log.
fn is_plain(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_write_log_lines_are_not_repeated() {
        assert!(is_plain(b"0af7651916cd43dd8448eb211c80319c") && is_plain(&[b'a'; 128]));
        assert!(!is_plain(b"") && !is_plain(&[b'a'; 129]));
        assert!(!is_plain(b"a b") && !is_plain(b"a\"b") && !is_plain("ü".as_bytes()));
    }
}
