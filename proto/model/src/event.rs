//! What is published.

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;

use crate::{ChannelName, SocketId};

/// A checked event name: not empty, within the app's limit, no reserved prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub String);

/// String pairs on an event, read by filters; sorted by key so that what is sent is stable.
pub type Tags = BTreeMap<String, String>;

/// Names one publish to one channel from the edge to the socket: 128 bits, made by the edge or
/// derived from the client's idempotency key. Nodes drop an id they have seen.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub u128);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes message ids at the edge: 64 bits of one process's randomness, 64 bits of counting.
#[derive(Debug)]
pub struct MessageIds {
    process: u64,
    count: AtomicU64,
}

impl MessageIds {
    /// `process` must be random: it tells the ids of two processes apart.
    #[must_use]
    pub fn new(process: u64) -> Self {
        Self { process, count: AtomicU64::new(0) }
    }

    /// An id that no other publish has.
    pub fn next(&self) -> MessageId {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        MessageId(u128::from(self.process) << 64 | u128::from(count))
    }
}

/// One event, without its channel. `data` is opaque from the gateway to the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The name that handlers bind to.
    pub name: EventName,
    /// The text that clients receive as the JSON string `data`.
    pub data: Bytes,
    /// What filters read; `None` where the publisher gave none.
    pub tags: Option<Tags>,
    /// Delta compression of this event: forced, forbidden, or as configured.
    pub delta: Option<bool>,
}

/// Which counts the answer to a publish shall carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InfoWanted {
    /// Connections subscribed to each channel.
    pub subscription_count: bool,
    /// Distinct users of each presence channel.
    pub user_count: bool,
}

/// What a backend asks to publish, before any rule was applied to it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The event's name.
    pub name: String,
    /// The event's data; `None` where the caller gave none.
    pub data: Option<Bytes>,
    /// The channels as given.
    pub channels: Vec<String>,
    /// The connection to leave out, as given.
    pub socket_id: Option<String>,
    /// Which counts the answer shall carry.
    pub info: Option<InfoWanted>,
    /// What filters read.
    pub tags: Option<Tags>,
    /// Delta compression of this event.
    pub delta: Option<bool>,
    /// The caller's own name for this publish.
    pub idempotency_key: Option<String>,
    /// The trace that it belongs to (W3C traceparent); empty where it is not traced.
    pub traceparent: String,
}

/// A request to publish that every rule allows: one event, one or more channels, maybe one socket left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Publish {
    /// What is published.
    pub event: Event,
    /// Where: each channel once, in the order given.
    pub channels: Vec<ChannelName>,
    /// The connection that does not receive it.
    pub excluded: Option<SocketId>,
    /// What the answer shall say; `None` where it was not asked.
    pub info: Option<InfoWanted>,
    /// Names this publish; with several channels each channel's event derives its own from it.
    pub message_id: MessageId,
    /// The trace that it belongs to (W3C traceparent); empty where it is not traced.
    pub traceparent: String,
}
