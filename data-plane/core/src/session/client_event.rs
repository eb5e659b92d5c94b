//! Which events a client may publish. Source: spec/websocket.md 3.

use std::{
    fmt,
    time::{Duration, Instant},
};

use model::{ChannelKind, ChannelName};
use serde_json::value::RawValue;

use super::{Effect, Session, window::Windows};
use crate::{
    CloseCode,
    frame::{self, BadFrame},
};

impl Session {
    /// A refusal drops the event and is told to the client, once per event.
    pub(super) fn client_event(
        &mut self,
        name: &str,
        channel: Option<&str>,
        data: Option<&RawValue>,
        now: Instant,
    ) -> Effect {
        match self.admit_client_event(name, channel, data, now) {
            Ok(channel) => Effect::ClientEvent {
                user: self.membership(channel.as_str()).cloned(),
                channel,
                name: name.to_owned(),
                data: data.map(|data| data.get().to_owned()),
            },
            Err(Refusal::TooMany { .. }) if self.app.limits.client_events_terminate => {
                Effect::Close(CloseCode::ClientEventLimit)
            }
            Err(refusal) => Effect::Send(frame::error(refusal.number(), &refusal.to_string())),
        }
    }

    fn admit_client_event(
        &mut self,
        name: &str,
        channel: Option<&str>,
        data: Option<&RawValue>,
        now: Instant,
    ) -> Result<ChannelName, Refusal> {
        let limits = &self.app.limits;
        if !self.app.features.client_events {
            return Err(Refusal::Disabled);
        }
        let channel = channel.ok_or(Refusal::NoChannel)?;
        let Ok(place) = self.place(channel) else {
            return Err(Refusal::NotSubscribed);
        };
        match self.channels[place].kind() {
            ChannelKind::Private | ChannelKind::Presence => {}
            ChannelKind::Public | ChannelKind::Encrypted | ChannelKind::User => {
                return Err(Refusal::KindOfChannel);
            }
        }
        let chars = name.chars().count();
        if chars > limits.event_name_chars_max as usize {
            return Err(Refusal::LongName { chars, limit: limits.event_name_chars_max });
        }
        let bytes = data.map_or(0, frame::payload_bytes);
        if bytes > limits.event_payload_bytes_max as usize {
            return Err(Refusal::LargeData { bytes, limit: limits.event_payload_bytes_max });
        }
        if let Some(limit) = limits.client_events_per_second {
            let length = Duration::from_secs(limits.client_events_window_seconds.max(1).into());
            let windows = self.windows.get_or_insert_with(|| Box::new(Windows::new(now)));
            if !windows.client_events.admit(limit, length, now) {
                let seconds = length.as_secs();
                return Err(Refusal::TooMany { limit, seconds });
            }
        }
        Ok(self.channels[place].clone())
    }
}

/// Why a client may not publish. Prints as the message of the error frame.
#[derive(Debug)]
enum Refusal {
    Disabled,
    NoChannel,
    KindOfChannel,
    NotSubscribed,
    LongName { chars: usize, limit: u32 },
    LargeData { bytes: usize, limit: u32 },
    TooMany { limit: u32, seconds: u64 },
}

impl Refusal {
    /// The `code` in the frame.
    fn number(&self) -> u16 {
        match self {
            Self::LongName { .. } => BadFrame::NUMBER,
            Self::Disabled
            | Self::NoChannel
            | Self::KindOfChannel
            | Self::NotSubscribed
            | Self::LargeData { .. }
            | Self::TooMany { .. } => CloseCode::ClientEventLimit.number(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => {
                f.write_str("Client event error: Client events are not enabled for this app")
            }
            Self::NoChannel => f.write_str("Client event error: Channel required for client event"),
            Self::KindOfChannel => f.write_str(
                "Client event error: Client events can only be sent to private or presence \
                 channels, and not to encrypted ones",
            ),
            Self::NotSubscribed => f.write_str(
                "Client event error: This connection is not subscribed to the event's channel",
            ),
            Self::LongName { chars, limit } => write!(
                f,
                "Invalid event name: the name has {chars} characters, the limit is {limit}"
            ),
            Self::LargeData { bytes, limit } => write!(
                f,
                "Client event error: Event payload size ({bytes} bytes) exceeds limit ({limit} bytes)"
            ),
            Self::TooMany { limit, seconds } => write!(
                f,
                "{}: at most {limit} events in {seconds} s",
                CloseCode::ClientEventLimit.text()
            ),
        }
    }
}
