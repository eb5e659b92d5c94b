//! Connections of one app: here, and on all other nodes as each control plane has it.

use smallvec::SmallVec;

use super::Slot;

/// The counts of one app.
#[derive(Debug, Default)]
pub(super) struct Connections {
    pub own: u32,
    others: SmallVec<[(Slot, u32); 2]>,
    pub version: u64,
}

impl Connections {
    /// What a control plane says of all other nodes.
    pub(super) fn set_others(&mut self, slot: Slot, connections: u32) {
        self.forget(slot);
        self.others.push((slot, connections));
    }

    /// The control plane is not attached any more.
    pub(super) fn forget(&mut self, slot: Slot) {
        self.others.retain(|(other, _)| *other != slot);
    }

    /// The smallest that any of them says: nobody is locked out because one of them counts twice what
    /// has just moved.
    pub(super) fn others(&self) -> u32 {
        self.others.iter().map(|(_, connections)| *connections).min().unwrap_or(0)
    }

    /// Whether there is nothing to be kept: what the others hold is told only when it changes.
    pub(super) fn is_nothing(&self) -> bool {
        self.own == 0 && self.others.iter().all(|(_, connections)| *connections == 0)
    }
}
