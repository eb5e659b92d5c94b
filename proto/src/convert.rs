//! Wire to words and back: the only place that speaks both.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use model::{
    App, AppId, AppKey, AppSecret, ChannelName, Draft, Features, InfoWanted, Limits, MessageId,
    MessageLimit, OriginPattern, Quota, Reason, Rejection, Secrets, SocketId,
};

use crate::{internal, v1};

mod deltas;
mod webhooks;

impl From<v1::Event> for Draft {
    fn from(event: v1::Event) -> Self {
        Self {
            name: event.name,
            data: event.data.map(Bytes::from),
            channels: event.channels,
            socket_id: Some(event.socket_id).filter(|id| !id.is_empty()),
            info: event.info.map(|info| InfoWanted {
                subscription_count: info.subscription_count,
                user_count: info.user_count,
            }),
            tags: event.tags.map(|tags| tags.pairs),
            delta: event.delta,
            idempotency_key: Some(event.idempotency_key).filter(|key| !key.is_empty()),
            traceparent: String::new(),
        }
    }
}

impl From<Quota> for v1::RateLimit {
    fn from(quota: Quota) -> Self {
        Self { limit: quota.limit, remaining: quota.remaining, reset_ms: quota.reset_ms }
    }
}

impl From<v1::RateLimit> for Quota {
    fn from(limit: v1::RateLimit) -> Self {
        Self { limit: limit.limit, remaining: limit.remaining, reset_ms: limit.reset_ms }
    }
}

impl From<SocketId> for internal::ExcludedSocket {
    fn from(id: SocketId) -> Self {
        Self { left: id.left, right: id.right }
    }
}

impl From<internal::ExcludedSocket> for SocketId {
    fn from(id: internal::ExcludedSocket) -> Self {
        Self { left: id.left, right: id.right }
    }
}

impl internal::DispatchedEvent {
    /// Whose channel it is for; `None` where that is no app's id.
    #[must_use]
    pub fn names(&self) -> Option<(AppId, ChannelName)> {
        Some((AppId::parse(&self.app_id).ok()?, ChannelName::trusted(&self.channel)))
    }
}

/// 16 bytes on the wire.
#[must_use]
pub fn id_bytes(id: u128) -> Bytes {
    Bytes::copy_from_slice(&id.to_be_bytes())
}

/// An id of 16 bytes; `None` for any other length.
#[must_use]
pub fn id_from_bytes(bytes: &[u8]) -> Option<u128> {
    bytes.try_into().ok().map(u128::from_be_bytes)
}

/// Bytes as they stand in logs, written when they are shown: most logs leave them out.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A message id of 16 bytes.
pub fn message_id(bytes: &[u8]) -> Result<MessageId, Rejection> {
    id_from_bytes(bytes).map(MessageId).ok_or_else(|| {
        let message = format!("message_id has {} bytes, not 16", bytes.len());
        Rejection::field(Reason::InvalidInput, "message_id", message)
    })
}

impl TryFrom<&internal::AppRecord> for App {
    type Error = Rejection;

    fn try_from(record: &internal::AppRecord) -> Result<Self, Rejection> {
        let app = record.app.as_ref().ok_or_else(|| {
            Rejection::field(Reason::InvalidInput, "app", "the record has no app")
        })?;
        let id = AppId::parse(&app.app_id)
            .map_err(|error| Rejection::field(Reason::InvalidInput, "app_id", error.to_string()))?;
        check_key(&app.key)?;
        check_secret(&record.current_secret)?;
        let previous = Some(&record.previous_secret).filter(|secret| !secret.is_empty());
        Ok(Self {
            id,
            key: AppKey(Arc::from(&*app.key)),
            secrets: Secrets {
                current: AppSecret::new(&record.current_secret),
                previous: previous.map(|secret| AppSecret::new(secret)),
            },
            enabled: app.enabled.unwrap_or(true),
            limits: limits(app.limits.as_ref())?,
            features: features(app.features.as_ref()),
            allowed_origins: origins(&app.allowed_origins)?,
            webhooks: webhooks::read(&app.webhooks)?,
            channel_deltas: deltas::read(&app.channel_delta_compression)?,
            idempotency: idempotency(app.idempotency.as_ref())?,
            revision: app.revision,
        })
    }
}

/// An app key: 1 to 128 visible ASCII characters, none of them with a meaning in URLs.
pub fn check_key(key: &str) -> Result<(), Rejection> {
    let allowed = |byte: u8| byte.is_ascii_graphic() && !b"/?#:&%".contains(&byte);
    if key.is_empty() || key.len() > 128 || !key.bytes().all(allowed) {
        let message = format!(
            "an app key has 1 to 128 visible ASCII characters but / ? # : & % (this one has {} bytes)",
            key.len()
        );
        return Err(Rejection::field(Reason::InvalidInput, "key", message));
    }
    Ok(())
}

/// An app secret: 1 to 256 bytes.
pub fn check_secret(secret: &str) -> Result<(), Rejection> {
    if secret.is_empty() || secret.len() > 256 {
        let message = format!("a secret has 1 to 256 bytes (this one has {})", secret.len());
        return Err(Rejection::field(Reason::InvalidInput, "secret", message));
    }
    Ok(())
}

fn limits(wire: Option<&v1::AppLimits>) -> Result<Limits, Rejection> {
    let default = Limits::default();
    let Some(wire) = wire else { return Ok(default) };
    let unlimited_at_zero = |value: Option<u32>| value.filter(|value| *value > 0);
    // The field's name is the one in the error, so it is written once.
    macro_rules! bounded {
        ($field:ident, $most:expr) => {
            within(stringify!($field), wire.$field, default.$field, $most)?
        };
    }
    let kib =
        |name, value, default, most| within(name, value, default, most).map(|kib| kib * 1_024);
    let (payload, member) = (wire.event_payload_kib_max, wire.presence_member_kib_max);
    let presence_members_max = bounded!(presence_members_max, 100_000);
    let presence_member_bytes_max = kib("presence_member_kib_max", member, 2, 1_024)?;
    check_roster(presence_members_max, presence_member_bytes_max)?;
    Ok(Limits {
        connections_max: unlimited_at_zero(wire.connections_max),
        channels_per_connection_max: bounded!(channels_per_connection_max, 100_000),
        backend_events_per_second: unlimited_at_zero(wire.backend_events_per_second),
        read_requests_per_second: unlimited_at_zero(wire.read_requests_per_second),
        client_events_per_second: unlimited_at_zero(wire.client_events_per_second),
        client_events_window_seconds: bounded!(client_events_window_seconds, 86_400),
        client_events_terminate: wire.client_events_terminate.unwrap_or(false),
        messages: messages(wire.message_rate_limit.as_ref())?,
        event_name_chars_max: bounded!(event_name_chars_max, 1_024),
        channel_name_bytes_max: bounded!(channel_name_bytes_max, 1_024),
        channels_per_event_max: bounded!(channels_per_event_max, 10_000),
        event_payload_bytes_max: kib("event_payload_kib_max", payload, 100, 10_240)?,
        batch_events_max: bounded!(batch_events_max, 10_000),
        presence_members_max,
        presence_member_bytes_max,
        user_authentication_timeout_seconds: bounded!(user_authentication_timeout_seconds, 86_400),
    })
}

fn messages(wire: Option<&v1::MessageRateLimit>) -> Result<Option<MessageLimit>, Rejection> {
    let Some(wire) = wire.filter(|wire| wire.enabled) else { return Ok(None) };
    let setting =
        |name, value, most| setting(&format!("limits.message_rate_limit.{name}"), value, 60, most);
    Ok(Some(MessageLimit {
        attempts_max: setting("attempts_max", wire.attempts_max, 1_000_000)?,
        window_seconds: setting("window_seconds", wire.window_seconds, 86_400)?,
        terminate: wire.terminate_on_limit,
    }))
}

/// The largest roster, in KiB: who joins is told all of it in one frame, and a node in one message.
const ROSTER_KIB_MAX: u64 = 32_768;

fn check_roster(members: u32, member_bytes: u32) -> Result<(), Rejection> {
    let kib = u64::from(members) * u64::from(member_bytes / 1_024);
    if kib <= ROSTER_KIB_MAX {
        return Ok(());
    }
    let message = format!(
        "presence_members_max times presence_member_kib_max is {kib} KiB, the limit is {ROSTER_KIB_MAX}"
    );
    Err(Rejection::field(Reason::InvalidInput, "limits.presence_members_max", message))
}

/// A limit of 1 to `most`, or the default where it is absent.
fn within(name: &str, value: Option<u32>, default: u32, most: u32) -> Result<u32, Rejection> {
    setting(&format!("limits.{name}"), value, default, most)
}

/// A number of 1 to `most`, or the default where it is absent. The name is the one in the error.
fn setting(name: &str, value: Option<u32>, default: u32, most: u32) -> Result<u32, Rejection> {
    match value {
        None => Ok(default),
        Some(value) if (1..=most).contains(&value) => Ok(value),
        Some(value) => {
            let message = format!("{name} is {value}, allowed are 1 to {most}");
            Err(Rejection::field(Reason::InvalidInput, name.to_owned(), message))
        }
    }
}

fn features(wire: Option<&v1::AppFeatures>) -> Features {
    let wire = wire.copied().unwrap_or_default();
    Features {
        client_events: wire.client_events.unwrap_or(false),
        user_authentication: wire.user_authentication.unwrap_or(false),
        watchlist_events: wire.watchlist_events.unwrap_or(false),
        subscription_count_events: wire.subscription_count_events.unwrap_or(false),
        tag_filtering: wire.tag_filtering.unwrap_or(true),
        tags_delivered: wire.tags_delivered.unwrap_or(true),
        delta_compression: wire.delta_compression.unwrap_or(true),
    }
}

fn idempotency(wire: Option<&v1::IdempotencySettings>) -> Result<Option<Duration>, Rejection> {
    let Some(wire) = wire else { return Ok(Some(App::IDEMPOTENCY)) };
    let default = App::IDEMPOTENCY.as_secs() as u32;
    let seconds = setting("idempotency.ttl_seconds", wire.ttl_seconds, default, 86_400)?;
    Ok(wire.enabled.unwrap_or(true).then(|| Duration::from_secs(seconds.into())))
}

fn origins(wire: &[String]) -> Result<Vec<OriginPattern>, Rejection> {
    let refuse =
        |message: String| Err(Rejection::field(Reason::InvalidInput, "allowed_origins", message));
    if wire.len() > 100 {
        return refuse(format!("allowed_origins has {} entries, the limit is 100", wire.len()));
    }
    for origin in wire {
        let inner = origin.trim().trim_start_matches('*').trim_end_matches('*');
        let wildcards = origin.matches('*').count();
        if origin.len() > 256 || origin.trim().is_empty() {
            return refuse(format!("an origin has 1 to 256 bytes, one has {}", origin.len()));
        }
        if inner.contains('*') || wildcards > 1 {
            return refuse(format!(
                "{origin:?} has a wildcard elsewhere than once at its start or end"
            ));
        }
    }
    Ok(wire.iter().map(|origin| OriginPattern::new(origin)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> internal::AppRecord {
        internal::AppRecord {
            app: Some(v1::App {
                app_id: "a".into(),
                key: "k".into(),
                revision: 7,
                ..v1::App::default()
            }),
            current_secret: "s".into(),
            previous_secret: String::new(),
        }
    }

    #[test]
    fn an_empty_record_has_the_documented_defaults() {
        let app = App::try_from(&record()).unwrap();
        assert_eq!(app.limits, Limits::default());
        assert!(app.enabled && app.features.tag_filtering && !app.features.client_events);
        assert_eq!((app.revision, app.secrets.previous), (7, None));
    }

    #[test]
    fn a_bad_field_is_named() {
        let check = |field: &str, change: fn(&mut internal::AppRecord)| {
            let mut record = record();
            change(&mut record);
            assert_eq!(App::try_from(&record).unwrap_err().field, field);
        };
        check("app", |record| record.app = None);
        check("app_id", |record| record.app.as_mut().unwrap().app_id = "a/b".into());
        check("key", |record| record.app.as_mut().unwrap().key = "a:b".into());
        check("secret", |record| record.current_secret.clear());
        check("limits.presence_members_max", |record| {
            record.app.as_mut().unwrap().limits = Some(v1::AppLimits {
                presence_members_max: Some(16_385),
                ..v1::AppLimits::default()
            });
        });
        check("limits.batch_events_max", |record| {
            record.app.as_mut().unwrap().limits =
                Some(v1::AppLimits { batch_events_max: Some(0), ..v1::AppLimits::default() });
        });
        check("allowed_origins", |record| {
            record.app.as_mut().unwrap().allowed_origins = vec!["a*b".into()];
        });
    }
}
