//! The one queue into a shard thread, and its way of saying how far it is.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use data_plane_core::{
    CloseCode, Event, SocketKey,
    delta::{self, Shared},
};
use futures_util::task::AtomicWaker;
use model::{AppId, Apps, ChannelName, SocketId, Tags, UserId};
use proto::plane::traces::Span;

use crate::{inquiry::Inquiry, interest::ChannelKey, socket::Incoming, states::Join};

/// What a shard thread is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Take a connection.
    Open(Box<Incoming>),
    /// Take these steps, then say that this position is reached.
    Deliver(Vec<Step>, Arc<Progress>, u64),
    /// Take these steps, which are no part of the stream.
    Take(Vec<Step>),
    /// The interest of a channel is acknowledged: its waiting subscribers may be told.
    Confirm(ChannelKey),
    /// Say which sockets there are.
    List(Arc<Inquiry>),
    /// The settings changed.
    Apps(Arc<Apps>),
    /// Close every socket that is subscribed to anything in these shards.
    CloseSubscribed(CloseCode, Arc<[bool]>),
    /// Close all sockets at a fixed pace, in random order; take no more when done.
    Drain,
    /// End the thread.
    Stop,
}

/// One thing that happens to sockets.
#[derive(Debug)]
pub enum Step {
    /// A frame for all subscribers of a channel.
    Push(Arc<Delivery>),
    /// A socket may hear its channel from here on.
    Join(Box<Join>),
    /// A socket's channel is full: it is not in.
    Full {
        /// The socket.
        key: SocketKey,
        /// The channel.
        channel: ChannelName,
        /// Who it would have been there.
        user: UserId,
    },
    /// A watched user has come online or gone offline.
    Watched {
        /// Whose user.
        app: AppId,
        /// The user's channel.
        channel: ChannelName,
        /// Whether anybody is signed in as that user.
        online: bool,
    },
    /// All sockets of a channel are closed.
    Close {
        /// Whose channel.
        app: AppId,
        /// The channel.
        channel: ChannelName,
        /// Why.
        code: CloseCode,
    },
}

/// One event for one channel, encoded once for the whole node.
#[derive(Debug)]
pub struct Delivery {
    /// The app's id.
    pub app: String,
    /// The channel's name.
    pub channel: String,
    /// The connection that does not receive it.
    pub excluded: Option<SocketId>,
    /// The WebSocket frame.
    pub frame: Bytes,
    /// What filters and deltas look at; `None` for what goes to all subscribers as it is: what clients
    /// publish, and news of the channel.
    pub event: Option<Published>,
}

/// An event that a backend has published.
#[derive(Debug)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Bytes,
    /// Its tags.
    pub tags: Option<Tags>,
    /// Whether clients see the tags.
    pub tags_shown: bool,
    /// Deltas for this event: forced, forbidden, or as configured.
    pub delta: Option<bool>,
    /// Ends with the delivery: when every thread has queued it for its sockets.
    pub span: Span,
    /// Its number, and frames that all threads share.
    pub shared: Shared,
}

impl Published {
    /// The event as the hub looks at it; `text` is the payload of its frame.
    pub(crate) fn event<'a>(&'a self, text: &'a Bytes) -> Event<'a> {
        let tags = self.tags.as_ref();
        let published = delta::Published {
            name: &self.name,
            data: std::str::from_utf8(&self.data).unwrap_or_default(),
            tags: tags.filter(|_| self.tags_shown),
            delta: self.delta,
            text,
            shared: &self.shared,
        };
        Event { published, tags }
    }
}

/// A handle on a shard thread's queue. What grows it is bounded elsewhere: deliveries by the control
/// plane's queue of unacknowledged events, connections by the listener's cap.
#[derive(Debug)]
pub struct Inbox {
    waiting: Mutex<Waiting>,
    waker: mio::Waker,
}

#[derive(Debug, Default)]
struct Waiting {
    commands: Vec<Command>,
    /// When the first of them came.
    oldest: Option<Instant>,
}

impl Inbox {
    /// A queue whose owner is woken through `waker`.
    #[must_use]
    pub fn new(waker: mio::Waker) -> Self {
        Self { waiting: Mutex::default(), waker }
    }

    /// Puts a command behind those that wait; wakes the thread where there was none.
    pub fn push(&self, command: Command) {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        let idle = waiting.commands.is_empty();
        if idle {
            waiting.oldest = Some(tokio::time::Instant::now().into_std());
        }
        waiting.commands.push(command);
        drop(waiting);
        if idle && let Err(error) = self.waker.wake() {
            tracing::error!(%error, "a shard thread cannot be woken");
        }
    }

    /// Takes all that waits; returns since when it has.
    pub fn take(&self, into: &mut Vec<Command>) -> Option<Instant> {
        let mut waiting = self.waiting.lock().expect("no holder panics");
        std::mem::swap(into, &mut waiting.commands);
        waiting.oldest.take()
    }

    /// Commands that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.lock().expect("no holder panics").commands.len()
    }

    /// Whether no command waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How far the shard threads are with the events of one stream.
#[derive(Debug)]
pub struct Progress {
    received: AtomicU64,
    sent: Box<[AtomicU64]>,
    done: Box<[AtomicU64]>,
    /// Wakes the stream that reports it.
    waker: Arc<AtomicWaker>,
}

impl Progress {
    /// A stream that goes on after `position`.
    #[must_use]
    pub fn new(threads: usize, position: u64, waker: Arc<AtomicWaker>) -> Arc<Self> {
        let cells = || (0..threads).map(|_| AtomicU64::new(position)).collect();
        Arc::new(Self { received: AtomicU64::new(position), sent: cells(), done: cells(), waker })
    }

    /// Events up to `position` are about to be given to a thread.
    pub fn send(&self, thread: usize, position: u64) {
        self.sent[thread].store(position, Ordering::Release);
    }

    /// Events up to `position` have come in, and threads have been given theirs.
    pub fn receive(&self, position: u64) {
        self.received.store(position, Ordering::Release);
        self.waker.wake();
    }

    /// A thread has queued all events up to `position` for its sockets.
    pub fn done(&self, thread: usize, position: u64) {
        self.done[thread].store(position, Ordering::Release);
        self.waker.wake();
    }

    /// Everything up to here is queued for the sockets of the node.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        let received = self.received.load(Ordering::Acquire);
        let behind = self.sent.iter().zip(&self.done).filter_map(|(sent, done)| {
            let (sent, done) = (sent.load(Ordering::Acquire), done.load(Ordering::Acquire));
            (done < sent).then_some(done)
        });
        behind.fold(received, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delivered_is_the_position_that_no_thread_is_behind() {
        let progress = Progress::new(2, 10, Arc::default());
        assert_eq!(progress.delivered(), 10);
        progress.send(0, 12);
        progress.receive(12);
        assert_eq!(progress.delivered(), 10);
        progress.send(1, 15);
        progress.receive(15);
        progress.done(0, 12);
        assert_eq!(progress.delivered(), 10, "thread 1 has done nothing of its share");
        progress.done(1, 15);
        assert_eq!(progress.delivered(), 15);
        progress.receive(20);
        assert_eq!(progress.delivered(), 20, "events that no thread wants");
    }
}
