//! A thread whose outboxes take too much memory together closes the sockets with the most in front of
//! them, until the others have room.

use std::{cmp::Reverse, time::Instant};

use data_plane_core::CloseCode;
use tracing::warn;

use super::{Shard, key};

/// The share of the sockets with something waiting that is closed before looking again.
const SHARE: usize = 16;

impl Shard {
    /// Looks, and closes where it must.
    pub(super) fn relieve(&mut self, now: Instant) {
        if !self.ledger.is_over() {
            return;
        }
        // What can be written is no reason to close anybody.
        self.flush(usize::MAX);
        let mut waiting: Vec<_> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.closing.is_none() && socket.waiting_bytes() > 0)
            .map(|(index, socket)| (Reverse(socket.waiting_bytes()), key(index, socket)))
            .collect();
        waiting.sort_unstable_by_key(|(bytes, key)| (*bytes, key.index));
        let share = waiting.len().div_ceil(SHARE).max(1);
        let mut closed = 0;
        for batch in waiting.chunks(share) {
            if self.ledger.is_relieved() {
                break;
            }
            for (_, key) in batch {
                self.close(*key, CloseCode::SlowConsumer, now);
            }
            closed += batch.len();
        }
        if closed > 0 {
            self.node.metrics.relieved.inc_by(closed as u64);
            warn!(closed, "outboxes took too much memory; the largest were closed");
        }
    }
}
