//! What clients ask for: for the whole connection, and for one subscription.

use std::borrow::Cow;

use model::DeltaAlgorithm;
use serde_json::value::RawValue;

use super::DeltaFormat;
use crate::frame::json;

/// The member `delta` of a subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaWish {
    /// No deltas, whatever the connection has agreed on.
    Off,
    /// Deltas, written like that or as the server likes.
    On(Option<DeltaFormat>),
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
        Self::On(DeltaFormat::named(&name))
    }

    /// The format of a subscription: its own wish counts, else what its connection has agreed on.
    /// `None`: every frame is full and has no marker.
    #[must_use]
    pub fn agreed(
        wish: Option<Self>,
        connection: Option<DeltaFormat>,
        channel: DeltaAlgorithm,
    ) -> Option<DeltaFormat> {
        match wish {
            Some(Self::Off) => None,
            Some(Self::On(named)) => Some(named.unwrap_or(channel.into())),
            None => connection,
        }
    }
}

/// The format for a connection whose client sends `pusher:enable_delta_compression` with this data:
/// the compact one where the client lists it, the server's where it lists that one or nothing, else
/// the first one that both know.
#[must_use]
pub fn common_format(data: Option<&str>, server: DeltaAlgorithm) -> Option<DeltaFormat> {
    let listed = data.and_then(|data| json::members(data, ["algorithms"]).ok());
    let Some([Some(listed)]) = listed else {
        return Some(server.into());
    };
    let names: Vec<Cow<'_, str>> = serde_json::from_str(listed.get()).unwrap_or_default();
    let known: Vec<_> = names.iter().filter_map(|name| DeltaFormat::named(name)).collect();
    let liked = [DeltaFormat::Compact, server.into()];
    liked.into_iter().find(|format| known.contains(format)).or(known.first().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeltaFormat::Compact;

    const FOSSIL: DeltaFormat = DeltaFormat::Text(DeltaAlgorithm::Fossil);
    const XDELTA3: DeltaFormat = DeltaFormat::Text(DeltaAlgorithm::Xdelta3);

    #[test]
    fn wishes_of_subscriptions() {
        let check = |json: &str, expected: Option<DeltaWish>| {
            let value: Box<RawValue> = serde_json::from_str(json).unwrap();
            assert_eq!(DeltaWish::parse(&value), expected, "{json}");
        };
        check("true", Some(DeltaWish::On(None)));
        check("false", Some(DeltaWish::Off));
        check(r#""Fossil""#, Some(DeltaWish::On(Some(FOSSIL))));
        check(r#""Compact""#, Some(DeltaWish::On(Some(Compact))));
        check(r#""vcdiff""#, Some(DeltaWish::On(Some(XDELTA3))));
        check(r#""disabled""#, Some(DeltaWish::Off));
        check(r#""NONE""#, Some(DeltaWish::Off));
        check(r#""other""#, Some(DeltaWish::On(None)));
        check("{}", Some(DeltaWish::On(None)));
        check(r#"{"enabled":false,"algorithm":"fossil"}"#, Some(DeltaWish::Off));
        check(r#"{"enabled":true,"algorithm":"xdelta3"}"#, Some(DeltaWish::On(Some(XDELTA3))));
        check(r#"{"algorithm":"fossil"}"#, Some(DeltaWish::On(Some(FOSSIL))));
        check("null", None);
        check("7", None);
    }

    #[test]
    fn a_subscription_s_own_wish_counts() {
        let agreed = DeltaWish::agreed;
        assert_eq!(agreed(None, None, DeltaAlgorithm::Fossil), None);
        assert_eq!(agreed(None, Some(XDELTA3), DeltaAlgorithm::Fossil), Some(XDELTA3));
        assert_eq!(agreed(Some(DeltaWish::Off), Some(XDELTA3), DeltaAlgorithm::Fossil), None);
        assert_eq!(agreed(Some(DeltaWish::On(None)), None, DeltaAlgorithm::Fossil), Some(FOSSIL));
        assert_eq!(
            agreed(Some(DeltaWish::On(Some(XDELTA3))), None, DeltaAlgorithm::Fossil),
            Some(XDELTA3)
        );
    }

    #[test]
    fn formats_in_common() {
        let check =
            |data, expected| assert_eq!(common_format(data, DeltaAlgorithm::Fossil), expected);
        check(None, Some(FOSSIL));
        check(Some("{}"), Some(FOSSIL));
        check(Some(r#"{"algorithms":["xdelta3","fossil"]}"#), Some(FOSSIL));
        check(Some(r#"{"algorithms":["gzip","xdelta3"]}"#), Some(XDELTA3));
        check(Some(r#"{"algorithms":["fossil","compact"]}"#), Some(Compact));
        check(Some(r#"{"algorithms":["gzip"]}"#), None);
        check(Some(r#"{"algorithms":[]}"#), None);
    }
}
