//! Claims that nodes have not all answered, and shards that are being given away.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::ShardId;
use proto::{internal::DispatchedEvent, stamp::Stamp};

use crate::{
    node::{LAG_MAX, Node},
    nodes::Nodes,
};

/// How long what was dispatched is waited for before a shard is given away.
const LEAVING_MAX: Duration = Duration::from_millis(500);

/// Claims under way.
#[derive(Debug, Default)]
pub(super) struct Rounds(Vec<Round>);

/// Claims that were made together.
#[derive(Debug)]
pub(super) struct Round {
    pub(super) number: u64,
    since: Instant,
    /// What former owners may have told only some nodes; in the order in which it is to be dispatched
    /// once the round is over.
    pub(super) recovered: Vec<DispatchedEvent>,
    /// These did not answer in time.
    pub(super) silent: Vec<Arc<Node>>,
}

impl Rounds {
    /// Nodes have been asked.
    pub(super) fn begin(&mut self, number: u64, now: Instant) {
        self.0.push(Round { number, since: now, recovered: Vec::new(), silent: Vec::new() });
    }

    /// A node has these from a former owner. Returns those that come too late for their round, in order.
    pub(super) fn recover(
        &mut self,
        number: u64,
        events: Vec<DispatchedEvent>,
    ) -> Vec<DispatchedEvent> {
        match self.0.iter_mut().find(|round| round.number == number) {
            Some(round) => {
                round.recovered.extend(events);
                Vec::new()
            }
            None => in_order(events),
        }
    }

    /// The rounds that all nodes have answered, or that have waited long enough.
    pub(super) fn finished(&mut self, nodes: &Nodes, now: Instant) -> Vec<Round> {
        let over = |round: &mut Round| {
            round.silent = nodes.owing(round.number);
            let patient = now.saturating_duration_since(round.since) < LAG_MAX;
            round.silent.is_empty() || !patient
        };
        let mut finished: Vec<Round> = self.0.extract_if(.., over).collect();
        for round in &mut finished {
            round.recovered = in_order(std::mem::take(&mut round.recovered));
        }
        finished
    }
}

/// As they were dispatched, each once.
fn in_order(mut events: Vec<DispatchedEvent>) -> Vec<DispatchedEvent> {
    events.sort_by(|a, b| {
        fn key(event: &DispatchedEvent) -> (u32, &str, &str, Stamp) {
            (event.shard, &event.app_id, &event.channel, Stamp::of(event))
        }
        key(a).cmp(&key(b))
    });
    events.dedup_by(|a, b| a.message_id == b.message_id);
    events
}

/// Shards that are being given away, with what nodes still owe.
#[derive(Debug, Default)]
pub(super) struct Leavings(Vec<Leaving>);

#[derive(Debug)]
struct Leaving {
    shards: Vec<ShardId>,
    marks: Vec<(Arc<Node>, u64)>,
    since: Instant,
}

impl Leavings {
    /// Nothing more is dispatched in these; nodes acknowledge up to their marks.
    pub(super) fn begin(
        &mut self,
        shards: Vec<ShardId>,
        marks: Vec<(Arc<Node>, u64)>,
        now: Instant,
    ) {
        self.0.push(Leaving { shards, marks, since: now });
    }

    /// Those of which every healthy node has acknowledged what it was sent.
    pub(super) fn finished(&mut self, now: Instant) -> Vec<Vec<ShardId>> {
        let over = |leaving: &mut Leaving| {
            let patient = now.saturating_duration_since(leaving.since) < LEAVING_MAX;
            !patient || !leaving.marks.iter().any(|(node, position)| node.owes(*position))
        };
        self.0.extract_if(.., over).map(|leaving| leaving.shards).collect()
    }
}
