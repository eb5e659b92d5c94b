//! Idempotency keys: one delivery, one answer.

use std::time::Duration;

use model::Reason;
use proto::{
    internal::PublishRequest,
    v1::{AppLimits, Event, TriggerEventStreamRequest, trigger_event_stream_response::Outcome},
};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::fixture::{Fixture, MOMENT, PATIENCE, counted, event, refused, signed};

fn keyed(key: &str, data: &str) -> Event {
    Event { idempotency_key: key.into(), data: Some(data.into()), ..counted(event(&["x"])) }
}

async fn start(limits: AppLimits) -> Fixture {
    let fixture = Fixture::start(limits).await;
    fixture.subscribe(&[("x", 1)]).await;
    fixture.until("x", 1).await;
    fixture
}

#[tokio::test]
async fn a_key_delivers_once_and_answers_the_same() {
    let fixture = start(AppLimits::default()).await;
    let first = fixture.publish(keyed("k", "1")).await.unwrap();
    let id = fixture.event().await.message_id;
    fixture.subscribe(&[("x", 9)]).await;
    fixture.until("x", 9).await;
    // Through either service, and although the counts are others by now.
    assert_eq!(fixture.publish(keyed("k", "1")).await.unwrap(), first);
    assert_eq!(fixture.trigger(keyed("k", "1")).await.unwrap(), first);
    assert_eq!(first.channels[0].subscription_count, Some(1));
    fixture.nothing().await;
    refused(fixture.publish(keyed("k", "2")).await, Reason::Conflict, "idempotency_key");
    fixture.publish(keyed("other", "1")).await.unwrap();
    assert_ne!(fixture.event().await.message_id, id);
    // The id comes of the app, the key and the content: so it is on every control plane.
    let elsewhere = start(AppLimits::default()).await;
    elsewhere.publish(keyed("k", "1")).await.unwrap();
    assert_eq!(elsewhere.event().await.message_id, id);
}

#[tokio::test]
async fn a_refused_publish_leaves_its_key_free() {
    let limits = AppLimits { backend_events_per_second: Some(1), ..AppLimits::default() };
    let fixture = start(limits).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let too_long = "k".repeat(129);
    refused(fixture.publish(keyed(&too_long, "1")).await, Reason::InvalidInput, "idempotency_key");
    let wrong = Event { name: String::new(), ..keyed("k", "1") };
    refused(fixture.publish(wrong).await, Reason::InvalidInput, "name");
    let refusal = refused(fixture.publish(keyed("k", "2")).await, Reason::RateLimited, "");
    let wait = Duration::from_millis(refusal.quota.unwrap().reset_ms.into());
    tokio::time::sleep(wait).await;
    fixture.publish(keyed("k", "3")).await.unwrap();
    assert_eq!(&fixture.event().await.data[..], b"3");
    // A repeat costs nothing.
    fixture.publish(keyed("k", "3")).await.unwrap();
    fixture.nothing().await;
}

#[tokio::test]
async fn who_comes_while_the_first_is_under_way_waits() {
    let fixture = start(AppLimits::default()).await;
    fixture.acknowledge(false);
    let mut first = Box::pin(fixture.publish(keyed("k", "1")));
    assert!(timeout(MOMENT, &mut first).await.is_err(), "the node has not acknowledged");
    fixture.event().await;
    let mut second = Box::pin(fixture.trigger(keyed("k", "1")));
    assert!(timeout(MOMENT / 2, &mut second).await.is_err(), "it waits for the first");
    refused(fixture.publish(keyed("k", "2")).await, Reason::Conflict, "idempotency_key");
    // The node is silent for too long, so the first is answered without it.
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), second.unwrap());
    fixture.nothing().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_what_it_published() {
    let fixture = start(AppLimits::default()).await;
    fixture.acknowledge(false);
    let mut client = fixture.internal.clone();
    let request = PublishRequest {
        app_id: "a".into(),
        event: Some(keyed("k", "1")),
        message_id: proto::convert::id_bytes(1),
        traceparent: String::new(),
        forwarded: false,
    };
    assert!(timeout(MOMENT, client.publish(request)).await.is_err(), "it gives up");
    fixture.event().await;
    // It waits for the node as the first one would have.
    let answer = timeout(PATIENCE, fixture.publish(keyed("k", "1"))).await;
    assert_eq!(answer.unwrap().unwrap().channels.len(), 1);
    fixture.nothing().await;
}

#[tokio::test]
async fn a_stream_delivers_a_key_once_and_answers_each_time() {
    let fixture = start(AppLimits::default()).await;
    let request =
        |event: Event| TriggerEventStreamRequest { app_id: "a".into(), event: Some(event) };
    let requests = [keyed("k", "1"), keyed("k", "1"), keyed("k", "2"), keyed("", "3")];
    let requests = tokio_stream::iter(requests.map(request));
    let mut client = fixture.public.clone();
    let answers = client.trigger_event_stream(signed(requests)).await.unwrap().into_inner();
    let answers: Vec<_> = answers.map(|answer| answer.unwrap().outcome.unwrap()).collect().await;
    let [first, second, Outcome::Error(conflict), Outcome::Response(_)] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert_eq!(first, second);
    assert_eq!(conflict.code, tonic::Code::Aborted as i32);
    for data in ["1", "3"] {
        assert_eq!(&fixture.event().await.data[..], data.as_bytes());
    }
    fixture.nothing().await;
}

#[tokio::test]
async fn a_batch_leaves_out_what_was_published_before() {
    let fixture = start(AppLimits::default()).await;
    fixture.publish(keyed("k", "1")).await.unwrap();
    fixture.event().await;
    let events = vec![keyed("k", "1"), keyed("new", "2"), keyed("new", "2"), keyed("", "3")];
    let answer = fixture.batch(events, "").await.unwrap();
    let known: Vec<usize> = answer.results.iter().map(|result| result.channels.len()).collect();
    assert_eq!(known, [0, 1, 0, 1]);
    for data in ["2", "3"] {
        assert_eq!(&fixture.event().await.data[..], data.as_bytes());
    }
    let conflict = vec![keyed("", "4"), keyed("k", "other")];
    let field = "batch[1].idempotency_key";
    refused(fixture.batch(conflict, "").await, Reason::Conflict, field);
    let conflict = vec![keyed("twice", "1"), keyed("twice", "2")];
    refused(fixture.batch(conflict, "").await, Reason::Conflict, field);
    fixture.nothing().await;
    // What was claimed before the conflict was seen is free again.
    fixture.publish(keyed("twice", "3")).await.unwrap();
}

#[tokio::test]
async fn a_key_of_a_batch_names_all_of_it() {
    let fixture = start(AppLimits::default()).await;
    let events = |data| vec![keyed("", data), keyed("", "2")];
    let first = fixture.batch(events("1"), "k").await.unwrap();
    assert_eq!(fixture.batch(events("1"), "k").await.unwrap(), first);
    for data in ["1", "2"] {
        assert_eq!(&fixture.event().await.data[..], data.as_bytes());
    }
    refused(fixture.batch(events("3"), "k").await, Reason::Conflict, "idempotency_key");
    // The key of an event is another thing.
    fixture.publish(keyed("k", "9")).await.unwrap();
    assert_eq!(&fixture.event().await.data[..], b"9");
    fixture.nothing().await;
}
