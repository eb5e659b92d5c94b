//! Interest that was taken note of: of what has not been sent only the latest counts.

use proto::internal::{InterestAck, ShardAge};

use super::ages::Ages;

/// What the node is told next.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// Everything up to here.
    sequence: Option<u64>,
    /// What was dispatched in the shards of channels that it began with.
    dispatched: Ages,
}

impl Noted {
    pub(super) fn add(&mut self, sequence: u64, dispatched: &[ShardAge]) {
        self.sequence = Some(sequence);
        self.dispatched.add(dispatched);
    }

    pub(super) fn take(&mut self) -> Option<InterestAck> {
        let sequence = self.sequence.take()?;
        Some(InterestAck { sequence, dispatched: self.dispatched.take() })
    }
}
