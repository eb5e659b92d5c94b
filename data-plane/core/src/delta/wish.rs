//! What clients ask for: for the whole connection, and for one subscription.

use std::borrow::Cow;

use model::DeltaAlgorithm;
use serde_json::value::RawValue;

use crate::frame::json;

/// The member `delta` of a subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaWish {
    /// No deltas, whatever the connection has agreed on.
    Off,
    /// Deltas, with that algorithm or the server's.
    On(Option<DeltaAlgorithm>),
}

impl DeltaWish {
    /// Reads every form that clients use (spec/websocket.md 8.1): a boolean, the name of an
    /// algorithm, or an object with both. `None` for `null` and what makes no sense.
    #[must_use]
    pub fn parse(value: &RawValue) -> Option<Self> {
        match value.get() {
            "true" => Some(Self::On(None)),
            "false" => Some(Self::Off),
            text if text.starts_with('{') => {
                let [enabled, algorithm] = json::members(text, ["enabled", "algorithm"]).ok()?;
                if enabled.is_some_and(|enabled| enabled.get() == "false") {
                    return Some(Self::Off);
                }
                Some(algorithm.and_then(json::text).map_or(Self::On(None), Self::named))
            }
            _ => json::text(value).map(Self::named),
        }
    }

    fn named(name: Cow<'_, str>) -> Self {
        let off = ["disabled", "false", "none"];
        if off.iter().any(|off| name.eq_ignore_ascii_case(off)) {
            return Self::Off;
        }
        Self::On(DeltaAlgorithm::named(&name))
    }

    /// The algorithm of a subscription: its own wish counts, else what its connection has agreed on.
    /// `None`: every frame is full and has no marker.
    #[must_use]
    pub fn agreed(
        wish: Option<Self>,
        connection: Option<DeltaAlgorithm>,
        channel: DeltaAlgorithm,
    ) -> Option<DeltaAlgorithm> {
        match wish {
            Some(Self::Off) => None,
            Some(Self::On(named)) => Some(named.unwrap_or(channel)),
            None => connection,
        }
    }
}

/// The algorithm for a connection whose client sends `pusher:enable_delta_compression` with this
/// data: the server's where the client lists it or lists nothing, else the first one that both know.
#[must_use]
pub fn common_algorithm(data: Option<&str>, server: DeltaAlgorithm) -> Option<DeltaAlgorithm> {
    let listed = data.and_then(|data| json::members(data, ["algorithms"]).ok());
    let Some([Some(listed)]) = listed else {
        return Some(server);
    };
    let names: Vec<Cow<'_, str>> = serde_json::from_str(listed.get()).unwrap_or_default();
    let mut known = names.iter().filter_map(|name| DeltaAlgorithm::named(name)).peekable();
    let first = known.peek().copied();
    if known.any(|algorithm| algorithm == server) { Some(server) } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeltaAlgorithm::{Fossil, Xdelta3};

    #[test]
    fn wishes_of_subscriptions() {
        let check = |json: &str, expected: Option<DeltaWish>| {
            let value: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(DeltaWish::parse(&value), expected, "{json}");
        };
        check("true", Some(DeltaWish::On(None)));
        check("false", Some(DeltaWish::Off));
        check(r#""Fossil""#, Some(DeltaWish::On(Some(Fossil))));
        check(r#""vcdiff""#, Some(DeltaWish::On(Some(Xdelta3))));
        check(r#""disabled""#, Some(DeltaWish::Off));
        check(r#""NONE""#, Some(DeltaWish::Off));
        check(r#""other""#, Some(DeltaWish::On(None)));
        check("{}", Some(DeltaWish::On(None)));
        check(r#"{"enabled":false,"algorithm":"fossil"}"#, Some(DeltaWish::Off));
        check(r#"{"enabled":true,"algorithm":"xdelta3"}"#, Some(DeltaWish::On(Some(Xdelta3))));
        check(r#"{"algorithm":"fossil"}"#, Some(DeltaWish::On(Some(Fossil))));
        check("null", None);
        check("7", None);
    }

    #[test]
    fn a_subscription_s_own_wish_counts() {
        let agreed = DeltaWish::agreed;
        assert_eq!(agreed(None, None, Fossil), None);
        assert_eq!(agreed(None, Some(Xdelta3), Fossil), Some(Xdelta3));
        assert_eq!(agreed(Some(DeltaWish::Off), Some(Xdelta3), Fossil), None);
        assert_eq!(agreed(Some(DeltaWish::On(None)), None, Fossil), Some(Fossil));
        assert_eq!(agreed(Some(DeltaWish::On(Some(Xdelta3))), None, Fossil), Some(Xdelta3));
    }

    #[test]
    fn algorithms_in_common() {
        let check = |data, expected| assert_eq!(common_algorithm(data, Fossil), expected);
        check(None, Some(Fossil));
        check(Some("{}"), Some(Fossil));
        check(Some(r#"{"algorithms":["xdelta3","fossil"]}"#), Some(Fossil));
        check(Some(r#"{"algorithms":["gzip","xdelta3"]}"#), Some(Xdelta3));
        check(Some(r#"{"algorithms":["gzip"]}"#), None);
        check(Some(r#"{"algorithms":[]}"#), None);
    }
}
