//! Randomness from the kernel, for keys, secrets and nonces; and what spreads out what would else happen at once.

use std::time::Duration;

use proto::chance;
use ring::rand::{SecureRandom as _, SystemRandom};

/// Random bytes from the kernel.
pub(super) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the kernel has random bytes once it has booted");
    bytes
}

/// As many lower-case hex digits as twice `N`.
pub(super) fn hex<const N: usize>() -> String {
    hex::encode(bytes::<N>())
}

/// Between three and five quarters of `around`.
pub(super) fn jittered(around: Duration) -> Duration {
    around.mul_f64(0.75 + chance::share() / 2.0)
}
