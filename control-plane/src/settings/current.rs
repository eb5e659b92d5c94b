//! The world behind its lock, and those who are told when it moves.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use model::{Apps, AppsConflict, Reason, Rejection};
use proto::watch::AppsReceiver;
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    envelope::Keyring,
    metrics::Metrics,
    store::{Change, Listing},
    world::{Outcome, Step, World},
};

/// The apps in force; shared by the task that follows the store, by writers and by watchers.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) metrics: Metrics,
    state: Mutex<State>,
    apps: watch::Sender<Option<Arc<Apps>>>,
    /// Moves with every change, for [`Cursor`]s.
    moved: watch::Sender<()>,
}

#[derive(Debug)]
struct State {
    world: World,
    /// Whether the world is fit to be served from.
    loaded: bool,
    conflicts: Vec<AppsConflict>,
    held: HashSet<String>,
}

/// Follows the apps at its owner's pace.
#[derive(Debug)]
pub(super) struct Cursor {
    current: Arc<Current>,
    moved: watch::Receiver<()>,
    position: Option<u64>,
}

impl Current {
    pub(super) fn new(keyring: Arc<Keyring>) -> Self {
        let state = State {
            world: World::new(keyring),
            loaded: false,
            conflicts: Vec::new(),
            held: HashSet::new(),
        };
        Self {
            metrics: Metrics::default(),
            state: Mutex::new(state),
            apps: watch::channel(None).0,
            moved: watch::channel(()).0,
        }
    }

    pub(super) fn subscribe(&self) -> AppsReceiver {
        self.apps.subscribe()
    }

    pub(super) fn revision(&self) -> u64 {
        self.read(World::revision)
    }

    /// Looks at the apps; refuses where none have been loaded yet.
    pub(super) fn look<T>(&self, look: impl FnOnce(&World) -> T) -> Result<T, Rejection> {
        let state = self.state.lock().expect("no holder panics");
        if !state.loaded {
            let message = "the settings store has not answered since this control plane started";
            return Err(Rejection::new(Reason::Unavailable, message));
        }
        Ok(look(&state.world))
    }

    /// Takes in a listing, see [`World::load`]; tells how many changes it brought and whether any
    /// app was held back.
    pub(super) fn load(&self, listing: &Listing, since: u64) -> (usize, bool) {
        let mut state = self.state.lock().expect("no holder panics");
        let outcome = state.world.load(listing, since);
        let told = (outcome.changed, !outcome.held.is_empty());
        if outcome.held.is_empty() {
            state.held.clear();
        }
        // Records of which not one can be read are a lost key, and no reason to drop every app.
        let fit = listing.entries.is_empty() || !state.world.is_empty();
        let first = fit && !state.loaded;
        state.loaded |= fit;
        self.publish(&mut state, outcome, first);
        told
    }

    /// Takes in changes, see [`World::apply`].
    pub(super) fn apply(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut state = self.state.lock().expect("no holder panics");
        let outcome = state.world.apply(changes);
        self.publish(&mut state, outcome, false);
    }

    /// Lets go of an app that the store does not have any more.
    pub(super) fn release(&self, app_id: &str) -> bool {
        let mut state = self.state.lock().expect("no holder panics");
        let released = state.world.release(app_id);
        if released {
            let outcome = Outcome { changed: 1, ..Outcome::default() };
            self.publish(&mut state, outcome, false);
        }
        released
    }

    /// The apps from now on: first all of them, then what changes.
    pub(super) fn cursor(self: &Arc<Self>) -> Cursor {
        let moved = self.moved.subscribe();
        Cursor { current: Arc::clone(self), moved, position: None }
    }

    fn read<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(&self.state.lock().expect("no holder panics").world)
    }

    /// Tells everybody, under the lock: in the order in which it happened.
    fn publish(&self, state: &mut State, outcome: Outcome, first: bool) {
        self.complain(state, &outcome);
        let gauge = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.bad_records.set(gauge(state.world.bad_records()));
        if !state.loaded || (outcome.changed == 0 && !first) {
            return;
        }
        let (apps, conflicts) = state.world.apps();
        for conflict in &conflicts {
            if !state.conflicts.contains(conflict) {
                let AppsConflict { key, holder, refused } = conflict;
                warn!(key = key.as_str(), %holder, %refused, "two apps have one key");
            }
        }
        state.conflicts = conflicts;
        info!(revision = apps.revision(), apps = apps.len(), "settings in force");
        self.metrics.revision.set(i64::try_from(apps.revision()).unwrap_or(i64::MAX));
        self.metrics.apps.set(gauge(apps.len()));
        self.apps.send_replace(Some(Arc::new(apps)));
        self.moved.send_replace(());
    }

    fn complain(&self, state: &mut State, outcome: &Outcome) {
        for (app_id, revision, bad) in &outcome.bad {
            warn!(app_id, revision, %bad, "app record refused; the last good one stays");
        }
        if outcome.held.is_empty() {
            return;
        }
        self.metrics.guard_holds.inc();
        let news = outcome.held.iter().any(|app_id| !state.held.contains(app_id));
        state.held.extend(outcome.held.iter().cloned());
        if news {
            let first = &outcome.held[..outcome.held.len().min(10)];
            warn!(
                apps = outcome.held.len(),
                ?first,
                "apps vanished from the store at once; they are kept until deleted one by one"
            );
        }
    }
}

impl Cursor {
    /// What has changed since the last call, as soon as there is something. However long ago that
    /// was, each app is told once, as it is now. Cancelling loses nothing.
    pub(super) async fn next(&mut self) -> Step {
        loop {
            let step = self.current.look(|world| world.step_since(self.position));
            if let Ok(step) = step
                && self.position != Some(step.position)
            {
                self.position = Some(step.position);
                return step;
            }
            self.moved.changed().await.expect("the cursor itself keeps the sender");
        }
    }

    /// The newest revision, for a heartbeat.
    pub(super) fn revision(&self) -> u64 {
        self.current.revision()
    }
}
