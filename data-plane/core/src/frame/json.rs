//! Reading JSON: picks the members that are wanted without looking into the rest.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The named members of the object `text`, unparsed. Of several with one name the last counts;
/// all others are checked for syntax and skipped, whatever their depth.
pub(crate) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> serde_json::Result<[Option<&'a RawValue>; N]> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let found = deserializer.deserialize_map(Members(names))?;
    deserializer.end()?;
    Ok(found)
}

/// The text of a JSON string; `None` for any other value.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
