//! Who follows the settings at present: gateways and nodes, by the names that they give.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use serde::Serialize;
use tokio::time::Instant;

/// Of a name this much is kept.
const NAME_CHARS_MAX: usize = 128;

/// All streams; clones share them. There are no more than the internal listener has connections' streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Watchers(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    entered: u64,
    streams: BTreeMap<u64, Watcher>,
}

#[derive(Debug)]
struct Watcher {
    name: String,
    since: Instant,
    revision: u64,
}

/// One who follows, as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct WatcherLook {
    /// What it calls itself.
    pub name: String,
    /// How long it has followed.
    pub seconds: u64,
    /// The last revision that it was told.
    pub revision: u64,
}

/// One stream; its place is given up when this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    watchers: Watchers,
    number: u64,
}

impl Watchers {
    pub(super) fn enter(&self, name: String) -> Watching {
        let name = name.chars().take(NAME_CHARS_MAX).collect();
        let mut all = self.all();
        all.entered += 1;
        let number = all.entered;
        all.streams.insert(number, Watcher { name, since: Instant::now(), revision: 0 });
        drop(all);
        Watching { watchers: self.clone(), number }
    }

    pub(super) fn look(&self) -> Vec<WatcherLook> {
        let look = |watcher: &Watcher| WatcherLook {
            name: watcher.name.clone(),
            seconds: watcher.since.elapsed().as_secs(),
            revision: watcher.revision,
        };
        self.all().streams.values().map(look).collect()
    }

    fn all(&self) -> MutexGuard<'_, All> {
        self.0.lock().expect("no holder panics")
    }
}

impl Watching {
    /// It was told this revision.
    pub(super) fn told(&self, revision: u64) {
        if let Some(watcher) = self.watchers.all().streams.get_mut(&self.number) {
            watcher.revision = revision;
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watchers.all().streams.remove(&self.number);
    }
}
