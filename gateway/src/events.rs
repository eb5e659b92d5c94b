//! `POST /apps/{appId}/events` and `/batch_events`: what backends publish.

use model::{AppId, Reason, Rejection, ShardId};
use proto::{
    convert,
    internal::{PublishBatchRequest, PublishRequest},
};

use crate::{
    body,
    gateway::Gateway,
    response::{Answer, BatchBody, Counts, PublishBody},
    signed::Signed,
};

/// Publishes the event in the body.
pub(crate) async fn publish(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let started = tokio::time::Instant::now();
    let mut event = body::event(&signed.body)?;
    if event.idempotency_key.is_empty() {
        event.idempotency_key = idempotency_key(&signed)?;
    }
    let info_wanted = event.info.is_some();
    let shard = home(&signed.app.id, &event.idempotency_key, event.channels.first());
    let request = PublishRequest {
        app_id: signed.app_id(),
        event: Some(event),
        message_id: convert::id_bytes(signed.ids.message_id.0),
        traceparent: signed.ids.traceparent,
        forwarded: false,
    };
    let published =
        gateway.control_planes().call(shard, request, |mut client, request| async move {
            client.publish(request).await
        });
    let published = published.await;
    gateway.metrics().publish_duration.observe(started.elapsed().as_secs_f64());
    let published = published?;
    Ok(match info_wanted {
        true => Answer::json(&PublishBody { channels: published.channels }, published.rate_limit),
        false => Answer::ok(published.rate_limit),
    })
}

/// Publishes the events in the body: all of them or, where one is refused, none.
pub(crate) async fn publish_batch(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let started = tokio::time::Instant::now();
    let events = body::batch(&signed.body)?;
    let info_wanted = events.iter().any(|event| event.info.is_some());
    let key = idempotency_key(&signed)?;
    let first = events.first().and_then(|event| event.channels.first());
    let shard = home(&signed.app.id, &key, first);
    let request = PublishBatchRequest {
        app_id: signed.app_id(),
        events,
        message_id: convert::id_bytes(signed.ids.message_id.0),
        idempotency_key: key,
        forwarded: false,
        traceparent: signed.ids.traceparent,
    };
    let published =
        gateway.control_planes().call(shard, request, |mut client, request| async move {
            client.publish_batch(request).await
        });
    let published = published.await;
    gateway.metrics().publish_duration.observe(started.elapsed().as_secs_f64());
    let published = published?.answer.unwrap_or_default();
    if !info_wanted {
        return Ok(Answer::json(&Counts::default(), published.rate_limit));
    }
    // An event for several channels is answered by its first one.
    let first = published.results.iter().map(|result| result.channels.first());
    let batch = first.map(|info| info.map(Counts::from).unwrap_or_default()).collect();
    Ok(Answer::json(&BatchBody { batch }, published.rate_limit))
}

/// Where a publish is admitted: at the home of its idempotency key, else of its first channel.
fn home(app: &AppId, key: &str, channel: Option<&String>) -> ShardId {
    match (key, channel) {
        ("", channel) => ShardId::of(app, channel.map_or("", String::as_str)),
        (key, _) => ShardId::of(app, key),
    }
}

/// The header's key; empty where there is none.
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
