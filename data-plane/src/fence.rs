//! Who may dispatch: the highest epoch and owner seen per shard; lower ones are refused.

use model::{SHARDS, ShardId};
use proto::internal::{DispatchedEvent, ShardEpoch};

/// One entry per shard.
#[derive(Debug)]
pub struct Fence {
    highest: Box<[(u64, u64)]>,
}

impl Fence {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { highest: vec![(0, 0); usize::from(SHARDS)].into() }
    }

    /// Lets an event pass, or says what is in force instead. An unknown shard never passes.
    pub fn admit(&mut self, event: &DispatchedEvent) -> Result<(), ShardEpoch> {
        let claim = (event.epoch, event.owner);
        let Some(shard) = ShardId::new(event.shard) else {
            return Err(ShardEpoch { shard: event.shard, epoch: u64::MAX, owner: 0 });
        };
        let highest = &mut self.highest[shard.index()];
        if claim < *highest {
            let (epoch, owner) = *highest;
            return Err(ShardEpoch { shard: event.shard, epoch, owner });
        }
        *highest = claim;
        Ok(())
    }

    /// What a control plane must know before it dispatches: shards that have had an owner.
    #[must_use]
    pub fn seen(&self) -> Vec<ShardEpoch> {
        let seen = self.highest.iter().enumerate().filter(|(_, (epoch, _))| *epoch > 0);
        seen.map(|(shard, (epoch, owner))| ShardEpoch {
            shard: shard as u32,
            epoch: *epoch,
            owner: *owner,
        })
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
        let mut fence = Fence::new();
        let event =
            |epoch, owner| DispatchedEvent { shard: 7, epoch, owner, ..DispatchedEvent::default() };
        assert!(fence.admit(&event(1, 5)).is_ok());
        assert!(fence.admit(&event(1, 5)).is_ok());
        assert!(fence.admit(&event(2, 3)).is_ok());
        assert_eq!(fence.admit(&event(1, 9)), Err(ShardEpoch { shard: 7, epoch: 2, owner: 3 }));
        assert!(fence.admit(&event(2, 2)).is_err());
        assert!(fence.admit(&event(2, 4)).is_ok());
        assert_eq!(fence.seen(), [ShardEpoch { shard: 7, epoch: 2, owner: 4 }]);
        let unknown = DispatchedEvent { shard: 1_024, epoch: 9, ..DispatchedEvent::default() };
        assert!(fence.admit(&unknown).is_err());
    }
}
