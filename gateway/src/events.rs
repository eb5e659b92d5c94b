//! `POST /apps/{appId}/events`: one event to one or more channels.

use std::fmt::Write as _;

use bytes::Bytes;
use model::{Quota, Reason, Rejection};
use proto::{convert, internal::PublishRequest, v1::ChannelInfo};

use crate::{body, gateway::Gateway, response::Answer, signed::Signed};

/// Publishes the event in the body.
pub(crate) async fn publish(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let started = tokio::time::Instant::now();
    let mut event = body::event(&signed.body)?;
    if event.idempotency_key.is_empty() {
        event.idempotency_key = idempotency_key(&signed)?;
    }
    let info_wanted = event.info.is_some();
    let published = gateway.control_planes().publish(PublishRequest {
        app_id: signed.app.id.as_str().to_owned(),
        event: Some(event),
        message_id: convert::id_bytes(gateway.message_id().0),
    });
    let published = published.await;
    gateway.metrics().publish_duration.observe(started.elapsed().as_secs_f64());
    let published = published?;
    let body = match info_wanted {
        true => Bytes::from(channels(&published.channels)),
        false => Bytes::from_static(br#"{"ok":true}"#),
    };
    Ok(Answer { body, quota: published.rate_limit.map(Quota::from) })
}

/// The header's key, for a body that has none.
fn idempotency_key(signed: &Signed) -> Result<String, Rejection> {
    let Some(header) = signed.head.headers.get("x-idempotency-key") else {
        return Ok(String::new());
    };
    match std::str::from_utf8(header.as_bytes()) {
        Ok(key) if !key.is_empty() => Ok(key.to_owned()),
        Ok(_) | Err(_) => Err(Rejection::field(
            Reason::InvalidInput,
            "X-Idempotency-Key",
            "X-Idempotency-Key must be UTF-8 and not empty",
        )),
    }
}

/// `{"channels":{…}}`, in the order of the request; `{}` for a channel with nothing to report.
fn channels(infos: &[ChannelInfo]) -> String {
    let mut text = String::from(r#"{"channels":{"#);
    for (place, info) in infos.iter().enumerate() {
        let joint = if place == 0 { "" } else { "," };
        let name = serde_json::Value::from(&*info.channel);
        let counts =
            [("subscription_count", info.subscription_count), ("user_count", info.user_count)];
        let known = counts.into_iter().filter_map(|(key, count)| Some((key, count?)));
        let counts: Vec<_> = known.map(|(key, count)| format!(r#""{key}":{count}"#)).collect();
        let written = write!(text, "{joint}{name}:{{{}}}", counts.join(","));
        written.expect("a String takes all text");
    }
    text.push_str("}}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(channel: &str, subscriptions: Option<u32>, users: Option<u32>) -> ChannelInfo {
        ChannelInfo {
            channel: channel.into(),
            subscription_count: subscriptions,
            user_count: users,
        }
    }

    #[test]
    fn channels_keep_their_order_and_names() {
        let infos = [
            info("z", Some(3), None),
            info("presence-a@b;c=1", Some(5), Some(2)),
            info("#server-to-user-\"ü\"", None, None),
        ];
        let expected = concat!(
            r##"{"channels":{"z":{"subscription_count":3},"##,
            r##""presence-a@b;c=1":{"subscription_count":5,"user_count":2},"##,
            r##""#server-to-user-\"ü\"":{}}}"##
        );
        assert_eq!(channels(&infos), expected);
        assert_eq!(channels(&[]), r#"{"channels":{}}"#);
    }
}
