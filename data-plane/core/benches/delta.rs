//! What deltas cost and save. Run with `cargo bench -p data-plane-core --bench delta`.

#[path = "delta/series.rs"]
mod series;

use std::{collections::HashMap, hint::black_box, time::Instant};

use bytes::Bytes;
use data_plane_core::{
    delta::{
        DeltaChannel, DeltaSettings, DeltaWriter, Encoder, KeyPath, Position, Published, Trail,
    },
    frame,
};
use model::DeltaAlgorithm;
use series::Series;

const EVENTS: u64 = 20_000;

fn main() {
    for series in &series::ALL {
        for algorithm in DeltaAlgorithm::ALL {
            encode(series, algorithm);
            for interval in [10, 100] {
                wire(series, algorithm, interval);
            }
        }
    }
    fan_out();
}

/// Differences alone, each to the last event of the same entity.
fn encode(series: &Series, algorithm: DeltaAlgorithm) {
    let texts = texts(series);
    let mut last = HashMap::new();
    let pairs: Vec<_> = texts
        .iter()
        .filter_map(|(data, text)| Some((last.insert(series.entity(data), text)?, text)))
        .collect();
    let mut encoder = Encoder::default();
    let bytes: usize = pairs.iter().map(|(_, target)| target.len()).sum();
    let nanos = best(|| {
        for (base, target) in &pairs {
            black_box(encoder.encode(algorithm, base, black_box(target)));
        }
    });
    let each = nanos / pairs.len() as f64;
    let rate = bytes as f64 * 1_000.0 / nanos;
    let (name, algorithm) = (series.name, algorithm.name());
    say(&format!("{name}, {algorithm}: encode {each:.0} ns per event, {rate:.0} MB/s"));
}

/// A whole turn with one subscriber, and what is on the wire.
fn wire(series: &Series, algorithm: DeltaAlgorithm, interval: u32) {
    let texts = texts(series);
    let (mut plain, mut sent) = (0, 0);
    let mut writer = DeltaWriter::new(header);
    let nanos = best(|| {
        (plain, sent) = (0, 0);
        let mut channel = channel(series, interval);
        let (mut trail, mut position) =
            (Trail::default(), Position::new(algorithm, channel.next()));
        for (data, text) in &texts {
            let event = Published { name: series.event, data, tags: None, delta: None, text };
            let mut turn = channel.begin(event, &mut writer).expect("the channel has deltas");
            let step = turn.pass(&mut trail);
            sent += turn.frame(step, &mut position).len();
            turn.finish();
            plain += text.len() + HEADER_BYTES;
        }
    });
    let saved = 100.0 * (1.0 - sent as f64 / plain as f64);
    let count = texts.len();
    say(&format!(
        "    full after {interval}: turn {:.0} ns; frames of {} and {} bytes, {saved:.1} % saved",
        nanos / count as f64,
        plain / count,
        sent / count
    ));
}

/// What a subscriber costs beside its frame: 1,000 of them, in one state or in several.
fn fan_out() {
    let series = &series::ALL[2];
    let texts = texts(series);
    let mut outbox: Vec<Bytes> = Vec::with_capacity(SUBSCRIBERS);
    let plain = best(|| {
        for (_, text) in &texts[..1_000] {
            outbox.clear();
            outbox.extend((0..SUBSCRIBERS).map(|_| text.clone()));
            black_box(&outbox);
        }
    });
    let deliveries = (1_000 * SUBSCRIBERS) as f64;
    say(&format!("full frames: {:.2} ns per delivery", plain / deliveries));
    for states in [1, 2, 8] {
        let (frames, deliveries, nanos) = in_states(series, &texts, states);
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
        let mut channel = channel(series, 10);
        let position = Position::new(DeltaAlgorithm::Fossil, channel.next());
        let mut positions = vec![position; SUBSCRIBERS];
        let mut trails = vec![Trail::default(); states];
        for (n, (data, text)) in texts[..1_000].iter().enumerate() {
            outbox.clear();
            let event = Published { name: series.event, data, tags: None, delta: None, text };
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
const HEADER_BYTES: usize = 4;

fn header(frame: &mut Vec<u8>, bytes: usize) {
    let header = [0x81, 126, (bytes >> 8) as u8, bytes as u8];
    frame.extend_from_slice(if bytes < 126 { &header[..2] } else { &header });
}

fn channel(series: &Series, full_message_interval: u32) -> DeltaChannel {
    let conflation_key = series.conflation_key.map(KeyPath::new);
    let settings =
        DeltaSettings { conflation_key, full_message_interval, ..DeltaSettings::default() };
    DeltaChannel::new(series.channel, settings, u64::MAX / 3)
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
