//! Batches: checked as a whole, delivered in order.

use model::{Reason, Rejection};
use proto::{
    convert,
    internal::PublishBatchRequest,
    v1::{AppLimits, Event, TriggerEventBatchRequest, TriggerEventBatchResponse},
};

use crate::fixture::{Fixture, counted, event, refused, said, signed};

impl Fixture {
    pub(crate) async fn batch(
        &self,
        events: Vec<Event>,
        key: &str,
    ) -> Result<TriggerEventBatchResponse, Rejection> {
        let request = PublishBatchRequest {
            app_id: "a".into(),
            events,
            message_id: convert::id_bytes(5 << 64),
            idempotency_key: key.into(),
            traceparent: String::new(),
            forwarded: false,
        };
        let answer = said(self.internal.clone().publish_batch(request).await)?;
        Ok(answer.answer.unwrap())
    }
}

fn named(name: &str, channels: &[&str]) -> Event {
    Event { name: name.into(), ..event(channels) }
}

#[tokio::test]
async fn a_batch_is_delivered_in_order_with_ids_of_its_own() {
    let fixture = Fixture::start(AppLimits::default()).await;
    fixture.subscribe(&[("x", 2), ("y", 1)]).await;
    fixture.until("y", 1).await;
    let events = || vec![counted(named("1", &["x"])), named("2", &["x", "y"]), named("3", &["y"])];
    let answer = fixture.batch(events(), "").await.unwrap();
    let counts: Vec<Vec<_>> = answer
        .results
        .iter()
        .map(|result| result.channels.iter().map(|info| info.subscription_count).collect())
        .collect();
    assert_eq!(counts, [vec![Some(2)], vec![], vec![]]);
    let mut ids = Vec::new();
    for (name, channel) in [("1", "x"), ("2", "x"), ("2", "y"), ("3", "y")] {
        let event = fixture.event().await;
        assert_eq!((&*event.name, &*event.channel), (name, channel));
        ids.push(event.message_id);
    }
    // A gateway that tries again has the same id, and so have the events.
    fixture.batch(events(), "").await.unwrap();
    for id in &ids {
        assert_eq!(fixture.event().await.message_id, *id);
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[tokio::test]
async fn one_bad_event_refuses_the_batch() {
    let limits = AppLimits { batch_events_max: Some(3), ..AppLimits::default() };
    let fixture = Fixture::start(limits).await;
    fixture.subscribe(&[("x", 1)]).await;
    fixture.until("x", 1).await;
    let large = Event { data: Some("x".repeat(102_401)), ..event(&["x"]) };
    let many = vec![event(&["x"]); 4];
    for (events, reason, field) in [
        (vec![event(&["x"]), named("", &["x"])], Reason::InvalidInput, "batch[1].name"),
        (vec![event(&["x"]), event(&[])], Reason::MissingChannel, "batch[1].channels"),
        (vec![named("", &["x"]), large.clone()], Reason::PayloadTooLarge, "batch[1].data"),
        (vec![large], Reason::PayloadTooLarge, "batch[0].data"),
        (many, Reason::LimitExceeded, "batch"),
    ] {
        refused(fixture.batch(events.clone(), "").await, reason, field);
        let call = TriggerEventBatchRequest { app_id: "a".into(), events };
        let answer = said(fixture.public.clone().trigger_event_batch(signed(call)).await);
        refused(answer, reason, field);
    }
    let nothing = fixture.batch(Vec::new(), "").await.unwrap();
    assert_eq!(nothing, TriggerEventBatchResponse::default());
    fixture.nothing().await;
}

#[tokio::test]
async fn a_batch_costs_the_sum_of_its_channels() {
    let limits = AppLimits { backend_events_per_second: Some(8), ..AppLimits::default() };
    let fixture = Fixture::start(limits).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let events = || vec![event(&["x", "y"]), event(&["z"])];
    let left = fixture.batch(events(), "").await.unwrap().rate_limit.unwrap();
    assert_eq!((left.limit, left.remaining), (8, 5));
    let left = fixture.batch(Vec::new(), "").await.unwrap().rate_limit.unwrap();
    assert_eq!(left.remaining, 5);
    fixture.batch(events(), "").await.unwrap();
    refused(fixture.batch(events(), "").await, Reason::RateLimited, "");
}
