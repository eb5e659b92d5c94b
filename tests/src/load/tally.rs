//! Which events have reached every socket.

use std::collections::VecDeque;

/// Counts down, for each event that is under way, the sockets that lack it.
#[derive(Debug)]
pub(super) struct Tally {
    sockets: u32,
    complete: u64,
    lacking: VecDeque<u32>,
}

impl Tally {
    pub(super) fn of(sockets: u32) -> Self {
        Self { sockets, complete: 0, lacking: VecDeque::new() }
    }

    /// One more socket has its `nth` event, counted from 0.
    pub(super) fn received(&mut self, nth: u64) {
        let index = usize::try_from(nth - self.complete).expect("few events are under way");
        while self.lacking.len() <= index {
            self.lacking.push_back(self.sockets);
        }
        self.lacking[index] -= 1;
        while self.lacking.front() == Some(&0) {
            self.lacking.pop_front();
            self.complete += 1;
        }
    }

    /// How many events every socket has.
    pub(super) fn complete(&self) -> u64 {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_complete_when_the_slowest_socket_has_it() {
        let mut tally = Tally::of(2);
        for (nth, complete) in [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2), (2, 3), (3, 3)] {
            tally.received(nth);
            assert_eq!(tally.complete(), complete);
        }
    }
}
