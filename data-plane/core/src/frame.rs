//! Pusher frames: parse what clients say, encode what we say.
//!
//! A frame is one WebSocket text message with one JSON object. All JSON of the core is behind this
//! module.

mod encode;
pub(crate) mod escape;
mod people;

mod identity;
pub(crate) mod json;
mod parse;

pub use encode::{
    cache_miss, client_event_into, connection_established, error, event, event_into, ping, pong,
    subscription_count, subscription_error, subscription_succeeded,
};
pub use identity::{BadIdentity, ChannelData, UserData, channel_data, user_data};
pub use parse::{BadFrame, Inbound, parse, payload_bytes};
pub use people::{
    member_added, member_removed, presence_succeeded, presence_succeeded_into, signin_success,
    watchlist_events,
};
