//! Pusher frames: parse what clients say, encode what we say.
//!
//! A frame is one WebSocket text message with one JSON object. All JSON of the core is behind this
//! module.

mod encode;
mod escape;
mod json;
mod parse;

pub use encode::{
    connection_established, error, event, event_into, ping, pong, subscription_error,
    subscription_succeeded,
};
pub use parse::{BadFrame, Inbound, parse, payload_bytes};
