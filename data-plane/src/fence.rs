//! Who may dispatch: the highest epoch and owner seen per shard; lower ones are refused.

use std::time::Instant;

use model::{SHARDS, ShardId};
use proto::internal::{DispatchedEvent, ShardAge, ShardEpoch};

/// One entry per shard.
#[derive(Debug)]
pub struct Fence {
    shards: Box<[Entry]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Epoch and owner.
    highest: (u64, u64),
    /// Who owned it before.
    former: u64,
    /// When an event last passed, and whose.
    passed: Option<(Instant, u64)>,
}

impl Fence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { shards: vec![Entry::default(); usize::from(SHARDS)].into() }
    }

    /// Lets an event pass, or says what is in force instead. An unknown shard never passes.
    pub fn admit(&mut self, event: &DispatchedEvent, now: Instant) -> Result<(), ShardEpoch> {
        self.raise(event.shard, (event.epoch, event.owner))?;
        if let Some(id) = ShardId::new(event.shard).filter(|_| event.notice.is_none()) {
            self.shards[id.index()].passed = Some((now, event.owner));
        }
        Ok(())
    }

    /// How long ago the last event of a shard passed; `None` where there was none, or the claimant's own.
    #[must_use]
    pub fn age(&self, shard: u32, claimant: u64, now: Instant) -> Option<ShardAge> {
        let passed = self.shards[ShardId::new(shard)?.index()].passed;
        let (passed, owner) = passed.filter(|(_, owner)| *owner != claimant)?;
        let age_ms = now.saturating_duration_since(passed).as_millis() as u64;
        Some(ShardAge { shard, age_ms, owner })
    }

    /// A control plane takes a shard, unless a higher epoch or owner is in force.
    pub fn claim(&mut self, claim: &ShardEpoch) -> Result<(), ShardEpoch> {
        self.raise(claim.shard, (claim.epoch, claim.owner))
    }

    fn raise(&mut self, shard: u32, claim: (u64, u64)) -> Result<(), ShardEpoch> {
        let Some(id) = ShardId::new(shard) else {
            return Err(ShardEpoch { shard, epoch: u64::MAX, owner: 0 });
        };
        let entry = &mut self.shards[id.index()];
        if claim < entry.highest && !cfg!(feature = "bug-no-fence") {
            let (epoch, owner) = entry.highest;
            return Err(ShardEpoch { shard, epoch, owner });
        }
        if claim.1 != entry.highest.1 {
            entry.former = entry.highest.1;
        }
        entry.highest = claim;
        Ok(())
    }

    /// Who owns a shard; `None` where nobody is known to.
    #[must_use]
    pub fn owner(&self, shard: ShardId) -> Option<u64> {
        let (epoch, owner) = self.shards[shard.index()].highest;
        (epoch > 0).then_some(owner)
    }

    /// The shards of which something may be missing where events of this owner were lost: its own, those
    /// that it had until the present owner took them, and those of which nobody is known to be the owner.
    #[must_use]
    pub fn touched_by(&self, owner: u64) -> Box<[bool]> {
        let touched = self.shards.iter().map(|entry| {
            let (epoch, highest) = entry.highest;
            epoch == 0 || highest == owner || entry.former == owner
        });
        touched.collect()
    }

    /// What a control plane must know before it dispatches: shards that have had an owner.
    #[must_use]
    pub fn seen(&self) -> Vec<ShardEpoch> {
        let highest = self.shards.iter().map(|entry| entry.highest).enumerate();
        let seen = highest.filter(|(_, (epoch, _))| *epoch > 0);
        seen.map(|(shard, (epoch, owner))| ShardEpoch { shard: shard as u32, epoch, owner })
            .collect()
    }
}

impl Default for Fence {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lower_epochs_are_refused() {
        let (mut fence, now) = (Fence::new(), crate::shard::clock());
        let event =
            |epoch, owner| DispatchedEvent { shard: 7, epoch, owner, ..DispatchedEvent::default() };
        assert!(fence.admit(&event(1, 5), now).is_ok());
        assert!(fence.admit(&event(1, 5), now).is_ok());
        assert!(fence.admit(&event(2, 3), now).is_ok());
        assert_eq!(
            fence.admit(&event(1, 9), now),
            Err(ShardEpoch { shard: 7, epoch: 2, owner: 3 })
        );
        assert!(fence.admit(&event(2, 2), now).is_err());
        assert!(fence.admit(&event(2, 4), now).is_ok());
        assert_eq!(fence.seen(), [ShardEpoch { shard: 7, epoch: 2, owner: 4 }]);
        let unknown = DispatchedEvent { shard: 1_024, epoch: 9, ..DispatchedEvent::default() };
        assert!(fence.admit(&unknown, now).is_err());
        let claim = |epoch, owner| ShardEpoch { shard: 7, epoch, owner };
        assert_eq!(fence.claim(&claim(2, 3)), Err(claim(2, 4)));
        assert!(fence.claim(&claim(3, 5)).is_ok());
        assert!(
            fence.admit(&event(2, 4), now).is_err(),
            "who took it is obeyed before it dispatches"
        );
        assert_eq!(fence.owner(ShardId::new(7).unwrap()), Some(5));
        let age = fence.age(7, 5, now + std::time::Duration::from_millis(9));
        assert_eq!(age, Some(ShardAge { shard: 7, age_ms: 9, owner: 4 }));
        assert_eq!(fence.age(7, 4, now), None, "its own");
        assert_eq!((fence.age(8, 6, now), fence.age(1_024, 6, now)), (None, None));
    }

    #[test]
    fn a_loss_touches_what_the_owner_had() {
        let mut fence = Fence::new();
        for (shard, owner) in [(0, 1), (1, 1), (1, 2), (2, 2)] {
            fence.claim(&ShardEpoch { shard, epoch: owner, owner }).unwrap();
        }
        let touched = |owner| fence.touched_by(owner)[..4].to_vec();
        assert_eq!(touched(1), [true, true, false, true]);
        assert_eq!(touched(2), [false, true, true, true]);
    }
}
