//! What was complained about lately, so that a log says it once and not at every attempt.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The same complaint is worth a line again after this long.
const SILENCE: Duration = Duration::from_secs(60);
/// Complaints that are remembered. When there are more, new ones stay unsaid until old ones expire:
/// strangers cannot fill a log.
const COMPLAINTS_MAX: usize = 64;

/// Remembers what was said.
#[derive(Debug, Default)]
pub(crate) struct Complaints(Mutex<HashMap<String, Instant>>);

impl Complaints {
    /// Whether this is to be said; from then on it has been.
    pub(crate) fn is_new(&self, complaint: &str, now: Instant) -> bool {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.get(complaint).is_some_and(|at| now.duration_since(*at) < SILENCE) {
            return false;
        }
        if said.len() >= COMPLAINTS_MAX {
            said.retain(|_, at| now.duration_since(*at) < SILENCE);
        }
        if said.len() >= COMPLAINTS_MAX {
            return false;
        }
        said.insert(complaint.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_same_is_said_once_a_minute() {
        let (complaints, start) = (Complaints::default(), start());
        assert!(complaints.is_new("a", start) && complaints.is_new("b", start));
        assert!(!complaints.is_new("a", start + SILENCE / 2));
        assert!(complaints.is_new("a", start + SILENCE));
    }

    #[test]
    fn a_flood_of_different_ones_is_cut_off() {
        let (complaints, start) = (Complaints::default(), start());
        let new = |number: &u32| complaints.is_new(&number.to_string(), start);
        assert_eq!((0..1_000).filter(new).count(), COMPLAINTS_MAX);
        assert!(complaints.is_new("1000", start + SILENCE));
    }
}
