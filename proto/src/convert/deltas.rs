//! Delta settings by pattern of channel names.

use std::{collections::BTreeMap, sync::Arc};

use model::{ChannelDelta, ChannelPattern, DeltaAlgorithm, Reason, Rejection};

use super::setting;
use crate::v1;

const FIELD: &str = "channel_delta_compression";
const PATTERNS_MAX: usize = 100;
const CONFLATION_KEY_BYTES_MAX: usize = 256;

/// All patterns of an app.
pub(super) fn read(
    wire: &BTreeMap<String, v1::ChannelDelta>,
) -> Result<Vec<ChannelDelta>, Rejection> {
    if wire.len() > PATTERNS_MAX {
        let count = wire.len();
        return Err(refused(format!("{FIELD} has {count} entries, the limit is {PATTERNS_MAX}")));
    }
    wire.iter().map(|(pattern, delta)| one(pattern, delta)).collect()
}

fn one(pattern: &str, wire: &v1::ChannelDelta) -> Result<ChannelDelta, Rejection> {
    let parsed = ChannelPattern::parse(pattern)
        .map_err(|error| refused(format!("{FIELD}: {pattern:?}: {error}")))?;
    let default = ChannelDelta::new(parsed);
    let bounded = |name, value, default, most| {
        setting(&format!("{FIELD}[{pattern}].{name}"), value, default, most)
    };
    let (messages, keys) = (wire.messages_per_key_max, wire.conflation_keys_max);
    Ok(ChannelDelta {
        enabled: wire.enabled.unwrap_or(default.enabled),
        algorithm: algorithm(pattern, wire.algorithm)?,
        conflation_key: conflation_key(pattern, &wire.conflation_key)?,
        messages_per_key_max: bounded(
            "messages_per_key_max",
            messages,
            default.messages_per_key_max,
            1_000,
        )?,
        conflation_keys_max: bounded(
            "conflation_keys_max",
            keys,
            default.conflation_keys_max,
            10_000,
        )?,
        tags_delivered: wire.tags_delivered,
        pattern: default.pattern,
    })
}

fn algorithm(pattern: &str, wire: i32) -> Result<DeltaAlgorithm, Rejection> {
    match v1::DeltaAlgorithm::try_from(wire) {
        Ok(v1::DeltaAlgorithm::Unspecified) => Ok(DeltaAlgorithm::default()),
        Ok(v1::DeltaAlgorithm::Fossil) => Ok(DeltaAlgorithm::Fossil),
        Ok(v1::DeltaAlgorithm::Xdelta3) => Ok(DeltaAlgorithm::Xdelta3),
        Err(_) => Err(refused(format!("{FIELD}: {pattern:?} has no algorithm {wire}"))),
    }
}

fn conflation_key(pattern: &str, path: &str) -> Result<Option<Arc<str>>, Rejection> {
    if path.is_empty() {
        return Ok(None);
    }
    if path.len() > CONFLATION_KEY_BYTES_MAX || path.split('.').any(str::is_empty) {
        let message = format!(
            "{FIELD}: {pattern:?}: a conflation key is a path like data.asset.id of at most \
             {CONFLATION_KEY_BYTES_MAX} bytes"
        );
        return Err(refused(message));
    }
    Ok(Some(path.into()))
}

fn refused(message: String) -> Rejection {
    Rejection::field(Reason::InvalidInput, FIELD, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wire: v1::ChannelDelta) -> Result<ChannelDelta, Rejection> {
        one("market-*", &wire)
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let expected = ChannelDelta::new(ChannelPattern::parse("market-*").unwrap());
        assert_eq!(check(v1::ChannelDelta::default()), Ok(expected));
    }

    #[test]
    fn what_is_given_counts() {
        let wire = v1::ChannelDelta {
            enabled: Some(false),
            algorithm: v1::DeltaAlgorithm::Xdelta3.into(),
            conflation_key: "data.asset".into(),
            messages_per_key_max: Some(3),
            conflation_keys_max: Some(5),
            tags_delivered: Some(true),
        };
        let delta = check(wire).unwrap();
        assert!(!delta.enabled);
        assert_eq!(delta.algorithm, DeltaAlgorithm::Xdelta3);
        assert_eq!(delta.conflation_key.as_deref(), Some("data.asset"));
        assert_eq!((delta.messages_per_key_max, delta.conflation_keys_max), (3, 5));
        assert_eq!(delta.tags_delivered, Some(true));
    }

    #[test]
    fn a_bad_field_is_named() {
        let default = v1::ChannelDelta::default;
        let field = |wire| check(wire).unwrap_err().field;
        assert_eq!(field(v1::ChannelDelta { algorithm: 9, ..default() }), FIELD);
        assert_eq!(field(v1::ChannelDelta { conflation_key: "a..b".into(), ..default() }), FIELD);
        assert_eq!(
            field(v1::ChannelDelta { messages_per_key_max: Some(0), ..default() }),
            "channel_delta_compression[market-*].messages_per_key_max"
        );
        let map = BTreeMap::from([("a*b*".to_owned(), default())]);
        assert_eq!(read(&map).unwrap_err().field, FIELD);
    }
}
