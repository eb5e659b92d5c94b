//! Which socket is written next. Apps take turns: one with thousands of sockets to write does not make
//! another app's wait for all of them.

use std::collections::VecDeque;

use data_plane_core::SocketKey;
use foldhash::HashMap;
use model::AppId;

/// So many sockets of an app are written before the next app has its turn.
const SLICE: usize = 128;

/// Sockets with something to write, by app.
#[derive(Debug)]
pub(super) struct Turns {
    /// The first one is of connections without an app.
    lanes: Vec<VecDeque<SocketKey>>,
    /// One for each app that has had a socket here.
    by_app: HashMap<AppId, Lane>,
    /// Those that are not empty; the first has its turn.
    waiting: VecDeque<Lane>,
    /// How many sockets it has had in this turn.
    taken: usize,
    sockets: usize,
}

/// The sockets of an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane(u32);

impl Turns {
    /// Nobody waits.
    pub(super) fn new() -> Self {
        Self {
            lanes: vec![VecDeque::new()],
            by_app: HashMap::default(),
            waiting: VecDeque::new(),
            taken: 0,
            sockets: 0,
        }
    }

    /// Where an app's sockets wait.
    pub(super) fn lane(&mut self, app: &AppId) -> Lane {
        if let Some(lane) = self.by_app.get(app) {
            return *lane;
        }
        let lane = Lane(self.lanes.len() as u32);
        self.lanes.push(VecDeque::new());
        self.by_app.insert(app.clone(), lane);
        lane
    }

    /// A socket has something to write, and does not wait yet.
    pub(super) fn push(&mut self, lane: Lane, key: SocketKey) {
        let sockets = &mut self.lanes[lane.0 as usize];
        if sockets.is_empty() {
            self.waiting.push_back(lane);
        }
        sockets.push_back(key);
        self.sockets += 1;
    }

    /// Whose turn it is.
    pub(super) fn next(&mut self) -> Option<SocketKey> {
        let lane = *self.waiting.front()?;
        let sockets = &mut self.lanes[lane.0 as usize];
        let key = sockets.pop_front()?;
        self.sockets -= 1;
        self.taken += 1;
        if sockets.is_empty() {
            self.waiting.pop_front();
            self.taken = 0;
        } else if self.taken >= SLICE {
            self.waiting.rotate_left(1);
            self.taken = 0;
        }
        Some(key)
    }

    /// How many wait.
    pub(super) fn sockets(&self) -> usize {
        self.sockets
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.sockets == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> SocketKey {
        SocketKey { index, generation: 1 }
    }

    fn app(name: &str) -> AppId {
        AppId::parse(name).unwrap()
    }

    #[test]
    fn a_small_app_waits_for_one_slice_of_a_large_one() {
        let mut turns = Turns::new();
        let (large, small) = (turns.lane(&app("large")), turns.lane(&app("small")));
        assert_eq!(turns.lane(&app("large")), large, "one lane for each");
        (0..1_000).for_each(|index| turns.push(large, key(index)));
        assert_eq!(turns.next(), Some(key(0)));
        turns.push(small, key(5_000));
        let before = std::iter::from_fn(|| turns.next()).position(|next| next == key(5_000));
        assert_eq!(before, Some(SLICE - 1));
        let rest: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(rest, (SLICE as u32..1_000).map(key).collect::<Vec<_>>());
        assert!(turns.is_empty() && turns.next().is_none());
    }

    #[test]
    fn everybody_is_written_once() {
        let mut turns = Turns::new();
        let lanes = [Lane::default(), turns.lane(&app("a")), turns.lane(&app("b"))];
        let most = 2 * SLICE as u32 + 7;
        for (lane, first) in lanes.into_iter().zip([0, 10_000, 20_000]) {
            (0..most).for_each(|index| turns.push(lane, key(first + index)));
        }
        assert_eq!(turns.sockets(), 3 * most as usize);
        let mut all: Vec<_> = std::iter::from_fn(|| turns.next()).map(|key| key.index).collect();
        assert_eq!((all.len(), turns.sockets()), (3 * most as usize, 0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 3 * most as usize);
    }
}
