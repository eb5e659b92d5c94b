//! Which channels a client may enter. Source: spec/websocket.md 2.

use std::{borrow::Cow, fmt, time::Instant};

use model::{ChannelKind, ChannelName, InvalidChannelName, InvalidUserId, UserId};

use super::{Effect, Member, Session, authorization::Authorization, terms::Wish};
use crate::{
    Filter, InvalidFilter,
    channel_auth::{self, Denied},
    delta::DeltaWish,
    frame::{self, BadFrame, BadIdentity},
};

/// What a client says about a channel that it wants to enter.
pub(super) struct Request<'a> {
    /// With `channel_data`, the proof that it may.
    pub(super) auth: Option<Cow<'a, str>>,
    pub(super) channel_data: Option<Cow<'a, str>>,
    /// JSON.
    pub(super) filter: Option<Cow<'a, str>>,
    pub(super) delta: Option<DeltaWish>,
}

impl Request<'_> {
    /// A filter that is not understood refuses the subscription, even where filters are switched
    /// off: they may be switched on.
    fn wish(&self) -> Result<Wish, Refusal> {
        let filter = self.filter.as_deref().map(Filter::parse).transpose();
        let filter_bytes = self.filter.as_ref().map_or(0, |filter| filter.len());
        let filter = filter.map_err(Refusal::InvalidFilter)?;
        Ok(Wish { filter, filter_bytes, delta: self.delta })
    }
}

impl Session {
    /// Subscribing again is allowed and acknowledged again, but proven again too. What the client
    /// wishes then replaces what it wished before.
    pub(super) fn subscribe(
        &mut self,
        channel: &str,
        request: &Request<'_>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let admitted = self.admit(channel, request);
        match admitted.and_then(|admitted| Ok((admitted, self.admit_wish(channel, request)?))) {
            Err(refusal) => refusal.tell(channel, effects),
            Ok(((channel, _), _)) if channel.kind() == ChannelKind::User => {
                self.subscribe_to_user(now, effects);
            }
            Ok((admitted, wish)) => self.enter(admitted, wish, effects),
        }
    }

    /// The filters of one connection are bounded together.
    fn admit_wish(&self, channel: &str, request: &Request<'_>) -> Result<Wish, Refusal> {
        let wish = request.wish()?;
        let bytes = wish.filter_bytes + self.filter_bytes_but_of(channel);
        match wish.filter_bytes > 0 && bytes > Wish::FILTER_BYTES_MAX {
            true => Err(Refusal::TooMuchFilter { bytes }),
            false => Ok(wish),
        }
    }

    pub(super) fn unsubscribe(&mut self, channel: &str, effects: &mut Vec<Effect>) {
        if let Ok(place) = self.place(channel) {
            let user = self.end_membership(channel);
            self.end_wish(channel);
            effects.push(Effect::Unsubscribe { channel: self.channels.remove(place), user });
        }
    }

    /// The presence channel has as many members as it may: the client is not in it.
    pub fn handle_full(&mut self, channel: &ChannelName, limit: u32, effects: &mut Vec<Effect>) {
        if let Ok(place) = self.place(channel.as_str()) {
            self.channels.remove(place);
            self.end_membership(channel.as_str());
            self.end_wish(channel.as_str());
            Refusal::Full { limit }.tell(channel.as_str(), effects);
        }
    }

    /// Where the channel stands in the sorted list, or where it belongs.
    pub(super) fn place(&self, channel: &str) -> Result<usize, usize> {
        self.channels.binary_search_by(|name| name.as_str().cmp(channel))
    }

    fn enter(
        &mut self,
        (channel, member): (ChannelName, Option<Member>),
        wish: Wish,
        effects: &mut Vec<Effect>,
    ) {
        if channel.kind().needs_auth() {
            self.authorization = Authorization::Given;
        }
        let channel = match self.place(channel.as_str()) {
            Ok(place) => self.channels[place].clone(),
            Err(place) => {
                self.channels.insert(place, channel.clone());
                channel
            }
        };
        if let Some(member) = &member
            && let Some(before) = self.begin_membership(&channel, &member.user)
        {
            let channel = channel.clone();
            effects.push(Effect::Unsubscribe { channel, user: Some(before) });
        }
        self.begin_wish(&channel, wish);
        let terms = self.terms(&channel);
        effects.push(Effect::Subscribe { channel, member: member.map(Box::new), terms });
    }

    fn admit(
        &self,
        channel: &str,
        request: &Request<'_>,
    ) -> Result<(ChannelName, Option<Member>), Refusal> {
        let limits = &self.app.limits;
        let name = ChannelName::parse(channel, limits.channel_name_bytes_max)
            .map_err(Refusal::InvalidName)?;
        let kind = name.kind();
        if kind == ChannelKind::User {
            let own = self.user().is_some_and(|user| name.user() == Some(user.as_str()));
            return if own { Ok((name, None)) } else { Err(Refusal::OtherUser) };
        }
        let limit = limits.channels_per_connection_max;
        if self.place(channel).is_err() && self.channels.len() >= limit as usize {
            return Err(Refusal::TooManyChannels { limit });
        }
        let channel_data = request.channel_data.as_deref().filter(|data| !data.is_empty());
        if kind.needs_auth() {
            let message = channel_auth::subscription(self.id, channel, channel_data);
            channel_auth::verify(&self.app, request.auth.as_deref(), &message)
                .map_err(Refusal::Denied)?;
        }
        let presence = kind == ChannelKind::Presence;
        let member = presence.then(|| self.admit_member(channel_data)).transpose()?;
        Ok((name, member))
    }

    /// Without `channel_data`, a client is in a presence channel whom it is signed in as.
    fn admit_member(&self, channel_data: Option<&str>) -> Result<Member, Refusal> {
        let Some(channel_data) = channel_data else {
            let user = self.signed_in().ok_or(Refusal::Nobody)?;
            return Ok(user.member.clone());
        };
        let data = frame::channel_data(channel_data).map_err(Refusal::BadChannelData)?;
        let user = UserId::parse(&data.user_id).map_err(Refusal::InvalidUser)?;
        let (bytes, limit) = (data.user_info.len(), self.app.limits.presence_member_bytes_max);
        if bytes > limit as usize {
            return Err(Refusal::LargeMember { bytes, limit });
        }
        Ok(Member { user, info: data.user_info.into() })
    }
}

/// Why a client may not subscribe. Prints as the message of `pusher:subscription_error`.
#[derive(Debug)]
enum Refusal {
    InvalidName(InvalidChannelName),
    TooManyChannels { limit: u32 },
    Denied(Denied),
    OtherUser,
    Nobody,
    BadChannelData(BadIdentity),
    InvalidUser(InvalidUserId),
    LargeMember { bytes: usize, limit: u32 },
    InvalidFilter(InvalidFilter),
    Full { limit: u32 },
    TooMuchFilter { bytes: usize },
}

impl Refusal {
    fn tell(&self, channel: &str, effects: &mut Vec<Effect>) {
        let ((kind, status), message) = (self.kind(), self.to_string());
        effects.push(Effect::Send(frame::subscription_error(channel, kind, &message, status)));
        if let Self::InvalidFilter(_) = self {
            // This is how Sockudo says it (spec/websocket.md 7.3).
            let message = format!("Invalid message format: {message}");
            effects.push(Effect::Send(frame::error(BadFrame::NUMBER, &message)));
        }
    }

    /// The `type` and the `status` in the frame. They are Soketi's where it has some.
    fn kind(&self) -> (&'static str, u16) {
        match self {
            Self::InvalidName(InvalidChannelName::TooLong { .. }) => ("LimitReached", 4009),
            Self::InvalidName(InvalidChannelName::Empty | InvalidChannelName::Character { .. }) => {
                ("InvalidChannel", 400)
            }
            Self::TooManyChannels { .. } | Self::Full { .. } | Self::TooMuchFilter { .. } => {
                ("LimitReached", 4100)
            }
            Self::Denied(_) | Self::OtherUser | Self::Nobody => ("AuthError", 401),
            Self::BadChannelData(_) | Self::InvalidUser(_) => ("InvalidChannelData", 400),
            Self::LargeMember { .. } => ("LimitReached", 4301),
            Self::InvalidFilter(_) => ("InvalidFilter", 400),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName(invalid) => invalid.fmt(f),
            Self::TooManyChannels { limit } => {
                write!(f, "this connection is in {limit} channels, which is the limit")
            }
            Self::Denied(denied) => denied.fmt(f),
            Self::OtherUser => f.write_str(
                "a user's channel is only for connections that are signed in as this user",
            ),
            Self::Nobody => f.write_str(
                "a presence channel needs channel_data, or a connection that is signed in",
            ),
            Self::BadChannelData(bad) => bad.fmt(f),
            Self::InvalidUser(invalid) => invalid.fmt(f),
            Self::LargeMember { bytes, limit } => {
                write!(f, "the user_info has {bytes} bytes, the limit is {limit}")
            }
            Self::InvalidFilter(invalid) => invalid.fmt(f),
            Self::TooMuchFilter { bytes } => {
                let limit = Wish::FILTER_BYTES_MAX;
                write!(f, "the filters of this connection have {bytes} bytes, the limit is {limit}")
            }
            Self::Full { limit } => {
                write!(f, "the presence channel has {limit} members, which is the limit")
            }
        }
    }
}
