//! Messages: always the same, each unlike all others.

use std::collections::BTreeMap;

use proto::v1::{Event, EventTags};
use serde_json::{Value, json};
use tests::chance::Chance;

use super::cell::{Cell, Twist};

const NAMES: [&str; 3] = ["price", "trade", "client said \"no\""];
const ASSETS: [&str; 5] = ["BTC", "ETH", "SOL", "Zürich \u{1F3D4}", "a\\\"b"];
const NOTES: [&str; 6] = [
    "Zoë \u{1F389}\u{1F468}\u{200D}\u{1F469}\u{200D}\u{1F467}",
    "日本語のテキスト",
    "line\u{2028}separator\u{7F}",
    "written \\u00e9, \\ud83c\\udf89 and \\/",
    "e\u{301} is not é",
    "\\t\\n\\\\\\\"",
];
const NUMBERS: [&str; 8] =
    ["1.10", "100.0", "1e3", "-0.0", "1E-7", "12345678901234567890.10", "0.30000000000000004", "7"];

pub(super) type Tags = BTreeMap<String, String>;

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) n: usize,
    name: &'static str,
    data: String,
    pub(super) tags: Tags,
    pub(super) delta: Option<bool>,
}

impl Message {
    pub(super) fn new(cell: &Cell, n: usize) -> Self {
        let mut random = Chance::new(n as u64 + 1);
        let unusual = cell.twist == Twist::NonAscii;
        let asset = ASSETS[random.below(if unusual { ASSETS.len() } else { 3 })];
        let note = if unusual { NOTES[random.below(NOTES.len())] } else { "nothing to report" };
        let price = match cell.twist {
            Twist::Floats => NUMBERS[random.below(NUMBERS.len())].to_owned(),
            Twist::Reconnect | Twist::NodeChange | Twist::Unmarked | Twist::NonAscii => {
                format!("{}.{:02}", 61_000 + random.below(200), random.below(100))
            }
        };
        let side = ["buy", "sell"][random.below(2)];
        let data = if unusual && random.below(10) == 0 {
            format!("no JSON at all, but {note} of {asset} for the {n}th time")
        } else {
            format!(
                r#"{{"asset":"{asset}","price":{price},"side":"{side}","exchange":"coinbase","market":{{"open":true,"currency":"EUR","fee":0.10}},"note":"{note}","n":{n}}}"#
            )
        };
        let tags = [("asset", asset), ("side", side), ("level", &(n % 50).to_string())];
        Self {
            n,
            name: NAMES[random.below(cell.names)],
            data,
            tags: tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            delta: (cell.twist == Twist::Unmarked && random.below(6) == 0).then_some(false),
        }
    }

    pub(super) fn event(&self, channel: &str) -> Event {
        Event {
            name: self.name.to_owned(),
            channels: vec![channel.to_owned()],
            data: Some(self.data.clone()),
            tags: Some(EventTags { pairs: self.tags.clone().into_iter().collect() }),
            delta: self.delta,
            ..Event::default()
        }
    }

    /// What a client without deltas reads.
    pub(super) fn frame(&self, channel: &str) -> Value {
        json!({ "event": self.name, "channel": channel, "data": self.data, "tags": self.tags })
    }
}
