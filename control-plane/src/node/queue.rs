//! The queue to one node: fair between apps until an event is given to the stream, and then in one order
//! until the node has acknowledged it.
//!
//! 1. An event has no position until it is given to a stream. It keeps the one that it gets then: what is
//!    given again to the next stream has the same positions, without a gap between them.
//! 2. An app's events and notices get positions in the order in which they were pushed. A channel belongs
//!    to one app and is pushed under its shard's lock, so all nodes see one order of it. Between apps there
//!    is none: the fence at the node is raised by claims, which overtake all events, and who dispatches
//!    again what a dead owner left goes by channel and serial.
//! 3. Acknowledgements are cumulative in positions and say nothing of what has none. Who must know that
//!    all of some time has arrived asks by marks, which count pushes.
//! 4. What is stable is told in positions: none is above what this node has acknowledged, nor behind an
//!    event that another node lacks, unless that node is told that it has a gap.
//! 5. An event that is refused by the node, or lost in a gap, is so by itself: nothing of another app is
//!    behind it that would not have been there in another order.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use proto::{
    internal::{Delivered, Dispatch, DispatchedEvent, notice::Notice},
    stamp::UNSTABLE_MAX,
};

use super::LAG_MAX;
use crate::{
    ack::{Ack, Piece},
    fair_queue::{FairQueue, Room, Ticket, Weight},
};

/// Bytes of events on their way to one node.
const BYTES_MAX: usize = 8 << 20;
/// Events on their way to one node.
pub(super) const EVENTS_MAX: usize = 65_536;
/// An app with this share of either is asked to publish later.
const CROWDED: usize = 4;
/// Of one app at most so much is with the node and not acknowledged: the frames that the node makes of it
/// for sockets, in bytes. It is some milliseconds of a thread's work, and all that an event of another app
/// may meet there. In events it is less than the outbox of a socket holds.
const ROOM: Room = Room { items: 512, load: 16 << 20 };
/// What one message of the stream carries at most: far below gRPC's limit of 4 MiB, unless a single
/// event is larger.
const MESSAGE_EVENTS_MAX: usize = 256;
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// An event costs this much besides its text.
const EVENT_OVERHEAD_BYTES: usize = 200;

#[derive(Debug)]
pub(super) struct Queue {
    /// Without a position.
    waiting: FairQueue<Queued>,
    /// With one: the first's is behind `acknowledged`.
    given: VecDeque<Given>,
    /// So many of them were given to the stream in force.
    sent: usize,
    /// Everything up to this position is acknowledged.
    acknowledged: u64,
    /// What this node has acknowledged and not all others have, by position.
    unstable: VecDeque<Unstable>,
    bytes: usize,
    pushed: u64,
    /// The version of the node's interest that was taken note of last.
    heard: u64,
    /// When the node last acknowledged something, or was last sent something while it owed nothing.
    moved: Instant,
}

#[derive(Debug)]
struct Queued {
    event: Arc<DispatchedEvent>,
    /// Which push it was.
    number: u64,
    /// What was known of the node then.
    heard: u64,
    /// When, and from when on its way is measured.
    pushed: Instant,
    at: Instant,
    /// Of its publisher, where there is one.
    piece: Option<Arc<Piece>>,
    /// The publisher waits for this node.
    owed: bool,
}

#[derive(Debug)]
struct Unstable {
    position: u64,
    ack: Arc<Ack>,
    since: Instant,
}

#[derive(Debug)]
struct Given {
    queued: Queued,
    ticket: Ticket,
    bytes: usize,
}

/// An event, and to how many sockets of the node it goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pushing<'a> {
    pub(super) event: &'a Arc<DispatchedEvent>,
    pub(super) sockets: u32,
    pub(super) now: Instant,
}

impl Pushing<'_> {
    fn weight(&self) -> Weight {
        let bytes = queued_bytes(self.event);
        Weight { bytes, load: bytes * self.sockets.max(1) as usize }
    }
}

/// What an event takes of the queue. The parts of a notice are measured, as a list of members may be
/// long; an event is its text.
fn queued_bytes(event: &DispatchedEvent) -> usize {
    let notice = event.notice.as_ref().map_or(0, prost::Message::encoded_len);
    event.data.len() + event.name.len() + event.channel.len() + notice + EVENT_OVERHEAD_BYTES
}

impl Queued {
    /// The event as the node is told it; all nodes share the rest. Where the publisher may have been answered
    /// without this node, and have published more elsewhere, the event says how old it is.
    fn told(&self, now: Instant) -> DispatchedEvent {
        let mut event = DispatchedEvent::clone(&self.event);
        let notice = event.notice.as_mut().and_then(|notice| notice.notice.as_mut());
        if let Some(Notice::State(state)) = notice {
            state.heard = self.heard;
        }
        if self.piece.is_some() && !self.owed {
            let age = now.saturating_duration_since(self.pushed).as_millis();
            event.keep_origin(age.try_into().unwrap_or(u32::MAX));
        }
        event
    }

    /// The publisher waits no longer for this node.
    fn release(&mut self) {
        if std::mem::take(&mut self.owed)
            && let Some(piece) = &self.piece
        {
            piece.ack().pay();
        }
    }
}

/// The node has it, or is told that it lacks something.
impl Drop for Queued {
    fn drop(&mut self) {
        self.release();
        if let Some(piece) = &self.piece {
            piece.ack().lack_no_more();
        }
    }
}

impl Queue {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            waiting: FairQueue::new(ROOM),
            given: VecDeque::new(),
            sent: 0,
            acknowledged: 0,
            unstable: VecDeque::new(),
            bytes: 0,
            pushed: 0,
            heard: 0,
            moved: now,
        }
    }

    /// Events and bytes on their way.
    pub(super) fn depth(&self) -> (usize, usize) {
        (self.given.len() + self.waiting.len(), self.bytes)
    }

    /// Whether an event waits for a position.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether an event has no room where only one part of so many is used.
    pub(super) fn is_full(&self, pushing: Pushing<'_>, parts: usize) -> bool {
        let (events, bytes) = self.depth();
        let full = bytes + queued_bytes(pushing.event) > BYTES_MAX / parts;
        events >= EVENTS_MAX / parts || (full && events > 0)
    }

    /// Whether some app may have so much here that it has to publish later.
    pub(super) fn may_be_crowded(&self) -> bool {
        let (events, bytes) = self.depth();
        events >= EVENTS_MAX / CROWDED || bytes >= BYTES_MAX / CROWDED
    }

    /// Whether this app has.
    pub(super) fn is_crowded_by(&self, app: &str) -> bool {
        let size = self.waiting.size(app);
        size.items >= EVENTS_MAX / CROWDED || size.bytes >= BYTES_MAX / CROWDED
    }

    /// Puts an event behind those of its app. `owed`: the publisher waits for this node.
    pub(super) fn push(&mut self, pushing: Pushing<'_>, piece: Option<&Arc<Piece>>, owed: bool) {
        let owed = owed && piece.is_some();
        if let Some(piece) = piece.filter(|_| owed) {
            piece.ack().owe();
        }
        if self.depth().0 == 0 {
            self.moved = pushing.now;
        }
        self.pushed += 1;
        let weight = pushing.weight();
        self.bytes += weight.bytes;
        let event = Arc::clone(pushing.event);
        let (number, heard, now) = (self.pushed, self.heard, pushing.now);
        let piece = piece.cloned();
        piece.iter().for_each(|piece| piece.ack().lack());
        let queued = Queued { event, number, heard, pushed: now, at: now, piece, owed };
        self.waiting.push(&pushing.event.app_id, queued, weight);
    }

    /// The next message of the stream.
    pub(super) fn next(&mut self, now: Instant) -> Option<Dispatch> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        while events.len() < MESSAGE_EVENTS_MAX {
            let rest = MESSAGE_BYTES_MAX.saturating_sub(bytes);
            let place = if events.is_empty() { usize::MAX } else { rest };
            if self.sent == self.given.len() && !self.give(place) {
                break;
            }
            let given = &self.given[self.sent];
            if given.bytes > place {
                break;
            }
            bytes += given.bytes;
            events.push(given.queued.told(now));
            self.sent += 1;
        }
        (!events.is_empty()).then(|| Dispatch { position: self.position(), events })
    }

    /// Gives the next event its position, if it has no more than so many bytes.
    fn give(&mut self, bytes_max: usize) -> bool {
        let Some((queued, Weight { bytes, .. }, ticket)) = self.waiting.pop(bytes_max) else {
            return false;
        };
        self.given.push_back(Given { queued, ticket, bytes });
        true
    }

    /// The position of the last event that was given to the stream in force.
    pub(super) fn position(&self) -> u64 {
        self.acknowledged + self.sent as u64
    }

    /// A stream begins that goes on behind this position. `false`: that cannot be.
    pub(super) fn go_on(&mut self, position: u64) -> bool {
        let known = self.acknowledged..=self.acknowledged + self.given.len() as u64;
        let can = known.contains(&position);
        if can {
            self.sent = (position - self.acknowledged) as usize;
        }
        can
    }

    /// What is here is lost: nobody waits for it, and positions go on behind it.
    pub(super) fn clear(&mut self) {
        self.release_all();
        self.acknowledged += self.given.len() as u64;
        self.given = VecDeque::new();
        self.waiting = FairQueue::new(ROOM);
        (self.sent, self.bytes) = (0, 0);
    }

    /// The node has queued everything up to a position, but for what it has refused. Returns whether it
    /// lacks something that nobody will send again, as its publisher has stopped to wait.
    pub(super) fn delivered(&mut self, delivered: &Delivered, now: Instant) -> bool {
        let position = delivered.position.min(self.position());
        let mut lacks = false;
        while self.acknowledged < position
            && let Some(Given { queued, ticket, bytes }) = self.given.pop_front()
        {
            self.acknowledged += 1;
            self.sent -= 1;
            self.bytes -= bytes;
            self.moved = now;
            self.waiting.settle(&ticket);
            let Some(piece) = queued.piece.clone() else { continue };
            let ack = piece.ack();
            if delivered.refused.contains(&self.acknowledged) {
                lacks |= !queued.owed;
                if queued.owed {
                    ack.refuse();
                }
            } else {
                piece.hold();
            }
            drop(queued);
            if !ack.is_everywhere() {
                let (position, ack) = (self.acknowledged, Arc::clone(ack));
                self.unstable.push_back(Unstable { position, ack, since: now });
            }
        }
        lacks
    }

    /// Nobody waits for this node.
    pub(super) fn release_all(&mut self) {
        self.given.iter_mut().for_each(|given| given.queued.release());
        self.waiting.lanes_mut().flatten().for_each(Queued::release);
    }

    /// Nobody waits for an event that has been on its way for too long. Returns how many were waited for.
    pub(super) fn release_overdue(&mut self, now: Instant) -> usize {
        let is_overdue = |queued: &Queued| now.saturating_duration_since(queued.at) > LAG_MAX;
        let mut released = 0;
        let mut release = |queued: &mut Queued| {
            released += usize::from(queued.owed);
            queued.release();
        };
        let given = self.given.iter_mut().map(|given| &mut given.queued);
        given.filter(|queued| is_overdue(queued)).for_each(&mut release);
        for lane in self.waiting.lanes_mut() {
            lane.take_while(|queued| is_overdue(queued)).for_each(&mut release);
        }
        released
    }

    /// The position up to which every node has what it was to have, those that nobody waits for included:
    /// what they lack somebody must know of until they have it or are given up.
    pub(super) fn stable(&mut self, now: Instant) -> u64 {
        let is_over = |unstable: &mut Unstable| {
            let age = now.saturating_duration_since(unstable.since);
            unstable.ack.is_everywhere() || age > UNSTABLE_MAX
        };
        while self.unstable.pop_front_if(is_over).is_some() {}
        let first = self.unstable.front().map(|unstable| unstable.position - 1);
        first.unwrap_or(u64::MAX).min(self.acknowledged)
    }

    /// All of the node's interest up to this version is known.
    pub(super) fn hear(&mut self, version: u64) {
        self.heard = version;
    }

    /// How many were pushed so far.
    pub(super) fn mark(&self) -> u64 {
        self.pushed
    }

    /// Whether one that was pushed by then is not acknowledged.
    pub(super) fn owes(&self, mark: u64) -> bool {
        self.oldest().any(|queued| queued.number <= mark)
    }

    /// How long the oldest has been on its way.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let ages = self.oldest().map(|queued| now.saturating_duration_since(queued.at));
        ages.max().unwrap_or_default()
    }

    /// How long the node has owed something without acknowledging anything.
    pub(super) fn stands_still(&self, now: Instant) -> Duration {
        match self.depth() {
            (0, _) => Duration::ZERO,
            _ => now.saturating_duration_since(self.moved),
        }
    }

    /// The time until now does not count.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.moved = now;
        self.given.iter_mut().for_each(|given| given.queued.at = now);
        self.waiting.lanes_mut().flatten().for_each(|queued| queued.at = now);
    }

    /// The oldest of each app that waits, and all that was given.
    fn oldest(&self) -> impl Iterator<Item = &Queued> {
        self.given.iter().map(|given| &given.queued).chain(self.waiting.firsts())
    }
}
