//! One shard thread: its sockets, its hub, its timers. Single-threaded from end to end.
//!
//! Each turn: read what sockets sent, run the commands in the inbox, fire the timers, and then write
//! once to every socket that has something waiting: events that wait together leave in one write. Where
//! many wait, commands come in between, and apps take turns.

mod copies;
mod listing;
mod measure;
mod relief;
mod sessions;
mod subscriptions;
mod turns;
mod watchers;

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use data_plane_core::{CloseCode, Effect, Form, Hub, SocketKey, Wheel, delta::DeltaWriter};
use mio::{Events, Interest as Readiness, Poll, Token};
use model::{Apps, ChannelName, ShardId};
use proto::chance;
use slab::Slab;
use tracing::debug;

pub use self::turns::Lane;
use self::{copies::Copies, turns::Turns, watchers::Watchers};
use crate::{
    inbox::{Command, Delivery, Inbox, Progress, Step},
    ledger::Ledger,
    metrics::Savings,
    node::Node,
    outbox::Frame,
    socket::{Flushed, Incoming, Received, Socket},
    wire,
};

const WAKE: Token = Token(usize::MAX);
/// Messages read from one socket before the others have their turn.
const READ_BUDGET: u32 = 32;
/// From this many sockets on, a flush waits for a moment for more to write.
const COALESCE_SOCKETS: usize = 64;
/// So many sockets are written before commands and what sockets sent have their turn: some milliseconds.
const FLUSH_SOCKETS: usize = 512;
/// A close frame has this long to reach its peer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Resolution of timeouts.
const TIMER_TICK: Duration = Duration::from_millis(100);
const TIMER_SLOTS: usize = 2_048;
/// How often a draining thread closes its share.
const DRAIN_TICK: Duration = Duration::from_millis(20);

/// The state of one shard thread.
#[derive(Debug)]
pub struct Shard {
    thread: usize,
    node: Arc<Node>,
    inbox: Arc<Inbox>,
    poll: Poll,
    hub: Hub,
    /// Makes delta frames.
    writer: DeltaWriter,
    /// Which sockets watch which users.
    watchers: Watchers,
    sockets: Slab<Socket>,
    /// What waits in all outboxes.
    ledger: Ledger,
    generation: u32,
    wheel: Wheel,
    /// Sockets with something to write.
    dirty: Turns,
    /// One of these has much in front of it already: all are written before more commands are taken, and
    /// publishers wait for that.
    pressed: bool,
    /// Since when the oldest command waits whose frames may not all be written.
    oldest: Option<Instant>,
    /// Sockets with more to read than their budget.
    unread: Vec<SocketKey>,
    /// Sockets whose outbox overflowed in this turn.
    slow: Vec<SocketKey>,
    effects: Vec<Effect>,
    draining: Option<Drain>,
    stopped: bool,
    /// The subscriptions here that the node's sum contains.
    subscriptions_told: i64,
    /// The bytes of deltas' bases here that the node's sum contains.
    bases_told: i64,
}

/// Closing all sockets at a fixed pace.
#[derive(Debug)]
struct Drain {
    remaining: Vec<SocketKey>,
    per_tick: usize,
    next: Instant,
}

impl Shard {
    /// A thread without sockets; `poll` is the one whose waker is in `inbox`.
    #[must_use]
    pub fn new(thread: usize, node: Arc<Node>, poll: Poll, now: Instant) -> Self {
        let inbox = Arc::clone(&node.inboxes[thread]);
        let ledger = Ledger::new(node.limits.thread_bytes_max);
        Self {
            thread,
            node,
            inbox,
            poll,
            hub: Hub::default(),
            writer: DeltaWriter::new(wire::write_header),
            watchers: Watchers::default(),
            sockets: Slab::new(),
            ledger,
            generation: 0,
            wheel: Wheel::new(now, TIMER_TICK, TIMER_SLOTS),
            dirty: Turns::new(),
            pressed: false,
            oldest: None,
            unread: Vec::new(),
            slow: Vec::new(),
            effects: Vec::new(),
            draining: None,
            stopped: false,
            subscriptions_told: 0,
            bases_told: 0,
        }
    }

    /// The token under which a poll wakes for its inbox.
    #[must_use]
    pub fn wake_token() -> Token {
        WAKE
    }

    /// Runs until it is told to stop.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(1_024);
        let mut commands = Vec::new();
        let mut now = clock();
        while !self.stopped {
            let timeout = self.timeout(now);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "a shard thread cannot poll its sockets");
                return;
            }
            now = clock();
            self.read_ready(&events, now);
            self.run_commands(&mut commands, now);
            if self.dirty.sockets() >= COALESCE_SOCKETS {
                // This flush takes long, and publishers have just been answered: what they publish
                // next may leave with it.
                std::thread::yield_now();
                self.run_commands(&mut commands, now);
            }
            self.expire(now);
            self.drain(now);
            let pressed = std::mem::take(&mut self.pressed);
            self.flush(if pressed { usize::MAX } else { FLUSH_SOCKETS });
            self.relieve(now);
            self.measure();
        }
    }

    fn run_commands(&mut self, commands: &mut Vec<Command>, now: Instant) {
        let oldest = self.inbox.take(commands);
        self.oldest = self.oldest.or(oldest);
        for command in commands.drain(..) {
            self.run_command(command, now);
        }
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if !self.unread.is_empty() || !self.dirty.is_empty() {
            return Some(Duration::ZERO);
        }
        let drain = self.draining.as_ref().map(|drain| drain.next);
        let next = [self.wheel.next(), drain].into_iter().flatten().min();
        next.map(|at| at.saturating_duration_since(now))
    }

    fn read_ready(&mut self, events: &Events, now: Instant) {
        for key in std::mem::take(&mut self.unread) {
            self.read(key, now);
        }
        for event in events {
            let Some(socket) = self.sockets.get_mut(event.token().0) else {
                continue;
            };
            let key = key(event.token().0, socket);
            if event.is_writable() && !socket.dirty && socket.has_waiting() {
                socket.dirty = true;
                self.dirty.push(socket.lane, key);
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(key, now);
            }
        }
    }

    fn read(&mut self, key: SocketKey, now: Instant) {
        self.read_messages(key, now);
        // Pongs and close replies go into the outbox without passing through a session.
        if self.socket(key).is_some_and(|socket| socket.has_waiting()) {
            self.mark_dirty(key);
        }
    }

    fn read_messages(&mut self, key: SocketKey, now: Instant) {
        for _ in 0..READ_BUDGET {
            let limits = self.node.limits;
            let Some(socket) = self.socket(key) else {
                return;
            };
            let received = match socket.closing {
                // What comes in behind our close frame is read and dropped: with unread bytes the
                // connection would be reset, and the close frame lost.
                Some(_) => socket.discard(),
                None => socket.receive(limits),
            };
            match received {
                Received::Nothing => return,
                Received::Ended => return self.drop_socket(key),
                Received::Goodbye => return self.say_goodbye(key, now),
                Received::Broken(code) => return self.close(key, code, now),
                Received::Text(text) => self.handle_text(key, &text, now),
                Received::Binary(bytes) => self.handle_binary(key, &bytes, now),
                Received::Alive => self.handle_alive(key, now),
            }
        }
        self.unread.push(key);
    }

    fn run_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Open(incoming) => self.open(*incoming, now),
            Command::Deliver(steps, progress, position) => {
                self.take_steps(steps, now);
                // The events are queued for the sockets; the publisher need not wait for the writes.
                Progress::done(&progress, self.thread, position);
            }
            Command::Take(steps) => self.take_steps(steps, now),
            Command::Confirm(channel) => self.confirm(&channel),
            Command::List(inquiry) => self.list(&inquiry, now),
            Command::Apps(apps) => self.change_apps(&apps, now),
            Command::CloseSubscribed(code, shards) => self.close_subscribed(code, &shards, now),
            Command::Drain => self.start_drain(now),
            Command::Stop => self.stopped = true,
        }
    }

    fn take_steps(&mut self, steps: Vec<Step>, now: Instant) {
        for step in steps {
            match step {
                Step::Push(delivery) => self.push(&delivery, now),
                Step::Join(join) => self.join(&join, now),
                Step::Full { key, channel, user } => {
                    self.refuse_full(key, (&channel, &user), now);
                }
                Step::Watched { app, channel, online } => {
                    self.tell_watchers((&app, &channel), online, now);
                }
                Step::Close { app, channel, code } => {
                    self.close_channel((&app, &channel), code, now);
                }
            }
        }
    }

    fn push(&mut self, delivery: &Delivery, now: Instant) {
        let Self { hub, sockets, ledger, dirty, pressed, slow, node, writer, .. } = self;
        // One copy for the thread: its sockets then share it without atomics.
        let plain: Frame = Rc::from(&delivery.frame[..]);
        let mut push = |key: SocketKey, frame: &Frame| {
            let Some(socket) = sockets.get_mut(key.index as usize) else {
                return;
            };
            if socket.push(Rc::clone(frame), node.limits).is_err() {
                slow.push(key);
            } else if socket.dirty {
                *pressed |= socket.is_pressed(node.limits);
            } else {
                socket.dirty = true;
                dirty.push(socket.lane, key);
            }
        };
        let mut copies = Copies::default();
        let (app, channel, excluded) = (&*delivery.app, &*delivery.channel, delivery.excluded);
        let mut savings = Savings::default();
        let pushed =
            match &delivery.event {
                None => hub.deliver(app, channel, excluded, |key| push(key, &plain)),
                Some(published) => {
                    let text = wire::payload(&delivery.frame);
                    let event = published.event(&text);
                    hub.deliver_event((app, channel), (&event, excluded), writer, |key, form| {
                        match form {
                            Form::Plain => push(key, &plain),
                            Form::Own(frame) => {
                                savings.add(delivery.frame.len(), frame.len());
                                push(key, copies.of(frame));
                            }
                        }
                    })
                }
            };
        copies.all().chain([&plain]).for_each(|frame| ledger.enter(frame));
        self.node.metrics.delivered(app, pushed, savings);
        for key in std::mem::take(&mut self.slow) {
            self.close(key, CloseCode::SlowConsumer, now);
        }
    }

    fn change_apps(&mut self, apps: &Arc<Apps>, now: Instant) {
        for app in apps.iter() {
            self.hub.change_app(app);
        }
        for key in self.keys() {
            let mut effects = std::mem::take(&mut self.effects);
            if let Some(session) = self.socket(key).and_then(|socket| socket.session.as_mut()) {
                let app = apps.by_id(session.app().id.as_str()).cloned();
                session.handle_app(app, now, &mut effects);
            }
            self.effects = effects;
            self.apply_effects(key, now);
        }
    }

    fn close_subscribed(&mut self, code: CloseCode, shards: &[bool], now: Instant) {
        for key in self.keys() {
            let session = self.socket(key).and_then(|socket| socket.session.as_ref());
            let missed = session.is_some_and(|session| {
                let app = &session.app().id;
                let touched =
                    |channel: &ChannelName| shards[ShardId::of(app, channel.as_str()).index()];
                session.subscriptions().any(|(channel, _)| touched(channel))
                    || session.user_channel().is_some_and(touched)
            });
            if missed {
                self.close(key, code, now);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let mut expired = Vec::new();
        self.wheel.advance(now, &mut expired);
        for key in expired {
            let Some(socket) = self.socket(key) else {
                continue;
            };
            if socket.closing.is_some_and(|until| until <= now) {
                self.drop_socket(key);
                continue;
            }
            // Otherwise this timer was overtaken by an earlier one.
            if socket.session.is_some() && socket.wake_at <= now {
                let node = Arc::clone(&self.node);
                self.with_session(key, now, |session, effects| {
                    session.handle_timeout(now, &node.session, effects);
                });
                self.wake_in_time(key);
            }
        }
    }

    /// Sets the timer of the session's next timeout.
    fn wake_in_time(&mut self, key: SocketKey) {
        let node = Arc::clone(&self.node);
        let session = self.socket(key).and_then(|socket| socket.session.as_ref());
        if let Some(at) = session.map(|session| session.poll_timeout(&node.session)) {
            self.wake(key, at);
        }
    }

    /// Sets the timer of the session to this time.
    fn wake(&mut self, key: SocketKey, at: Instant) {
        if let Some(socket) = self.socket(key) {
            socket.wake_at = at;
            self.wheel.insert(key, at);
        }
    }

    /// Sets the timer of the session to this time, unless it will fire before.
    fn wake_by(&mut self, key: SocketKey, at: Instant) {
        if self.socket(key).is_some_and(|socket| at < socket.wake_at) {
            self.wake(key, at);
        }
    }

    fn start_drain(&mut self, now: Instant) {
        let remaining = self.keys();
        let per_tick = per_tick(remaining.len(), self.node.drain_window);
        self.draining = Some(Drain { remaining: shuffled(remaining), per_tick, next: now });
    }

    fn drain(&mut self, now: Instant) {
        let Some(drain) = &mut self.draining else {
            return;
        };
        if now < drain.next {
            return;
        }
        drain.next = now + DRAIN_TICK;
        let from = drain.remaining.len().saturating_sub(drain.per_tick);
        let due = drain.remaining.split_off(from);
        if due.is_empty() {
            drain.remaining =
                self.sockets.iter().map(|(index, socket)| key(index, socket)).collect();
        }
        for key in due {
            self.close(key, CloseCode::Drain, now);
        }
    }

    /// One write, or a vectored one, for each socket with something waiting; for so many at most.
    fn flush(&mut self, sockets_max: usize) {
        let mut left = sockets_max.min(self.dirty.sockets());
        self.node.metrics.writes.inc_by(left as u64);
        while left > 0
            && let Some(key) = self.dirty.next()
        {
            left -= 1;
            let Some(socket) = self.socket(key) else {
                continue;
            };
            socket.dirty = false;
            match socket.flush() {
                Flushed::Empty if socket.closing.is_some() => socket.transport.shutdown(),
                Flushed::Empty | Flushed::Blocked => {}
                Flushed::Broken => self.drop_socket(key),
            }
            self.measure_outbox(key);
        }
    }

    fn open(&mut self, incoming: Incoming, now: Instant) {
        let limits = self.node.limits;
        self.generation = self.generation.wrapping_add(1);
        let Incoming { transport, read_already, id, app } = incoming;
        let socket = Socket::new(self.generation, transport, &read_already, limits, now);
        let index = self.sockets.insert(socket);
        let socket = &mut self.sockets[index];
        let key = key(index, socket);
        let both = Readiness::READABLE | Readiness::WRITABLE;
        let registered = self.poll.registry().register(socket.transport.tcp(), Token(index), both);
        self.node.metrics.sockets.inc();
        if let Err(error) = registered {
            debug!(%error, "socket not registered");
            return self.drop_socket(key);
        }
        match app {
            Ok(app) => self.open_session(key, (app, id), now),
            Err(code) => self.close(key, code, now),
        }
        // The client may have sent its first message along with the upgrade request.
        self.read(key, now);
    }

    fn socket(&mut self, key: SocketKey) -> Option<&mut Socket> {
        let socket = self.sockets.get_mut(key.index as usize);
        socket.filter(|socket| socket.generation == key.generation)
    }

    fn keys(&self) -> Vec<SocketKey> {
        self.sockets.iter().map(|(index, socket)| key(index, socket)).collect()
    }
}

fn key(index: usize, socket: &Socket) -> SocketKey {
    SocketKey { index: index as u32, generation: socket.generation }
}

/// How many sockets are closed at a time, so that all are within the window.
fn per_tick(sockets: usize, window: Duration) -> usize {
    if cfg!(feature = "bug-drain-at-once") {
        return sockets;
    }
    let ticks = window.as_millis() / DRAIN_TICK.as_millis();
    sockets.div_ceil(ticks.max(1) as usize).max(2)
}

/// A random order, so that a drain closes no group of clients first.
fn shuffled(keys: Vec<SocketKey>) -> Vec<SocketKey> {
    let mut keys = keys;
    keys.sort_by_cached_key(|_| chance::number());
    keys
}

/// The shell's clock.
pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_spreads_its_closes_over_the_window() {
        let window = DRAIN_TICK * 50;
        assert_eq!([0, 3, 100, 1_001].map(|sockets| per_tick(sockets, window)), [2, 2, 2, 21]);
        assert_eq!(per_tick(10, Duration::ZERO), 10);
    }
}
