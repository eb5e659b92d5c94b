//! A channel with clients in three groups, each client with a decoder of its own.

use bytes::Bytes;
use data_plane_core::{
    delta::{
        DeltaChannel, DeltaFormat, DeltaSettings, DeltaWriter, Numbers, Payload, Position,
        Published, Trail,
    },
    frame,
};
use model::Tags;
use proptest::prelude::*;

use crate::decoder::{Decoder, Failure};

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
pub(super) struct Step {
    pub(super) name: usize,
    pub(super) key: String,
    pub(super) data: String,
    pub(super) delta: Option<bool>,
    pub(super) tags: Option<Tags>,
    /// Per group: whether its filter lets the event pass.
    pub(super) passes: [bool; 3],
    pub(super) excluded: Option<usize>,
    pub(super) happening: Happening,
}

#[derive(Clone, Debug)]
pub(super) enum Happening {
    None,
    Reconnect(usize),
    SyncError(usize),
    Restart(u64),
    Move { client: usize, group: usize },
}

pub(super) const CLIENTS: usize = 9;

pub(super) fn step() -> impl Strategy<Value = Step> {
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
pub(super) struct World {
    pub(super) channel: DeltaChannel,
    numbers: Numbers,
    trails: [Trail; 3],
    pub(super) clients: Vec<Client>,
    writer: DeltaWriter,
    count: u32,
}

pub(super) struct Client {
    pub(super) position: Position,
    group: usize,
    pub(super) decoder: Decoder,
}

impl World {
    pub(super) fn new(settings: DeltaSettings) -> Self {
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

    pub(super) fn happen(&mut self, happening: &Happening) {
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

    pub(super) fn publish(&mut self, step: &Step) {
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
