//! From a draft to the nodes' acknowledgements: admit, dispatch, wait.

mod batch;

use std::{sync::Arc, time::Instant};

use model::{App, ChannelKind, ChannelName, Draft, MessageId, Publish, Quota, Reason, Rejection};
use proto::{
    plane::operations::Condition,
    v1::{
        ChannelInfo, TerminateUserConnectionsResponse, TriggerEventBatchResult,
        TriggerEventResponse,
    },
    watch::AppsReceiver,
};

use crate::{
    ack::Ack,
    admission,
    callers::Callers,
    content::Content,
    idempotency::{Claimed, Claims, Results, Turn},
    metrics::DispatchMetrics,
    node::Waiter,
    nodes::Nodes,
    reads::Reads,
    shards::{Dispatched, Shards},
};

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
    metrics: DispatchMetrics,
}

/// What has been dispatched, is not yet acknowledged by all nodes, and will be answered with `A`.
#[derive(Debug)]
pub struct Pending<A> {
    /// `None` where there is nothing to wait for.
    ack: Option<Arc<Ack>>,
    answer: A,
    /// Whose keys those who come second wait for.
    claims: Vec<Claimed>,
}

impl<A> Pending<A> {
    fn answered(answer: A) -> Self {
        Self { ack: None, answer, claims: Vec::new() }
    }

    /// Waits until every healthy interested node has queued the events. It ends by itself: a node that
    /// is silent leaves the set within [`crate::node::LAG_MAX`] and a tick.
    pub async fn delivered(self) -> A {
        if let Some(ack) = self.ack {
            ack.paid().await;
        }
        drop(self.claims);
        self.answer
    }
}

impl Publisher {
    /// `warm` says whether the known nodes have attached: before that nothing is published.
    #[must_use]
    pub fn new(
        apps: AppsReceiver,
        shards: Arc<Shards>,
        nodes: Arc<Nodes>,
        (metrics, warm): (DispatchMetrics, Condition),
    ) -> Self {
        let callers = Arc::new(Callers::new(apps, metrics.clone(), warm));
        let claims = Claims::new(metrics.clone());
        Self { parts: Arc::new(Parts { callers, claims, shards, nodes, metrics }) }
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
        let (mut claimed, message_id) = match turn {
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
        let quota = callers.take_publish(app, channels, content, now)?;
        let publish = admission::check(draft, &app.limits, message_id)
            .map_err(|rejection| Rejection { quota, ..rejection })?;
        let ack = Ack::new();
        let channels = self.dispatch(app, &publish, &ack, now);
        ack.pay();
        if let Some(claimed) = &mut claimed {
            claimed.dispatched([TriggerEventBatchResult { channels: channels.clone() }].into());
        }
        let claims = claimed.into_iter().collect();
        Ok(Pending { ack: Some(ack), answer: response(quota, channels), claims })
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
    pub fn terminate(
        &self,
        app: &App,
        user_id: &str,
    ) -> Result<TerminateUserConnectionsResponse, Rejection> {
        let Parts { callers, shards, .. } = &*self.parts;
        callers.ready()?;
        let now = now();
        let call = || Content::of_texts(&["terminate", user_id]);
        let quota = callers.take_publish(app, 1, call, now)?;
        let channel =
            user_channel(app, user_id).map_err(|rejection| Rejection { quota, ..rejection })?;
        self.count(shards.terminate(&app.id, &channel, now));
        Ok(TerminateUserConnectionsResponse { rate_limit: quota.map(Into::into) })
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

    fn dispatch(
        &self,
        app: &App,
        publish: &Publish,
        ack: &Arc<Ack>,
        now: Instant,
    ) -> Vec<ChannelInfo> {
        let Parts { shards, nodes, metrics, .. } = &*self.parts;
        let eager = nodes.eager();
        let mut channels = Vec::new();
        for (index, channel) in publish.channels.iter().enumerate() {
            let dispatched =
                shards.dispatch(&app.id, (publish, index), &eager, Waiter { ack, now });
            metrics.published(&app.id, (publish, index), dispatched);
            self.count(dispatched);
            if publish.info.is_some() {
                channels.push(info(channel, publish, dispatched));
            }
        }
        channels
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
    let users = dispatched.users.unwrap_or_default();
    ChannelInfo {
        channel: channel.to_string(),
        subscription_count: wanted.subscription_count.then_some(dispatched.subscriptions),
        user_count: (wanted.user_count && presence).then_some(users),
    }
}
