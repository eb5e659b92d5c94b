//! What goes up on one stream. It is asked for the next message when there is room for one, and looks
//! then.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    task::{Context, Poll},
};

use futures_util::Stream;
use proto::internal::{
    AttachRequest, Delivered, Draining, Hello, ShardEpoch, SnapshotEnd, Sockets,
    attach_request::Up as Message,
};

use super::claimed::Answer;
use crate::{gate::Taken, inbox::Progress, interest::Slot, node::Node};

/// Answers that wait at most: a control plane claims again when nodes have answered.
const ANSWERS_MAX: usize = 64;
/// Lists for operators that wait at most.
const SHOWN_MAX: usize = 8;

/// What the two directions of one stream share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    welcome: OnceLock<(u64, Arc<Progress>)>,
    rest: Mutex<Rest>,
}

#[derive(Debug, Default)]
struct Rest {
    stale: Vec<ShardEpoch>,
    refused: Vec<u64>,
    answers: VecDeque<Answer>,
    shown: VecDeque<Sockets>,
    ended: bool,
}

impl Shared {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().expect("no holder panics")
    }

    /// The control plane has greeted.
    pub(super) fn welcome(&self, owner: u64, progress: Arc<Progress>) {
        let _ = self.welcome.set((owner, progress));
    }

    /// Whose stream it is, once that is known, and how far its events are.
    pub(super) fn greeted(&self) -> Option<(u64, &Arc<Progress>)> {
        self.welcome.get().map(|(owner, progress)| (*owner, progress))
    }

    /// Whose stream it is, once that is known.
    pub(crate) fn owner(&self) -> Option<u64> {
        self.greeted().map(|(owner, _)| owner)
    }

    /// An event was refused; the control plane is told with the acknowledgement of its position.
    pub(super) fn refuse(&self, stale: ShardEpoch, position: u64) {
        let mut rest = self.rest();
        if !rest.stale.iter().any(|other| other.shard == stale.shard) {
            rest.stale.push(stale);
        }
        rest.refused.push(position);
    }

    /// The control plane has not been told that this one was refused, nor that anything behind it was
    /// queued.
    pub(super) fn first_refused(&self) -> Option<u64> {
        self.rest().refused.first().copied()
    }

    /// The answer to a claim waits for the interest up to `version`; returns whether there was room.
    pub(super) fn answer(&self, taken: Taken, version: u64) -> bool {
        let mut rest = self.rest();
        let room = rest.answers.len() < ANSWERS_MAX;
        if room {
            rest.answers.push_back(Answer::new(taken, version));
        }
        room
    }

    /// What an operator wanted to see; the oldest gives way where there is too much of it.
    pub(crate) fn show(&self, sockets: Sockets) {
        let mut rest = self.rest();
        rest.shown.push_back(sockets);
        if rest.shown.len() > SHOWN_MAX {
            rest.shown.pop_front();
        }
    }

    /// The next of these.
    pub(crate) fn next_shown(&self) -> Option<Sockets> {
        self.rest().shown.pop_front()
    }

    pub(super) fn end(&self) {
        self.rest().ended = true;
    }
}

/// The stream up.
pub(super) struct Up {
    pub(super) hello: Option<Hello>,
    pub(super) node: Arc<Node>,
    pub(super) slot: Slot,
    pub(super) shared: Arc<Shared>,
    pub(super) progress: Reported,
}

/// What the control plane has been told.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// Interest up to this version.
    pub(super) interest: u64,
    pub(super) snapshot_ended: bool,
    /// The node closes its sockets.
    pub(super) draining: bool,
    /// Events up to this position of this stream: one that begins anew counts from where it says.
    pub(super) delivered: Option<u64>,
}

impl Up {
    fn next(&mut self) -> Option<Message> {
        if let Some(hello) = self.hello.take() {
            return Some(Message::Hello(hello));
        }
        if self.node.is_draining() && !std::mem::replace(&mut self.progress.draining, true) {
            return Some(Message::Draining(Draining {}));
        }
        let greeted = self.shared.welcome.get().map(|(_, progress)| Arc::clone(progress));
        self.next_interest(greeted.is_some())
            .or_else(|| self.node.reports().pop(self.slot))
            .or_else(|| greeted.and_then(|progress| self.acknowledgement(&progress)))
            .or_else(|| self.shared.next_shown().map(Message::Sockets))
    }

    /// Answers to claims stand among the interest, behind what there was when they came.
    fn next_interest(&mut self, greeted: bool) -> Option<Message> {
        let told = &mut self.progress;
        if let Some(answer) = next_answer(&self.shared, |version| told.interest >= version) {
            return Some(answer);
        }
        let mut interest = self.node.interest();
        if let Some(report) = interest.report(told.interest) {
            told.interest = report.sequence;
            return Some(Message::Interest(report));
        }
        // What there was is told, or has changed again and was told then.
        told.interest = interest.version();
        // Before the greeting nobody here counts on the snapshot to come.
        if greeted && !std::mem::replace(&mut told.snapshot_ended, true) {
            interest.end_snapshot(self.slot, told.interest);
            return Some(Message::SnapshotEnd(SnapshotEnd {}));
        }
        drop(interest);
        next_answer(&self.shared, |version| told.interest >= version)
    }

    fn acknowledgement(&mut self, progress: &Progress) -> Option<Message> {
        // A thread that is given something after a pause is behind what was told.
        let position = progress.delivered().max(self.progress.delivered.unwrap_or(0));
        let mut rest = self.shared.rest();
        let covered = rest.refused.partition_point(|refused| *refused <= position);
        let refused: Vec<u64> = rest.refused.drain(..covered).collect();
        let stale = std::mem::take(&mut rest.stale);
        if self.progress.delivered == Some(position) && stale.is_empty() && refused.is_empty() {
            return None;
        }
        self.progress.delivered = Some(position);
        Some(Message::Delivered(Delivered { position, stale, refused }))
    }
}

fn next_answer(shared: &Shared, may: impl FnOnce(u64) -> bool) -> Option<Message> {
    let mut rest = shared.rest();
    let answer = rest.answers.front_mut()?;
    if !may(answer.version) {
        return None;
    }
    let message = answer.next();
    if !message.more {
        rest.answers.pop_front();
    }
    Some(Message::Claimed(message))
}

impl Stream for Up {
    type Item = AttachRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AttachRequest>> {
        let up = self.get_mut();
        up.node.ups[up.slot].register(context.waker());
        if up.shared.rest().ended {
            return Poll::Ready(None);
        }
        match up.next() {
            Some(message) => Poll::Ready(Some(AttachRequest { up: Some(message) })),
            None => Poll::Pending,
        }
    }
}
