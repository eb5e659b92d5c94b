//! How large a run is, by which chance, and how it is repeated.

use std::path::PathBuf;

/// The size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Part of `cargo test`: under five minutes for all scenarios.
    Short,
    /// The sizes of the contract: `CHAOS=long`, with release programs.
    Long,
    /// Builds with bugs that have to be caught: `CHAOS=bugs`.
    Bugs,
}

impl Lane {
    /// The one that was asked for.
    #[must_use]
    pub fn chosen() -> Self {
        match setting("CHAOS").as_deref() {
            Some("long") => Self::Long,
            Some("bugs") => Self::Bugs,
            Some(_) | None => Self::Short,
        }
    }
}

/// The value for the short lane or the one for the long lane.
pub fn size<T>(short: T, long: T) -> T {
    match Lane::chosen() {
        Lane::Short | Lane::Bugs => short,
        Lane::Long => long,
    }
}

/// What happens by chance: `CHAOS_SEED`, or a seed that nobody has chosen.
#[must_use]
pub fn seed() -> u64 {
    let given = setting("CHAOS_SEED").and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(crate::rest::unix_seconds)
}

/// The seeded bugs that are tried: those in whose name this is, `CHAOS_BUG`; without it all.
#[must_use]
pub fn chosen_bug() -> Option<String> {
    setting("CHAOS_BUG")
}

/// The features that the programs have, as the test itself has them: `CHAOS_FEATURES`.
#[must_use]
pub fn features() -> Option<String> {
    setting("CHAOS_FEATURES")
}

/// Whether histories are kept of runs that nobody has to look into: `CHAOS_HISTORY`.
#[must_use]
pub fn keeps_histories() -> bool {
    setting("CHAOS_HISTORY").is_some()
}

/// The command that repeats a scenario.
#[must_use]
pub fn replay(scenario: &str, seed: u64) -> String {
    let lane = size("", "CHAOS=long ");
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    format!(
        "{lane}CHAOS_SEED={seed} cargo test{profile} -p tests --test chaos -- --nocapture {scenario}"
    )
}

/// Where runs leave what they have found.
#[must_use]
pub fn folder(scenario: &str, seed: u64) -> PathBuf {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/chaos");
    target.join(format!("{scenario}-{seed}"))
}

/// An environment variable.
#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What a run has found; seen where it fails, and with `--nocapture`.
#[allow(clippy::print_stdout, reason = "the test harness keeps it for whoever wants to know")]
pub fn say(text: &str) {
    println!("{text}");
}
