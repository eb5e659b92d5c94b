//! Deltas restore what they were made of; clients see exactly what was published.

use std::collections::BTreeMap;

use bytes::Bytes;
use data_plane_core::{
    delta::{
        DeltaChannel, DeltaFormat, DeltaSettings, DeltaWriter, Encoder, KeyPath, Numbers, Payload,
        Position, Published, Sequence, Trail,
    },
    frame,
};
use model::{DeltaAlgorithm, Tags};
use proptest::prelude::*;

use crate::decoder::{Decoder, Failure, compact, fossil, vcdiff, without_markers};

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

fn text() -> impl Strategy<Value = String> {
    let character =
        prop_oneof![any::<char>(), prop::sample::select(vec!['"', '\\', ',', ':', '1'])];
    let piece = prop_oneof![
        4 => prop::collection::vec(character, 0..20).prop_map(String::from_iter),
        1 => prop::sample::select(vec![
            r#","__delta_seq":5"#, r#""__delta_seq":5,"#, r#","__conflation_key":"x""#,
            r#""__conflation_key":"x","#, r#"\","__delta_seq":5"#,
        ]).prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// One published event: which name, key and data, and who does not get it.
#[derive(Clone, Debug)]
struct Step {
    name: usize,
    key: String,
    data: String,
    delta: Option<bool>,
    tags: Option<Tags>,
    /// Per group: whether its filter lets the event pass.
    passes: [bool; 3],
    excluded: Option<usize>,
    happening: Happening,
}

#[derive(Clone, Debug)]
enum Happening {
    None,
    Reconnect(usize),
    SyncError(usize),
    Restart(u64),
    Move { client: usize, group: usize },
}

const CLIENTS: usize = 9;

fn step() -> impl Strategy<Value = Step> {
    let key = prop_oneof![
        6 => prop::sample::select(vec!["BTC", "ETH", "Zürich", "a\"b", "c\\d"]).prop_map(str::to_owned),
        1 => text(),
    ];
    let delta = prop_oneof![8 => Just(None), 1 => Just(Some(true)), 1 => Just(Some(false))];
    let client = 0..CLIENTS;
    let happening = prop_oneof![
        12 => Just(Happening::None),
        1 => client.clone().prop_map(Happening::Reconnect),
        1 => client.clone().prop_map(Happening::SyncError),
        1 => any::<u64>().prop_map(Happening::Restart),
        1 => (client.clone(), 0..3_usize).prop_map(|(client, group)| Happening::Move { client, group }),
    ];
    let tags = prop::option::weighted(0.3, prop::collection::btree_map(text(), text(), 0..3));
    let passes = any::<[bool; 2]>().prop_map(|[first, second]| [true, first, second]);
    let excluded = prop::option::weighted(0.2, client);
    (0..3_usize, key, text(), delta, tags, passes, excluded, happening).prop_map(
        |(name, key, data, delta, tags, passes, excluded, happening)| Step {
            name,
            key,
            data,
            delta,
            tags,
            passes,
            excluded,
            happening,
        },
    )
}

/// A channel with clients in three groups, each client with a decoder of its own.
struct World {
    channel: DeltaChannel,
    numbers: Numbers,
    trails: [Trail; 3],
    clients: Vec<Client>,
    writer: DeltaWriter,
    count: u32,
}

struct Client {
    position: Position,
    group: usize,
    decoder: Decoder,
}

impl World {
    fn new(settings: DeltaSettings) -> Self {
        let channel = DeltaChannel::new("market", settings);
        let client = |place: usize| Client {
            position: Position::new(DeltaFormat::ALL[place % 3], channel.next()),
            group: place / 3,
            decoder: Decoder::default(),
        };
        let clients = (0..CLIENTS).map(client).collect();
        let writer = DeltaWriter::new(|frame, kind, _| {
            frame.push(u8::from(kind == Payload::Binary));
        });
        Self {
            channel,
            numbers: Numbers::new(7),
            trails: Default::default(),
            clients,
            writer,
            count: 0,
        }
    }

    fn happen(&mut self, happening: &Happening) {
        match *happening {
            Happening::None => {}
            // The client keeps its bases; the server knows of none.
            Happening::Reconnect(client) | Happening::SyncError(client) => {
                self.clients[client].position.reset(self.channel.next());
            }
            Happening::Restart(random) => {
                let settings = self.channel.settings().clone();
                self.channel = DeltaChannel::new("market", settings);
                self.numbers = Numbers::new(random);
                self.trails = Default::default();
                for client in &mut self.clients {
                    client.position = Position::new(client.position.format(), self.channel.next());
                }
            }
            Happening::Move { client, group } => {
                let client = &mut self.clients[client];
                client.group = group;
                client.position.reset(self.channel.next());
            }
        }
    }

    fn publish(&mut self, step: &Step) {
        self.count += 1;
        let (asset, text, unit) = (&step.key, &step.data, "USD ".repeat(50));
        let data =
            serde_json::json!({ "asset": asset, "n": self.count, "text": text, "unit": unit });
        // A float keeps its digits.
        let data = data.to_string().replacen('{', r#"{"price":1.10,"#, 1);
        let name = ["price", "volume", "Größe \"x\""][step.name];
        let text = frame::event(name, "market", &data, step.tags.as_ref());
        let text = Bytes::from(text);
        let shared = self.numbers.next();
        let event = Published {
            name,
            data: &data,
            tags: step.tags.as_ref(),
            delta: step.delta,
            text: &text,
            shared: &shared,
        };
        let Some(mut turn) = self.channel.begin(event, &mut self.writer) else {
            for client in &mut self.clients {
                let plain = std::str::from_utf8(&text).expect("a frame is text");
                assert_eq!(client.decoder.read(plain).as_deref(), Ok(plain));
            }
            return;
        };
        for (group, trail) in self.trails.iter_mut().enumerate() {
            if !step.passes[group] {
                continue;
            }
            let passed = turn.pass(trail);
            for (place, client) in self.clients.iter_mut().enumerate() {
                if client.group != group {
                    continue;
                }
                if step.excluded == Some(place) {
                    turn.leave_out(passed, &mut client.position);
                    continue;
                }
                let frame = turn.frame(passed, &mut client.position);
                let read = client.read(frame);
                assert_eq!(read.as_deref().map(str::as_bytes), Ok(&*text), "{frame:?}");
            }
        }
        turn.finish();
    }
}

impl Client {
    fn read(&mut self, frame: &[u8]) -> Result<String, Failure> {
        match frame.split_first().expect("a frame begins with its kind") {
            (0, text) => self.decoder.read(std::str::from_utf8(text).expect("a frame is text")),
            (_, payload) => {
                assert_eq!(self.position.format(), DeltaFormat::Compact);
                assert!(
                    self.decoder.base_number(payload).is_some(),
                    "it builds on what the client has"
                );
                self.decoder.read_compact(payload)
            }
        }
    }
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
