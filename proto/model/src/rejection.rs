//! Every reason we refuse something, in one list.

use std::{borrow::Cow, fmt};

/// A named refusal. `proto/src/status.rs` maps [`Reason`] once and for all, to gRPC and to HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The class of refusal.
    pub reason: Reason,
    /// For a person: what, which limit, what was received. Never a secret.
    pub message: Cow<'static, str>,
    /// The field at fault, as the API spells it; empty where it is no field's fault.
    pub field: Cow<'static, str>,
    /// The limiter's state, where a rate limit applies to the call.
    pub quota: Option<Quota>,
}

/// When to try again, where no window says it.
const AGAIN_MS: u32 = 1_000;

/// The classes of refusal. A new one shows up in every total `match` over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A field is missing, of the wrong type or not allowed. HTTP 400.
    InvalidInput,
    /// Neither `channel` nor `channels`, or an empty list. HTTP 400.
    MissingChannel,
    /// A count or length limit of the app. HTTP 400.
    LimitExceeded,
    /// The event's data or the request's body is too large. HTTP 413.
    PayloadTooLarge,
    /// Who calls is not proven. HTTP 401.
    AuthFailed,
    /// The caller is known and may not. HTTP 403.
    Forbidden,
    /// No such app. HTTP 404.
    AppNotFound,
    /// No such thing. HTTP 404.
    NotFound,
    /// It exists already. HTTP 409.
    AlreadyExists,
    /// It was changed in the meantime. HTTP 409.
    Conflict,
    /// Too many requests. HTTP 429.
    RateLimited,
    /// Try again: no control plane, a full queue, a store that does not answer. HTTP 503.
    Unavailable,
    /// A bug of ours; the log has more. HTTP 500.
    Internal,
}

impl Reason {
    /// All reasons, for total conversions from text.
    pub const ALL: [Self; 13] = [
        Self::InvalidInput,
        Self::MissingChannel,
        Self::LimitExceeded,
        Self::PayloadTooLarge,
        Self::AuthFailed,
        Self::Forbidden,
        Self::AppNotFound,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::RateLimited,
        Self::Unavailable,
        Self::Internal,
    ];

    /// The slug in error bodies. Those that Sockudo has are spelt as Sockudo spells them.
    #[must_use]
    pub fn slug(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::MissingChannel => "missing_channel_info",
            Self::LimitExceeded => "limit_exceeded",
            Self::PayloadTooLarge => "payload_too_large",
            Self::AuthFailed => "auth_failed",
            Self::Forbidden => "forbidden",
            Self::AppNotFound => "app_not_found",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "service_unavailable",
            Self::Internal => "internal_error",
        }
    }
}

/// The state of a rate limiter after this request: what the `X-RateLimit-*` headers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests (or events) per window.
    pub limit: u32,
    /// What is left of it.
    pub remaining: u32,
    /// Milliseconds until the window starts anew.
    pub reset_ms: u32,
}

impl Quota {
    /// Whole seconds until the window starts anew, rounded up, at least 1.
    #[must_use]
    pub fn reset_seconds(&self) -> u32 {
        self.reset_ms.div_ceil(1_000).max(1)
    }
}

impl Rejection {
    /// A refusal that is no field's fault.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), field: Cow::Borrowed(""), quota: None }
    }

    /// A refusal because of `field`.
    pub fn field(
        reason: Reason,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { field: field.into(), ..Self::new(reason, message) }
    }

    /// Milliseconds after which trying again may help.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u32> {
        match self.reason {
            // Without a quota it is the app's place in a queue that is used up.
            Reason::RateLimited => Some(self.quota.map_or(AGAIN_MS, |quota| quota.reset_ms)),
            Reason::Unavailable => Some(AGAIN_MS),
            Reason::InvalidInput
            | Reason::MissingChannel
            | Reason::LimitExceeded
            | Reason::PayloadTooLarge
            | Reason::AuthFailed
            | Reason::Forbidden
            | Reason::AppNotFound
            | Reason::NotFound
            | Reason::AlreadyExists
            | Reason::Conflict
            | Reason::Internal => None,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Rejection {}
