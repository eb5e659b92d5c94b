//! Webhooks: an app's backend is told over HTTP what happens in its channels.
//!
//! [`Webhooks::tell`] puts news into a bounded queue and returns; one task, the courier, owns the
//! rest. What an app has still to be told is in memory, up to 10,000 events, and is told at least
//! once: a call is repeated until it was taken, for 300 seconds at most. What is lost is counted.

use std::{sync::Arc, time::Duration};

use model::{AppId, ChannelName};
use prometheus_client::registry::{Registry, Unit};
use proto::{
    plane::metrics::reading::{self, Name},
    watch::AppsReceiver,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

mod address;
mod backlog;
mod backoff;
mod batch;
mod call;
mod calls;
mod client;
mod connection;
mod counts;
mod courier;
mod event;
mod filter;
mod grace;
mod intake;
mod metrics;
mod target;

use calls::Calls;
use client::Client;
use connection::Connector;
use courier::Courier;
use event::News;
use intake::Slot;

pub use event::Happening;
pub(crate) use filter::expression;
pub use metrics::WebhookMetrics;

/// How webhooks are called.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// Calls at once; targets that fail have half of the places.
    pub calls_max: usize,
    /// Loopback, private, link-local and reserved addresses may be called.
    pub private_addresses_allowed: bool,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self { calls_max: 20, private_addresses_allowed: false }
    }
}

/// Tells the apps' backends; cheap to clone. All ends with the last clone.
#[derive(Clone, Debug)]
pub struct Webhooks {
    apps: AppsReceiver,
    slot: Slot,
    metrics: WebhookMetrics,
    stop: Arc<watch::Sender<Option<Instant>>>,
    ended: CancellationToken,
}

impl Webhooks {
    /// Starts to tell what happens in these apps.
    #[must_use]
    pub fn start(apps: AppsReceiver, options: &WebhookOptions, metrics: WebhookMetrics) -> Self {
        let connector = Connector::new(options.private_addresses_allowed, Vec::new());
        let calls = Calls::new(Client::new(connector), options.calls_max);
        let (slot, intake) = intake::open();
        let (stop, stopped) = watch::channel(None);
        let courier = Courier::new(intake, apps.clone(), calls, metrics.clone(), stopped);
        let ended = CancellationToken::new();
        let end = ended.clone().drop_guard();
        tokio::spawn(async move {
            courier.run().await;
            drop(end);
        });
        Self { apps, slot, metrics, stop: Arc::new(stop), ended }
    }

    /// Names what waits in the intake.
    pub fn register(&self, registry: &mut Registry) {
        let (name, slot) = ("webhook_intake_events", self.slot.clone());
        let name = Name::new(name, "What happened and has not been sorted by webhook yet");
        reading::gauge(registry, name, move || Some(slot.depth().0 as f64));
        let (help, slot) = ("Bytes of the client events among these", self.slot.clone());
        let name = Name::of("webhook_intake", help, Unit::Bytes);
        reading::gauge(registry, name, move || Some(slot.depth().1 as f64));
    }

    /// Tells the app's backend, if it wants to hear of it. Never waits, and costs a lookup where
    /// the app has no webhook for it: it may be called under a lock.
    pub fn tell(&self, app: &AppId, channel: &ChannelName, happening: Happening) {
        if !self.is_heard(app, &happening) || !happening.is_told_of(channel) {
            return;
        }
        let news = News { app: app.clone(), channel: channel.clone(), happening };
        if !self.slot.put(news) {
            self.metrics.lose("overflow", 1);
        }
    }

    /// Who only wants to hear of a leave must have the return that undoes it, and the reverse.
    fn is_heard(&self, app: &AppId, happening: &Happening) -> bool {
        let kind = happening.kind();
        let apps = self.apps.borrow();
        let app = apps.as_ref().and_then(|apps| apps.by_id(app.as_str()));
        app.is_some_and(|app| {
            app.webhooks.iter().any(|one| one.tells(kind) || one.tells(kind.opposite()))
        })
    }

    /// Tells what is waiting, without grace and without batching, for at most `patience`; then ends.
    pub async fn stop(&self, patience: Duration) {
        self.stop.send_replace(Some(Instant::now() + patience));
        self.ended.cancelled().await;
    }
}
