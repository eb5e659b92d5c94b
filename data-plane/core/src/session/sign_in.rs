//! Who may sign in as whom. Source: spec/websocket.md 4.1.

use std::{borrow::Cow, fmt, time::Instant};

use model::{ChannelName, InvalidChannelName, InvalidUserId, UserId};

use super::{
    Effect, Member, Session,
    user::{SignIn, User},
};
use crate::{
    CloseCode,
    channel_auth::{self, Denied},
    frame::{self, BadIdentity},
};

impl Session {
    /// A refusal is told to the client and changes nothing.
    pub(super) fn sign_in(
        &mut self,
        auth: Option<&str>,
        user_data: Option<Cow<'_, str>>,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        match self.admit_user(auth, user_data) {
            Ok(user) => self.become_user(user, now, effects),
            Err(refusal) => {
                let message = format!("Authentication error: {refusal}");
                let number = CloseCode::Unauthorized.number();
                effects.push(Effect::Send(frame::error(number, &message)));
            }
        }
    }

    fn admit_user(
        &self,
        auth: Option<&str>,
        user_data: Option<Cow<'_, str>>,
    ) -> Result<User, Refusal> {
        let user_data = user_data.ok_or(Refusal::NoUserData)?;
        let signed = channel_auth::signin(self.id, &user_data);
        channel_auth::verify(&self.app, auth, &signed).map_err(Refusal::Denied)?;
        let data = frame::user_data(&user_data).map_err(Refusal::BadUserData)?;
        let (id, channel) = self.parse_user(&data.id).map_err(Refusal::InvalidId)?;
        if self.user().is_some_and(|user| *user != id) {
            return Err(Refusal::OtherUser);
        }
        let (bytes, limit) = (data.user_info.len(), self.app.limits.presence_member_bytes_max);
        if bytes > limit as usize {
            return Err(Refusal::LargeInfo { bytes, limit });
        }
        let mut watched = Vec::new();
        for text in data.watchlist.iter().take(SignIn::WATCHED_MAX) {
            let (user, _) = self.parse_user(text).map_err(Refusal::InvalidWatched)?;
            if !watched.contains(&user) {
                watched.push(user);
            }
        }
        let named = data.watchlist.len();
        let member = Member { user: id, info: data.user_info.into() };
        let user_data = user_data.into_owned();
        Ok(User::new(member, channel, SignIn { user_data, watched, named }))
    }

    /// A user's id is also part of a channel's name, and must be fit for it.
    fn parse_user(&self, text: &str) -> Result<(UserId, ChannelName), InvalidUser> {
        let user = UserId::parse(text).map_err(InvalidUser::Id)?;
        let channel = ChannelName::of_user(text);
        let limit = self.app.limits.channel_name_bytes_max;
        let channel = ChannelName::parse(channel.as_str(), limit).map_err(InvalidUser::Channel)?;
        Ok((user, channel))
    }
}

/// Why a text is no user who can sign in.
#[derive(Debug)]
enum InvalidUser {
    Id(InvalidUserId),
    Channel(InvalidChannelName),
}

/// Why a client may not sign in. Prints as the reason in the error frame.
#[derive(Debug)]
enum Refusal {
    NoUserData,
    Denied(Denied),
    BadUserData(BadIdentity),
    InvalidId(InvalidUser),
    InvalidWatched(InvalidUser),
    OtherUser,
    LargeInfo { bytes: usize, limit: u32 },
}

impl fmt::Display for InvalidUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(invalid) => invalid.fmt(f),
            Self::Channel(InvalidChannelName::TooLong { bytes, limit }) => {
                write!(f, "its channel's name has {bytes} bytes, the limit is {limit}")
            }
            Self::Channel(InvalidChannelName::Character { character, .. }) => {
                write!(f, "a user id must not have blanks, this one has {character:?}")
            }
            Self::Channel(InvalidChannelName::Empty) => f.write_str("a user id must not be empty"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUserData => f.write_str("'user_data' must be a string"),
            Self::Denied(Denied::Missing) => f.write_str("'auth' must be a string"),
            Self::Denied(Denied::WrongSignature) => f.write_str(
                "Connection not authorized for signin: the signature must be the HMAC-SHA256 of \
                 socket id, '::user::' and user_data with the app's secret",
            ),
            Self::Denied(denied @ (Denied::Malformed | Denied::WrongKey)) => denied.fmt(f),
            Self::BadUserData(bad) => bad.fmt(f),
            Self::InvalidId(invalid) => write!(f, "'id' in user_data: {invalid}"),
            Self::InvalidWatched(invalid) => write!(f, "'watchlist' in user_data: {invalid}"),
            Self::OtherUser => f.write_str(
                "this connection is signed in as another user, and stays so until it is closed",
            ),
            Self::LargeInfo { bytes, limit } => {
                write!(f, "'user_info' in user_data has {bytes} bytes, the limit is {limit}")
            }
        }
    }
}
