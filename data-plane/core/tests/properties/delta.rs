//! Deltas restore what they were made of; clients see exactly what was published.

mod world;

use std::collections::BTreeMap;

use data_plane_core::delta::{DeltaFormat, DeltaSettings, Encoder, KeyPath, Position, Sequence};
use model::DeltaAlgorithm;
use proptest::prelude::*;

use self::world::{CLIENTS, Happening, Step, World, step};
use crate::decoder::{compact, fossil, vcdiff, without_markers};

fn apply(algorithm: DeltaAlgorithm, base: &[u8], delta: &[u8]) -> Vec<u8> {
    let applied = match algorithm {
        DeltaAlgorithm::Fossil => fossil::apply(base, delta),
        DeltaAlgorithm::Xdelta3 => vcdiff::apply(base, delta),
    };
    applied.expect("a delta of ours can be applied")
}

/// What a compact frame restores, whose base and target have these numbers.
fn apply_compact(
    encoder: &mut Encoder,
    (base, target): (&[u8], &[u8]),
    numbers: [u64; 2],
) -> Vec<u8> {
    let [from, to] = numbers.map(Sequence);
    let payload = encoder.encode_compact((from, to), base, target);
    assert!(payload.len() <= target.len() + 20, "{} {}", payload.len(), target.len());
    let frame = compact::Frame::parse(payload).expect("a frame of ours can be read");
    assert!(frame.names(from.0) && from.0 + frame.distance == to.0);
    frame.apply(base).expect("a frame of ours can be applied")
}

/// Two texts made of the same pieces: what deltas are made for.
fn alike() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let pieces = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8);
    let picks = || prop::collection::vec(any::<prop::sample::Index>(), 0..20);
    (pieces, picks(), picks()).prop_map(|(pieces, base, target)| {
        let build = |picks: Vec<prop::sample::Index>| {
            picks.iter().flat_map(|pick| pick.get(&pieces)).copied().collect()
        };
        (build(base), build(target))
    })
}

fn settings() -> impl Strategy<Value = DeltaSettings> {
    let path = prop::sample::select(vec![None, Some("asset"), Some("data.asset"), Some("event")]);
    (path, 1..12_usize, 1..4_usize, 0..12_u32, prop::sample::select(vec![500, 5_000, 1 << 20]))
        .prop_map(|(path, messages, keys, interval, bytes)| DeltaSettings {
            conflation_key: path.map(KeyPath::new),
            messages_per_key_max: messages,
            conflation_keys_max: keys,
            full_message_interval: interval,
            bases_bytes_max: bytes,
            ..DeltaSettings::default()
        })
}

proptest! {
    #[test]
    fn deltas_restore_their_target((base, target) in alike()) {
        let mut encoder = Encoder::default();
        for algorithm in DeltaAlgorithm::ALL {
            let delta = encoder.encode(algorithm, &base, &target);
            prop_assert_eq!(apply(algorithm, &base, delta), &*target);
            prop_assert!(delta.len() <= target.len() + 40, "{} {}", delta.len(), target.len());
        }
    }

    #[test]
    fn compact_frames_restore_their_target(
        (base, target) in alike(),
        from in 1..1_u64 << 40,
        further in 1..1_u64 << 28,
    ) {
        let numbers = [from, from + further];
        prop_assert_eq!(apply_compact(&mut Encoder::default(), (&base, &target), numbers), target);
    }

    #[test]
    fn deltas_of_strangers(base: Vec<u8>, target: Vec<u8>) {
        let mut encoder = Encoder::default();
        for algorithm in DeltaAlgorithm::ALL {
            prop_assert_eq!(apply(algorithm, &base, encoder.encode(algorithm, &base, &target)), &*target);
        }
        let compact = apply_compact(&mut encoder, (&base, &target), [5, 6]);
        prop_assert_eq!(compact, &*target);
    }

    #[test]
    fn every_client_reads_what_was_published(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new(settings);
        for step in steps {
            world.happen(&step.happening);
            world.publish(&step);
        }
    }
}

#[test]
fn long_texts() {
    let line =
        |n: u32| format!("{{\"line\":{n},\"text\":\"{}\"}}", "lorem ipsum ".repeat(n as usize % 9));
    let base: String = (0..20_000).map(line).collect();
    let target: String = (0..20_000).filter(|n| n % 7 != 3).map(|n| line(n + n / 5_000)).collect();
    let mut encoder = Encoder::default();
    for algorithm in DeltaAlgorithm::ALL {
        let delta = encoder.encode(algorithm, base.as_bytes(), target.as_bytes()).to_vec();
        assert_eq!(apply(algorithm, base.as_bytes(), &delta), target.as_bytes());
        assert!(delta.len() < target.len() / 3, "{} of {}", delta.len(), target.len());
    }
    let texts = (base.as_bytes(), target.as_bytes());
    assert_eq!(apply_compact(&mut encoder, texts, [6, 5 + (1 << 28)]), target.as_bytes());
}

/// The matrix of the issue, without what only the shell adds.
#[test]
fn the_matrix() {
    let mut seen = BTreeMap::<&str, u32>::new();
    for (names, path, format) in [1, 3].into_iter().flat_map(|names| {
        [None, Some("asset")].into_iter().flat_map(move |path| {
            DeltaFormat::ALL.into_iter().map(move |format| (names, path, format))
        })
    }) {
        let settings =
            DeltaSettings { conflation_key: path.map(KeyPath::new), ..DeltaSettings::default() };
        let mut world = World::new(settings);
        for client in &mut world.clients {
            client.position = Position::new(format, world.channel.next());
        }
        for n in 0..1_000_usize {
            world.happen(&match n % 97 {
                13 => Happening::Reconnect(n % CLIENTS),
                51 if n > 500 => Happening::Restart((n as u64) << 30),
                _ => Happening::None,
            });
            world.publish(&Step {
                name: n % names,
                key: ["BTC", "ETH", "Zürich", "a\"b"][n * 7 % 4].to_owned(),
                data: format!(
                    "Zoë 🎉 a text of some length that is repeated in each message {}",
                    n % 10
                ),
                delta: [None, Some(false)][usize::from(n % 23 == 7)],
                tags: None,
                passes: [true, n % 3 != 0, n % 5 == 0],
                excluded: (n % 11 == 3).then_some(n % CLIENTS),
                happening: Happening::None,
            });
        }
        for client in &world.clients {
            *seen.entry("fulls").or_default() += client.decoder.fulls;
            *seen.entry("deltas").or_default() += client.decoder.deltas;
            assert!(client.decoder.deltas > 2 * client.decoder.fulls, "{:?}", client.decoder);
        }
    }
    assert!(seen["deltas"] > 20_000, "{seen:?}");
}

#[test]
fn markers_are_cut_out_as_the_client_does() {
    assert_eq!(without_markers(r#"{"a":1,"__delta_seq":12,"__conflation_key":"B"}"#), r#"{"a":1}"#);
    assert_eq!(without_markers(r#"{"__delta_seq":12,"a":1}"#), r#"{"a":1}"#);
    assert_eq!(
        without_markers(r#"{"__conflation_key":"","a":1}"#),
        r#"{"":1}"#.replace(r#""":1"#, r#""a":1"#)
    );
    assert_eq!(without_markers(r#"{"a":"\"__delta_seq\":1,"}"#), r#"{"a":"\"__delta_seq\":1,"}"#);
}
