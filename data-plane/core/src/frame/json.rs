//! The JSON that frames need: picking members without reading the rest, and writing strings.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The named members of the object `text`, unparsed. Of several with one name the last counts;
/// all others are checked for syntax and skipped, whatever their depth.
pub(super) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Members(names))?;
    deserializer.end()?;
    Ok(found)
}

/// The text of a JSON string; `None` for any other value.
pub(super) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    let inner = value.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(value.get()).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

struct Members<'n, const N: usize>([&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for Members<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(place) = map.next_key_seed(PlaceIn(&self.0))? {
            match place {
                Some(place) => found[place] = Some(map.next_value()?),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

/// Reads a key as its place in a list of names, so that no key is ever copied.
struct PlaceIn<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, key: D) -> Result<Self::Value, D::Error> {
        key.deserialize_str(self)
    }
}

impl Visitor<'_> for PlaceIn<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|name| *name == key))
    }
}

/// How many bytes `text` takes inside a JSON string.
pub(super) fn escaped_len(text: &str) -> usize {
    text.bytes().map(|byte| usize::from(ESCAPED_LEN[usize::from(byte)])).sum()
}

/// Appends `text` as the inside of a JSON string.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    let mut written = 0;
    for (place, byte) in text.bytes().enumerate() {
        if ESCAPED_LEN[usize::from(byte)] == 1 {
            continue;
        }
        // Whatever needs an escape is ASCII, so these are character boundaries.
        out.push_str(&text[written..place]);
        push_escape(out, byte);
        written = place + 1;
    }
    out.push_str(&text[written..]);
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        _ => {
            out.push_str("\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

/// Bytes that each byte takes inside a JSON string; 1 means that it stands for itself.
const ESCAPED_LEN: [u8; 256] = {
    let mut table = [1; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = 6;
        control += 1;
    }
    let short = b"\"\\\n\r\t\x08\x0c";
    let mut place = 0;
    while place < short.len() {
        table[short[place] as usize] = 2;
        place += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let mut out = String::new();
        push_escaped(&mut out, text);
        assert_eq!(out, expected);
        assert_eq!(out.len(), escaped_len(text), "{text:?}");
        assert_eq!(format!("\"{out}\""), serde_json::to_string(text).unwrap());
    }

    #[test]
    fn escapes() {
        check("", "");
        check("plain", "plain");
        check(r#"{"a":"b\n"}"#, r#"{\"a\":\"b\\n\"}"#);
        check("\u{0}\u{1f}\u{7f}\n\r\t\u{8}\u{c}", "\\u0000\\u001f\u{7f}\\n\\r\\t\\b\\f");
        check("Zoë \u{2028} 🎉\"", "Zoë \u{2028} 🎉\\\"");
    }

    #[test]
    fn members_are_picked_and_the_rest_is_skipped() {
        let pick = |text| {
            members(text, ["a", "b"]).map(|found| found.map(|value| value.map(RawValue::get)))
        };
        assert_eq!(pick(r#"{"a": 1 ,"x":[{}],"a":2}"#).unwrap(), [Some("2"), None]);
        assert_eq!(pick(r#"{"\u0062":" \" "}"#).unwrap(), [None, Some(r#"" \" ""#)]);
        assert!(pick(r#"{"a":1} 2"#).is_err());
        assert!(pick(r#"[1]"#).unwrap_err().is_data());
        let deep = format!(r#"{{"x":{}{},"b":0}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pick(&deep).unwrap(), [None, Some("0")]);
    }
}
