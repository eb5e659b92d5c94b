//! Signs of life, and their absence.

use std::time::Instant;

use super::{Effect, SessionConfig};
use crate::{CloseCode, frame};

/// When a client was last heard, or asked.
#[derive(Debug)]
pub(super) struct Pulse {
    /// When it sent its last frame; from a ping on, when that was sent.
    since: Instant,
    pinged: bool,
}

impl Pulse {
    /// A frame of any kind has come.
    pub(super) fn beat(now: Instant) -> Self {
        Self { since: now, pinged: false }
    }

    /// When its silence has lasted too long.
    pub(super) fn deadline(&self, config: &SessionConfig) -> Instant {
        self.since + if self.pinged { config.pong_timeout } else { config.activity_timeout }
    }

    /// The deadline has come, or not yet.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        config: &SessionConfig,
    ) -> Option<Effect> {
        if now < self.deadline(config) {
            return None;
        }
        if self.pinged {
            return Some(Effect::Close(CloseCode::PongTimeout));
        }
        *self = Self { since: now, pinged: true };
        Some(Effect::Send(frame::ping()))
    }
}
