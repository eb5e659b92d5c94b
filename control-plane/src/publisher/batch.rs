//! Several drafts: all are checked before the first is dispatched.

use std::time::Instant;

use model::{App, Draft, MessageId, Publish, Quota, Reason, Rejection};
use proto::{
    convert,
    internal::{PublishBatchRequest, dispatch_service_client::DispatchServiceClient},
    v1::{Event, TriggerEventBatchResponse, TriggerEventBatchResult},
};

use super::{
    Item, Keyed, Parts, Pending, Publisher, Sending, Way, at_home, event_key, now, traced,
};
use crate::{
    admission,
    content::Content,
    idempotency::{Claimed, Turn, conflict},
};

/// One event of a batch that is to be published.
struct Fresh {
    /// Its place in the batch.
    place: usize,
    draft: Draft,
    message_id: MessageId,
    claimed: Option<Claimed>,
}

impl Publisher {
    /// As [`Publisher::publish_batch`], and waits until all is delivered. A batch with a key goes to the
    /// control plane that is the key's home.
    pub async fn publish_batch_at_home(
        &self,
        app: &App,
        calls: Vec<Event>,
        (key, traceparent): (&str, &str),
        message_id: MessageId,
    ) -> Result<TriggerEventBatchResponse, Rejection> {
        if let Some(home) = self.home(app, key) {
            let request = PublishBatchRequest {
                app_id: app.id.to_string(),
                events: calls.clone(),
                message_id: convert::id_bytes(message_id.0),
                idempotency_key: key.to_owned(),
                forwarded: true,
                traceparent: traceparent.to_owned(),
            };
            let answer = DispatchServiceClient::new(home).publish_batch(request).await;
            if let Some(answer) = at_home(answer) {
                return answer.map(|answer| answer.answer.unwrap_or_default());
            }
        }
        let drafts = traced(calls, traceparent);
        self.publish_batch(app, drafts, key, message_id).await?.delivered().await
    }

    /// Admits several drafts as a whole, then dispatches them in order. `key` names the whole batch;
    /// where it is empty the batch has none. Events whose own key was used already are left out.
    pub async fn publish_batch(
        &self,
        app: &App,
        drafts: Vec<Draft>,
        key: &str,
        message_id: MessageId,
    ) -> Result<Pending<TriggerEventBatchResponse>, Rejection> {
        let Parts { callers, .. } = &*self.parts;
        callers.ready()?;
        let told = |refused| self.told(app, refused);
        check_size(&drafts, app).map_err(told)?;
        if drafts.is_empty() {
            return Ok(Pending::answered(response(Vec::new(), self.quota(app))));
        }
        let turn = self.turn_of_batch(app, &drafts, key).await.map_err(told)?;
        let (whole, message_id) = match turn {
            Turn::Free => (None, message_id),
            Turn::First(claimed) => {
                let named = claimed.message_id();
                (Some(claimed), named)
            }
            Turn::Repeat(results) => {
                return Ok(Pending::answered(response(results.to_vec(), self.quota(app))));
            }
        };
        let turns = self.turns(app, &drafts).await.map_err(told)?;
        self.has_room_for(app).map_err(told)?;
        let now = now();
        let batch = Batch { app, events: drafts.len(), now };
        let quota = self.take(batch, (&drafts, &turns))?;
        let fresh = fresh(drafts, turns, message_id);
        let checked =
            check_all(fresh, app).map_err(|rejection| Rejection { quota, ..rejection })?;
        Ok(self.send_all(batch, checked, whole, quota))
    }

    async fn turn_of_batch(
        &self,
        app: &App,
        drafts: &[Draft],
        key: &str,
    ) -> Result<Turn, Rejection> {
        if key.is_empty() {
            return Ok(Turn::Free);
        }
        admission::check_idempotency_key(Some(key))?;
        let name = Content::of_texts(&["batch", key]);
        self.parts.claims.claim(app, name, Content::of_drafts(drafts)).await
    }

    /// Whose turn each event's own key makes it. Keys are claimed in one order by all batches, so that
    /// no two wait for each other.
    async fn turns(&self, app: &App, drafts: &[Draft]) -> Result<Vec<Turn>, Rejection> {
        let mut turns: Vec<Turn> = drafts.iter().map(|_| Turn::Free).collect();
        let mut keyed = Vec::new();
        for (place, draft) in drafts.iter().enumerate() {
            if let Some(key) = draft.idempotency_key.as_deref() {
                admission::check_idempotency_key(Some(key))
                    .map_err(|refused| at(place, refused))?;
                keyed.push((event_key(key), place));
            }
        }
        keyed.sort_unstable();
        let mut last = None;
        for (key, place) in keyed {
            let content = Content::of_drafts(&drafts[place..=place]);
            turns[place] = match last {
                Some((same, claimed)) if same == key && app.idempotency.is_some() => {
                    if content != claimed {
                        return Err(at(place, conflict()));
                    }
                    Turn::Repeat([].into())
                }
                Some(_) | None => {
                    let claim = self.parts.claims.claim(app, key, content).await;
                    claim.map_err(|refused| at(place, refused))?
                }
            };
            last = Some((key, content));
        }
        Ok(turns)
    }

    /// The sum of what the events cost that have not been published before.
    fn take(
        &self,
        batch: Batch<'_>,
        (drafts, turns): (&[Draft], &[Turn]),
    ) -> Result<Option<Quota>, Rejection> {
        let callers = &self.parts.callers;
        let costs = drafts.iter().zip(turns).map(|(draft, turn)| match turn {
            Turn::Free | Turn::First(_) => draft.channels.len().max(1),
            Turn::Repeat(_) => 0,
        });
        match costs.sum() {
            0 => Ok(callers.look_at_publishes(batch.app, batch.now)),
            cost => callers.take_publish(batch.app, cost, || Content::of_drafts(drafts), batch.now),
        }
    }

    fn send_all(
        &self,
        batch: Batch<'_>,
        events: Vec<(usize, Publish, Option<Claimed>)>,
        whole: Option<Claimed>,
        quota: Option<Quota>,
    ) -> Pending<TriggerEventBatchResponse> {
        let mut claims = Vec::new();
        let mut items = Vec::new();
        for (place, publish, claimed) in events {
            let kept = self.kept(batch.app, claimed.is_some() || whole.is_some());
            items.push(Item { place, publish, kept });
            claims.extend(claimed.map(|claimed| Keyed { place: Some(place), claimed }));
        }
        claims.extend(whole.map(|claimed| Keyed { place: None, claimed }));
        let sending = Sending::start(self.clone(), &batch.app.id, (items, batch.events));
        Pending { way: Way::Sent { sending: Box::new(sending), claims, answer: response }, quota }
    }
}

/// What stays the same throughout a batch.
#[derive(Clone, Copy)]
struct Batch<'a> {
    app: &'a App,
    events: usize,
    now: Instant,
}

fn check_size(drafts: &[Draft], app: &App) -> Result<(), Rejection> {
    let limit = app.limits.batch_events_max as usize;
    if drafts.len() > limit {
        let message = format!("the batch has {} events, the limit is {limit}", drafts.len());
        return Err(Rejection::field(Reason::LimitExceeded, "batch", message));
    }
    Ok(())
}

/// The events that are not repeats, each with its own id.
fn fresh(drafts: Vec<Draft>, turns: Vec<Turn>, batch: MessageId) -> Vec<Fresh> {
    let events = drafts.into_iter().zip(turns).enumerate();
    let fresh = events.filter_map(|(place, (draft, turn))| match turn {
        Turn::Free => {
            Some(Fresh { place, draft, message_id: event_id(batch, place), claimed: None })
        }
        Turn::First(claimed) => {
            let message_id = claimed.message_id();
            Some(Fresh { place, draft, message_id, claimed: Some(claimed) })
        }
        Turn::Repeat(_) => None,
    });
    fresh.collect()
}

/// Each event of a batch has its own id: the batch's, with the event's place below that of the channel.
fn event_id(batch: MessageId, place: usize) -> MessageId {
    MessageId(batch.0 ^ ((place as u128) << 96))
}

/// All events, or the first mistake; data that is too large comes before other mistakes.
fn check_all(
    fresh: Vec<Fresh>,
    app: &App,
) -> Result<Vec<(usize, Publish, Option<Claimed>)>, Rejection> {
    for Fresh { place, draft, .. } in &fresh {
        if let Some(data) = &draft.data {
            admission::check_payload(data, &app.limits).map_err(|refused| at(*place, refused))?;
        }
    }
    let checked = fresh.into_iter().map(|Fresh { place, draft, message_id, claimed }| {
        let publish = admission::check(draft, &app.limits, message_id)
            .map_err(|refused| at(place, refused))?;
        Ok((place, publish, claimed))
    });
    checked.collect()
}

/// The event at fault is named.
fn at(place: usize, rejection: Rejection) -> Rejection {
    Rejection { field: format!("batch[{place}].{}", rejection.field).into(), ..rejection }
}

fn response(
    results: Vec<TriggerEventBatchResult>,
    quota: Option<Quota>,
) -> TriggerEventBatchResponse {
    TriggerEventBatchResponse { results, rate_limit: quota.map(Into::into) }
}
