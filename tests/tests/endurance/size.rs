//! How large a run is, and what it says of itself.

pub(crate) use tests::chaos::lane::say;
use tests::chaos::lane::setting;

/// Whether the figures are those of the contract: `ENDURANCE=full`. Of release programs:
/// `ENDURANCE=full cargo test --release -p tests --test endurance -- --nocapture`.
///
/// (A name that began with `CARILLON_` would be an option of the programs.)
pub(crate) fn is_full() -> bool {
    setting("ENDURANCE").is_some_and(|size| size == "full")
}

/// The one for everyday runs, or the full one.
pub(crate) fn size<T>(everyday: T, full: T) -> T {
    if is_full() { full } else { everyday }
}

/// The seed of what happens by chance: `ENDURANCE_SEED`, or one that nobody has chosen.
pub(crate) fn seed() -> u64 {
    let given = setting("ENDURANCE_SEED").and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(tests::rest::unix_seconds)
}
