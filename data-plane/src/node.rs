//! What the threads of a node share: their inboxes, the node's interest, its settings.

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use data_plane_core::{Member, SessionConfig, delta::Numbers};
use futures_util::task::AtomicWaker;
use model::{AppId, ChannelName, ShardId, UserId};
use proto::{
    internal::{CacheMiss, attach_request::Up},
    watch::AppsReceiver,
};

use crate::{
    gate::Gate,
    inbox::{Command, Inbox, Step},
    interest::{CONFIRM_TIMEOUT, Confirmed, Interest, STREAMS_MAX},
    metrics::NodeMetrics,
    reports::{Full, Reports},
    shard::clock,
    socket::SocketLimits,
    states::{Batches, Place, States},
};

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
    /// Numbers the events that deltas are made of.
    pub numbers: Numbers,
    /// Wake the streams up: there is something to report.
    pub ups: [Arc<AtomicWaker>; STREAMS_MAX],
    /// Lock order: gate, then states, then interest, then reports.
    gate: Mutex<Gate>,
    states: Mutex<States>,
    interest: Mutex<Interest>,
    reports: Mutex<Reports>,
    draining: AtomicBool,
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
    /// Apps that have metrics of their own.
    pub metrics_apps_max: usize,
    /// Numbers that no other life of this node has used.
    pub numbers: Numbers,
}

/// The channel of an app.
type Channel<'a> = (&'a AppId, &'a ChannelName);

impl Node {
    /// A node that holds nothing.
    #[must_use]
    pub fn new(parts: NodeParts) -> Self {
        let threads = parts.inboxes.len();
        let metrics = NodeMetrics::new(parts.apps.clone(), parts.metrics_apps_max);
        Self {
            inboxes: parts.inboxes,
            apps: parts.apps,
            gate: Mutex::new(Gate::new(clock(), metrics.clone())),
            metrics,
            limits: parts.limits,
            session: parts.session,
            drain_window: parts.drain_window,
            sockets_max: i64::from(parts.sockets_max),
            numbers: parts.numbers,
            ups: Default::default(),
            states: Mutex::new(States::new(threads)),
            interest: Mutex::new(Interest::new(threads)),
            reports: Mutex::default(),
            draining: AtomicBool::new(false),
        }
    }

    /// What the node holds. The lock is taken when a socket subscribes, leaves, opens or closes, and
    /// once per message from the control plane.
    pub fn interest(&self) -> MutexGuard<'_, Interest> {
        self.interest.lock().expect("no code panics while it holds the interest")
    }

    /// There is something new to report.
    pub fn report(&self) {
        for up in &self.ups {
            up.wake();
        }
    }

    /// What everything passes that comes down.
    pub fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().expect("no code panics while it holds the gate")
    }

    /// Channels with a state. Who changes one and tells sockets of it holds the lock meanwhile.
    pub fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().expect("no code panics while it holds the states")
    }

    /// What happened on sockets and is on its way up.
    pub fn reports(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().expect("no code panics while it holds the reports")
    }

    /// A socket subscribes to a channel with a state; its thread's inbox says when it is in.
    pub fn join(&self, place: Place, channel: Channel<'_>, member: Option<&Member>, now: Instant) {
        let mut states = self.states();
        let changed = states.join(place, channel, member, now);
        let mut interest = self.interest();
        interest.set_subscriptions(place.thread, channel, changed.subscriptions, (now, false));
        if let Some(member) = member.filter(|_| changed.user) {
            interest.set_member(channel, &member.user, Some(Arc::clone(&member.info)));
        }
        drop(interest);
        let mut batches = self.batches();
        states.let_in(channel, now, &mut batches);
        self.take(batches);
        drop(states);
        self.report();
    }

    /// A socket leaves a channel with a state.
    pub fn leave(&self, place: Place, channel: Channel<'_>, user: Option<&UserId>, now: Instant) {
        let mut states = self.states();
        let mut batches = self.batches();
        let changed = states.leave(place, channel, user, &mut batches);
        self.take(batches);
        let Some(changed) = changed else {
            return;
        };
        let mut interest = self.interest();
        if let Some(user) = user.filter(|_| changed.user) {
            interest.set_member(channel, user, None);
        }
        interest.set_subscriptions(place.thread, channel, changed.subscriptions, (now, false));
        drop(interest);
        drop(states);
        self.report();
    }

    /// This many sockets of a thread watch a user; returns whether the user is online, where known.
    pub fn watch(&self, thread: usize, user: Channel<'_>, watchers: u32) -> Option<bool> {
        let mut states = self.states();
        let nobody = self.interest().set_watchers(thread, user, watchers);
        let (app, channel) = user;
        let online = match nobody {
            true => {
                states.unwatch(app, channel);
                None
            }
            false => states.watch(app, channel),
        };
        drop(states);
        self.report();
        online
    }

    /// Something happened on a socket that the owner of its channel must hear of.
    pub fn say(&self, (app, channel): (&AppId, &str), up: Up) -> Result<(), Full> {
        let owner = self.gate().owner(ShardId::of(app, channel));
        let said = self.reports().push(owner, up);
        self.report();
        said
    }

    /// A socket found nothing for it in a cache channel.
    pub fn report_miss(&self, (app, channel): Channel<'_>) {
        let miss = CacheMiss { app_id: app.to_string(), channel: channel.to_string() };
        if self.say((app, channel.as_str()), Up::CacheMiss(miss)).is_err() {
            self.metrics.reports_dropped.inc();
        }
    }

    /// Ends interest that has lingered, lets in who has waited for too long. Returns the plain
    /// channels whose first subscribers need wait no longer.
    pub fn expire(&self, now: Instant) -> Vec<Confirmed> {
        let mut states = self.states();
        let (ended, confirmed) = self.interest().expire(now);
        for (app, channel) in &ended {
            states.forget(app, channel);
        }
        let mut batches = self.batches();
        let since = now.checked_sub(CONFIRM_TIMEOUT).unwrap_or(now);
        let given_up = states.give_up((since, now), &mut batches);
        let mut interest = self.interest();
        given_up.iter().for_each(|(app, channel)| interest.give_up((app, channel), now));
        drop(interest);
        self.take(batches);
        drop(states);
        self.metrics.degraded.inc_by((given_up.len() + confirmed.len()) as u64);
        confirmed
    }

    /// The node closes its sockets from here on: who leaves comes back elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
        self.report();
    }

    /// Whether the node closes its sockets.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// No steps for any thread.
    #[must_use]
    pub fn batches(&self) -> Batches {
        self.inboxes.iter().map(|_| Vec::new()).collect()
    }

    /// Gives each thread its steps.
    fn take(&self, batches: Vec<Vec<Step>>) {
        for (inbox, steps) in self.inboxes.iter().zip(batches) {
            if !steps.is_empty() {
                inbox.push(Command::Take(steps));
            }
        }
    }

    /// Those who waited for an acknowledgement are told.
    pub fn confirm(&self, confirmed: Vec<Confirmed>) {
        for Confirmed { channel, threads } in confirmed {
            for (thread, inbox) in self.inboxes.iter().enumerate() {
                if threads & (1 << thread) != 0 {
                    inbox.push(Command::Confirm(channel.clone()));
                }
            }
        }
    }

    /// Tells a command to each thread.
    pub fn tell_all(&self, command: impl Fn() -> Command) {
        for inbox in &self.inboxes {
            inbox.push(command());
        }
    }
}
