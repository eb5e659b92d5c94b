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
    iter,
    num::NonZero,
    ops::Range,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use recorder::Record;
use tests::{
    chance::Chance,
    chaos::{
        lane::{say, setting},
        verdicts,
    },
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
/// Names the seed that a process is to judge, and the test that does it.
const SEED: (&str, &str) = ("SIMULATION_JUDGE", "a_seed_is_judged");
/// The same for the one whose trace is to be told.
const TRACE: (&str, &str) = ("SIMULATION_TRACE", "the_trace_of_a_seed_is_told");

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
    wrong.extend(reliable::judge(&record.history, &record.harm));
    match &record.ownership {
        None => wrong.push("nobody has asked who owns what".to_owned()),
        Some(of_shards) => wrong.extend(of_shards.iter().take(5).cloned()),
    }
    wrong
}

fn number(name: &str) -> Option<u64> {
    setting(name)?.parse().ok()
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
    say(&format!("{} sockets were let in unacknowledged", record.degraded));
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
    let seeds = seeds();
    if seeds.is_empty() {
        return say("no seed: LEFT OUT; SIMULATION_SEEDS=1000 has so many");
    }
    let (began, count) = (tokio::time::Instant::now(), seeds.end - seeds.start);
    let next = AtomicU64::new(seeds.start);
    let broken = Mutex::new(Vec::new());
    let run = || {
        let taken = iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        for seed in taken.take_while(|seed| *seed < seeds.end) {
            let (is_whole, text) = elsewhere(SEED, seed);
            if !is_whole {
                say(&text);
                broken.lock().expect("no holder panics").push(seed);
                if number("SIMULATION_UNTIL_BROKEN").is_some() {
                    next.store(seeds.end, Ordering::Relaxed);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(run);
        }
    });
    let broken = broken.into_inner().expect("no holder panics");
    let seconds = began.elapsed().as_secs();
    say(&format!("{count} seeds in {seconds} s; broken: {broken:?}"));
    assert!(broken.is_empty(), "{} seeds: {broken:?}", broken.len());
}

/// Runs the test that does what this variable says, in a process of its own: there everything begins with the
/// seed, whichever seeds were before it. Whether it passes, and what it prints.
fn elsewhere((variable, test): (&str, &str), seed: u64) -> (bool, String) {
    let mut itself = Command::new(env::current_exe().expect("a test is a program"));
    itself.args(["--exact", test, "--nocapture"]).env(variable, seed.to_string());
    let output = itself.output().expect("it can be started again");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What [`no_seed_breaks_an_invariant`] runs for each seed.
#[test]
fn a_seed_is_judged() {
    let Some(seed) = number(SEED.0) else { return };
    if number("SIMULATION_LOG").is_some() {
        log();
    }
    let record = world::run(seed, Length::of(SECONDS));
    let wrong = wrong(&record);
    if !wrong.is_empty() {
        tell(seed, &record, &wrong);
    }
    assert!(wrong.is_empty(), "seed {seed} breaks {} invariants", wrong.len());
}

#[test]
fn one_seed_has_one_trace() {
    if !SEEDED {
        return say(&format!("one seed, one trace: LEFT OUT; {FLAGS} has it"));
    }
    for seed in seeds() {
        let [one, other] = [(); 2].map(|()| trace_elsewhere(seed));
        assert_eq!(one, other, "seed {seed}");
    }
}

/// What [`one_seed_has_one_trace`] runs.
#[test]
fn the_trace_of_a_seed_is_told() {
    if let Some(seed) = number(TRACE.0) {
        let record = world::run(seed, Length::of(SECONDS));
        say(&format!("trace {:016x}, {} events", trace(&record), record.history.frames()));
    }
}

/// Whatever else the system gives by chance is another one in each process.
fn trace_elsewhere(seed: u64) -> String {
    let (_, text) = elsewhere(TRACE, seed);
    let trace = text.lines().find_map(|line| line.strip_prefix("trace "));
    trace.expect("it tells the trace").to_owned()
}
