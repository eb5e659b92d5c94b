//! What serde_json leaves to us: repeated keys, and the text of a value as it was written.

use std::{borrow::Cow, fmt};

use model::{Reason, Rejection};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Arrays and objects inside one another, in a value that is passed on.
const DEPTH_MAX: usize = 128;
/// Members of an object that is looked into.
const MEMBERS_MAX: usize = 1_024;

/// The members of an object in their order, each with the text of its value.
#[derive(Debug)]
pub(crate) struct Members<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object. A key that is there twice is refused: `prefix` and the key name it.
    pub(crate) fn parse(prefix: &str, text: &'a str) -> Result<Self, Rejection> {
        let members: Self = serde_json::from_str(text).map_err(|error| {
            let message = format!("the body is not a JSON object: {error}");
            Rejection::new(Reason::InvalidInput, message)
        })?;
        let mut keys: Vec<&str> = members.0.iter().map(|(key, _)| &**key).collect();
        keys.sort_unstable();
        match keys.windows(2).find(|pair| pair[0] == pair[1]) {
            None => Ok(members),
            Some(pair) => {
                let field = format!("{prefix}{}", shown(pair[0]));
                let message = format!("{field} is given twice");
                Err(Rejection::field(Reason::InvalidInput, field, message))
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(Key(key)) = map.next_key()? {
                    if members.len() == MEMBERS_MAX {
                        let message = format!("an object has more than {MEMBERS_MAX} members");
                        return Err(A::Error::custom(message));
                    }
                    members.push((key, map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// A key, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

impl Kind {
    /// Tells by the first byte: the value was parsed before.
    pub(crate) fn of(value: &RawValue) -> Self {
        match value.get().as_bytes().first() {
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b'"') => Self::String,
            Some(b't' | b'f') => Self::Boolean,
            Some(b'n') => Self::Null,
            Some(_) | None => Self::Number,
        }
    }

    /// For a person.
    pub(crate) fn named(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "an array",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::Null => "null",
        }
    }
}

/// Leaves out the blanks between the tokens of a valid JSON text. All else stays as it was written:
/// the order of keys, the digits of numbers, the escapes in strings. A text nested too deep is refused,
/// and so is half of a surrogate pair, which no reader could make a character of.
pub(crate) fn compact(field: &'static str, text: &str) -> Result<String, Rejection> {
    let refuse = |message: String| Rejection::field(Reason::InvalidInput, field, message);
    let bytes = text.as_bytes();
    let mut compacted = String::with_capacity(text.len());
    let (mut copied, mut place, mut depth) = (0, 0, 0_usize);
    while let Some(byte) = bytes.get(place) {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' => {
                compacted.push_str(&text[copied..place]);
                copied = place + 1;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    let message = format!("{field} is nested more than {DEPTH_MAX} deep");
                    return Err(refuse(message));
                }
            }
            b'}' | b']' => depth -= 1,
            b'"' => {
                place = end_of_string(bytes, place).ok_or_else(|| {
                    refuse(format!("{field} has an escape that is no Unicode character"))
                })?;
            }
            _ => {}
        }
        place += 1;
    }
    compacted.push_str(&text[copied..]);
    Ok(compacted)
}

/// The place of the quote that ends the string that begins at `start`; `None` for half of a surrogate
/// pair.
fn end_of_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut place = start + 1;
    loop {
        match bytes[place] {
            b'"' => return Some(place),
            b'\\' if bytes[place + 1] == b'u' => match code_unit(bytes, place)? {
                0xd800..0xdc00 => {
                    if !(0xdc00..0xe000).contains(&code_unit(bytes, place + 6)?) {
                        return None;
                    }
                    place += 12;
                }
                0xdc00..0xe000 => return None,
                _ => place += 6,
            },
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
}

/// The number in the `\u1234` at `place`; `None` where there is none.
fn code_unit(bytes: &[u8], place: usize) -> Option<u32> {
    let digits = bytes.get(place..place + 6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// The start of a text, for an error message.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}
