//! Interest that was taken note of: of what has not been sent only the latest counts.

use std::collections::BTreeMap;

use proto::internal::{InterestAck, ShardAge};

/// What the node is told next.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Everything up to here.
    sequence: Option<u64>,
    /// How long ago something was dispatched without the node, by shard: until that is sent it seems to be
    /// later than it was, and never earlier.
    dispatched: BTreeMap<u32, u64>,
}

impl Noted {
    pub(super) fn add(&mut self, sequence: u64, dispatched: Vec<ShardAge>) {
        self.sequence = Some(sequence);
        self.dispatched.extend(dispatched.into_iter().map(|last| (last.shard, last.age_ms)));
    }

    pub(super) fn take(&mut self) -> Option<InterestAck> {
        let sequence = self.sequence.take()?;
        let dispatched = std::mem::take(&mut self.dispatched).into_iter();
        let dispatched = dispatched.map(|(shard, age_ms)| ShardAge { shard, age_ms }).collect();
        Some(InterestAck { sequence, dispatched })
    }
}
