//! One attached node: what is on its way to it, and who waits for that.
//!
//! The queue keeps an event until the node has acknowledged it, so that a stream that breaks goes on
//! where it was. It is bounded in bytes and events; when it is full the node has a gap: the stream
//! ends, and when the node attaches again it is told so and closes its sockets.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use model::{AppId, BootId, NodeId, OwnerId};
use proto::internal::{
    AppConnections, AttachResponse, Claim, Delivered, Dispatch, DispatchedEvent, Hello,
    InterestAck, ListSockets, Stable, Totals, Welcome, attach_response::Down,
};

use crate::ack::Ack;

/// Bytes of events on their way to one node.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// Events on their way to one node.
const QUEUE_EVENTS_MAX: usize = 65_536;
/// What one message of the stream carries at most: far below gRPC's limit of 4 MiB, unless a single
/// event is larger.
const MESSAGE_EVENTS_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Questions of operators that wait for one node.
const ASKED_MAX: usize = 8;
/// An event costs this much besides its text.
const EVENT_OVERHEAD_BYTES: usize = 200;

/// A node that does not acknowledge for this long leaves the set of those that are waited for.
pub const LAG_MAX: Duration = Duration::from_millis(250);
/// Time between heartbeats.
pub const HEARTBEAT: Duration = Duration::from_millis(250);
/// Silence after which a node counts as stopped.
pub const SILENCE_MAX: Duration = Duration::from_millis(750);
/// How long a node that lost its stream keeps its place: counts, interest, queue.
pub const GRACE: Duration = Duration::from_secs(3);

/// One life of a node, as this control plane sees it.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Which life.
    pub boot: BootId,
    /// It closes its sockets: who leaves it comes back elsewhere.
    draining: AtomicBool,
    state: Mutex<State>,
    waker: AtomicWaker,
}

/// One stream of a node.
#[derive(Clone, Debug)]
pub struct Attachment {
    /// Whose.
    pub node: Arc<Node>,
    /// Which of its streams, from 1.
    pub number: u32,
    /// What was pushed since the attachment of this number began has not been lost.
    pub unbroken: u32,
}

#[derive(Debug)]
struct State {
    /// Which attachment is in force; a stream of an older one ends.
    attachment: u32,
    unbroken: u32,
    attached: bool,
    /// Publishers wait for this node.
    healthy: bool,
    lost_at: Instant,
    heard: Instant,
    /// The node missed events for good.
    gap: bool,
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// Position of the event before the front of the queue: everything up to it is acknowledged.
    acknowledged: u64,
    /// Position of the last event given to the stream.
    sent: u64,
    waiting: VecDeque<(u64, Arc<Ack>)>,
    /// What this node has acknowledged and not all others have: by position.
    unstable: VecDeque<(u64, Arc<Ack>)>,
    /// The position up to which all is stable, as the node was told.
    told_stable: u64,
    stable_due: bool,
    /// Shards that this control plane takes, and the node has not been told of yet.
    claims: VecDeque<Claim>,
    /// The last round that the node was told of, and the last that it has answered.
    claimed: (u64, u64),
    /// What operators want to know of it.
    asked: VecDeque<ListSockets>,
    /// It did not answer a claim in time: it gets every event until it does.
    late: bool,
    /// Its interest is known.
    snapshot: bool,
    /// The control planes that it is attached to and that answer it, and when it said so.
    owners: (Vec<OwnerId>, Instant),
    welcome: Option<Welcome>,
    interest_ack: Option<u64>,
    totals: HashMap<AppId, u32>,
}

#[derive(Debug)]
struct Queued {
    event: Arc<DispatchedEvent>,
    bytes: usize,
    at: Instant,
    /// A publisher waits for it, or did.
    awaited: bool,
}

/// What became of an event that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued,
    /// The queue was full: the node was detached and has a gap.
    Overflowed,
    /// The node has a gap already.
    Lost,
}

/// A node whose state [`Node::tick`] changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// Nothing of note.
    Steady,
    /// It left the set of those that are waited for.
    Lagging,
    /// It lost its stream longer than the grace ago: it is gone.
    Gone,
}

impl Node {
    /// A node that has not attached yet.
    #[must_use]
    pub fn new(id: NodeId, boot: BootId, now: Instant) -> Self {
        let state = State {
            attachment: 0,
            unbroken: 1,
            attached: false,
            healthy: false,
            lost_at: now,
            heard: now,
            gap: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            acknowledged: 0,
            sent: 0,
            waiting: VecDeque::new(),
            unstable: VecDeque::new(),
            told_stable: 0,
            stable_due: false,
            claims: VecDeque::new(),
            claimed: (0, 0),
            asked: VecDeque::new(),
            late: false,
            snapshot: false,
            owners: (Vec::new(), now),
            welcome: None,
            interest_ack: None,
            totals: HashMap::new(),
        };
        let draining = AtomicBool::new(false);
        Self { id, boot, draining, state: Mutex::new(state), waker: AtomicWaker::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code in this module panics while it holds the state")
    }

    /// A stream begins; an older one ends.
    pub fn attach(self: &Arc<Self>, hello: &Hello, owner: u64, now: Instant) -> Attachment {
        let mut state = self.state();
        let last = state.last();
        let resumes = hello.owner == owner && (state.acknowledged..=last).contains(&hello.position);
        // A node that was never attached to this control plane has missed nothing of it. One that was, and
        // had been given up meanwhile, has.
        let was_here = state.attachment > 0 || hello.owner == owner;
        let gap = state.gap || (was_here && !resumes);
        if gap {
            state.release(u64::MAX);
            state.queue.clear();
            state.queue_bytes = 0;
            state.acknowledged = last;
        }
        state.sent = if resumes && !gap { hello.position } else { last };
        state.gap = false;
        state.attachment += 1;
        if gap {
            state.unbroken = state.attachment;
        }
        state.attached = true;
        state.healthy = true;
        state.heard = now;
        state.told_stable = 0;
        state.claims.clear();
        state.claimed = (0, 0);
        state.asked.clear();
        (state.late, state.snapshot) = (false, false);
        state.welcome = Some(Welcome {
            owner,
            heartbeat_ms: HEARTBEAT.as_millis() as u32,
            position: state.sent,
            gap,
        });
        state.interest_ack = None;
        let (number, unbroken) = (state.attachment, state.unbroken);
        drop(state);
        self.waker.wake();
        Attachment { node: Arc::clone(self), number, unbroken }
    }

    /// The stream of this attachment is over.
    pub fn detach(&self, attachment: u32, now: Instant) {
        let mut state = self.state();
        if state.attachment == attachment && state.attached {
            state.detach(now);
        }
    }

    /// Whichever stream there is, it is over.
    pub fn detach_any(&self, now: Instant) {
        let mut state = self.state();
        if state.attached {
            state.detach(now);
        }
        drop(state);
        self.waker.wake();
    }

    /// As [`Node::push`], for what is true until something else is and can be told later: `None` where
    /// the queue is half full. Else the attachment during which it was told.
    pub fn tell(&self, notice: &Arc<DispatchedEvent>, now: Instant) -> Option<u32> {
        let mut state = self.state();
        let bytes = queued_bytes(notice);
        let half_full = state.queue.len() >= QUEUE_EVENTS_MAX / 2
            || (state.queue_bytes + bytes > QUEUE_BYTES_MAX / 2 && !state.queue.is_empty());
        if half_full {
            return None;
        }
        let attachment = state.attachment;
        // After a gap nothing that was told counts: the next attachment is the first unbroken one.
        if !state.gap {
            let event = Arc::clone(notice);
            state.queue.push_back(Queued { event, bytes, at: now, awaited: false });
            state.queue_bytes += bytes;
        }
        drop(state);
        self.waker.wake();
        Some(attachment)
    }

    /// Puts an event behind those on their way; called under the shard's lock, so that all nodes see
    /// one order.
    pub fn push(
        &self,
        event: &Arc<DispatchedEvent>,
        now: Instant,
        ack: Option<&Arc<Ack>>,
    ) -> Pushed {
        let mut state = self.state();
        if state.gap {
            return Pushed::Lost;
        }
        let bytes = queued_bytes(event);
        let full = state.queue.len() >= QUEUE_EVENTS_MAX
            || (state.queue_bytes + bytes > QUEUE_BYTES_MAX && !state.queue.is_empty());
        if full && cfg!(feature = "bug-silent-drop") {
            return Pushed::Lost;
        }
        if full {
            state.gap = true;
            state.detach(now);
            drop(state);
            self.waker.wake();
            return Pushed::Overflowed;
        }
        let awaited = ack.is_some();
        state.queue.push_back(Queued { event: Arc::clone(event), bytes, at: now, awaited });
        state.queue_bytes += bytes;
        if let Some(ack) = ack.filter(|_| state.healthy && !cfg!(feature = "bug-ack-early")) {
            ack.owe();
            let position = state.last();
            state.waiting.push_back((position, Arc::clone(ack)));
        }
        drop(state);
        self.waker.wake();
        Pushed::Queued
    }

    /// The node has queued everything up to a position for its sockets, but for what it has refused.
    /// Returns whether it lacks something now: a publisher that had stopped to wait for this node was
    /// told that all is well, and nobody will send the event again. Then the node has a gap.
    pub fn delivered(&self, delivered: &Delivered, now: Instant) -> bool {
        let mut state = self.state();
        let position = delivered.position.min(state.sent);
        let refused = |waited: u64| delivered.refused.contains(&waited);
        let mut unsent = 0_usize;
        while state.acknowledged < position {
            let Some(queued) = state.queue.pop_front() else {
                break;
            };
            state.queue_bytes -= queued.bytes;
            state.acknowledged += 1;
            unsent += usize::from(queued.awaited && refused(state.acknowledged));
        }
        for (_, ack) in state.waiting.iter().filter(|(waited, _)| refused(*waited)) {
            ack.refuse();
            unsent = unsent.saturating_sub(1);
        }
        state.release(position);
        state.heard(now);
        if unsent == 0 {
            return false;
        }
        state.gap = true;
        state.detach(now);
        drop(state);
        self.waker.wake();
        true
    }

    /// Tells the node which shards this control plane takes.
    pub fn claim(&self, claim: Claim) {
        let mut state = self.state();
        state.claimed.0 = claim.round;
        state.claims.push_back(claim);
        drop(state);
        self.waker.wake();
    }

    /// Asks the node for its sockets; `false` where it is not there or is asked too much.
    pub fn ask(&self, wanted: ListSockets) -> bool {
        let mut state = self.state();
        if !state.attached || state.asked.len() >= ASKED_MAX {
            return false;
        }
        state.asked.push_back(wanted);
        drop(state);
        self.waker.wake();
        true
    }

    /// The node has answered all claims up to this round.
    pub fn claimed(&self, round: u64) {
        let mut state = self.state();
        state.claimed.1 = state.claimed.1.max(round);
    }

    /// Whether a claim up to this round is waited for.
    #[must_use]
    pub fn owes_claim(&self, round: u64) -> bool {
        let state = self.state();
        state.attached && state.claimed.1 < round
    }

    /// Whether it has answered every claim that it was told of.
    #[must_use]
    pub fn has_answered(&self) -> bool {
        let state = self.state();
        state.claimed.1 >= state.claimed.0
    }

    /// It did not answer a claim in time, or has at last.
    pub fn set_late(&self, late: bool) {
        self.state().late = late;
    }

    /// Whether it did not answer a claim in time, and still has not.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.state().late
    }

    /// All its interest is known.
    pub fn set_snapshot(&self) {
        self.state().snapshot = true;
    }

    /// Whether all its interest is known.
    #[must_use]
    pub fn has_snapshot(&self) -> bool {
        self.state().snapshot
    }

    /// These control planes answer it.
    pub fn set_owners(&self, owners: Vec<OwnerId>, now: Instant) -> bool {
        let mut state = self.state();
        let changed = state.owners.0 != owners;
        state.owners = (owners, now);
        changed
    }

    /// The control planes that answer it, if it has said so lately.
    #[must_use]
    pub fn owners_heard(&self, now: Instant) -> Vec<OwnerId> {
        let state = self.state();
        let (owners, since) = &state.owners;
        let is_fresh = state.attached && now.saturating_duration_since(*since) <= SILENCE_MAX;
        if is_fresh { owners.clone() } else { Vec::new() }
    }

    /// The position of the last event that was pushed.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.state().last()
    }

    /// Whether an event up to this position is waited for.
    #[must_use]
    pub fn owes(&self, position: u64) -> bool {
        let state = self.state();
        state.healthy && state.acknowledged < position
    }

    /// The node is alive.
    pub fn heard(&self, now: Instant) {
        self.state().heard(now);
    }

    /// Its silence was ours.
    pub fn excuse(&self, now: Instant) {
        let mut state = self.state();
        state.heard = now;
        state.owners.1 = now;
        state.queue.iter_mut().for_each(|queued| queued.at = now);
    }

    /// The interest of this sequence is in force.
    pub fn acknowledge_interest(&self, sequence: u64) {
        self.state().interest_ack = Some(sequence);
        self.waker.wake();
    }

    /// The connections of an app on all other nodes changed; only the latest number is sent.
    pub fn set_total(&self, app: AppId, connections: u32) {
        self.state().totals.insert(app, connections);
        self.waker.wake();
    }

    /// Looks at the clock: does the node lag, is it gone?
    pub fn tick(&self, now: Instant) -> Ticked {
        let mut state = self.state();
        if !state.attached {
            let gone = now.saturating_duration_since(state.lost_at) >= GRACE;
            return if gone { Ticked::Gone } else { Ticked::Steady };
        }
        if now.saturating_duration_since(state.heard) >= GRACE {
            // Its connection stands, but what waits for it has been overtaken.
            state.detach(now);
            drop(state);
            self.waker.wake();
            return Ticked::Gone;
        }
        if state.healthy && (state.lags(now) || state.silent(now)) {
            state.healthy = false;
            state.release(u64::MAX);
            return Ticked::Lagging;
        }
        state.stable_due = state.stable() > state.told_stable;
        let wake = state.stable_due;
        drop(state);
        if wake {
            self.waker.wake();
        }
        Ticked::Steady
    }

    /// Whether it has a stream.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.state().attached
    }

    /// Whether the stream of this attachment is the latest, and not given up.
    #[must_use]
    pub fn is_current(&self, attachment: u32) -> bool {
        let state = self.state();
        state.attached && state.attachment == attachment
    }

    /// When it last lost its stream.
    #[must_use]
    pub fn lost_at(&self) -> Instant {
        self.state().lost_at
    }

    /// It begins to close its sockets.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether it closes its sockets.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether publishers wait for it.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let state = self.state();
        state.attached && state.healthy
    }

    /// How long the oldest event has been on its way.
    #[must_use]
    pub fn lag(&self, now: Instant) -> Duration {
        let state = self.state();
        let oldest = state.queue.front();
        oldest.map_or(Duration::ZERO, |queued| now.saturating_duration_since(queued.at))
    }

    /// Events and bytes on their way.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let state = self.state();
        (state.queue.len(), state.queue_bytes)
    }

    /// What the stream of `attachment` sends next; `None` when that attachment is over.
    pub fn poll_down(
        &self,
        attachment: u32,
        context: &Context<'_>,
    ) -> Poll<Option<AttachResponse>> {
        self.waker.register(context.waker());
        let mut state = self.state();
        if state.attachment != attachment || !state.attached {
            return Poll::Ready(None);
        }
        match state.next_down() {
            Some(down) => Poll::Ready(Some(AttachResponse { down: Some(down) })),
            None => Poll::Pending,
        }
    }
}

/// What an event takes of the queue. The parts of a notice are measured, as a list of members may be
/// long; an event is its text.
fn queued_bytes(event: &DispatchedEvent) -> usize {
    let notice = event.notice.as_ref().map_or(0, prost::Message::encoded_len);
    event.data.len() + event.name.len() + event.channel.len() + notice + EVENT_OVERHEAD_BYTES
}

impl State {
    /// Position of the last event that was pushed.
    fn last(&self) -> u64 {
        self.acknowledged + self.queue.len() as u64
    }

    fn detach(&mut self, now: Instant) {
        self.attached = false;
        self.healthy = false;
        self.lost_at = now;
        self.release(u64::MAX);
        if self.gap {
            let last = self.last();
            self.queue = VecDeque::new();
            self.queue_bytes = 0;
            self.acknowledged = last;
        }
    }

    /// Publishers wait no longer for events up to `position`.
    fn release(&mut self, position: u64) {
        while self.waiting.front().is_some_and(|(waited, _)| *waited <= position) {
            if let Some((waited, ack)) = self.waiting.pop_front() {
                ack.pay();
                if !ack.is_paid() {
                    self.unstable.push_back((waited, ack));
                }
            }
        }
    }

    /// The position up to which every node has what it was to have.
    fn stable(&mut self) -> u64 {
        while self.unstable.front().is_some_and(|(_, ack)| ack.is_paid()) {
            self.unstable.pop_front();
        }
        let first = self.unstable.front().map(|(position, _)| position - 1);
        first.unwrap_or(u64::MAX).min(self.acknowledged)
    }

    fn lags(&self, now: Instant) -> bool {
        let oldest = self.queue.front();
        oldest.is_some_and(|queued| now.saturating_duration_since(queued.at) > LAG_MAX)
    }

    fn silent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > SILENCE_MAX
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        if self.attached && !self.healthy && !self.lags(now) {
            self.healthy = true;
        }
    }

    fn next_down(&mut self) -> Option<Down> {
        if let Some(welcome) = self.welcome.take() {
            return Some(Down::Welcome(welcome));
        }
        if let Some(sequence) = self.interest_ack.take() {
            return Some(Down::InterestAck(InterestAck { sequence }));
        }
        if let Some(claim) = self.claims.pop_front() {
            return Some(Down::Claim(claim));
        }
        if std::mem::take(&mut self.stable_due) {
            self.told_stable = self.stable();
            return Some(Down::Stable(Stable { position: self.told_stable }));
        }
        if !self.totals.is_empty() {
            let totals = self.totals.drain();
            let connections = totals
                .map(|(app, connections)| AppConnections { app_id: app.to_string(), connections })
                .collect();
            return Some(Down::Totals(Totals { connections }));
        }
        if let Some(wanted) = self.asked.pop_front() {
            return Some(Down::ListSockets(wanted));
        }
        let from = (self.sent - self.acknowledged) as usize;
        let mut bytes = 0;
        let events: Vec<_> = self
            .queue
            .range(from..)
            .take(MESSAGE_EVENTS_MAX)
            .take_while(|queued| {
                let first = bytes == 0;
                bytes += queued.bytes;
                first || bytes <= MESSAGE_BYTES_MAX
            })
            .map(|queued| DispatchedEvent::clone(&queued.event))
            .collect();
        if events.is_empty() {
            return None;
        }
        self.sent += events.len() as u64;
        Some(Down::Dispatch(Dispatch { position: self.sent, events }))
    }
}

#[cfg(test)]
mod tests;
