//! Follows the store: lists, watches, lists again. The watch is a hint, the listing is the truth.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use tracing::{info, warn};

use super::{
    current::Current,
    random::jittered,
    store::{Change, Fault, Freshness, Listing, Store},
};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Keeps the apps in force what the store says they are.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) store: Arc<dyn Store>,
    pub(super) current: Arc<Current>,
    pub(super) relist_every: Duration,
    /// The revision up to which the watch has told everything.
    followed: Option<u64>,
    pause: Duration,
}

impl Follower {
    pub(super) fn new(
        store: Arc<dyn Store>,
        current: Arc<Current>,
        relist_every: Duration,
    ) -> Self {
        Self { store, current, relist_every, followed: None, pause: PAUSE_MIN }
    }

    pub(super) async fn run(mut self) {
        let mut broken = false;
        loop {
            let Err(fault) = self.follow(&mut broken).await;
            if let Fault::Compacted { .. } = fault {
                self.followed = None;
            }
            self.current.metrics.store_faults.inc();
            if !broken {
                warn!(%fault, "the settings store is out of reach; serving what is known");
            }
            broken = true;
            tokio::time::sleep(jittered(self.pause)).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Lists and watches until something breaks.
    ///
    /// The watch goes on from where the last one broke, and not from the listing, where it can: it
    /// then tells deletions one by one that a listing shows only as apps that have vanished.
    async fn follow(&mut self, broken: &mut bool) -> Result<std::convert::Infallible, Fault> {
        let (since, listing) = list(&*self.store, &self.current, Duration::ZERO).await?;
        let replaced = listing.revision < since;
        let after = self.followed.filter(|_| !replaced).unwrap_or(listing.revision);
        self.load(since, &listing);
        let mut changes = self.store.watch(after).await?;
        self.followed = Some(after);
        if std::mem::take(broken) {
            info!(revision = listing.revision, "the settings store is back");
        }
        let pause = || jittered(self.relist_every);
        let (store, current) = (Arc::clone(&self.store), Arc::clone(&self.current));
        let mut relisting = pin!(list(&*store, &current, pause()));
        loop {
            tokio::select! {
                batch = changes.next() => {
                    let ended = || Fault::broken("watch", "the stream ended");
                    let batch = batch.unwrap_or_else(|| Err(ended()))?;
                    self.pause = PAUSE_MIN;
                    self.current.metrics.confirm();
                    self.current.apply(&batch);
                    self.followed = batch.last().map(Change::revision).max(self.followed);
                }
                relisted = &mut relisting => {
                    let (since, listing) = relisted?;
                    if listing.revision < since {
                        self.load(since, &listing);
                        self.followed = None;
                        return Err(Fault::broken("list", "the store is another one"));
                    }
                    let (changed, held) = self.load(since, &listing);
                    self.current.metrics.relist_repairs.inc_by(changed as u64);
                    if !held {
                        self.followed = self.followed.max(Some(listing.revision));
                    }
                    relisting.set(list(&*store, &current, jittered(self.relist_every)));
                }
            }
        }
    }

    fn load(&self, since: u64, listing: &Listing) -> (usize, bool) {
        self.current.metrics.confirm();
        self.current.load(listing, since)
    }
}

/// After a pause: the listing, and what was known when it began.
async fn list(
    store: &dyn Store,
    current: &Current,
    pause: Duration,
) -> Result<(u64, Listing), Fault> {
    tokio::time::sleep(pause).await;
    let since = current.revision();
    Ok((since, store.list(Freshness::Confirmed).await?))
}
