//! What we say about deltas, next to [`crate::frame`].

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use model::DeltaAlgorithm;

use super::{DeltaFormat, Encoder, Sequence, compact};
use crate::frame::escape::{Writer, escaped_max};

/// Appends the header of a message with so many bytes.
pub type HeaderWriter = fn(&mut Vec<u8>, Payload, usize);

/// What a WebSocket message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The answer to `pusher:enable_delta_compression`, or with a channel the confirmation of one
/// subscription. Without a format there will be no deltas.
#[must_use]
pub fn delta_compression_enabled(channel: Option<&str>, format: Option<DeltaFormat>) -> String {
    let (mut outer, mut inner) = (String::new(), String::new());
    if let Some(format) = format {
        inner = format!(r#","algorithm":"{}""#, format.name());
    }
    if let Some(channel) = channel {
        outer = format!(r#""channel":"{}","#, escaped(channel));
        inner += &format!(r#","channel":"{}""#, escaped(channel));
    }
    let enabled = format.is_some();
    format!(
        r#"{{"event":"pusher:delta_compression_enabled",{outer}"data":{{"enabled":{enabled}{inner}}}}}"#
    )
}

/// Replaces all bases that a client has of a channel: by key, the texts with their sequences.
#[must_use]
pub fn delta_cache_sync<'a>(
    channel: &str,
    (conflation_key, messages_per_key_max): (&str, usize),
    states: impl IntoIterator<Item = (&'a str, Vec<(Sequence, &'a str)>)>,
) -> String {
    let base = |(sequence, text): &(Sequence, &str)| {
        format!(r#"{{"content":"{}","seq":{sequence}}}"#, escaped(text))
    };
    let state = |(key, bases): (&str, Vec<(Sequence, &str)>)| {
        let bases: Vec<String> = bases.iter().map(base).collect();
        format!(r#""{}":[{}]"#, escaped(key), bases.join(","))
    };
    let states: Vec<String> = states.into_iter().map(state).collect();
    let (channel, path, states) = (escaped(channel), escaped(conflation_key), states.join(","));
    format!(
        r#"{{"event":"pusher:delta_cache_sync","channel":"{channel}","data":{{"conflation_key":"{path}","max_messages_per_key":{messages_per_key_max},"states":{{{states}}}}}}}"#
    )
}

/// What all frames of one event have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    pub(super) channel: &'a str,
    pub(super) name: &'a str,
    pub(super) sequence: Sequence,
    /// Present where the channel has conflation, be it empty. Needs no escapes.
    pub(super) key: Option<&'a str>,
}

impl Words<'_> {
    /// The length of the full frame.
    pub(super) fn marked_bytes(&self, text: &[u8]) -> usize {
        const SEQUENCE: usize = r#","__delta_seq":"#.len();
        const KEY: usize = r#","__conflation_key":"""#.len();
        let digits = self.sequence.0.checked_ilog10().unwrap_or(0) as usize + 1;
        text.len() + SEQUENCE + digits + self.key.map_or(0, |key| KEY + key.len())
    }
}

/// A text that was sent, with the number it was sent under.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) sequence: Sequence,
    pub(super) text: Bytes,
}

/// Makes frames of events. One per thread: its memory is used again from one frame to the next.
#[derive(Debug)]
pub struct DeltaWriter {
    header: HeaderWriter,
    encoder: Encoder,
    /// The payload of the frame in the making, but for what is shared by all frames of its event.
    payload: Vec<u8>,
}

impl DeltaWriter {
    /// Frames begin with what `header` writes.
    #[must_use]
    pub fn new(header: HeaderWriter) -> Self {
        Self { header, encoder: Encoder::default(), payload: Vec::new() }
    }

    /// The full frame: the text with markers as its last members.
    pub(super) fn marked(&mut self, words: &Words<'_>, text: &[u8]) -> Bytes {
        let markers = &mut self.payload;
        markers.clear();
        markers.extend_from_slice(br#","__delta_seq":"#);
        digits(markers, words.sequence);
        if let Some(key) = words.key {
            markers.extend_from_slice(br#","__conflation_key":""#);
            markers.extend_from_slice(key.as_bytes());
            markers.push(b'"');
        }
        markers.push(b'}');
        let open = text.strip_suffix(b"}").unwrap_or(text);
        framed(self.header, Payload::Text, &[open, markers])
    }

    /// The frame with the difference between a base and the text; `None` where that takes
    /// `bytes_max` or more.
    pub(super) fn delta(
        &mut self,
        words: &Words<'_>,
        format: DeltaFormat,
        (base, text): (&Base, &[u8]),
        bytes_max: usize,
    ) -> Option<Bytes> {
        match format {
            DeltaFormat::Text(algorithm) => {
                self.text_delta(words, algorithm, (base, text), bytes_max)
            }
            DeltaFormat::Compact => self.compact_delta(words, (base, text), bytes_max),
        }
    }

    fn compact_delta(
        &mut self,
        words: &Words<'_>,
        (base, text): (&Base, &[u8]),
        bytes_max: usize,
    ) -> Option<Bytes> {
        if !compact::can_name(base.sequence, words.sequence) {
            return None;
        }
        let numbers = (base.sequence, words.sequence);
        let payload = self.encoder.encode_compact(numbers, &base.text, text);
        (payload.len() < bytes_max).then(|| framed(self.header, Payload::Binary, &[payload]))
    }

    fn text_delta(
        &mut self,
        words: &Words<'_>,
        algorithm: DeltaAlgorithm,
        (base, text): (&Base, &[u8]),
        bytes_max: usize,
    ) -> Option<Bytes> {
        let delta = self.encoder.encode(algorithm, &base.text, text);
        if delta.len() >= bytes_max {
            return None;
        }
        let out = &mut self.payload;
        out.clear();
        let texts = escaped_max(words.channel) + escaped_max(words.name);
        let mut head = Writer::new(out, HEAD_BYTES + texts);
        head.plain(r#"{"event":"pusher:delta","channel":""#);
        head.escaped(words.channel);
        head.plain(r#"","data":{"event":""#);
        head.escaped(words.name);
        head.plain(r#"","delta":""#);
        head.finish();
        let from = out.len();
        out.resize(from + delta.len().div_ceil(3) * 4, 0);
        STANDARD.encode_slice(delta, &mut out[from..]).expect("the room is what base64 takes");
        out.extend_from_slice(br#"","seq":"#);
        digits(out, words.sequence);
        out.extend_from_slice(br#","algorithm":""#);
        out.extend_from_slice(algorithm.name().as_bytes());
        out.extend_from_slice(br#"","base_index":"#);
        digits(out, base.sequence);
        if let Some(key) = words.key {
            out.extend_from_slice(br#","conflation_key":""#);
            out.extend_from_slice(key.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"}}");
        (out.len() < bytes_max).then(|| framed(self.header, Payload::Text, &[out]))
    }
}

const HEAD_BYTES: usize =
    r#"{"event":"pusher:delta","channel":"","data":{"event":"","delta":""#.len();
/// The longest header of a WebSocket frame that is not masked.
const HEADER_BYTES_MAX: usize = 10;

fn framed(header: HeaderWriter, kind: Payload, parts: &[&[u8]]) -> Bytes {
    let bytes = parts.iter().map(|part| part.len()).sum();
    let mut frame = Vec::with_capacity(HEADER_BYTES_MAX + bytes);
    header(&mut frame, kind, bytes);
    parts.iter().for_each(|part| frame.extend_from_slice(part));
    Bytes::from(frame)
}

fn digits(out: &mut Vec<u8>, Sequence(sequence): Sequence) {
    let mut text = [0; 20];
    let (mut from, mut rest) = (text.len(), sequence);
    loop {
        from -= 1;
        text[from] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// `text` as the inside of a JSON string.
fn escaped(text: &str) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, escaped_max(text));
    writer.escaped(text);
    writer.finish();
    String::from_utf8(out).expect("an escaped text is a text")
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: Words<'_> =
        Words { channel: "market", name: "price", sequence: Sequence(7), key: None };

    #[test]
    fn confirmations() {
        assert_eq!(
            delta_compression_enabled(None, Some(DeltaAlgorithm::Fossil.into())),
            r#"{"event":"pusher:delta_compression_enabled","data":{"enabled":true,"algorithm":"fossil"}}"#
        );
        assert_eq!(
            delta_compression_enabled(Some("market"), Some(DeltaAlgorithm::Xdelta3.into())),
            r#"{"event":"pusher:delta_compression_enabled","channel":"market","data":{"enabled":true,"algorithm":"xdelta3","channel":"market"}}"#
        );
        assert_eq!(
            delta_compression_enabled(None, None),
            r#"{"event":"pusher:delta_compression_enabled","data":{"enabled":false}}"#
        );
    }

    #[test]
    fn marked_frames() {
        let check = |words: Words<'_>, expected: &str| {
            let text = br#"{"event":"price","channel":"market","data":"{}"}"#;
            assert_eq!(DeltaWriter::new(|_, _, _| {}).marked(&words, text), expected);
            assert_eq!(words.marked_bytes(text), expected.len());
        };
        check(WORDS, r#"{"event":"price","channel":"market","data":"{}","__delta_seq":7}"#);
        check(
            Words { key: Some("BTC"), sequence: Sequence(100), ..WORDS },
            r#"{"event":"price","channel":"market","data":"{}","__delta_seq":100,"__conflation_key":"BTC"}"#,
        );
    }

    #[test]
    fn delta_frames() {
        let mut writer = DeltaWriter::new(|out, _, bytes| out.extend(bytes.to_be_bytes()));
        let base = Base { sequence: Sequence(6), text: Bytes::from_static(b"abc") };
        let mut delta = |words: Words<'_>, most| {
            writer.delta(&words, DeltaAlgorithm::Fossil.into(), (&base, b"abcd"), most)
        };
        let expected = r#"{"event":"pusher:delta","channel":"market","data":{"event":"price","delta":"NAo0OmFiY2QxWE9iRF87","seq":7,"algorithm":"fossil","base_index":6}}"#;
        let frame = delta(WORDS, expected.len() + 1).unwrap();
        assert_eq!(frame[..8], expected.len().to_be_bytes());
        assert_eq!(frame[8..], *expected.as_bytes());
        assert_eq!(delta(WORDS, expected.len()), None);
        let frame = delta(Words { key: Some("BTC"), name: "a\"b", ..WORDS }, 1_000).unwrap();
        assert_eq!(
            frame[8..],
            *br#"{"event":"pusher:delta","channel":"market","data":{"event":"a\"b","delta":"NAo0OmFiY2QxWE9iRF87","seq":7,"algorithm":"fossil","base_index":6,"conflation_key":"BTC"}}"#
        );
    }

    #[test]
    fn cache_sync() {
        let states = [("BTC", vec![(Sequence(7), r#"{"event":"price"}"#)]), ("ETH", vec![])];
        assert_eq!(
            delta_cache_sync("market", ("asset", 10), states),
            r#"{"event":"pusher:delta_cache_sync","channel":"market","data":{"conflation_key":"asset","max_messages_per_key":10,"states":{"BTC":[{"content":"{\"event\":\"price\"}","seq":7}],"ETH":[]}}}"#
        );
    }
}
