//! Which channels a client may enter.

use std::{borrow::Cow, fmt};

use model::{ChannelKind, ChannelName, InvalidChannelName};

use super::{Effect, Session};
use crate::{
    channel_auth::{self, Denied},
    frame,
};

/// What a client shows to prove that it may subscribe.
pub(super) struct Signed<'a> {
    pub(super) auth: Option<Cow<'a, str>>,
    pub(super) channel_data: Option<Cow<'a, str>>,
}

impl Session {
    /// Subscribing again is allowed and acknowledged again, but proven again too.
    pub(super) fn subscribe(&mut self, channel: &str, signed: &Signed<'_>) -> Effect {
        match self.admit(channel, signed) {
            Ok(name) => Effect::Subscribe(name),
            Err(refusal) => {
                let message = refusal.to_string();
                let status = refusal.status();
                Effect::Send(frame::subscription_error(channel, refusal.kind(), &message, status))
            }
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &str, effects: &mut Vec<Effect>) {
        if let Ok(place) = self.place(channel) {
            effects.push(Effect::Unsubscribe(self.channels.remove(place)));
        }
    }

    /// Where the channel stands in the sorted list, or where it belongs.
    pub(super) fn place(&self, channel: &str) -> Result<usize, usize> {
        self.channels.binary_search_by(|name| name.as_str().cmp(channel))
    }

    fn admit(&mut self, channel: &str, signed: &Signed<'_>) -> Result<ChannelName, Refusal> {
        let limits = &self.app.limits;
        let name = ChannelName::parse(channel, limits.channel_name_bytes_max)
            .map_err(Refusal::InvalidName)?;
        let kind = name.kind();
        if matches!(kind, ChannelKind::Presence | ChannelKind::User) {
            return Err(Refusal::NotServed(kind));
        }
        let place = self.place(channel);
        let limit = limits.channels_per_connection_max;
        if place.is_err() && self.channels.len() >= limit as usize {
            return Err(Refusal::TooManyChannels { limit });
        }
        if kind.needs_auth() {
            let message =
                channel_auth::subscription(self.id, channel, signed.channel_data.as_deref());
            channel_auth::verify(&self.app, signed.auth.as_deref(), &message)
                .map_err(Refusal::Denied)?;
        }
        match place {
            Ok(place) => Ok(self.channels[place].clone()),
            Err(place) => {
                self.channels.insert(place, name.clone());
                Ok(name)
            }
        }
    }
}

/// Why a client may not subscribe. Prints as the message of `pusher:subscription_error`.
#[derive(Debug)]
enum Refusal {
    InvalidName(InvalidChannelName),
    NotServed(ChannelKind),
    TooManyChannels { limit: u32 },
    Denied(Denied),
}

impl Refusal {
    /// The `type` in the frame. The names are Soketi's where it has one.
    fn kind(&self) -> &'static str {
        match self {
            Self::InvalidName(InvalidChannelName::TooLong { .. })
            | Self::TooManyChannels { .. } => "LimitReached",
            Self::InvalidName(InvalidChannelName::Empty | InvalidChannelName::Character { .. }) => {
                "InvalidChannel"
            }
            Self::NotServed(_) => "Unsupported",
            Self::Denied(_) => "AuthError",
        }
    }

    /// The `status` in the frame.
    fn status(&self) -> u16 {
        match self {
            Self::InvalidName(InvalidChannelName::TooLong { .. }) => 4009,
            Self::InvalidName(InvalidChannelName::Empty | InvalidChannelName::Character { .. }) => {
                400
            }
            Self::NotServed(_) => 501,
            Self::TooManyChannels { .. } => 4100,
            Self::Denied(_) => 401,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(invalid) => invalid.fmt(f),
            Self::NotServed(ChannelKind::User) => {
                f.write_str("this version of the server does not serve user channels")
            }
            Self::NotServed(
                ChannelKind::Presence
                | ChannelKind::Public
                | ChannelKind::Private
                | ChannelKind::Encrypted,
            ) => f.write_str("this version of the server does not serve presence channels"),
            Self::TooManyChannels { limit } => {
                write!(f, "this connection is in {limit} channels, which is the limit")
            }
            Self::Denied(denied) => denied.fmt(f),
        }
    }
}
