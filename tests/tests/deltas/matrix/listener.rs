//! One subscriber: it knows what it must receive, and receives nothing else.

use std::{net::SocketAddr, sync::Arc};

use serde_json::{Value, json};
use tokio::sync::Barrier;

use super::{
    cell::{Cell, Twist},
    message::{Message, Tags},
    referees::{Sampler, Samples},
};
use crate::reader::Reader;

/// A filter: the member of the subscribe, its JSON, and what it means.
pub(super) struct Interest {
    filter: Option<(&'static str, &'static str)>,
    wants: fn(&Tags) -> bool,
}

const ALL: Interest = Interest { filter: None, wants: |_| true };

/// Three who want everything: two come back in the middle, one stays.
pub(super) const OPEN: [Interest; 3] = [ALL, ALL, ALL];

/// Four who want different things.
pub(super) const SELECTIVE: [Interest; 4] = [
    Interest {
        filter: Some(("filter", r#"{"key":"asset","cmp":"eq","val":"BTC"}"#)),
        wants: |tags| tags["asset"] == "BTC",
    },
    Interest {
        filter: Some((
            "tags_filter",
            r#"{"op":"or","nodes":[{"key":"asset","cmp":"in","vals":["ETH","BTC"]},{"op":"not","nodes":[{"key":"side","cmp":"eq","val":"sell"}]}]}"#,
        )),
        wants: |tags| ["ETH", "BTC"].contains(&&*tags["asset"]) || tags["side"] != "sell",
    },
    ALL,
    Interest {
        filter: Some((
            "filter",
            r#"{"op":"and","nodes":[{"key":"level","cmp":"gte","val":9.5},{"key":"asset","cmp":"neq","val":"ETH"}]}"#,
        )),
        wants: |tags| tags["level"].parse::<f64>().unwrap() >= 9.5 && tags["asset"] != "ETH",
    },
];

pub(super) struct Listener {
    pub(super) cell: Cell,
    pub(super) interest: &'static Interest,
    pub(super) place: usize,
    pub(super) nodes: [SocketAddr; 2],
    pub(super) gate: Arc<Barrier>,
    pub(super) messages: Arc<[Message]>,
    pub(super) samples: Arc<Samples>,
}

impl Listener {
    /// Returns how many messages were received: all that it wants but those that were published
    /// while it was away.
    pub(super) async fn run(self) -> usize {
        let channel = self.cell.channel();
        let mut reader = Reader::connect(self.nodes[self.place % 2]).await;
        let mut sampler = Sampler::new(Arc::clone(&self.samples));
        self.enter(&mut reader).await;
        self.gate.wait().await;
        let messages = Arc::clone(&self.messages);
        let wanted: Vec<_> =
            messages.iter().filter(|one| (self.interest.wants)(&one.tags)).collect();
        let half = wanted.iter().filter(|one| one.n < messages.len() / 2).count();
        let back = wanted.iter().filter(|one| one.n < messages.len() * 3 / 5).count();
        let (mut next, mut received, mut unmarked) = (0, 0, 0);
        let (mut turned, mut returned) = (false, false);
        while next < wanted.len() {
            let (frame, text) = reader.read().await;
            let text = text.unwrap_or_else(|failure| panic!("{failure:?}: {frame}"));
            sampler.take(&frame, &text);
            let event: Value = serde_json::from_str(&text).unwrap();
            if next == half && self.goes_away() && !returned {
                next = wanted.iter().position(|one| one.frame(&channel) == event).unwrap();
                // Another node or thread may be a little behind the first one and repeats something.
                assert!(next <= back, "it was back before the {back}th, but got the {next}th");
                returned = true;
            }
            assert_eq!(event, wanted[next].frame(&channel));
            unmarked += u32::from(wanted[next].delta == Some(false));
            (next, received) = (next + 1, received + 1);
            if next == half && !turned {
                self.turn(&mut reader).await;
                turned = true;
            }
        }
        reader.client.expect_nothing().await;
        let [without, full, deltas] = reader.counted(&channel);
        assert_eq!(without, unmarked, "only these have no marker");
        assert!(deltas > full, "{deltas} deltas, {full} full frames");
        received
    }

    /// Half of the messages are here.
    async fn turn(&self, reader: &mut Reader) {
        if self.goes_away() {
            let other = usize::from(self.cell.twist == Twist::NodeChange);
            reader.reconnect(self.nodes[(self.place + other) % 2]).await;
            self.enter(reader).await;
        }
        self.gate.wait().await;
    }

    fn goes_away(&self) -> bool {
        self.cell.comes_back() && self.place < 2
    }

    async fn enter(&self, reader: &mut Reader) {
        let mut terms = json!({ "delta": self.cell.algorithm });
        if let Some((member, filter)) = self.interest.filter {
            terms[member] = serde_json::from_str(filter).unwrap();
        }
        let channel = self.cell.channel();
        reader.subscribe_to_deltas(&channel, &terms, self.cell.algorithm).await;
    }
}
