//! What each control plane has acknowledged, and of which it is certain that events arrive.

/// The place of a stream among those of a node.
pub type Slot = usize;

/// Streams to control planes at most.
pub const STREAMS_MAX: usize = proto::replicas::REPLICAS_MAX;

/// All attached streams.
#[derive(Debug, Default)]
pub(super) struct Streams {
    slots: [Option<Stream>; STREAMS_MAX],
}

#[derive(Clone, Copy, Debug)]
struct Stream {
    acknowledged: u64,
    /// Until its snapshot is complete a control plane gives the node everything.
    snapshot: bool,
    /// Its heartbeats are answered; nobody waits for one that is silent.
    answers: bool,
    /// Everything up to here is in force, acknowledged or not.
    certain: u64,
}

impl Stream {
    fn in_force(&self) -> u64 {
        if self.snapshot { u64::MAX } else { self.certain }
    }
}

impl Streams {
    pub(super) fn attach(&mut self, slot: Slot) {
        let stream = Stream { acknowledged: 0, snapshot: true, answers: true, certain: 0 };
        self.slots[slot] = Some(stream);
    }

    pub(super) fn unattach(&mut self, slot: Slot) {
        self.slots[slot] = None;
    }

    /// The snapshot has told all up to `version`: it is in force before anything is left out.
    pub(super) fn end_snapshot(&mut self, slot: Slot, version: u64) {
        if let Some(stream) = &mut self.slots[slot] {
            stream.snapshot = false;
            stream.certain = version;
        }
    }

    pub(super) fn set_answers(&mut self, slot: Slot, answers: bool) {
        if let Some(stream) = &mut self.slots[slot] {
            stream.answers = answers;
        }
    }

    pub(super) fn acknowledge(&mut self, slot: Slot, version: u64) {
        if let Some(stream) = &mut self.slots[slot] {
            stream.acknowledged = stream.acknowledged.max(version);
            stream.certain = stream.certain.max(version);
        }
    }

    pub(super) fn acknowledged_by(&self, slot: Slot) -> u64 {
        self.slots[slot].map_or(0, |stream| stream.acknowledged)
    }

    /// Of interest up to this version it is certain that events arrive; 0 where nobody answers.
    pub(super) fn certain(&self) -> u64 {
        let answering = self.slots.iter().flatten().filter(|stream| stream.answers);
        answering.map(Stream::in_force).min().unwrap_or(0)
    }

    /// What is in force at every attached control plane, whether it answers or not; everything where there is
    /// none.
    pub(super) fn in_force(&self) -> u64 {
        let attached = self.slots.iter().flatten();
        attached.map(Stream::in_force).min().unwrap_or(u64::MAX)
    }

    /// What every attached control plane has acknowledged; everything where there is none, for one that
    /// comes later is told everything anew.
    pub(super) fn acknowledged(&self) -> u64 {
        let attached = self.slots.iter().flatten();
        attached.map(|stream| stream.acknowledged).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_answer_must_know() {
        let mut streams = Streams::default();
        assert_eq!((streams.certain(), streams.acknowledged()), (0, u64::MAX));
        streams.attach(0);
        assert_eq!((streams.certain(), streams.acknowledged()), (u64::MAX, 0));
        streams.end_snapshot(0, 5);
        assert_eq!((streams.certain(), streams.acknowledged()), (5, 0));
        streams.attach(1);
        assert_eq!(streams.certain(), 5, "the new one gets everything");
        streams.acknowledge(0, 9);
        streams.end_snapshot(1, 7);
        assert_eq!((streams.certain(), streams.acknowledged()), (7, 0));
        streams.set_answers(1, false);
        assert_eq!((streams.certain(), streams.acknowledged()), (9, 0), "it may come back");
        streams.unattach(1);
        assert_eq!(streams.acknowledged(), 9);
        streams.set_answers(0, false);
        assert_eq!(streams.certain(), 0);
    }
}
