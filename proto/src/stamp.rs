//! Where an event stands among those of its channel.

use std::time::Duration;

use crate::internal::{DispatchedEvent, Origin};

/// How long nodes keep an event for the next owner of its shard, and they and owners its place. An owner
/// that dies is replaced by then: all of them may die at once, and wait for their nodes.
pub const UNSTABLE_MAX: Duration = Duration::from_secs(8);

/// Epochs come first, then owners, then serials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    epoch: u64,
    owner: u64,
    serial: u64,
}

impl Stamp {
    /// Where an event stood when it was dispatched for the first time.
    #[must_use]
    pub fn of(event: &DispatchedEvent) -> Self {
        let DispatchedEvent { epoch, owner, serial, .. } = *event;
        event.origin.map_or(Self { epoch, owner, serial }, Self::from)
    }

    /// As it stands in an event that is dispatched again.
    #[must_use]
    pub fn origin(self, age_ms: u32) -> Origin {
        let Self { epoch, owner, serial } = self;
        Origin { epoch, owner, serial, age_ms }
    }

    /// Whether one stream had both: the same owner gave them out in the same epoch.
    #[must_use]
    pub fn is_of_one_stream(&self, other: &Self) -> bool {
        (self.epoch, self.owner) == (other.epoch, other.owner)
    }
}

impl From<Origin> for Stamp {
    fn from(Origin { epoch, owner, serial, .. }: Origin) -> Self {
        Self { epoch, owner, serial }
    }
}

impl DispatchedEvent {
    /// Whether it is dispatched for the first time, however long it was queued.
    #[must_use]
    pub fn is_first(&self) -> bool {
        let Self { epoch, owner, serial, .. } = *self;
        Stamp::of(self) == Stamp { epoch, owner, serial }
    }

    /// Notes where the event stood first, before it is dispatched again.
    pub fn keep_origin(&mut self, age_ms: u32) {
        let before = self.origin.map_or(0, |origin| origin.age_ms);
        self.origin = Some(Stamp::of(self).origin(before.saturating_add(age_ms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_outlives_all_owners() {
        let mut event = DispatchedEvent { epoch: 2, owner: 9, serial: 5, ..Default::default() };
        let first = Stamp::of(&event);
        event.keep_origin(100);
        assert!(event.is_first());
        (event.epoch, event.owner, event.serial) = (3, 4, 1);
        event.keep_origin(50);
        assert!(!event.is_first());
        assert_eq!(Stamp::of(&event), first);
        assert_eq!(event.origin.map(|origin| origin.age_ms), Some(150));
        let later = DispatchedEvent { epoch: 3, owner: 4, serial: 1, ..Default::default() };
        assert!(Stamp::of(&later) > first && !Stamp::of(&later).is_of_one_stream(&first));
        let next = DispatchedEvent { epoch: 2, owner: 9, serial: 6, ..Default::default() };
        assert!(Stamp::of(&next) > first && Stamp::of(&next).is_of_one_stream(&first));
    }
}
