//! What comes down passes here, whichever control plane it comes from: the fence, the memory of message
//! ids, the events that may have to be dispatched again.

mod message_ids;
mod places;
mod unstable;

use std::time::Instant;

use foldhash::HashSet;
use model::ShardId;
use proto::internal::{Claim, DispatchedEvent, EventPlace, ShardAge, ShardEpoch};

use self::{message_ids::MessageIds, unstable::Unstable};
use crate::{fence::Fence, metrics::NodeMetrics};

/// One for all streams of a node. Who lets an event pass holds it until the event is in the inboxes:
/// within a shard nothing of an older epoch is delivered behind something of a newer one.
#[derive(Debug)]
pub struct Gate {
    fence: Fence,
    ids: MessageIds,
    unstable: Unstable,
    /// There are several control planes: one of them may have to dispatch what another did.
    several: bool,
    metrics: NodeMetrics,
}

/// What becomes of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is delivered.
    Free,
    /// It was delivered before.
    Again,
    /// Its epoch is stale; this is in force.
    Refused(ShardEpoch),
}

/// The answer to a claim.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// Which claim.
    pub round: u64,
    /// Shards that somebody else has.
    pub stale: Vec<ShardEpoch>,
    /// What the new owner dispatches again.
    pub events: Vec<DispatchedEvent>,
    /// Where other events stood that may be published again.
    pub places: Vec<EventPlace>,
    /// When the last event of a shard passed, where that was another owner's.
    pub dispatched: Vec<ShardAge>,
}

impl Gate {
    /// Nothing has passed.
    #[must_use]
    pub fn new(now: Instant, metrics: NodeMetrics) -> Self {
        let (fence, ids, unstable) = (Fence::new(), MessageIds::new(now), Unstable::default());
        Self { fence, ids, unstable, several: false, metrics }
    }

    /// Whether there are several control planes.
    pub fn set_several(&mut self, several: bool) {
        self.several = several;
    }

    /// Lets an event from the stream of `owner` pass, or says why not.
    pub fn pass(
        &mut self,
        owner: u64,
        event: &DispatchedEvent,
        (position, now): (u64, Instant),
    ) -> Passage {
        if let Err(in_force) = self.fence.admit(event, now) {
            self.metrics.stale.inc();
            // What somebody else has dispatched meanwhile is here: nothing is missing, whoever waits for it.
            return match self.ids.knows(event) {
                true => Passage::Again,
                false => Passage::Refused(in_force),
            };
        }
        if self.several {
            // One that comes again is kept too: now it is this owner's to see it through.
            let dropped = self.unstable.keep(owner, event, (position, now));
            self.metrics.unstable_dropped.inc_by(dropped);
        }
        match self.ids.has_seen(event, now) {
            true => {
                self.metrics.duplicates.inc();
                Passage::Again
            }
            false => Passage::Free,
        }
    }

    /// All that this owner has dispatched up to here is with every node.
    pub fn settle(&mut self, owner: u64, position: u64) {
        self.unstable.settle(owner, position);
    }

    /// A control plane takes shards.
    pub fn claim(&mut self, owner: u64, claim: &Claim, now: Instant) -> Taken {
        let ages = claim.shards.iter().map(|claimed| self.fence.age(claimed.shard, owner, now));
        let mut dispatched: Vec<ShardAge> = ages.flatten().collect();
        let refused = claim.shards.iter().filter_map(|shard| self.fence.claim(shard).err());
        let stale: Vec<ShardEpoch> = refused.collect();
        let lost: HashSet<u32> = stale.iter().map(|stale| stale.shard).collect();
        dispatched.retain(|last| !lost.contains(&last.shard));
        let shards = claim.shards.iter().map(|claimed| claimed.shard);
        let taken = shards.filter(|shard| !lost.contains(shard)).collect();
        self.metrics.claims.inc();
        let events = self.unstable.claimed(owner, &taken, now);
        let places = self.unstable.places(&taken, now);
        Taken { round: claim.round, stale, events, places, dispatched }
    }

    /// Forgets what is old.
    pub fn expire(&mut self, now: Instant) {
        self.metrics.ids_evicted.inc_by(self.ids.expire(now));
        self.metrics.places_dropped.inc_by(self.unstable.expire(now));
        let (events, bytes) = self.unstable.size();
        self.metrics.unstable_events.set(events as i64);
        self.metrics.unstable_bytes.set(bytes as i64);
    }

    /// Who owns a shard, where that is known.
    #[must_use]
    pub fn owner(&self, shard: ShardId) -> Option<u64> {
        self.fence.owner(shard)
    }

    /// The highest epochs.
    #[must_use]
    pub fn seen(&self) -> Vec<ShardEpoch> {
        self.fence.seen()
    }

    /// Where something may be missing when events of this owner were lost; by shard.
    #[must_use]
    pub fn touched_by(&self, owner: u64) -> Box<[bool]> {
        self.fence.touched_by(owner)
    }
}

/// What an event takes in memory, about.
#[must_use]
pub fn bytes(event: &DispatchedEvent) -> usize {
    unstable::bytes(event)
}

#[cfg(test)]
mod tests {
    use proto::convert;

    use super::*;

    fn event(epoch: u64, owner: u64, id: u128) -> DispatchedEvent {
        let message_id = convert::id_bytes(id);
        DispatchedEvent { shard: 7, epoch, owner, message_id, ..DispatchedEvent::default() }
    }

    fn claim(round: u64, epoch: u64, owner: u64) -> Claim {
        Claim { round, shards: vec![ShardEpoch { shard: 7, epoch, owner }] }
    }

    #[test]
    fn a_takeover_loses_nothing_and_repeats_nothing() {
        let now = crate::shard::clock();
        let mut gate = Gate::new(now, NodeMetrics::default());
        gate.set_several(true);
        assert_eq!(gate.pass(1, &event(1, 1, 10), (1, now)), Passage::Free);
        assert_eq!(gate.pass(1, &event(1, 1, 11), (2, now)), Passage::Free);
        gate.settle(1, 1);
        let taken = gate.claim(2, &claim(1, 2, 2), now);
        assert_eq!((taken.round, &*taken.stale), (1, &[][..]));
        assert_eq!(taken.dispatched, [ShardAge { shard: 7, age_ms: 0, owner: 1 }]);
        let mut again = event(1, 1, 11);
        again.keep_origin(0);
        assert_eq!(taken.events, [again]);
        let settled = taken.places.iter().map(|place| convert::id_from_bytes(&place.message_id));
        assert_eq!(settled.collect::<Vec<_>>(), [Some(10)]);
        let in_force = ShardEpoch { shard: 7, epoch: 2, owner: 2 };
        assert_eq!(gate.pass(1, &event(1, 1, 12), (3, now)), Passage::Refused(in_force));
        assert_eq!(gate.pass(1, &event(1, 1, 11), (4, now)), Passage::Again, "stale, but here");
        assert_eq!(gate.pass(2, &event(2, 2, 11), (1, now)), Passage::Again);
        assert_eq!(gate.pass(2, &event(2, 2, 12), (2, now)), Passage::Free, "refused is not seen");
        let late = gate.claim(1, &claim(5, 2, 1), now);
        assert_eq!(late, Taken { round: 5, stale: vec![in_force], ..Taken::default() });
        let next = gate.claim(3, &claim(1, 3, 3), now).events;
        assert_eq!(next.len(), 2, "the second owner had not settled them: {next:?}");
    }

    #[test]
    fn one_control_plane_costs_no_copies() {
        let now = crate::shard::clock();
        let mut gate = Gate::new(now, NodeMetrics::default());
        gate.pass(1, &event(1, 1, 10), (1, now));
        assert_eq!(gate.unstable.size(), (0, 0));
        assert_eq!(gate.pass(1, &event(1, 1, 10), (2, now)), Passage::Again);
    }
}
