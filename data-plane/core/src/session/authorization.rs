//! The time that a connection has to prove that it is somebody, where its app demands it.
//! Source: spec/websocket.md 4.4.

use std::time::{Duration, Instant};

use model::App;

/// Whether a connection has signed in or entered a channel that needs a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorization {
    /// It has not, and need not.
    NotDemanded,
    /// It must.
    Awaited {
        /// Since when.
        since: Instant,
    },
    /// It has.
    Given,
}

impl Authorization {
    /// What the app's settings make of it. A new connection begins with [`Self::NotDemanded`].
    pub(super) fn under(self, app: &App, now: Instant) -> Self {
        match (self, app.features.user_authentication) {
            (Self::NotDemanded, true) => Self::Awaited { since: now },
            (Self::Awaited { .. }, false) => Self::NotDemanded,
            (Self::Awaited { .. } | Self::Given, true)
            | (Self::NotDemanded | Self::Given, false) => self,
        }
    }

    /// When it is too late.
    pub(super) fn deadline(self, app: &App) -> Option<Instant> {
        let seconds = app.limits.user_authentication_timeout_seconds;
        match self {
            Self::Awaited { since } => Some(since + Duration::from_secs(seconds.into())),
            Self::NotDemanded | Self::Given => None,
        }
    }
}
