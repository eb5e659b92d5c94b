//! Webhooks, from a happening to a real receiver that fails, hangs, redirects, dies and comes back.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::{sync::Arc, time::Duration};

use control_plane::webhooks::{Happening, WebhookMetrics, WebhookOptions, Webhooks};
use model::{
    App, AppId, AppSecret, Apps, ChannelName, Secrets, Webhook, WebhookFilter, WebhookKind,
    WebhookRetry,
};
use tokio::{sync::watch, time::Instant};

use sink::{Answer, Sink};

mod calls;
mod order;
mod settings;
mod sink;

/// Webhooks of one app, whose settings the test changes.
struct Rig {
    webhooks: Webhooks,
    metrics: WebhookMetrics,
    apps: watch::Sender<Option<Arc<Apps>>>,
    app: App,
}

fn app() -> App {
    let secrets = Secrets::one(AppSecret::new("app-secret"));
    App::new(AppId::parse("app-1").unwrap(), "app-key", secrets)
}

/// A webhook that is tried again soon.
fn webhook(url: String) -> Webhook {
    let retry = WebhookRetry {
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(200),
        ..WebhookRetry::default()
    };
    Webhook {
        url,
        kinds: Vec::new(),
        filter: WebhookFilter::default(),
        headers: Vec::new(),
        retry: Some(retry),
        timeout: Duration::from_millis(300),
    }
}

fn index(app: &App) -> Option<Arc<Apps>> {
    Some(Arc::new(Apps::new(1, [Arc::new(app.clone())]).0))
}

impl Rig {
    fn start(webhooks: Vec<Webhook>) -> Self {
        Self::start_with(webhooks, true)
    }

    fn start_with(webhooks: Vec<Webhook>, private_addresses_allowed: bool) -> Self {
        let app = App { webhooks, ..app() };
        let (apps, receiver) = watch::channel(index(&app));
        let options = WebhookOptions { private_addresses_allowed, ..WebhookOptions::default() };
        let metrics = WebhookMetrics::default();
        let webhooks = Webhooks::start(receiver, &options, metrics.clone());
        Self { webhooks, metrics, apps, app }
    }

    fn change(&mut self, change: impl FnOnce(&mut App)) {
        change(&mut self.app);
        self.apps.send_replace(index(&self.app));
    }

    fn tell(&self, channel: &str, happening: Happening) {
        self.webhooks.tell(&self.app.id, &ChannelName::trusted(channel), happening);
    }

    /// An event that can be told from others.
    fn number(&self, number: u64) {
        self.tell(&format!("room-{number}"), Happening::SubscriptionCount(1));
    }

    async fn stop(self) {
        self.webhooks.stop(Duration::from_secs(5)).await;
    }
}

fn numbers(events: &[serde_json::Value]) -> Vec<u64> {
    let number =
        |event: &serde_json::Value| event["channel"].as_str()?.strip_prefix("room-")?.parse().ok();
    events.iter().map(|event| number(event).unwrap()).collect()
}
