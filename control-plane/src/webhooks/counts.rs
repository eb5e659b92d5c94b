//! How often an app's backend hears the number of a channel's subscriptions.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use model::ChannelName;

/// Up to this many subscriptions each change is told.
const EACH_MAX: u32 = 100;
/// Above it, this is the time between two tellings (spec/http.md 7.2).
const QUIET: Duration = Duration::from_secs(5);

/// The large channels of one app whose number was told lately.
#[derive(Debug, Default)]
pub(super) struct Counts {
    quiet: HashMap<ChannelName, Quiet>,
    /// In the order of the ends; some are of no use any more.
    ends: VecDeque<(Instant, ChannelName)>,
}

#[derive(Debug)]
struct Quiet {
    until: Instant,
    /// The number that nobody has been told of.
    owed: Option<u32>,
}

impl Counts {
    /// The number has changed: whether it is told at once.
    pub(super) fn changed(&mut self, channel: &ChannelName, count: u32, now: Instant) -> bool {
        if count <= EACH_MAX {
            self.quiet.remove(channel);
            return true;
        }
        if let Some(quiet) = self.quiet.get_mut(channel) {
            quiet.owed = Some(count);
            return false;
        }
        self.be_quiet(channel.clone(), now);
        true
    }

    /// The next number that is told now; in a hurry all of them are.
    pub(super) fn due(&mut self, now: Instant, hurry: bool) -> Option<(ChannelName, u32)> {
        while hurry || self.wake_at().is_some_and(|end| end <= now) {
            let (end, channel) = self.ends.pop_front()?;
            if self.quiet.get(&channel).is_none_or(|quiet| quiet.until != end) {
                continue;
            }
            let owed = self.quiet.remove(&channel).and_then(|quiet| quiet.owed);
            if let Some(count) = owed {
                if !hurry {
                    self.be_quiet(channel.clone(), now);
                }
                return Some((channel, count));
            }
        }
        None
    }

    /// When there may be something due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    fn be_quiet(&mut self, channel: ChannelName, now: Instant) {
        let until = now + QUIET;
        self.ends.push_back((until, channel.clone()));
        self.quiet.insert(channel, Quiet { until, owed: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Counts, ChannelName, Instant) {
        let now = tokio::time::Instant::now().into_std();
        (Counts::default(), ChannelName::trusted("room"), now)
    }

    #[test]
    fn small_numbers_are_told_at_once() {
        let (mut counts, room, now) = start();
        assert!((0..=EACH_MAX).all(|count| counts.changed(&room, count, now)));
        assert_eq!(counts.wake_at(), None);
    }

    #[test]
    fn large_numbers_are_told_every_five_seconds_the_last_one_too() {
        let (mut counts, room, now) = start();
        let told: Vec<_> = (101..200).map(|count| counts.changed(&room, count, now)).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(told[0]);
        assert_eq!(counts.due(now + QUIET / 2, false), None);
        assert_eq!(counts.due(now + QUIET, false), Some((room.clone(), 199)));
        assert!(!counts.changed(&room, 300, now + QUIET));
        assert_eq!(counts.due(now + 2 * QUIET, false), Some((room.clone(), 300)));
        assert_eq!(counts.due(now + 3 * QUIET, false), None, "nothing has changed");
        assert_eq!((counts.wake_at(), counts.quiet.len()), (None, 0));
        assert!(counts.changed(&room, 301, now + 3 * QUIET));
    }

    #[test]
    fn a_number_that_becomes_small_ends_the_silence() {
        let (mut counts, room, now) = start();
        counts.changed(&room, 101, now);
        counts.changed(&room, 102, now);
        assert!(counts.changed(&room, 100, now));
        assert!(counts.changed(&room, 101, now + QUIET / 2));
        assert!(!counts.changed(&room, 102, now + QUIET / 2));
        assert_eq!(counts.due(now + QUIET, false), None, "that end is of no use any more");
        let end = now + QUIET / 2 + QUIET;
        assert_eq!(counts.due(end, false), Some((room, 102)));
    }

    #[test]
    fn in_a_hurry_what_is_owed_is_told_at_once() {
        let (mut counts, room, now) = start();
        counts.changed(&room, 101, now);
        counts.changed(&room, 102, now);
        assert_eq!(counts.due(now, true), Some((room, 102)));
        assert_eq!((counts.due(now, true), counts.wake_at()), (None, None));
    }
}
