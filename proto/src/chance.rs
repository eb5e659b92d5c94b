//! Numbers that nobody else makes up: of lives, messages, sockets. Not for secrets.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

/// What the next number of a simulation follows from; 0: this process is none.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// From here on everything here follows from the seed, in the order in which it is asked for: a simulation
/// can be repeated.
pub fn follow(seed: u64) {
    NEXT.store(seed | 1 << 63, Ordering::Relaxed);
}

/// 64 bits of the randomness that the standard library takes from the system.
#[must_use]
pub fn number() -> u64 {
    match next() {
        Some(next) => mixed(next),
        None => RandomState::new().hash_one(0),
    }
}

/// Twice as many.
#[must_use]
pub fn wide_number() -> u128 {
    u128::from(number()) << 64 | u128::from(number())
}

/// From 0 to 1.
#[must_use]
pub fn share() -> f64 {
    number() as f64 / u64::MAX as f64
}

/// Another number for each number; those of neighbours have nothing in common (SplitMix64's finalizer).
#[must_use]
pub fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn next() -> Option<u64> {
    (NEXT.load(Ordering::Relaxed) > 0).then(|| NEXT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_from_a_seed_once_there_is_one() {
        assert_ne!((number(), wide_number()), (number(), wide_number()));
        let numbers = || {
            follow(7);
            (number(), wide_number())
        };
        let (first, wide) = numbers();
        assert_eq!((first, wide), numbers());
        assert_ne!(u128::from(first), wide >> 64);
    }
}
