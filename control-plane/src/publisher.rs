//! From a draft to the nodes' acknowledgements: admit, dispatch, wait.

mod batch;
mod sending;

use std::{sync::Arc, time::Instant};

use model::{
    App, AppId, ChannelKind, ChannelName, Draft, MessageId, Publish, Quota, Reason, Rejection,
    ShardId,
};
use proto::{
    convert,
    internal::{
        AppDemand, DispatchedEvent, PublishRequest, PublishResponse,
        dispatch_service_client::DispatchServiceClient,
    },
    link::Link,
    status::to_rejection,
    v1::{
        ChannelInfo, Event, TerminateUserConnectionsResponse, TriggerEventBatchResult,
        TriggerEventResponse,
    },
};
use tonic::{Response, Status};

use crate::{
    admission,
    callers::Callers,
    content::Content,
    idempotency::{Claimed, Claims, Results, Turn},
    metrics::DispatchMetrics,
    nodes::Nodes,
    reads::Reads,
    replicas::{Replicas, forward::Forward},
    shards::{Dispatched, Sending as To, Shards, event},
};
use sending::{Item, Sending};

/// Publishes for any app; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    callers: Arc<Callers>,
    claims: Arc<Claims>,
    shards: Arc<Shards>,
    nodes: Arc<Nodes>,
    replicas: Arc<Replicas>,
    metrics: DispatchMetrics,
}

/// Where events go.
#[derive(Debug)]
pub struct Ways {
    /// Channels by shard.
    pub shards: Arc<Shards>,
    /// Attached nodes.
    pub nodes: Arc<Nodes>,
    /// All control planes.
    pub replicas: Arc<Replicas>,
}

/// What is on its way, is not yet acknowledged by all nodes, and will be answered with `A`.
#[derive(Debug)]
pub struct Pending<A> {
    way: Way<A>,
    quota: Option<Quota>,
}

#[derive(Debug)]
enum Way<A> {
    /// There is nothing to wait for.
    Answered(A),
    /// Events on their way to nodes; what is answered once they are there.
    Sent { sending: Box<Sending>, claims: Vec<Keyed>, answer: Answer<A> },
}

/// Makes an answer of what became of each event.
type Answer<A> = fn(Vec<TriggerEventBatchResult>, Option<Quota>) -> A;

/// A key that is ours.
#[derive(Debug)]
struct Keyed {
    /// The event's place; `None` where the key is that of the whole batch.
    place: Option<usize>,
    claimed: Claimed,
}

impl<A> Pending<A> {
    fn answered(answer: A) -> Self {
        Self { way: Way::Answered(answer), quota: None }
    }

    /// Waits until every healthy interested node has queued the events. It ends by itself: a node that
    /// is silent leaves the set within [`crate::node::LAG_MAX`] and a tick, and a shard that nobody
    /// owns is waited for for a bounded time.
    pub async fn delivered(self) -> Result<A, Rejection> {
        let Self { way, quota } = self;
        let (sending, claims, answer) = match way {
            Way::Answered(answer) => return Ok(answer),
            Way::Sent { sending, claims, answer } => (sending, claims, answer),
        };
        let results = match claims.is_empty() {
            true => deliver(*sending, claims).await,
            // Those who come with the same key are answered although this caller may go away.
            false => tokio::spawn(deliver(*sending, claims)).await.unwrap_or_else(|_| {
                Err(Rejection::new(Reason::Internal, "the delivery of the events panicked"))
            }),
        };
        let results = results.map_err(|rejection| Rejection { quota, ..rejection })?;
        Ok(answer(results, quota))
    }
}

/// Waits for the events, and says what became of them to those who come with the same keys.
async fn deliver(
    mut sending: Sending,
    claims: Vec<Keyed>,
) -> Result<Vec<TriggerEventBatchResult>, Rejection> {
    sending.delivered().await?;
    let results = sending.results();
    for Keyed { place, mut claimed } in claims {
        claimed.dispatched(match place {
            Some(place) => [results[place].clone()].into(),
            None => results.as_slice().into(),
        });
    }
    Ok(results)
}

impl Publisher {
    /// Publishes for these callers.
    #[must_use]
    pub fn new(callers: Callers, ways: Ways, metrics: DispatchMetrics) -> Self {
        let claims = Claims::new(metrics.clone());
        let (callers, Ways { shards, nodes, replicas }) = (Arc::new(callers), ways);
        Self { parts: Arc::new(Parts { callers, claims, shards, nodes, replicas, metrics }) }
    }

    /// What answers questions about channels, for the same callers.
    #[must_use]
    pub fn reads(&self) -> Reads {
        Reads::new(Arc::clone(&self.parts.callers), Arc::clone(&self.parts.shards))
    }

    /// The app of a publish: it must exist and be enabled.
    pub fn app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        self.parts.callers.app(id)
    }

    /// The app of a publish, enabled or not.
    pub fn known_app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        self.parts.callers.known_app(id)
    }

    /// Admits and dispatches one draft. Where its key is in use it waits for what becomes of that.
    pub async fn publish(
        &self,
        app: &App,
        draft: Draft,
        message_id: MessageId,
    ) -> Result<Pending<TriggerEventResponse>, Rejection> {
        let Parts { callers, .. } = &*self.parts;
        callers.ready()?;
        let turn = self.turn_of(app, &draft).await.map_err(|refused| self.told(app, refused))?;
        let (claimed, message_id) = match turn {
            Turn::Free => (None, message_id),
            Turn::First(claimed) => {
                let named = claimed.message_id();
                (Some(claimed), named)
            }
            Turn::Repeat(results) => {
                return Ok(Pending::answered(response(self.quota(app), first(&results))));
            }
        };
        let (now, channels) = (now(), draft.channels.len());
        let content = || Content::of_drafts(std::slice::from_ref(&draft));
        self.has_room_for(app).map_err(|refused| self.told(app, refused))?;
        let quota = callers.take_publish(app, channels, content, now)?;
        let publish = admission::check(draft, &app.limits, message_id)
            .map_err(|rejection| Rejection { quota, ..rejection })?;
        let is_keyed = claimed.is_some();
        let item = Item { place: 0, publish, kept: self.kept(app, is_keyed) };
        let sending = Box::new(Sending::start(self.clone(), &app.id, (vec![item], 1)));
        let keyed = |claimed| Keyed { place: Some(0), claimed };
        let claims = claimed.into_iter().map(keyed).collect();
        Ok(Pending { way: Way::Sent { sending, claims, answer: answer_one }, quota })
    }

    /// As [`Publisher::publish`], and waits until it is delivered. A draft with a key goes to the
    /// control plane that is the key's home, so that whoever comes second meets the first there.
    pub async fn publish_at_home(
        &self,
        app: &App,
        call: Event,
        (message_id, traceparent): (MessageId, &str),
    ) -> Result<TriggerEventResponse, Rejection> {
        let key = call.idempotency_key.as_str();
        if let Some(home) = self.home(app, key) {
            let request = PublishRequest {
                app_id: app.id.to_string(),
                event: Some(call.clone()),
                message_id: convert::id_bytes(message_id.0),
                forwarded: true,
                traceparent: traceparent.to_owned(),
            };
            let answer = DispatchServiceClient::new(home).publish(request).await;
            if let Some(answer) = at_home(answer) {
                return answer.map(|PublishResponse { channels, rate_limit }| {
                    TriggerEventResponse { channels, rate_limit }
                });
            }
        }
        let draft = Draft { traceparent: traceparent.to_owned(), ..Draft::from(call) };
        self.publish(app, draft, message_id).await?.delivered().await
    }

    /// The other control plane that is the home of a key; `None` where there is no key, or it is at
    /// home here.
    fn home(&self, app: &App, key: &str) -> Option<Link> {
        let home = || self.parts.replicas.home(ShardId::of(&app.id, key));
        (!key.is_empty()).then(home).flatten()
    }

    /// Admits one draft for all connections that are signed in as a user.
    pub async fn send_to_user(
        &self,
        app: &App,
        user_id: &str,
        mut draft: Draft,
        message_id: MessageId,
    ) -> Result<Pending<TriggerEventResponse>, Rejection> {
        if !draft.channels.is_empty() {
            let message = "channels must be empty: the event goes to the user's own channel";
            return Err(Rejection::field(Reason::InvalidInput, "channels", message));
        }
        let channel = user_channel(app, user_id)?;
        draft.channels.push(channel.to_string());
        self.publish(app, draft, message_id).await
    }

    /// Closes all connections that are signed in as a user.
    pub async fn terminate(
        &self,
        app: &App,
        user_id: &str,
    ) -> Result<TerminateUserConnectionsResponse, Rejection> {
        let Parts { callers, .. } = &*self.parts;
        callers.ready()?;
        let call = || Content::of_texts(&["terminate", user_id]);
        let quota = callers.take_publish(app, 1, call, now())?;
        let told = |rejection| Rejection { quota, ..rejection };
        let channel = user_channel(app, user_id).map_err(told)?;
        let termination = event::terminated((&app.id, &channel));
        let mut sending = Sending::start_one(self.clone(), &app.id, channel, termination);
        sending.delivered().await.map_err(told)?;
        Ok(TerminateUserConnectionsResponse { rate_limit: quota.map(Into::into) })
    }

    /// Refuses while so much of the app is on its way to a node that more of it might end the stream,
    /// and cost other apps' sockets their connection.
    fn has_room_for(&self, app: &App) -> Result<(), Rejection> {
        let Parts { nodes, metrics, .. } = &*self.parts;
        if !nodes.are_crowded_by(&app.id) {
            return Ok(());
        }
        metrics.limited(app, &metrics.crowded);
        let message = "the app publishes faster than its sockets can be served; try again";
        Err(Rejection::new(Reason::RateLimited, message))
    }

    /// Whose turn the draft's key makes it.
    async fn turn_of(&self, app: &App, draft: &Draft) -> Result<Turn, Rejection> {
        let Some(key) = draft.idempotency_key.as_deref() else { return Ok(Turn::Free) };
        admission::check_idempotency_key(Some(key))?;
        let content = Content::of_drafts(std::slice::from_ref(draft));
        self.parts.claims.claim(app, event_key(key), content).await
    }

    /// What the app's limit has left.
    fn quota(&self, app: &App) -> Option<Quota> {
        self.parts.callers.look_at_publishes(app, now())
    }

    /// A refusal that came before a token was taken.
    fn told(&self, app: &App, rejection: Rejection) -> Rejection {
        Rejection { quota: self.quota(app), ..rejection }
    }

    /// How long what is published matters.
    fn kept(&self, app: &App, is_keyed: bool) -> event::Kept {
        let remembered = app.idempotency.filter(|_| is_keyed).unwrap_or_default();
        event::Kept { cached: self.parts.shards.cached_for(), remembered }
    }

    /// Dispatches an event that another control plane has admitted; `None` where the shard is not this
    /// one's.
    pub fn send_one(&self, event: DispatchedEvent, to: To<'_>) -> Option<Dispatched> {
        let (app, channel) = event.names()?;
        self.send(&app, &channel, event, to).ok()
    }

    fn send(
        &self,
        app: &AppId,
        channel: &ChannelName,
        event: DispatchedEvent,
        to: To<'_>,
    ) -> Result<Dispatched, Box<DispatchedEvent>> {
        let Parts { shards, replicas, nodes, metrics, .. } = &*self.parts;
        // It is this one that is cut off: others will own the shard. What it dispatched, some would get from it.
        let is_apart = replicas.is_apart();
        let is_unheard = nodes.are_silent() && (is_apart || replicas.has_peers());
        if to.ack.is_some() && (is_unheard || (nodes.are_bereft() && is_apart)) {
            return Err(Box::new(event));
        }
        let cached = (event.cache_ttl_ms > 0 && replicas.has_peers()).then(|| event.clone());
        let seen = metrics.taps.look((app, channel), &event);
        let dispatched = shards.dispatch((app, channel), event, to)?;
        // Another control plane reaches more nodes: it can see the event through, should this one die now.
        if let Some(ack) = to.ack.filter(|_| dispatched.is_unheard() && nodes.are_partial()) {
            ack.refuse();
        }
        if let Some(event) = cached {
            replicas.tell_all(&Forward::Cached(event));
        }
        metrics.published(app, seen, dispatched);
        self.count(dispatched);
        Ok(dispatched)
    }

    /// Gives each app a share of its limits here, by what is asked for on all control planes.
    pub fn share_limits(&self) {
        let Parts { callers, replicas, .. } = &*self.parts;
        callers.share(|app| replicas.demand_elsewhere(app), now());
    }

    /// How much of their limits apps ask for here.
    #[must_use]
    pub fn demands(&self) -> Vec<AppDemand> {
        self.parts.callers.demands(now())
    }

    fn count(&self, dispatched: Dispatched) {
        let metrics = &self.parts.metrics;
        metrics.dispatched.inc_by(dispatched.nodes.into());
        metrics.overflowed.inc_by(dispatched.overflowed.into());
    }

    /// Forgets the limiters of apps that are gone, and keys whose time is over.
    pub fn retain_apps(&self) {
        let now = now();
        self.parts.callers.retain_apps(now);
        self.parts.claims.forget_expired(now);
    }
}

/// The drafts of calls that belong to one trace.
pub(crate) fn traced(calls: Vec<Event>, traceparent: &str) -> Vec<Draft> {
    let draft = |call| Draft { traceparent: traceparent.to_owned(), ..Draft::from(call) };
    calls.into_iter().map(draft).collect()
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The key of one event, which is never that of a batch.
fn event_key(key: &str) -> Content {
    Content::of_texts(&["event", key])
}

/// The channel of a user's own events.
fn user_channel(app: &App, user_id: &str) -> Result<ChannelName, Rejection> {
    let channel = ChannelName::of_user(user_id);
    ChannelName::parse(channel.as_str(), app.limits.channel_name_bytes_max).map_err(|error| {
        let message = format!("user_id makes no channel: {error}");
        Rejection::field(Reason::InvalidInput, "user_id", message)
    })
}

/// What the home of a key has answered; `None` where it is gone: the events are published from here,
/// and by their ids nodes know what the home has sent already.
fn at_home<A>(answer: Result<Response<A>, Status>) -> Option<Result<A, Rejection>> {
    match answer {
        Ok(answer) => Some(Ok(answer.into_inner())),
        Err(status) => Some(to_rejection(&status))
            .filter(|rejection| rejection.reason != Reason::Unavailable)
            .map(Err),
    }
}

fn answer_one(
    mut results: Vec<TriggerEventBatchResult>,
    quota: Option<Quota>,
) -> TriggerEventResponse {
    response(quota, results.pop().map(|result| result.channels).unwrap_or_default())
}

fn response(quota: Option<Quota>, channels: Vec<ChannelInfo>) -> TriggerEventResponse {
    TriggerEventResponse { channels, rate_limit: quota.map(Into::into) }
}

/// What the only event of a publish was answered.
fn first(results: &Results) -> Vec<ChannelInfo> {
    results.first().map(|result| result.channels.clone()).unwrap_or_default()
}

/// The counts that were asked for. Users are counted on presence channels alone.
fn info(channel: &ChannelName, publish: &Publish, dispatched: Dispatched) -> ChannelInfo {
    let wanted = publish.info.unwrap_or_default();
    let presence = channel.kind() == ChannelKind::Presence;
    let users = dispatched.users;
    ChannelInfo {
        channel: channel.to_string(),
        subscription_count: wanted.subscription_count.then_some(dispatched.subscriptions),
        user_count: (wanted.user_count && presence).then_some(users),
    }
}
