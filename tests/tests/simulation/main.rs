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
mod reliable;
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
use tests::{
    chance::Chance,
    chaos::{lane::say, verdicts},
};
use tracing_subscriber::fmt::{format::Writer, time::FormatTime};
use world::Length;

/// Simulated seconds of a seed.
const SECONDS: u64 = 60;

/// The runtime's own chance, which orders what happens at the same moment, comes from the seed too.
#[allow(unexpected_cfgs, reason = "it is the runtime's, and not every build's")]
const SEEDED: bool = cfg!(tokio_unstable);
/// What makes it so.
const FLAGS: &str = "RUSTFLAGS=\"--cfg tokio_unstable\"";

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
    write!(trace, "{:?}", record.history).expect("a number takes everything");
    trace.0.finish()
}

/// What is wrong with a seed.
fn wrong(record: &Record) -> Vec<String> {
    let verdicts = verdicts::judge(&record.history);
    let mut wrong: Vec<String> = verdicts
        .into_iter()
        .filter(|verdict| verdict.faults > 0 && verdict.rule != "V3 reliable")
        .map(|verdict| {
            format!(
                "{}: {} of {}: {:#?}",
                verdict.rule, verdict.faults, verdict.checked, verdict.examples
            )
        })
        .collect();
    wrong.extend(reliable::judge(&record.history, (&record.severed, &record.stalled)));
    match &record.ownership {
        None => wrong.push("nobody has asked who owns what".to_owned()),
        Some(of_shards) => wrong.extend(of_shards.iter().take(5).cloned()),
    }
    wrong
}

#[allow(clippy::disallowed_methods, reason = "a test binary has no command line of its own")]
fn number(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

/// What all hosts log, with simulated times.
fn log() {
    let levels = "warn,control_plane=debug,data_plane=debug,gateway=debug,proto=debug";
    let log = tracing_subscriber::fmt().with_timer(Simulated).with_ansi(false);
    log.with_env_filter(levels).with_test_writer().init();
}

struct Simulated;

impl FormatTime for Simulated {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{:8.3} s", recorder::now() as f64 / 1e6)
    }
}

/// `SIMULATION_SEED` is the first, `SIMULATION_SEEDS` is how many; with `SIMULATION_UNTIL_BROKEN` the
/// first that is broken is the last.
fn seeds() -> Range<u64> {
    let first = number("SIMULATION_SEED");
    let count = number("SIMULATION_SEEDS").unwrap_or(first.is_some().into());
    let first = first.unwrap_or_default();
    first..first + count
}

fn tell(seed: u64, record: &Record, wrong: &[String]) {
    let profile = if cfg!(debug_assertions) { "" } else { " --release" };
    let flags = if SEEDED { format!("{FLAGS} ") } else { String::new() };
    let command = "-p tests --test simulation -- --nocapture no_seed";
    say(&format!("{flags}SIMULATION_SEED={seed} cargo test{profile} {command}"));
    for step in &record.history.plan {
        say(&format!("{:8.3} s  {}", step.began as f64 / 1e6, step.what));
    }
    wrong.iter().for_each(|wrong| say(wrong));
    for probe in &record.history.probes {
        say(&format!("{} works after {:?} us", probe.what, probe.took));
    }
    if number("SIMULATION_HISTORY").is_some() {
        record.history.attempts.iter().for_each(|attempt| say(&format!("{attempt:?}")));
        for socket in &record.history.sockets {
            for entry in &socket.entries {
                say(&format!("{} {} {:?} {entry:?}", socket.number, socket.node, socket.ended));
            }
        }
    }
}

#[test]
fn an_everyday_breaks_no_invariant() {
    let (seed, length) = (0, Length::of(34));
    let record = world::follow(faults::everyday(), (seed, Chance::new(seed)), length);
    let wrong = wrong(&record);
    wrong.iter().for_each(|wrong| say(wrong));
    assert!(wrong.is_empty());
}

/// By command: without the flag seeds have other chances each time.
#[test]
fn no_seed_breaks_an_invariant() {
    if seeds().is_empty() {
        return say("no seed: LEFT OUT; SIMULATION_SEEDS=1000 has so many");
    }
    if number("SIMULATION_LOG").is_some() {
        log();
    }
    let mut broken = Vec::new();
    let began = tokio::time::Instant::now();
    let (mut frames, mut degraded, mut count) = (0, 0, 0);
    for seed in seeds() {
        let record = world::run(seed, Length::of(SECONDS));
        frames += record.history.frames();
        degraded += record.degraded;
        count += 1;
        let wrong = wrong(&record);
        if !wrong.is_empty() {
            tell(seed, &record, &wrong);
            broken.push(seed);
            if number("SIMULATION_UNTIL_BROKEN").is_some() {
                break;
            }
        }
    }
    let each: Duration = began.elapsed() / count.max(1);
    say(&format!(
        "{count} seeds, {} ms each: {frames} events arrived, {degraded} sockets were let in \
         unacknowledged; broken: {broken:?}",
        each.as_millis()
    ));
    assert!(broken.is_empty(), "{} seeds: {broken:?}", broken.len());
}

#[test]
fn one_seed_has_one_trace() {
    if !SEEDED {
        return say(&format!("one seed, one trace: LEFT OUT; {FLAGS} has it"));
    }
    let length = Length::of(24);
    for seed in seeds() {
        let (one, other) = (world::run(seed, length), world::run(seed, length));
        assert_eq!(trace(&one), trace(&other), "seed {seed}");
    }
}
