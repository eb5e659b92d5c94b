//! One socket in one channel.

use model::SocketId;

use crate::{
    Filter,
    delta::{DeltaFormat, DeltaSettings},
};

/// Names a socket on its shard thread. A reused index has another generation, so that a key kept
/// for longer than its socket is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SocketKey {
    /// The socket's place in the thread's table.
    pub index: u32,
    /// How often that place had been taken before.
    pub generation: u32,
}

/// What the hub keeps of one subscription. Delivery walks these in memory order: what it does not
/// read belongs elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subscriber {
    pub(crate) key: SocketKey,
    /// The Pusher name, by which a publisher leaves a socket out.
    pub(crate) id: SocketId,
}

/// How a subscription wants its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Only those with matching tags; `None`: all.
    pub filter: Option<Filter>,
    /// As differences to earlier ones; `None`: whole.
    pub delta: Option<DeltaFormat>,
}

impl Terms {
    /// Whether it wants every event as it is, as most do.
    #[must_use]
    pub fn are_plain(&self) -> bool {
        self.filter.is_none() && self.delta.is_none()
    }
}

/// One session in one channel, as the hub is told of it.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// The socket.
    pub key: SocketKey,
    /// Its Pusher name.
    pub id: SocketId,
    /// What it wants.
    pub terms: Terms,
    /// The channel's own settings; needed where the terms have deltas.
    pub deltas: Option<DeltaSettings>,
}

impl Subscription {
    /// One that wants every event as it is.
    #[must_use]
    pub fn plain(key: SocketKey, id: SocketId) -> Self {
        Self { key, id, terms: Terms::default(), deltas: None }
    }
}
