//! JSON in and out of the console.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use model::{Reason, Rejection};
use serde::{Serialize, de::DeserializeOwned};
use tonic::Status;

#[derive(Serialize)]
struct Refusal<'a> {
    error: &'a str,
    code: &'a str,
    field: &'a str,
}

/// What an endpoint says: an answer, or why there is none.
pub(super) fn respond<A: Serialize>(answer: Result<A, Rejection>) -> Response {
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(rejection) => refused(&rejection),
    }
}

/// Why there is no answer.
pub(super) fn refused(rejection: &Rejection) -> Response {
    let Rejection { reason, message, field, .. } = rejection;
    let refusal = Refusal { error: message, code: reason.slug(), field };
    json(proto::status::http(*reason), &refusal)
}

/// What the services say over gRPC.
pub(super) fn spoken(status: &Status) -> Rejection {
    proto::status::to_rejection(status)
}

/// Reads a body; what it does not know is a mistake.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Rejection> {
    serde_json::from_slice(body)
        .map_err(|error| Rejection::field(Reason::InvalidInput, "", error.to_string()))
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("texts, numbers and maps of text are JSON");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
