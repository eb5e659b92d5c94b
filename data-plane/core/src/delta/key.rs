//! Conflation keys: what tells entities in a mixed stream apart.

use std::{borrow::Cow, hash::Hasher as _};

use model::Tags;

use crate::frame::json;

/// A dotted path from a frame, or from the JSON in its data, to a scalar: `asset`, `data.asset.id`,
/// `tags.asset`, `event`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPath(Box<str>);

impl KeyPath {
    /// A path of one or more names.
    #[must_use]
    pub fn new(path: &str) -> Self {
        Self(path.into())
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key of one event; empty where the path leads to no scalar.
    ///
    /// Names of the frame come first, then those in the data.
    pub(super) fn key<'a>(
        &self,
        name: &'a str,
        data: &'a str,
        tags: Option<&'a Tags>,
    ) -> Cow<'a, str> {
        let found = match self.0.split_once('.') {
            None if &*self.0 == "event" => Some(Cow::Borrowed(name)),
            Some(("tags", tag)) => tags.and_then(|tags| tags.get(tag)).map(Cow::from),
            Some(("data", path)) => scalar(data, path),
            None | Some(_) => scalar(data, &self.0),
        };
        found.map(tame).unwrap_or_default()
    }
}

/// A string's text, or a number or boolean as it stands; `None` for anything else.
fn scalar<'a>(data: &'a str, path: &str) -> Option<Cow<'a, str>> {
    let (mut text, mut found) = (data, None);
    for name in path.split('.') {
        let [member] = json::members(text, [name]).ok()?;
        text = member?.get();
        found = member;
    }
    let found = found?;
    match text.as_bytes().first()? {
        b'"' => json::text(found),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

/// A key that clients can cut out of a frame (spec/websocket.md 8.4): one that they cannot, and one
/// that would take more room than it saves, is replaced by a hash of it.
fn tame(key: Cow<'_, str>) -> Cow<'_, str> {
    const BYTES_MAX: usize = 64;
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if key.len() <= BYTES_MAX && key.bytes().all(plain) {
        return key;
    }
    // FNV-1a: the same on every node, for a socket that comes back to another one.
    let mut hash = Fnv(0xCBF2_9CE4_8422_2325);
    hash.write(key.as_bytes());
    Cow::Owned(format!("{:016x}", hash.finish()))
}

struct Fnv(u64);

impl std::hash::Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, data: &str, expected: &str) {
        let tags = Tags::from([("asset".into(), "tagged".into())]);
        assert_eq!(KeyPath::new(path).key("price", data, Some(&tags)), expected, "{path} {data}");
    }

    #[test]
    fn keys() {
        check("asset", r#"{"price":1,"asset":"BTC"}"#, "BTC");
        check("data.asset", r#"{"asset":"BTC"}"#, "BTC");
        check("asset.id", r#"{"asset":{"id":7}}"#, "7");
        check("data.asset.id", r#"{"asset":{"id":1.10}}"#, "1.10");
        check("asset", r#"{"asset":true}"#, "true");
        check("asset", "{\"asset\":\"Z\\u00fcrich ë\"}", "Zürich ë");
        check("tags.asset", "no JSON", "tagged");
        check("event", "no JSON", "price");
    }

    #[test]
    fn no_key() {
        check("asset", "no JSON", "");
        check("asset", "{}", "");
        check("asset", "[1]", "");
        check("asset", r#"{"asset":null}"#, "");
        check("asset", r#"{"asset":{"id":1}}"#, "");
        check("asset.id", r#"{"asset":"BTC"}"#, "");
        check("tags.other", "{}", "");
        check("asset", r#"{"asset":"BTC""#, "");
    }

    #[test]
    fn keys_that_clients_cannot_cut_out_are_hashed() {
        check("asset", r#"{"asset":"a\"b"}"#, "e646a119048964d8");
        check("asset", r#"{"asset":"a\\b"}"#, "e6b9b11904eabd96");
        let long = format!(r#"{{"asset":"{}"}}"#, "x".repeat(65));
        check("asset", &long, "7d70a52549704607");
    }
}
