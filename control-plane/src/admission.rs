//! May this app publish this? Every rule of spec/http.md 2.1 and 3, in its order, and no other.

use std::borrow::Cow;

use bytes::Bytes;
use model::{
    ChannelKind, ChannelName, Draft, Event, EventName, InvalidChannelName, Limits, MessageId,
    Publish, Reason, Rejection, SocketId, Tags,
};

/// What clients and servers say among themselves; a backend that could publish these could forge
/// `pusher:error` or a member list. `client-` belongs to client events (seed page).
const RESERVED: [&str; 5] =
    ["client-", "pusher:", "pusher_internal:", "sockudo:", "sockudo_internal:"];

const TAGS_MAX: usize = 32;
const TAG_KEY_BYTES_MAX: usize = 256;
const TAG_VALUE_BYTES_MAX: usize = 1_024;
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Checks a draft against the limits of its app.
pub fn check(draft: Draft, limits: &Limits, message_id: MessageId) -> Result<Publish, Rejection> {
    let name = event_name(draft.name, limits)?;
    let data = draft.data.ok_or_else(|| {
        Rejection::field(Reason::InvalidInput, "data", "data is required: a string or an object")
    })?;
    let excluded = draft.socket_id.as_deref().map(socket_id).transpose()?;
    check_tags(draft.tags.as_ref())?;
    check_idempotency_key(draft.idempotency_key.as_deref())?;
    let channels = channels(draft.channels, limits)?;
    check_payload(&data, limits)?;
    Ok(Publish {
        event: Event { name, data, tags: draft.tags, delta: draft.delta },
        channels,
        excluded,
        info: draft.info,
        message_id,
        traceparent: draft.traceparent,
    })
}

fn invalid(field: &'static str, message: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::field(Reason::InvalidInput, field, message)
}

fn over(field: &'static str, message: String) -> Rejection {
    Rejection::field(Reason::LimitExceeded, field, message)
}

fn event_name(name: String, limits: &Limits) -> Result<EventName, Rejection> {
    if name.is_empty() {
        return Err(invalid("name", "name is required: the event's name, not empty"));
    }
    let limit = limits.event_name_chars_max as usize;
    let bytes = name.len();
    if bytes > limit && (bytes > limit * 4 || name.chars().count() > limit) {
        let chars = name.chars().count();
        return Err(over("name", format!("name has {chars} characters, the limit is {limit}")));
    }
    if let Some(prefix) = RESERVED.iter().find(|prefix| name.starts_with(**prefix)) {
        let message = format!("name must not start with {prefix:?}: that prefix is reserved");
        return Err(invalid("name", message));
    }
    Ok(EventName(name))
}

fn socket_id(text: &str) -> Result<SocketId, Rejection> {
    SocketId::parse(text).map_err(|error| {
        let message = format!("socket_id has {} bytes and is none: {error}", text.len());
        invalid("socket_id", message)
    })
}

fn check_tags(tags: Option<&Tags>) -> Result<(), Rejection> {
    let Some(tags) = tags else { return Ok(()) };
    if tags.len() > TAGS_MAX {
        let message = format!("tags has {} entries, the limit is {TAGS_MAX}", tags.len());
        return Err(over("tags", message));
    }
    for (key, value) in tags {
        if key.is_empty() || key.len() > TAG_KEY_BYTES_MAX {
            let (bytes, most) = (key.len(), TAG_KEY_BYTES_MAX);
            return Err(over(
                "tags",
                format!("a tag's key has {bytes} bytes, allowed are 1 to {most}"),
            ));
        }
        if value.len() > TAG_VALUE_BYTES_MAX {
            let (bytes, most) = (value.len(), TAG_VALUE_BYTES_MAX);
            let message = format!("the value of tags.{key} has {bytes} bytes, the limit is {most}");
            return Err(over("tags", message));
        }
    }
    Ok(())
}

/// Checks a caller's own name for a publish.
pub(crate) fn check_idempotency_key(key: Option<&str>) -> Result<(), Rejection> {
    match key {
        Some(key) if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX => Err(invalid(
            "idempotency_key",
            format!(
                "idempotency_key has {} bytes, allowed are 1 to {IDEMPOTENCY_KEY_BYTES_MAX}",
                key.len()
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Each channel once, in the order given.
fn channels(names: Vec<String>, limits: &Limits) -> Result<Vec<ChannelName>, Rejection> {
    if names.is_empty() {
        let message = "channel or channels is required: at least one channel name";
        return Err(Rejection::field(Reason::MissingChannel, "channels", message));
    }
    let limit = limits.channels_per_event_max as usize;
    if names.len() > limit {
        let message = format!("channels has {} names, the limit is {limit}", names.len());
        return Err(over("channels", message));
    }
    let mut channels: Vec<ChannelName> = Vec::with_capacity(names.len());
    let mut seen = std::collections::HashSet::new();
    for name in &names {
        let channel = ChannelName::parse(name, limits.channel_name_bytes_max)
            .map_err(|error| bad_channel(name, &error))?;
        if names.len() == 1 || seen.insert(channel.clone()) {
            channels.push(channel);
        }
    }
    let encrypted = channels.iter().find(|channel| channel.kind() == ChannelKind::Encrypted);
    match encrypted {
        Some(encrypted) if channels.len() > 1 => Err(invalid(
            "channels",
            format!(
                "{encrypted} is encrypted for its own subscribers and must be the only channel"
            ),
        )),
        Some(_) | None => Ok(channels),
    }
}

fn bad_channel(name: &str, error: &InvalidChannelName) -> Rejection {
    const SHOWN: usize = 64;
    let shown: String = name.chars().take(SHOWN).collect();
    invalid("channels", format!("channel {shown:?}: {error}"))
}

/// Checks the size of an event's data.
pub(crate) fn check_payload(data: &Bytes, limits: &Limits) -> Result<(), Rejection> {
    let limit = limits.event_payload_bytes_max as usize;
    if data.len() > limit {
        let message = format!(
            "data has {} bytes, the limit is {limit} (event_payload_kib_max {})",
            data.len(),
            limit / 1_024
        );
        return Err(Rejection::field(Reason::PayloadTooLarge, "data", message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Draft {
        Draft {
            name: "price".into(),
            data: Some(Bytes::from_static(b"1")),
            channels: vec!["room".into()],
            ..Draft::default()
        }
    }

    fn check_draft(change: impl FnOnce(&mut Draft)) -> Result<Publish, Rejection> {
        let mut draft = draft();
        change(&mut draft);
        check(draft, &Limits::default(), MessageId(1))
    }

    fn refused(change: impl FnOnce(&mut Draft)) -> (Reason, String) {
        let rejection = check_draft(change).unwrap_err();
        assert!(!rejection.message.is_empty());
        (rejection.reason, rejection.field.into_owned())
    }

    #[test]
    fn names() {
        assert!(check_draft(|draft| draft.name = "ü".repeat(200)).is_ok());
        assert!(check_draft(|draft| draft.name = "pusher-notification".into()).is_ok());
        let limit = (Reason::LimitExceeded, "name".into());
        assert_eq!(refused(|draft| draft.name = "ü".repeat(201)), limit);
        assert_eq!(refused(|draft| draft.name = "x".repeat(201)), limit);
        let invalid = (Reason::InvalidInput, "name".to_owned());
        for name in ["", "client-x", "pusher:x", "pusher_internal:x", "sockudo:x"] {
            assert_eq!(refused(|draft| draft.name = name.into()), invalid, "{name}");
        }
    }

    #[test]
    fn data_is_required_and_bounded_inclusively() {
        assert_eq!(refused(|draft| draft.data = None), (Reason::InvalidInput, "data".into()));
        assert!(check_draft(|draft| draft.data = Some(vec![b'x'; 102_400].into())).is_ok());
        let too_large = refused(|draft| draft.data = Some(vec![b'x'; 102_401].into()));
        assert_eq!(too_large, (Reason::PayloadTooLarge, "data".into()));
    }

    #[test]
    fn channel_rules() {
        let missing = (Reason::MissingChannel, "channels".into());
        assert_eq!(refused(|draft| draft.channels.clear()), missing);
        let names = |count: usize| (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>();
        assert!(check_draft(|draft| draft.channels = names(100)).is_ok());
        let over = (Reason::LimitExceeded, "channels".into());
        assert_eq!(refused(|draft| draft.channels = names(101)), over);
        let bad = (Reason::InvalidInput, "channels".to_owned());
        assert_eq!(refused(|draft| draft.channels.push("a b".into())), bad);
        let secret = "private-encrypted-x".to_owned();
        assert_eq!(refused(|draft| draft.channels.push(secret.clone())), bad);
        assert!(check_draft(|draft| draft.channels = vec![secret.clone(), secret]).is_ok());
        let twice = check_draft(|draft| draft.channels = ["b", "a", "b"].map(Into::into).into());
        let names: Vec<_> = twice.unwrap().channels.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn socket_ids_tags_and_keys() {
        let socket = refused(|draft| draft.socket_id = Some("123".into()));
        assert_eq!(socket, (Reason::InvalidInput, "socket_id".into()));
        let tags = |count: usize, value: usize| -> Tags {
            (0..count).map(|n| (format!("k{n}"), "x".repeat(value))).collect()
        };
        assert!(check_draft(|draft| draft.tags = Some(tags(32, 1_024))).is_ok());
        let over = (Reason::LimitExceeded, "tags".to_owned());
        assert_eq!(refused(|draft| draft.tags = Some(tags(33, 1))), over);
        assert_eq!(refused(|draft| draft.tags = Some(tags(1, 1_025))), over);
        let key = refused(|draft| draft.idempotency_key = Some("x".repeat(129)));
        assert_eq!(key, (Reason::InvalidInput, "idempotency_key".into()));
    }
}
