//! App settings: who stores them, who follows them, who may change them.
//!
//! A [`Store`] keeps one record per app. [`Settings`] follows it and holds what is in force; it
//! tells this process through a watch channel, gateways and nodes through `SettingsService`, and
//! operators change it through `AppService`. What is known stays in force while the store is gone.

use std::{path::PathBuf, sync::Arc, time::Duration};

use model::{Reason, Rejection};
use prometheus_client::registry::Registry;
use proto::{
    internal::{AppRecord, settings_service_server::SettingsServiceServer},
    plane::operations::Operations,
    v1::{App, app_service_server::AppServiceServer},
    watch::AppsReceiver,
};
use tokio::sync::Mutex;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};

mod admin;
mod apps_service;
mod audit;
mod bounds;
mod current;
mod envelope;
#[cfg(feature = "etcd")]
mod etcd;
mod file;
mod follow;
mod image;
mod kept;
mod metrics;
mod random;
mod service;
mod steps;
mod store;
mod stored;
mod update_mask;
mod watchers;
mod world;
mod writer;

use current::Current;
use envelope::Keyring;
use follow::Follower;
use watchers::Watchers;
use writer::Writer;

pub use admin::{AdminTokens, authorize};
pub use apps_service::AppsAdministration;
#[cfg(feature = "etcd")]
pub use etcd::{EtcdOptions, EtcdStore};
pub use file::FileStore;
pub use service::SettingsWatch;
pub use store::{Change, Changes, Entry, Fault, Freshness, Listing, Store, Written};
pub use watchers::WatcherLook;

/// How settings are kept and followed.
#[derive(Clone, Debug)]
pub struct Options {
    /// Files with keys that encrypt secrets: the first one encrypts, all decrypt. None: secrets
    /// are stored in clear.
    pub encryption_keys: Vec<PathBuf>,
    /// Where the last good settings are kept for a start without the store. Of no use with the
    /// embedded store.
    pub last_known_good: Option<PathBuf>,
    /// How often everything is listed again, give or take a quarter.
    pub relist_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            encryption_keys: Vec::new(),
            last_known_good: None,
            relist_every: Duration::from_secs(60),
        }
    }
}

/// The apps in force; cheap to clone. Following the store ends with the last clone.
#[derive(Clone, Debug)]
pub struct Settings {
    store: Arc<dyn Store>,
    current: Arc<Current>,
    writer: Arc<Writer>,
    stopped: CancellationToken,
    watchers: Watchers,
    _tasks: Arc<Vec<AbortOnDropHandle<()>>>,
}

impl Settings {
    /// Starts to follow the store. What was kept on disk is in force at once; without that, this
    /// waits for the store's first answer, and when there is none goes on asking.
    pub async fn start(store: Arc<dyn Store>, options: Options) -> anyhow::Result<Self> {
        let keyring = Arc::new(Keyring::read(&options.encryption_keys)?);
        let current = Arc::new(Current::new(Arc::clone(&keyring)));
        match options.last_known_good.as_deref().and_then(kept::read) {
            Some(kept) => {
                info!(apps = kept.entries.len(), "settings read from disk");
                current.load(&kept, 0);
            }
            None => first_listing(&*store, &current).await,
        }
        let follower =
            Follower::new(Arc::clone(&store), Arc::clone(&current), options.relist_every);
        let mut tasks = vec![AbortOnDropHandle::new(tokio::spawn(follower.run()))];
        if let Some(path) = options.last_known_good {
            let keep = kept::keep(path, Arc::clone(&current), Arc::clone(&keyring));
            tasks.push(AbortOnDropHandle::new(tokio::spawn(keep)));
        }
        let writer = Writer {
            store: Arc::clone(&store),
            keyring,
            current: Arc::clone(&current),
            turn: Mutex::new(()),
        };
        Ok(Self {
            store,
            current,
            writer: Arc::new(writer),
            stopped: CancellationToken::new(),
            watchers: Watchers::default(),
            _tasks: Arc::new(tasks),
        })
    }

    /// The apps in force; `None` until the store has answered or the disk has given some.
    #[must_use]
    pub fn apps(&self) -> AppsReceiver {
        self.current.subscribe()
    }

    /// How long ago the store last showed that it is there; `None` where it never has.
    #[must_use]
    pub fn current_age(&self) -> Option<Duration> {
        self.current.metrics.age()
    }

    /// For gateways and nodes.
    #[must_use]
    pub fn settings_service(&self) -> SettingsServiceServer<SettingsWatch> {
        let (current, stopped) = (Arc::clone(&self.current), self.stopped.clone());
        let watchers = self.watchers.clone();
        SettingsServiceServer::new(SettingsWatch { current, stopped, watchers })
    }

    /// For operators who have one of these tokens.
    #[must_use]
    pub fn app_service(&self, tokens: AdminTokens) -> AppServiceServer<AppsAdministration> {
        AppServiceServer::new(self.apps_administration(tokens))
    }

    /// The same, without gRPC around it.
    #[must_use]
    pub fn apps_administration(&self, tokens: AdminTokens) -> AppsAdministration {
        AppsAdministration {
            current: Arc::clone(&self.current),
            writer: Arc::clone(&self.writer),
            tokens,
            stopped: self.stopped.clone(),
        }
    }

    /// Who follows the settings at present.
    #[must_use]
    pub fn watchers(&self) -> Vec<WatcherLook> {
        self.watchers.look()
    }

    /// Ends when the process stops.
    #[must_use]
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// Creates an app in a store that was never written to; tells whether it was.
    pub async fn create_if_new(&self, app: App, secret: &str) -> Result<bool, Rejection> {
        if self.store.list(Freshness::Confirmed).await?.revision > 0 {
            return Ok(false);
        }
        let current_secret = secret.to_owned();
        let record = AppRecord { app: Some(app), current_secret, previous_secret: String::new() };
        match self.writer.create(record).await {
            Ok(_) => Ok(true),
            Err(Rejection { reason: Reason::AlreadyExists, .. }) => Ok(false),
            Err(rejection) => Err(rejection),
        }
    }

    /// Registers what the settings measure.
    pub fn register(&self, operations: &Operations) {
        let register = |registry: &mut Registry| self.current.metrics.register(registry);
        operations.register("control_plane", register);
    }

    /// Ends every watcher's stream, so that a process that stops need not wait for them.
    pub fn stop(&self) {
        self.stopped.cancel();
    }
}

/// A member of a store without a quorum still knows what was; better than nothing.
async fn first_listing(store: &dyn Store, current: &Current) {
    let listing = match store.list(Freshness::Confirmed).await {
        Ok(listing) => {
            current.metrics.confirm();
            Ok(listing)
        }
        Err(fault) => {
            warn!(%fault, "the settings store does not answer; asking for what it still knows");
            store.list(Freshness::Any).await
        }
    };
    match listing {
        Ok(listing) => {
            current.load(&listing, 0);
        }
        Err(fault) => warn!(%fault, "no settings yet; asking again until there are"),
    }
}
