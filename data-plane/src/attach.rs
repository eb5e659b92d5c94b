//! The stream to one control plane: interest up, events down, acknowledgements.

mod claimed;
mod up;

use std::{sync::Arc, time::Duration};

use data_plane_core::CloseCode;
use futures_util::StreamExt as _;
use model::{SHARDS, ShardId};
use proto::{
    internal::{
        AttachResponse, Claim, Dispatch, DispatchedEvent, Dispatches, Hello, InterestAck,
        ListSockets, ShardAge, Welcome, attach_response::Down,
        dispatch_service_client::DispatchServiceClient,
    },
    link::Link,
    replicas::Caller,
};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{info, warn};

pub(crate) use self::up::Shared;
use self::up::{Reported, Up};
use crate::{
    deliver::Batch,
    gate::Passage,
    identity::Identity,
    inbox::{Command, Progress},
    inquiry::Inquiry,
    interest::{Confirmed, Slot, Threads, Turn},
    node::Node,
};

/// A control plane that does not take the stream in this time has stopped.
const OPENING: Duration = Duration::from_secs(2);
/// What was dispatched so long before a stream ended had come, or its loss was told of.
const QUEUED_MAX: Duration = Duration::from_secs(10);
/// A message down: a roster may have 32 MiB of what users say of themselves, and their names.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// One stream to one control plane.
#[derive(Debug)]
pub(crate) struct Attachment {
    /// The node.
    pub node: Arc<Node>,
    /// Its place among the streams of the node.
    pub slot: Slot,
    /// To the control plane.
    pub link: Link,
    /// Who the node is.
    pub identity: Identity,
    /// What both directions share.
    pub shared: Arc<Shared>,
    /// Told when the stream is there.
    pub greeted: Arc<Notify>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Where a stream was when it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Last {
    pub owner: u64,
    pub position: u64,
    /// The interest up to here was known there: its events wait. 0: nothing waits.
    pub known: u64,
    /// When that was.
    pub ended: Option<std::time::Instant>,
}

impl Attachment {
    /// Follows the stream to its end; returns where that was, and why.
    pub(crate) async fn follow(self, last: Last) -> (Last, Status) {
        let mut last = last;
        let ended = tokio::select! {
            biased;
            () = self.stop.cancelled() => Status::deadline_exceeded("the control plane is silent"),
            ended = self.read_down(&mut last) => match ended {
                Ok(()) => Status::unavailable("the control plane ended the stream"),
                Err(status) => status,
            },
        };
        if let Some(refused) = self.shared.first_refused() {
            last.position = last.position.min(refused.saturating_sub(1));
        }
        let confirmed = {
            let mut interest = self.node.interest();
            last.known = last.known.max(interest.acknowledged_by(self.slot));
            let now = Instant::now().into_std();
            last.ended = Some(now);
            interest.unattach(self.slot, now)
        };
        self.node.confirm(confirmed);
        self.node.reports().close(self.slot);
        self.node.metrics.detached.inc();
        (last, ended)
    }

    async fn read_down(&self, last: &mut Last) -> Result<(), Status> {
        let up = Up {
            hello: Some(self.hello(*last)),
            node: Arc::clone(&self.node),
            slot: self.slot,
            shared: Arc::clone(&self.shared),
            progress: Reported::default(),
        };
        let mut client = DispatchServiceClient::new(self.link.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opened = tokio::time::timeout(OPENING, client.attach(up)).await;
        let silent = |_| Status::deadline_exceeded("the control plane does not take the stream");
        let mut down = opened.map_err(silent)??.into_inner();
        while let Some(message) = down.next().await {
            if let AttachResponse { down: Some(down) } = message? {
                self.handle_down(down, last)?;
            }
        }
        Ok(())
    }

    fn hello(&self, last: Last) -> Hello {
        let Caller { node_id, boot_id } = self.identity.caller();
        Hello {
            node_id,
            boot_id,
            epochs: self.node.gate().seen(),
            owner: last.owner,
            position: last.position,
        }
    }

    fn handle_down(&self, down: Down, last: &mut Last) -> Result<(), Status> {
        match down {
            Down::Welcome(welcome) => {
                let goes_on = welcome.owner == last.owner && !welcome.gap;
                let known = if goes_on { last.known } else { 0 };
                let ended = last.ended.filter(|_| welcome.owner == last.owner);
                *last = Last { owner: welcome.owner, position: welcome.position, known, ended };
                self.welcome(&welcome);
            }
            Down::Dispatch(dispatch) => {
                last.position = dispatch.position;
                self.deliver(dispatch);
            }
            Down::InterestAck(ack) => self.acknowledged(&ack),
            Down::Totals(totals) => {
                self.node.interest().set_others(self.slot, &totals.connections);
            }
            Down::Claim(claim) => self.answer(&claim)?,
            Down::Dispatches(dispatches) => self.tell_of_holes(&dispatches, *last),
            Down::ListSockets(wanted) => self.list(wanted),
            Down::Stable(stable) => {
                if let Some(owner) = self.shared.owner() {
                    self.node.gate().settle(owner, stable.position);
                }
            }
        }
        Ok(())
    }

    fn welcome(&self, welcome: &Welcome) {
        let (threads, owner) = (self.node.inboxes.len(), welcome.owner);
        let up = Arc::clone(&self.node.ups[self.slot]);
        self.node.interest().attach(self.slot);
        self.node.reports().open(self.slot, owner);
        self.shared.welcome(owner, Progress::new(threads, welcome.position, up));
        info!(owner, gap = welcome.gap, "attached to a control plane");
        if welcome.gap {
            self.node.metrics.gaps.inc();
            self.node.interest().renew();
            warn!("events for this node were lost; who may have missed one is told to reconnect");
            let shards: Arc<[bool]> = self.node.gate().touched_by(owner).into();
            let close = || Command::CloseSubscribed(CloseCode::Drain, Arc::clone(&shards));
            self.node.tell_all(close);
        }
        self.node.ups[self.slot].wake();
        self.greeted.notify_one();
    }

    fn deliver(&self, dispatch: Dispatch) {
        let Some((owner, progress)) = self.shared.greeted() else {
            return;
        };
        let Dispatch { position, events } = dispatch;
        let now = Instant::now().into_std();
        self.node.metrics.events.inc_by(events.len() as u64);
        let first = (position + 1).saturating_sub(events.len() as u64);
        let mut gate = self.node.gate();
        let mut batch = Batch::new(&self.node, &events, now);
        let passed: Vec<(Passage, Turn, Threads)> = {
            let mut interest = self.node.interest();
            let pass = |(event, position): (&DispatchedEvent, u64)| {
                let passage = gate.pass(owner, event, (position, now));
                let (turn, threads) = match passage {
                    Passage::Free | Passage::Again => interest.pass(event, now),
                    Passage::Refused(_) => (Turn::Next, 0),
                };
                (passage, turn, threads)
            };
            events.iter().zip(first..).map(pass).collect()
        };
        for ((event, passed), position) in events.into_iter().zip(passed).zip(first..) {
            match passed {
                (Passage::Free, Turn::Next, threads) => batch.add(event, threads),
                (Passage::Free, Turn::Over, _) | (Passage::Again, ..) => {}
                (Passage::Free, Turn::Missed, threads) => {
                    self.node.metrics.holes.inc();
                    if let Some(channel) = event.names() {
                        batch.tell_of_hole(channel, threads);
                    }
                }
                (Passage::Refused(in_force), ..) => self.shared.refuse(in_force, position),
            }
        }
        batch.send(|thread, steps| {
            progress.send(thread, position);
            let command = Command::Deliver(steps, Arc::clone(progress), position);
            self.node.inboxes[thread].push(command);
        });
        drop(gate);
        progress.receive(position);
    }

    /// What this control plane has dispatched while the node was not attached, or another one where this node
    /// did not hear it, in channels that somebody here was in: they are told.
    fn tell_of_holes(&self, dispatches: &Dispatches, last: Last) {
        let now = Instant::now().into_std();
        let (known, ended) = match dispatches.elsewhere {
            true => (0, None),
            false => (last.known, last.ended.filter(|_| last.known == 0)),
        };
        let mut used = by_shard(&dispatches.shards, now);
        for at in &mut used {
            *at = at.filter(|at| ended.is_none_or(|ended| *at + QUEUED_MAX > ended));
        }
        let missed = self.node.interest().begun_before(&used, known);
        self.close_missed(missed, now);
    }

    /// The control plane has taken note of what this node wants: who was let in before that may have missed
    /// what it dispatched meanwhile, and is told.
    fn acknowledged(&self, ack: &InterestAck) {
        let now = Instant::now().into_std();
        let (missed, confirmed) = {
            let mut interest = self.node.interest();
            let missed = match interest.has_overdue() {
                true => interest.missed(self.slot, ack.sequence, &by_shard(&ack.dispatched, now)),
                false => Vec::new(),
            };
            (missed, interest.acknowledge(self.slot, ack.sequence, now))
        };
        self.node.confirm(confirmed);
        self.close_missed(missed, now);
    }

    fn close_missed(&self, missed: Vec<Confirmed>, now: std::time::Instant) {
        if missed.is_empty() {
            return;
        }
        let channels = missed.len();
        warn!(
            channels,
            "what was dispatched for somebody here did not come, and does not any more"
        );
        self.node.metrics.holes.inc_by(channels as u64);
        let mut batch = Batch::new(&self.node, &[], now);
        missed.into_iter().for_each(|one| batch.tell_of_hole(one.channel, one.threads));
        batch.send(|thread, steps| self.node.inboxes[thread].push(Command::Take(steps)));
    }

    fn list(&self, wanted: ListSockets) {
        let way = (Arc::clone(&self.shared), Arc::clone(&self.node.ups[self.slot]));
        let inquiry = Arc::new(Inquiry::new(wanted, self.node.inboxes.len(), way));
        self.node.tell_all(|| Command::List(Arc::clone(&inquiry)));
    }

    fn answer(&self, claim: &Claim) -> Result<(), Status> {
        let owner = self.shared.owner().unwrap_or_default();
        let (taken, version) = {
            let mut gate = self.node.gate();
            let now = Instant::now().into_std();
            (gate.claim(owner, claim, now), self.node.interest().version())
        };
        if !self.shared.answer(taken, version) {
            return Err(Status::resource_exhausted("claims come faster than they are answered"));
        }
        self.node.ups[self.slot].wake();
        Ok(())
    }
}

/// When something was last dispatched, by shard.
fn by_shard(ages: &[ShardAge], now: std::time::Instant) -> Vec<Option<std::time::Instant>> {
    let mut by_shard = vec![None; usize::from(SHARDS)];
    for ShardAge { shard, age_ms, .. } in ages {
        if let Some(shard) = ShardId::new(*shard) {
            by_shard[shard.index()] = now.checked_sub(Duration::from_millis(*age_ms));
        }
    }
    by_shard
}

/// However a stream ends, nothing goes up on it any more.
impl Drop for Attachment {
    fn drop(&mut self) {
        self.shared.end();
        self.node.ups[self.slot].wake();
    }
}
