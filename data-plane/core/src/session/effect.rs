//! What a session decides, to be done by the shell.

use std::time::Instant;

use model::{ChannelName, UserId};

use super::Member;
use crate::{CloseCode, Terms};

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame to the client.
    Send(String),
    /// Put the socket into the channel; once that is confirmed, call `handle_joined` for a presence
    /// or cache channel and `handle_subscribed` for any other.
    Subscribe {
        /// Any channel but a user's.
        channel: ChannelName,
        /// Who the client is there: `Some` exactly for presence channels.
        member: Option<Box<Member>>,
        /// How it wants the channel's events.
        terms: Terms,
    },
    /// An existing subscription gets other terms.
    SetTerms {
        /// A channel that it was put into.
        channel: ChannelName,
        /// How it wants the channel's events from here on.
        terms: Terms,
    },
    /// The client has lost what it had received of a channel: its next frame is whole.
    Resync(ChannelName),
    /// Take the socket out of the channel.
    Unsubscribe {
        /// A channel that it was put into.
        channel: ChannelName,
        /// Who the client was there: `Some` exactly for presence channels.
        user: Option<UserId>,
    },
    /// Publish to the channel's other subscribers. All rules have been applied.
    ClientEvent {
        /// A private or presence channel that the socket is in.
        channel: ChannelName,
        /// Begins with `client-`.
        name: String,
        /// JSON text whose type must be kept; `None` where the client sent no data.
        data: Option<String>,
        /// Who the sender is there: `Some` exactly for presence channels.
        user: Option<UserId>,
    },
    /// Put the socket into the channel of its user; `handle_subscribed` once that is confirmed.
    SignIn(ChannelName),
    /// Watch these users; `handle_watched` for each of them, now or as soon as it is known, and then
    /// with each change.
    Watch(Vec<UserId>),
    /// Watch these users no longer.
    Unwatch(Vec<UserId>),
    /// Look at this session again at this time at the latest: `poll_timeout` may have said later.
    Wake(Instant),
    /// Close the connection: the code's error frame, then its close frame. Nothing follows.
    Close(CloseCode),
}
