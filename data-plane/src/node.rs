//! What the threads of a node share: their inboxes, the node's interest, its settings.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use data_plane_core::SessionConfig;
use futures_util::task::AtomicWaker;
use proto::watch::AppsReceiver;

use crate::{inbox::Inbox, interest::Interest, metrics::NodeMetrics, socket::SocketLimits};

/// One data-plane process.
#[derive(Debug)]
pub struct Node {
    /// The queue into each shard thread.
    pub inboxes: Box<[Arc<Inbox>]>,
    /// The app settings.
    pub apps: AppsReceiver,
    /// What is counted.
    pub metrics: NodeMetrics,
    /// Limits of one socket.
    pub limits: SocketLimits,
    /// Timeouts of one session.
    pub session: SessionConfig,
    /// How long closing all sockets takes.
    pub drain_window: Duration,
    /// Sockets at most; over it a new one is closed with 4100.
    pub sockets_max: i64,
    /// Wakes the stream up: there is something to report.
    pub up: Arc<AtomicWaker>,
    interest: Mutex<Interest>,
}

/// What a node is made of.
#[derive(Debug)]
pub struct NodeParts {
    /// The queue into each shard thread.
    pub inboxes: Box<[Arc<Inbox>]>,
    /// The app settings.
    pub apps: AppsReceiver,
    /// Limits of one socket.
    pub limits: SocketLimits,
    /// Timeouts of one session.
    pub session: SessionConfig,
    /// How long closing all sockets takes.
    pub drain_window: Duration,
    /// Sockets at most.
    pub sockets_max: u32,
}

impl Node {
    /// A node that holds nothing.
    #[must_use]
    pub fn new(parts: NodeParts) -> Self {
        let interest = Mutex::new(Interest::new(parts.inboxes.len()));
        Self {
            inboxes: parts.inboxes,
            apps: parts.apps,
            metrics: NodeMetrics::default(),
            limits: parts.limits,
            session: parts.session,
            drain_window: parts.drain_window,
            sockets_max: i64::from(parts.sockets_max),
            up: Arc::default(),
            interest,
        }
    }

    /// What the node holds. The lock is taken when a socket subscribes, leaves, opens or closes, and
    /// once per message from the control plane.
    pub fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().expect("no code panics while it holds the interest")
    }

    /// There is something new to report.
    pub fn report(&self) {
        self.up.wake();
    }

    /// Tells a command to each thread.
    pub fn tell_all(&self, command: impl Fn() -> crate::inbox::Command) {
        for inbox in &self.inboxes {
            inbox.push(command());
        }
    }
}
