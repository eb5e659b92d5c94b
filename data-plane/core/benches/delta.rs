//! What deltas cost and save, beside `permessage-deflate`. Run with
//! `cargo bench -p data-plane-core --bench delta`.

#[path = "delta/deflate.rs"]
mod deflate;
#[path = "delta/series.rs"]
mod series;

use std::{hint::black_box, time::Instant};

use bytes::Bytes;
use data_plane_core::{
    delta::{
        DeltaChannel, DeltaFormat, DeltaSettings, DeltaWriter, KeyPath, Numbers, Payload, Position,
        Published, Trail,
    },
    frame,
};
use deflate::Deflate;
use model::DeltaAlgorithm;
use series::Series;

const EVENTS: u64 = 20_000;

fn main() {
    for series in &series::ALL {
        let texts = texts(series);
        let full = texts.iter().map(|(_, text)| framed(text.len())).sum::<usize>() / texts.len();
        say(&format!("\n{}: frames of {full} bytes", series.name));
        say(&format!("{:>12}{:>8}{:>9}{:>24}{:>24}", "", "bytes", "saved", ALONE, TOGETHER));
        let deflated = deflated(&texts);
        row("deflate", full, [deflated; 2], deflated);
        for format in DeltaFormat::ALL {
            let subscribers = [1, SUBSCRIBERS];
            let costs = subscribers.map(|subscribers| turns(series, &texts, format, subscribers));
            row(format.name(), full, costs, deflated);
        }
    }
    states();
}

const ALONE: &str = "ns, 1 subscriber";
const TOGETHER: &str = "ns each, 1,000 of them";

/// What one delivery costs, and the bytes of its frame.
#[derive(Clone, Copy)]
struct Cost {
    nanos: f64,
    bytes: f64,
}

fn row(name: &str, full: usize, costs: [Cost; 2], deflated: Cost) {
    let bytes = costs[0].bytes;
    let saved = 100.0 * (1.0 - bytes / full as f64);
    let times = costs.map(|cost| {
        let nanos = cost.nanos;
        format!("{nanos:.1} (1/{:.0})", deflated.nanos / nanos)
    });
    say(&format!("{name:>12}{bytes:>8.1}{saved:>8.1}%{:>24}{:>24}", times[0], times[1]));
}

/// `permessage-deflate` with a context of the connection's own: every connection pays this again.
fn deflated(texts: &[(String, Bytes)]) -> Cost {
    let mut sent = 0;
    let nanos = best(|| {
        sent = 0;
        let mut connection = Deflate::new();
        for (_, text) in texts {
            sent += framed(connection.compress(black_box(text)));
        }
    });
    Cost { nanos: nanos / texts.len() as f64, bytes: sent as f64 / texts.len() as f64 }
}

/// Whole turns with some subscribers in one state, as a shard thread takes them.
fn turns(
    series: &Series,
    texts: &[(String, Bytes)],
    format: DeltaFormat,
    subscribers: usize,
) -> Cost {
    let texts = &texts[..texts.len() / subscribers.min(10)];
    let mut sent = 0;
    let mut writer = DeltaWriter::new(header);
    let mut outbox: Vec<Bytes> = Vec::with_capacity(subscribers);
    let nanos = best(|| {
        sent = 0;
        let (mut channel, numbers) = (channel(series), Numbers::new(RANDOM));
        let mut trail = Trail::default();
        let mut positions = vec![Position::new(format, channel.next()); subscribers];
        for (data, text) in texts {
            outbox.clear();
            let shared = &numbers.next();
            let event =
                Published { name: series.event, data, tags: None, delta: None, text, shared };
            let mut turn = channel.begin(event, &mut writer).expect("the channel has deltas");
            let step = turn.pass(&mut trail);
            outbox.extend(positions.iter_mut().map(|position| turn.frame(step, position).clone()));
            turn.finish();
            sent += black_box(&outbox)[0].len();
        }
    });
    let deliveries = (texts.len() * subscribers) as f64;
    Cost { nanos: nanos / deliveries, bytes: sent as f64 / texts.len() as f64 }
}

/// What a subscriber costs beside its frame: 1,000 of them, in one state or in several.
fn states() {
    let series = &series::ALL[2];
    let texts = &texts(series)[..1_000];
    let mut outbox: Vec<Bytes> = Vec::with_capacity(SUBSCRIBERS);
    let plain = best(|| {
        for (_, text) in texts {
            outbox.clear();
            outbox.extend((0..SUBSCRIBERS).map(|_| text.clone()));
            black_box(&outbox);
        }
    });
    let deliveries = (texts.len() * SUBSCRIBERS) as f64;
    say(&format!("\nfull frames: {:.2} ns per delivery", plain / deliveries));
    for states in [1, 2, 8] {
        let (frames, deliveries, nanos) = in_states(series, texts, states);
        say(&format!(
            "deltas, {states} states: {:.2} ns per delivery, {:.1} frames per 1,000 deliveries",
            nanos / deliveries,
            1_000.0 * frames / deliveries
        ));
    }
}

/// Groups of subscribers who differ in what they have received last: one event to each group in
/// turn, then one to all. How many frames and deliveries that were, and how long it took.
fn in_states(series: &Series, texts: &[(String, Bytes)], states: usize) -> (f64, f64, f64) {
    let mut writer = DeltaWriter::new(header);
    let mut outbox: Vec<Bytes> = Vec::with_capacity(SUBSCRIBERS);
    let (mut frames, mut deliveries) = (0, 0);
    let nanos = best(|| {
        (frames, deliveries) = (0, 0);
        let (mut channel, numbers) = (channel(series), Numbers::new(RANDOM));
        let position = Position::new(DeltaAlgorithm::Fossil.into(), channel.next());
        let mut positions = vec![position; SUBSCRIBERS];
        let mut trails = vec![Trail::default(); states];
        for (n, (data, text)) in texts.iter().enumerate() {
            outbox.clear();
            let shared = &numbers.next();
            let event =
                Published { name: series.event, data, tags: None, delta: None, text, shared };
            let mut turn = channel.begin(event, &mut writer).expect("the channel has deltas");
            let groups = positions.chunks_mut(SUBSCRIBERS / states);
            for (group, (members, trail)) in groups.zip(&mut trails).enumerate() {
                let turns = n % (states + 1);
                if turns == group || turns == states {
                    let step = turn.pass(trail);
                    let frame = |position| turn.frame(step, position).clone();
                    outbox.extend(members.iter_mut().map(frame));
                }
            }
            frames += turn.frames();
            turn.finish();
            deliveries += outbox.len();
            black_box(&outbox);
        }
    });
    (frames as f64, deliveries as f64, nanos)
}

const SUBSCRIBERS: usize = 1_000;
const RANDOM: u64 = u64::MAX / 3;

fn header(frame: &mut Vec<u8>, _: Payload, bytes: usize) {
    let header = [0x81, 126, (bytes >> 8) as u8, bytes as u8];
    frame.extend_from_slice(if bytes < 126 { &header[..2] } else { &header });
}

/// Bytes of a frame with such a payload.
fn framed(bytes: usize) -> usize {
    bytes + if bytes < 126 { 2 } else { 4 }
}

fn channel(series: &Series) -> DeltaChannel {
    let conflation_key = series.conflation_key.map(KeyPath::new);
    DeltaChannel::new(series.channel, DeltaSettings { conflation_key, ..DeltaSettings::default() })
}

fn texts(series: &Series) -> Vec<(String, Bytes)> {
    let text = |data: &String| frame::event(series.event, series.channel, data, None).into();
    series.payloads(EVENTS).into_iter().map(|data| (data.clone(), text(&data))).collect()
}

/// The best of several runs, in nanoseconds: what the code costs when nothing disturbs it.
#[allow(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn best(mut work: impl FnMut()) -> f64 {
    work();
    let run = |_| {
        let started = Instant::now();
        work();
        started.elapsed().as_nanos() as f64
    };
    (0..7).map(run).fold(f64::INFINITY, f64::min)
}

#[allow(clippy::print_stdout, reason = "a bench reports on standard output")]
fn say(line: &str) {
    println!("{line}");
}
