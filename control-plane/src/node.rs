//! One attached node: what is on its way to it, and who waits for that.
//!
//! The queue keeps an event until the node has acknowledged it, so that a stream that breaks goes on
//! where it was. It is bounded in bytes and events; when it is full the node has a gap: the stream
//! ends, and when the node attaches again it is told so and closes its sockets. Before that the app
//! that fills it is asked to publish later.

mod ages;
mod noted;
mod queue;

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
    AppConnections, AttachResponse, Claim, Delivered, DispatchedEvent, Dispatches, Hello,
    ListSockets, ShardAge, Stable, Totals, Welcome, attach_response::Down,
};

use self::{
    ages::Ages,
    noted::Noted,
    queue::{Pushing, Queue},
};
use crate::ack::Piece;

/// Questions of operators that wait for one node.
const ASKED_MAX: usize = 8;

/// A node that acknowledges nothing for this long leaves the set of those that are waited for, and an
/// event that is under way for this long is waited for no longer.
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
    queue: Queue,
    /// The position up to which all is stable, as the node was told.
    told_stable: u64,
    /// The one that it is told next.
    stable_due: Option<u64>,
    /// Shards that this control plane takes, and the node has not been told of yet.
    claims: VecDeque<Claim>,
    /// The last round that the node was told of, and the last that it has answered.
    claimed: (u64, u64),
    /// Where this control plane has dispatched; it is told so once.
    dispatches: Option<Dispatches>,
    /// Where another one has while this one owned the shard too.
    elsewhere: Ages,
    /// What operators want to know of it.
    asked: VecDeque<ListSockets>,
    /// It did not answer a claim in time: it gets every event until it does.
    late: bool,
    /// Its interest is known.
    snapshot: bool,
    /// The control planes that it is attached to and that answer it, and when it said so.
    owners: (Vec<OwnerId>, Instant),
    welcome: Option<Welcome>,
    noted: Noted,
    totals: HashMap<AppId, u32>,
}

/// What became of an event that was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is in the queue.
    Queued,
    /// It is in the queue of a node that nobody waits for.
    Unheard,
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
    /// So many events have been under way for too long: their publishers wait no longer.
    Overdue(usize),
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
            queue: Queue::new(now),
            told_stable: 0,
            stable_due: None,
            claims: VecDeque::new(),
            claimed: (0, 0),
            dispatches: None,
            elsewhere: Ages::default(),
            asked: VecDeque::new(),
            late: false,
            snapshot: false,
            owners: (Vec::new(), now),
            welcome: None,
            noted: Noted::default(),
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
        // A node that was never attached to this control plane has no place in its stream. One that was, and
        // had been given up meanwhile, has missed what there was to come.
        let was_here = state.attachment > 0 || hello.owner == owner;
        let resumes =
            state.attachment > 0 && hello.owner == owner && state.queue.go_on(hello.position);
        let gap = state.gap || (was_here && !resumes);
        if gap {
            state.queue.clear();
        }
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
        state.dispatches = None;
        state.elsewhere = Ages::default();
        state.asked.clear();
        (state.late, state.snapshot) = (false, false);
        state.welcome = Some(Welcome {
            owner,
            heartbeat_ms: HEARTBEAT.as_millis() as u32,
            position: state.queue.position(),
            gap,
        });
        state.noted = Noted::default();
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
    pub fn tell(&self, notice: &Arc<DispatchedEvent>, sockets: u32, now: Instant) -> Option<u32> {
        let pushing = Pushing { event: notice, sockets, now };
        let mut state = self.state();
        if state.queue.is_full(pushing, 2) {
            return None;
        }
        let attachment = state.attachment;
        // After a gap nothing that was told counts: the next attachment is the first unbroken one.
        if !state.gap {
            state.queue.push(pushing, None, false);
        }
        drop(state);
        self.waker.wake();
        Some(attachment)
    }

    /// Puts an event that goes to so many `sockets` of the node behind those of its app that are on
    /// their way; called under the shard's lock, so that all nodes see one order.
    pub fn push(
        &self,
        event: &Arc<DispatchedEvent>,
        sockets: u32,
        now: Instant,
        piece: Option<&Arc<Piece>>,
    ) -> Pushed {
        let pushing = Pushing { event, sockets, now };
        let mut state = self.state();
        if state.gap {
            return Pushed::Lost;
        }
        let full = state.queue.is_full(pushing, 1);
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
        let healthy = state.healthy;
        state.queue.push(pushing, piece, healthy);
        drop(state);
        self.waker.wake();
        if healthy { Pushed::Queued } else { Pushed::Unheard }
    }

    /// Whether some app may have so much on its way to this node that it has to publish later.
    #[must_use]
    pub fn may_be_crowded(&self) -> bool {
        self.state().queue.may_be_crowded()
    }

    /// Whether this app has.
    #[must_use]
    pub fn is_crowded_by(&self, app: &AppId) -> bool {
        self.state().queue.is_crowded_by(app.as_str())
    }

    /// The node has queued everything up to a position for its sockets, but for what it has refused.
    /// Returns whether it lacks something now: a publisher that had stopped to wait for this node was
    /// told that all is well, and nobody will send the event again. Then the node has a gap.
    pub fn delivered(&self, delivered: &Delivered, now: Instant) -> bool {
        let mut state = self.state();
        let lacks = state.queue.delivered(delivered, now);
        state.heard(now);
        if lacks {
            state.gap = true;
            state.detach(now);
        }
        // What has been acknowledged makes room for more of its app.
        let wakes = lacks || state.queue.has_waiting();
        drop(state);
        if wakes {
            self.waker.wake();
        }
        lacks
    }

    /// Tells the node which shards this control plane takes.
    pub fn claim(&self, claim: Claim) {
        let mut state = self.state();
        state.claimed.0 = claim.round;
        state.claims.push_back(claim);
        drop(state);
        self.waker.wake();
    }

    /// Tells the node where this control plane has dispatched.
    pub fn tell_dispatches(&self, dispatches: Dispatches) {
        self.state().dispatches = Some(dispatches);
        self.waker.wake();
    }

    /// Tells the node where another control plane has dispatched what it may not have heard.
    pub fn tell_elsewhere(&self, shards: &[ShardAge]) {
        self.state().elsewhere.add(shards);
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

    /// What has been pushed so far; see [`Node::owes`].
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.state().queue.mark()
    }

    /// Whether an event that was pushed before this mark is waited for.
    #[must_use]
    pub fn owes(&self, mark: u64) -> bool {
        let state = self.state();
        state.healthy && state.queue.owes(mark)
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
        state.queue.excuse(now);
    }

    /// The interest of this sequence is in force. Of channels that it begins with: when something was last
    /// dispatched in their shards.
    pub fn acknowledge_interest(&self, sequence: u64, dispatched: &[ShardAge]) {
        let mut state = self.state();
        // Until its snapshot is complete it is given everything.
        let dispatched = if state.snapshot { dispatched } else { &[] };
        state.noted.add(sequence, dispatched);
        state.queue.hear(sequence);
        drop(state);
        self.waker.wake();
    }

    /// The connections of an app on all other nodes changed; only the latest number is sent.
    pub fn set_total(&self, app: AppId, connections: u32) {
        self.state().totals.insert(app, connections);
        self.waker.wake();
    }

    /// Whether it has a stream and was heard lately.
    #[must_use]
    pub fn is_reached(&self, now: Instant) -> bool {
        let state = self.state();
        state.attached && !state.silent(now)
    }

    /// Looks at the clock: does the node lag, is it gone? While the control plane reaches only a part of
    /// the nodes nothing is stable.
    pub fn tick(&self, now: Instant, partial: bool) -> Ticked {
        let mut state = self.state();
        if !state.attached {
            let gone = now.saturating_duration_since(state.lost_at) >= GRACE;
            if gone {
                state.give_up(now);
            }
            return if gone { Ticked::Gone } else { Ticked::Steady };
        }
        if now.saturating_duration_since(state.heard) >= GRACE {
            // Its connection stands, but what waits for it has been overtaken.
            state.give_up(now);
            drop(state);
            self.waker.wake();
            return Ticked::Gone;
        }
        if state.healthy && (state.lags(now) || state.silent(now)) {
            state.healthy = false;
            state.queue.release_all();
            return Ticked::Lagging;
        }
        let overdue = state.queue.release_overdue(now);
        let stable = state.queue.stable(now);
        state.stable_due = (stable > state.told_stable && !partial).then_some(stable);
        let wake = state.stable_due.is_some();
        drop(state);
        if wake {
            self.waker.wake();
        }
        if overdue > 0 { Ticked::Overdue(overdue) } else { Ticked::Steady }
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
        self.state().queue.age(now)
    }

    /// Events and bytes on their way.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        self.state().queue.depth()
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
        match state.next_down(tokio::time::Instant::now().into_std()) {
            Some(down) => Poll::Ready(Some(AttachResponse { down: Some(down) })),
            None => Poll::Pending,
        }
    }
}

impl State {
    fn detach(&mut self, now: Instant) {
        self.attached = false;
        self.healthy = false;
        self.lost_at = now;
        self.queue.release_all();
        if self.gap {
            self.queue.clear();
        }
    }

    /// What waits for it is lost: nobody keeps it in mind, though a stream that is dead holds the node.
    fn give_up(&mut self, now: Instant) {
        self.gap = true;
        self.detach(now);
    }

    fn lags(&self, now: Instant) -> bool {
        self.queue.stands_still(now) > LAG_MAX
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

    fn next_down(&mut self, now: Instant) -> Option<Down> {
        if let Some(welcome) = self.welcome.take() {
            return Some(Down::Welcome(welcome));
        }
        if let Some(dispatches) = self.dispatches.take() {
            return Some(Down::Dispatches(dispatches));
        }
        if !self.elsewhere.is_empty() {
            let shards = self.elsewhere.take();
            return Some(Down::Dispatches(Dispatches { shards, elsewhere: true }));
        }
        if let Some(ack) = self.noted.take() {
            return Some(Down::InterestAck(ack));
        }
        if let Some(claim) = self.claims.pop_front() {
            return Some(Down::Claim(claim));
        }
        if let Some(position) = self.stable_due.take() {
            self.told_stable = position;
            return Some(Down::Stable(Stable { position }));
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
        self.queue.next(now).map(Down::Dispatch)
    }
}

#[cfg(test)]
mod tests;
