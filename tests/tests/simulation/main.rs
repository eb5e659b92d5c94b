//! Whole clusters in simulated time, over a simulated network, with faults by seed.
//!
//! Control planes, gateways and the cluster side of nodes are the real ones, with their gRPC;
//! simulated are the network, the clock, and sockets with their browsers.

mod backend;
mod control_plane;
mod faults;
mod network;
mod node;
mod recorder;
mod settings;
mod sockets;
mod world;

use std::{
    env,
    fmt::{self, Write as _},
    hash::{DefaultHasher, Hasher as _},
    ops::Range,
    time::Duration,
};

use recorder::Record;
use tests::chaos::{lane::say, verdicts};
use world::Length;

/// Simulated seconds of a seed, where many are run.
const LONG: u64 = 60;
/// Of the one that every run of the tests has.
const SHORT: u64 = 30;

/// Everything that was seen, with simulated times, as one number.
struct Trace(DefaultHasher);

impl fmt::Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn trace(record: &Record) -> u64 {
    let mut trace = Trace(DefaultHasher::new());
    write!(trace, "{:?}", record.history).unwrap();
    trace.0.finish()
}

/// What is wrong with a seed.
fn faults(record: &Record) -> Vec<String> {
    let verdicts = verdicts::judge(&record.history);
    let mut wrong: Vec<String> = verdicts
        .into_iter()
        .filter(|verdict| verdict.faults > 0)
        .map(|verdict| {
            format!(
                "{}: {} of {}: {:#?}",
                verdict.rule, verdict.faults, verdict.checked, verdict.examples
            )
        })
        .collect();
    match &record.ownership {
        None => wrong.push("nobody has asked who owns what".to_owned()),
        Some(of_shards) => wrong.extend(of_shards.iter().take(5).cloned()),
    }
    wrong
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// `SIMULATION_SEED` is the first, `SIMULATION_SEEDS` is how many, in whole length.
fn seeds() -> (Range<u64>, Length) {
    let (first, count) = (number("SIMULATION_SEED"), number("SIMULATION_SEEDS"));
    let length = if first.or(count).is_some() { LONG } else { SHORT };
    let first = first.unwrap_or_default();
    (first..first + count.unwrap_or(1), Length::of(length))
}

#[test]
fn no_seed_breaks_an_invariant() {
    let mut broken = Vec::new();
    let began = tokio::time::Instant::now();
    let (mut frames, mut degraded, mut count) = (0, 0, 0);
    let (seeds, length) = seeds();
    for seed in seeds {
        let record = world::run(seed, length);
        frames += record.history.frames();
        degraded += record.degraded;
        count += 1;
        let wrong = faults(&record);
        if !wrong.is_empty() {
            say(&format!(
                "SIMULATION_SEED={seed} cargo test --release -p tests --test simulation -- --nocapture no_seed"
            ));
            record
                .history
                .plan
                .iter()
                .for_each(|step| say(&format!("{:8.3} s  {}", step.began as f64 / 1e6, step.what)));
            wrong.iter().for_each(|wrong| say(wrong));
            broken.push(seed);
        }
    }
    let each: Duration = began.elapsed() / count.max(1);
    say(&format!(
        "{count} seeds, {} ms each; {frames} events arrived, {degraded} were let in unacknowledged; broken: {broken:?}",
        each.as_millis()
    ));
    assert!(broken.is_empty(), "{} seeds: {broken:?}", broken.len());
}

#[test]
fn one_seed_has_one_trace() {
    let (seed, length) = (number("SIMULATION_SEED").unwrap_or(1), Length::of(24));
    let (one, other) = (world::run(seed, length), world::run(seed, length));
    assert_eq!(trace(&one), trace(&other), "seed {seed}");
}
