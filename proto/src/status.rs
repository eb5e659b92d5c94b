//! A refusal as a status of HTTP, and as one of gRPC and back.
//!
//! The latter carries `google.rpc.ErrorInfo` (reason: the slug in upper case, domain `carillon`), a
//! `BadRequest` violation where a field is at fault, and `RetryInfo` where trying again helps.

use std::{collections::HashMap, time::Duration};

use http::StatusCode;
use model::{Quota, Reason, Rejection};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

const DOMAIN: &str = "carillon";

fn code(reason: Reason) -> Code {
    match reason {
        Reason::InvalidInput | Reason::MissingChannel => Code::InvalidArgument,
        Reason::LimitExceeded | Reason::PayloadTooLarge => Code::InvalidArgument,
        Reason::AuthFailed => Code::Unauthenticated,
        Reason::Forbidden => Code::PermissionDenied,
        Reason::AppNotFound | Reason::NotFound => Code::NotFound,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::Conflict => Code::Aborted,
        Reason::RateLimited => Code::ResourceExhausted,
        Reason::Unavailable => Code::Unavailable,
        Reason::Internal => Code::Internal,
    }
}

/// The HTTP status of a refusal.
#[must_use]
pub fn http(reason: Reason) -> StatusCode {
    match reason {
        Reason::InvalidInput | Reason::MissingChannel | Reason::LimitExceeded => {
            StatusCode::BAD_REQUEST
        }
        Reason::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Reason::AuthFailed => StatusCode::UNAUTHORIZED,
        Reason::Forbidden => StatusCode::FORBIDDEN,
        Reason::AppNotFound | Reason::NotFound => StatusCode::NOT_FOUND,
        Reason::AlreadyExists | Reason::Conflict => StatusCode::CONFLICT,
        Reason::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Reason::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Reason::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The gRPC status of a refusal.
#[must_use]
pub fn from_rejection(rejection: &Rejection) -> Status {
    let mut metadata = HashMap::new();
    if let Some(quota) = rejection.quota {
        metadata.insert("limit".to_owned(), quota.limit.to_string());
        metadata.insert("remaining".to_owned(), quota.remaining.to_string());
        metadata.insert("reset_ms".to_owned(), quota.reset_ms.to_string());
    }
    let mut details = ErrorDetails::new();
    details.set_error_info(rejection.reason.slug().to_uppercase(), DOMAIN, metadata);
    if !rejection.field.is_empty() {
        details.add_bad_request_violation(&*rejection.field, &*rejection.message);
    }
    if let Some(milliseconds) = rejection.retry_ms() {
        details.set_retry_info(Some(Duration::from_millis(milliseconds.into())));
    }
    Status::with_error_details(code(rejection.reason), rejection.message.clone(), details)
}

/// The refusal in a status. One that is not ours (a broken connection, a deadline) is
/// [`Reason::Unavailable`] where trying again may help, else [`Reason::Internal`].
#[must_use]
pub fn to_rejection(status: &Status) -> Rejection {
    let details = status.get_error_details();
    let info = details.error_info().filter(|info| info.domain == DOMAIN);
    let reason = info.and_then(|info| {
        Reason::ALL.into_iter().find(|reason| reason.slug().eq_ignore_ascii_case(&info.reason))
    });
    let Some((info, reason)) = info.zip(reason) else {
        return foreign(status);
    };
    let number = |name: &str| info.metadata.get(name).and_then(|text| text.parse().ok());
    let quota = match (number("limit"), number("remaining"), number("reset_ms")) {
        (Some(limit), Some(remaining), Some(reset_ms)) => {
            Some(Quota { limit, remaining, reset_ms })
        }
        _ => None,
    };
    let violation = details.bad_request().and_then(|bad| bad.field_violations.first());
    let field = violation.map(|violation| violation.field.clone()).unwrap_or_default();
    Rejection { reason, message: status.message().to_owned().into(), field: field.into(), quota }
}

fn foreign(status: &Status) -> Rejection {
    match status.code() {
        Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded | Code::ResourceExhausted => {
            let message = "no control plane answered; the call may be tried again";
            Rejection::new(Reason::Unavailable, message)
        }
        Code::Unknown if std::error::Error::source(status).is_some() => {
            let message = "the connection to the control plane broke; the call may be tried again";
            Rejection::new(Reason::Unavailable, message)
        }
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Rejection::new(
            Reason::Internal,
            "the control plane failed on this call; its log says why",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_survives_the_wire() {
        for reason in Reason::ALL {
            let rejection = Rejection {
                quota: Some(Quota { limit: 10, remaining: 0, reset_ms: 350 }),
                ..Rejection::field(reason, "channels", "too many")
            };
            assert_eq!(to_rejection(&from_rejection(&rejection)), rejection);
            let plain = Rejection::new(reason, "no");
            assert_eq!(to_rejection(&from_rejection(&plain)), plain);
        }
    }

    #[test]
    fn every_reason_has_its_status_of_http() {
        let statuses = Reason::ALL.map(|reason| http(reason).as_u16());
        assert_eq!(statuses, [400, 400, 400, 413, 401, 403, 404, 404, 409, 409, 429, 503, 500]);
    }

    #[test]
    fn foreign_statuses_become_refusals() {
        assert_eq!(to_rejection(&Status::unavailable("x")).reason, Reason::Unavailable);
        assert_eq!(to_rejection(&Status::unimplemented("x")).reason, Reason::Internal);
    }
}
