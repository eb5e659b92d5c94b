//! A client's side of delta compression, step by step as spec/websocket.md 8.6 has it, and compact
//! frames as `clients/js` documents them. Shares no code with what it checks; other test packages may
//! include this file by its path.

pub(crate) mod compact;
pub(crate) mod fossil;
pub(crate) mod vcdiff;

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use compact::Frame;

/// Bases that a client keeps per conflation key.
const KEPT: usize = 30;

/// One client's state of one channel. Like the JavaScript client it keeps its bases over a
/// reconnect, and looks them up from the oldest on.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    base: Option<(u64, String)>,
    by_key: HashMap<String, VecDeque<(u64, String)>>,
    conflation: bool,
    /// For compact frames: number, key and text of the last one of each key, the latest at the end.
    latest: Vec<(u64, String, String)>,
    pub(crate) fulls: u32,
    pub(crate) unmarked: u32,
    pub(crate) deltas: u32,
}

/// Why there is no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The client answers with `pusher:delta_sync_error`.
    NoBase,
    /// The message is lost, and those that build on it.
    Undecodable(String),
}

impl Decoder {
    /// The text of the frame that a client without deltas would have received.
    pub(crate) fn read(&mut self, frame: &str) -> Result<String, Failure> {
        let parsed: Value = serde_json::from_str(frame).expect("a frame is JSON");
        if parsed["event"] == "pusher:delta" {
            return self.read_delta(&parsed["data"]);
        }
        let Some(sequence) = parsed["__delta_seq"].as_u64() else {
            self.unmarked += 1;
            return Ok(frame.to_owned());
        };
        self.fulls += 1;
        let key = parsed["__conflation_key"].as_str();
        self.conflation |= key.is_some();
        let text = without_markers(frame);
        self.keep(key, sequence, &text);
        self.keep_latest(sequence, key.unwrap_or_default(), &text);
        Ok(text)
    }

    /// The number of what a compact frame builds on.
    pub(crate) fn base_number(&self, payload: &[u8]) -> Option<u64> {
        let frame = Frame::parse(payload).ok()?;
        self.latest.iter().rev().map(|base| base.0).find(|number| frame.names(*number))
    }

    /// The text that a compact frame restores.
    pub(crate) fn read_compact(&mut self, payload: &[u8]) -> Result<String, Failure> {
        let broken = |error: &str| Failure::Undecodable(error.to_owned());
        let number = self.base_number(payload).ok_or(Failure::NoBase)?;
        let frame = Frame::parse(payload).map_err(broken)?;
        let base = self.latest.iter().rfind(|base| base.0 == number).ok_or(Failure::NoBase)?;
        let (key, base) = (base.1.clone(), base.2.as_bytes());
        let text = String::from_utf8(frame.apply(base).map_err(broken)?);
        let text = text.map_err(|error| broken(&error.to_string()))?;
        self.deltas += 1;
        self.keep_latest(number + frame.distance, &key, &text);
        Ok(text)
    }

    fn keep_latest(&mut self, number: u64, key: &str, text: &str) {
        self.latest.retain(|(_, other, _)| other != key);
        self.latest.push((number, key.to_owned(), text.to_owned()));
    }

    fn read_delta(&mut self, data: &Value) -> Result<String, Failure> {
        let key = data["conflation_key"].as_str();
        let index = data["base_index"].as_u64().expect("base_index is a number");
        let base = if self.conflation {
            let bases = self.by_key.get(key.unwrap_or_default());
            bases.and_then(|bases| bases.iter().find(|(sequence, _)| *sequence == index))
        } else {
            self.base.as_ref()
        };
        let Some((_, base)) = base else {
            (self.base, self.by_key, self.conflation) = (None, HashMap::new(), false);
            return Err(Failure::NoBase);
        };
        let delta = base64(data["delta"].as_str().expect("delta is a string"));
        let applied = match data["algorithm"].as_str() {
            Some("fossil") => fossil::apply(base.as_bytes(), &delta),
            Some("xdelta3") => vcdiff::apply(base.as_bytes(), &delta),
            _ => Err("no such algorithm"),
        };
        let bytes = applied.map_err(|error| Failure::Undecodable(error.to_owned()))?;
        let text = String::from_utf8(bytes).map_err(|e| Failure::Undecodable(e.to_string()))?;
        let parsed: Value = serde_json::from_str(&text).expect("a text is JSON");
        assert_eq!(parsed["event"], data["event"], "the event is named twice");
        self.deltas += 1;
        self.keep(key, data["seq"].as_u64().expect("seq is a number"), &text);
        Ok(text)
    }

    fn keep(&mut self, key: Option<&str>, sequence: u64, text: &str) {
        if !self.conflation {
            self.base = Some((sequence, text.to_owned()));
            return;
        }
        let bases = self.by_key.entry(key.unwrap_or_default().to_owned()).or_default();
        bases.push_back((sequence, text.to_owned()));
        if bases.len() > KEPT {
            bases.pop_front();
        }
    }
}

/// What the four replacements of 8.4 leave of a frame.
pub(crate) fn without_markers(frame: &str) -> String {
    let number = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let text = |text: &str| text.strip_prefix('"')?.find('"').map(|end| end + 2);
    let frame = replace(frame, r#","__delta_seq":"#, |rest| Some(number(rest)), "");
    let frame = replace(&frame, r#""__delta_seq":"#, |rest| Some(number(rest)), ",");
    let frame = replace(&frame, r#","__conflation_key":"#, text, "");
    replace(&frame, r#""__conflation_key":"#, text, ",")
}

/// Removes each `start` with the value that `value` measures (not empty) and `end` behind it.
fn replace(frame: &str, start: &str, value: impl Fn(&str) -> Option<usize>, end: &str) -> String {
    let (mut out, mut rest) = (String::new(), frame);
    while let Some(place) = rest.find(start) {
        let (before, behind) = (&rest[..place], &rest[place + start.len()..]);
        out += before;
        let removed = value(behind).filter(|bytes| *bytes > 0);
        match removed.and_then(|bytes| behind[bytes..].strip_prefix(end)) {
            Some(left) => rest = left,
            None => {
                out += start;
                rest = behind;
            }
        }
    }
    out + rest
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => panic!("{byte} is no digit of base64"),
    };
    assert_eq!(text.len() % 4, 0, "base64 is filled up");
    let digits = text.trim_end_matches('=').bytes().map(digit);
    let (mut out, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for digit in digits {
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    out
}
