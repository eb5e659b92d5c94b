//! The wheel against a naive list.

use std::time::{Duration, Instant};

use data_plane_core::{SocketKey, Wheel};
use proptest::prelude::*;

const TICK_MS: u64 = 10;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many milliseconds from now.
    Insert(u64),
    Advance(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..600_u64).prop_map(Step::Insert),
        1 => (0..3_000_u64).prop_map(Step::Insert),
        2 => (0..90_u64).prop_map(Step::Advance),
        1 => (0..2_000_u64).prop_map(Step::Advance),
    ]
}

fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "a test needs some instant to count from")]
    Instant::now()
}

proptest! {
    #[test]
    fn the_wheel_does_what_a_list_does(
        slots in 1..40_usize,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let start = start();
        let mut wheel = Wheel::new(start, Duration::from_millis(TICK_MS), slots);
        // Due time in milliseconds, rounded up to the next tick, and index.
        let mut list: Vec<(u64, u32)> = Vec::new();
        let (mut now, mut passed) = (0, 0);
        for (index, step) in (0..).zip(steps) {
            match step {
                Step::Insert(delay) => {
                    let at = now + delay;
                    let key = SocketKey { index, generation: 3 };
                    wheel.insert(key, start + Duration::from_millis(at));
                    list.push((at.next_multiple_of(TICK_MS).max(passed + TICK_MS), index));
                }
                Step::Advance(by) => {
                    now += by;
                    passed = now / TICK_MS * TICK_MS;
                    let mut expired = Vec::new();
                    wheel.advance(start + Duration::from_millis(now), &mut expired);
                    let mut found: Vec<_> = expired.iter().map(|key| key.index).collect();
                    found.sort_unstable();
                    let due = list.extract_if(.., |(due, _)| *due <= now);
                    let mut expected: Vec<_> = due.map(|(_, index)| index).collect();
                    expected.sort_unstable();
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(wheel.len(), list.len());
            let next = wheel.next().map(|at| (at - start).as_millis() as u64);
            let first = list.iter().map(|(due, _)| *due).min();
            prop_assert_eq!(next.is_some(), first.is_some());
            prop_assert!(next <= first, "{next:?} is after {first:?}");
            prop_assert!(next.is_none_or(|next| next > passed), "{next:?} has passed");
        }
    }
}
