//! Who has gone, but may be back at once: nobody is told of a leave until three seconds have passed.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use model::{ChannelName, UserId};

/// A return within this time is told to nobody, and neither is the leave (spec/http.md 7.2).
pub(super) const GRACE: Duration = Duration::from_secs(3);
/// Leaves of one app that wait; over it the oldest is told early.
const HELD_MAX: usize = 10_000;

/// A channel that was vacated, or a user who left it.
pub(super) type Gone = (ChannelName, Option<UserId>);

/// The leaves of one app that nobody has been told of.
#[derive(Debug, Default)]
pub(super) struct Grace {
    turns: HashMap<Gone, u64>,
    /// In the order of the leaves, which is that of their ends too.
    held: BTreeMap<u64, (Instant, Gone)>,
    next: u64,
}

impl Grace {
    /// Holds a leave. Returns one that is to be told early.
    pub(super) fn leave(&mut self, gone: Gone, now: Instant) -> Option<Gone> {
        if self.turns.contains_key(&gone) {
            return None;
        }
        let turn = self.next;
        self.next += 1;
        self.turns.insert(gone.clone(), turn);
        self.held.insert(turn, (now + GRACE, gone));
        if self.held.len() > HELD_MAX { self.pop() } else { None }
    }

    /// Whether it is a return: then there was no leave, and nothing is to be told.
    pub(super) fn come(&mut self, who: &Gone) -> bool {
        let turn = self.turns.remove(who);
        turn.is_some_and(|turn| self.held.remove(&turn).is_some())
    }

    /// The next leave whose grace is over.
    pub(super) fn due(&mut self, now: Instant) -> Option<Gone> {
        self.wake_at().filter(|end| *end <= now).and_then(|_| self.pop())
    }

    /// The oldest leave, grace or not: for those who cannot wait.
    pub(super) fn pop(&mut self) -> Option<Gone> {
        let (_, (_, gone)) = self.held.pop_first()?;
        self.turns.remove(&gone);
        Some(gone)
    }

    /// When there is something due.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.held.first_key_value().map(|(_, (end, _))| *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn member(user: &str) -> Gone {
        (ChannelName::trusted("presence-a"), Some(UserId::trusted(user)))
    }

    #[test]
    fn a_leave_is_told_after_the_grace_and_once() {
        let (mut grace, now) = (Grace::default(), start());
        assert_eq!(grace.leave(member("ann"), now), None);
        assert_eq!(grace.leave(member("ann"), now + GRACE / 2), None, "is held already");
        assert_eq!(grace.wake_at(), Some(now + GRACE));
        assert_eq!(grace.due(now + GRACE - Duration::from_millis(1)), None);
        assert_eq!(grace.due(now + GRACE), Some(member("ann")));
        assert_eq!((grace.due(now + 2 * GRACE), grace.wake_at()), (None, None));
        assert!(!grace.come(&member("ann")), "a return after the grace is told");
    }

    #[test]
    fn a_return_within_the_grace_undoes_the_leave() {
        let (mut grace, now) = (Grace::default(), start());
        grace.leave(member("ann"), now);
        grace.leave(member("bob"), now + GRACE / 3);
        assert!(grace.come(&member("ann")));
        assert!(!grace.come(&member("ann")));
        assert_eq!(grace.wake_at(), Some(now + GRACE / 3 + GRACE));
        grace.leave(member("ann"), now + GRACE / 2);
        assert_eq!(grace.due(now + 2 * GRACE), Some(member("bob")));
        assert_eq!(grace.due(now + 2 * GRACE), Some(member("ann")));
    }

    #[test]
    fn a_channel_and_its_members_are_apart() {
        let (mut grace, now) = (Grace::default(), start());
        let channel = (ChannelName::trusted("presence-a"), None);
        grace.leave(member("ann"), now);
        grace.leave(channel.clone(), now);
        assert!(grace.come(&channel));
        assert_eq!(grace.due(now + GRACE), Some(member("ann")));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (mut grace, now) = (Grace::default(), start());
        for user in 0..HELD_MAX {
            assert_eq!(grace.leave(member(&user.to_string()), now), None);
        }
        assert_eq!(grace.leave(member("one more"), now), Some(member("0")));
        assert_eq!((grace.held.len(), grace.turns.len()), (HELD_MAX, HELD_MAX));
    }
}
