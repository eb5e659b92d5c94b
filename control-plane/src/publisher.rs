//! From a draft to the nodes' acknowledgements: admit, dispatch, wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use model::{
    App, AppId, ChannelKind, ChannelName, Draft, MessageId, Publish, Quota, Reason, Rejection,
};
use proto::{plane::operations::Condition, v1, watch::AppsReceiver};

use crate::{
    ack::Ack, admission, metrics::DispatchMetrics, node::Waiter, nodes::Nodes, rate_limit::Bucket,
    shards::Shards,
};

/// Publishes for any app; cheap to clone.
#[derive(Clone, Debug)]
pub struct Publisher {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    apps: AppsReceiver,
    shards: Arc<Shards>,
    nodes: Arc<Nodes>,
    buckets: Mutex<HashMap<AppId, Bucket>>,
    metrics: DispatchMetrics,
    warm: Condition,
}

/// A publish that has been dispatched and not yet acknowledged by all nodes.
#[derive(Debug)]
pub struct Pending {
    ack: Arc<Ack>,
    answer: Answer,
}

/// What a publisher is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// One per channel, where counts were asked for.
    pub channels: Vec<v1::ChannelInfo>,
    /// The app's limiter, where it has one.
    pub quota: Option<Quota>,
}

impl Pending {
    /// Waits until every healthy interested node has queued the event. It ends by itself: a node that
    /// is silent leaves the set within [`crate::node::LAG_MAX`] and a tick.
    pub async fn delivered(self) -> Answer {
        self.ack.paid().await;
        self.answer
    }
}

impl Publisher {
    /// `warm` says whether the known nodes have attached: before that, publishes would be answered
    /// and delivered to nobody.
    #[must_use]
    pub fn new(
        apps: AppsReceiver,
        shards: Arc<Shards>,
        nodes: Arc<Nodes>,
        (metrics, warm): (DispatchMetrics, Condition),
    ) -> Self {
        let buckets = Mutex::default();
        Self { parts: Arc::new(Parts { apps, shards, nodes, buckets, metrics, warm }) }
    }

    /// The app of a publish: it must exist and be enabled.
    pub fn app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        let app = self.known_app(id)?;
        if !app.enabled {
            let message = format!("app {id:?} is disabled");
            return Err(Rejection::field(Reason::Forbidden, "app_id", message));
        }
        Ok(app)
    }

    /// The app of a publish, enabled or not.
    pub fn known_app(&self, id: &str) -> Result<Arc<App>, Rejection> {
        let apps = self.parts.apps.borrow();
        let Some(apps) = apps.as_ref() else {
            let message = "the app settings are not loaded yet";
            return Err(Rejection::new(Reason::Unavailable, message));
        };
        apps.by_id(id).map(Arc::clone).ok_or_else(|| unknown_app(id))
    }

    /// Admits and dispatches one draft.
    pub fn publish(
        &self,
        app: &App,
        draft: Draft,
        message_id: MessageId,
        now: Instant,
    ) -> Result<Pending, Rejection> {
        self.ready()?;
        let quota = self.take(app, draft.channels.len(), now)?;
        let publish = admission::check(draft, &app.limits, message_id)
            .map_err(|rejection| Rejection { quota, ..rejection })?;
        let ack = Ack::new();
        let channels = self.dispatch(app, &publish, &ack, now);
        ack.pay();
        Ok(Pending { ack, answer: Answer { channels, quota } })
    }

    /// Admits several drafts as a whole, then dispatches them in order.
    pub fn publish_batch(
        &self,
        app: &App,
        drafts: Vec<Draft>,
        message_ids: impl FnMut() -> MessageId,
        now: Instant,
    ) -> Result<Vec<Pending>, Rejection> {
        self.ready()?;
        let limit = app.limits.batch_events_max as usize;
        if drafts.len() > limit {
            let message = format!("the batch has {} events, the limit is {limit}", drafts.len());
            return Err(Rejection::field(Reason::LimitExceeded, "batch", message));
        }
        let channels = drafts.iter().map(|draft| draft.channels.len().max(1)).sum();
        let quota = if drafts.is_empty() { None } else { self.take(app, channels, now)? };
        let checked = drafts
            .into_iter()
            .zip(std::iter::repeat_with(message_ids))
            .enumerate()
            .map(|(place, (draft, id))| {
                admission::check(draft, &app.limits, id).map_err(|rejection| Rejection {
                    field: format!("batch[{place}].{}", rejection.field).into(),
                    quota,
                    ..rejection
                })
            })
            .collect::<Result<Vec<Publish>, Rejection>>()?;
        let pending = checked.iter().map(|publish| {
            let ack = Ack::new();
            let channels = self.dispatch(app, publish, &ack, now);
            ack.pay();
            Pending { ack, answer: Answer { channels, quota } }
        });
        Ok(pending.collect())
    }

    fn ready(&self) -> Result<(), Rejection> {
        if self.parts.warm.holds() {
            return Ok(());
        }
        let message = "this control plane has just started and waits for its nodes; try again";
        Err(Rejection::new(Reason::Unavailable, message))
    }

    /// The app's publish limit: one token per channel.
    fn take(&self, app: &App, channels: usize, now: Instant) -> Result<Option<Quota>, Rejection> {
        let Some(per_second) = app.limits.backend_events_per_second else {
            return Ok(None);
        };
        let mut buckets = self.parts.buckets.lock().expect("no holder panics");
        let bucket = buckets.entry(app.id.clone()).or_insert_with(|| Bucket::new(per_second, now));
        bucket.set_limit(per_second, now);
        let cost = u32::try_from(channels.max(1)).unwrap_or(u32::MAX);
        bucket.take(cost, now).map(Some).map_err(|quota| {
            self.parts.metrics.rate_limited.inc();
            let message = format!(
                "the app may publish {per_second} events per second (one per channel); this publish \
                 has {channels}; try again in {} ms",
                quota.reset_ms
            );
            Rejection { quota: Some(quota), ..Rejection::new(Reason::RateLimited, message) }
        })
    }

    fn dispatch(
        &self,
        app: &App,
        publish: &Publish,
        ack: &Arc<Ack>,
        now: Instant,
    ) -> Vec<v1::ChannelInfo> {
        let Parts { shards, nodes, metrics, .. } = &*self.parts;
        let eager = nodes.eager();
        let mut channels = Vec::new();
        for (index, channel) in publish.channels.iter().enumerate() {
            let dispatched =
                shards.dispatch(&app.id, (publish, index), &eager, Waiter { ack, now });
            metrics.events.inc();
            metrics.dispatched.inc_by(dispatched.nodes.into());
            metrics.overflowed.inc_by(dispatched.overflowed.into());
            if publish.info.is_some() {
                channels.push(info(channel, publish, dispatched.subscriptions));
            }
        }
        channels
    }

    /// Forgets the limiters of apps that are gone.
    pub fn retain_apps(&self) {
        let apps = self.parts.apps.borrow();
        if let Some(apps) = apps.as_ref() {
            let mut buckets = self.parts.buckets.lock().expect("no holder panics");
            buckets.retain(|id, _| apps.by_id(id.as_str()).is_some());
        }
    }
}

fn unknown_app(id: &str) -> Rejection {
    let shown: String = id.chars().take(AppId::BYTES_MAX).collect();
    Rejection::field(Reason::AppNotFound, "app_id", format!("there is no app {shown:?}"))
}

/// The counts that were asked for. Users are counted on presence channels alone.
fn info(channel: &ChannelName, publish: &Publish, subscriptions: u32) -> v1::ChannelInfo {
    let wanted = publish.info.unwrap_or_default();
    let presence = channel.kind() == ChannelKind::Presence;
    v1::ChannelInfo {
        channel: channel.to_string(),
        subscription_count: wanted.subscription_count.then_some(subscriptions),
        user_count: (wanted.user_count && presence).then_some(0),
    }
}
