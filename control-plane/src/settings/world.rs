//! The apps as one control plane knows them, and what news from the store does to them.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Bound,
    sync::Arc,
};

use model::{App, Apps, AppsConflict};
use proto::internal::AppRecord;

use super::{
    envelope::Keyring,
    steps::Steps,
    store::{Change, Entry, Listing},
    stored::{self, BadRecord},
};

/// This many apps may vanish at once without being held back, however few there are.
const VANISHING_FREELY: usize = 3;
/// One in this many may.
const VANISHING_SHARE: usize = 5;

/// Every app with its last good record.
#[derive(Debug)]
pub(super) struct World {
    keyring: Arc<Keyring>,
    revision: u64,
    /// That of the last listing.
    listed: u64,
    known: BTreeMap<String, Known>,
    /// Deletions that a listing begun earlier may not know.
    deleted: HashMap<String, u64>,
    /// Revisions of records that could not be read.
    bad: HashMap<String, u64>,
    steps: Steps,
}

#[derive(Debug)]
struct Known {
    /// The newest revision seen, be it good or bad.
    revision: u64,
    record: Arc<AppRecord>,
    app: Arc<App>,
}

/// What news did.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Apps that were created, changed or removed.
    pub(super) changed: usize,
    /// Apps that the store no longer has and that are kept all the same.
    pub(super) held: Vec<String>,
    /// Records that could not be read: the app, the revision, why.
    pub(super) bad: Vec<(String, u64, BadRecord)>,
}

/// What a watcher has to be told.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// Where the next step begins.
    pub(super) position: u64,
    pub(super) revision: u64,
    /// This is all there is.
    pub(super) reset: bool,
    pub(super) upserts: Vec<Arc<AppRecord>>,
    pub(super) removed: Vec<String>,
}

impl World {
    pub(super) fn new(keyring: Arc<Keyring>) -> Self {
        Self {
            keyring,
            revision: 0,
            listed: 0,
            known: BTreeMap::new(),
            deleted: HashMap::new(),
            bad: HashMap::new(),
            steps: Steps::default(),
        }
    }

    /// The newest revision of the store that was seen.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn bad_records(&self) -> usize {
        self.bad.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub(super) fn record(&self, app_id: &str) -> Option<&Arc<AppRecord>> {
        self.known.get(app_id).map(|known| &known.record)
    }

    /// Up to `count` records by id, those after the id `after`.
    pub(super) fn page(&self, after: &str, count: usize) -> Vec<Arc<AppRecord>> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let page = self.known.range::<str, _>(range).take(count);
        page.map(|(_, known)| Arc::clone(&known.record)).collect()
    }

    /// The app that has this key.
    pub(super) fn holder(&self, key: &str) -> Option<&str> {
        let holder = self.known.iter().find(|(_, known)| known.app.key.as_str() == key);
        holder.map(|(id, _)| id.as_str())
    }

    /// The index that planes serve from.
    pub(super) fn apps(&self) -> (Apps, Vec<AppsConflict>) {
        Apps::new(self.revision, self.known.values().map(|known| Arc::clone(&known.app)))
    }

    /// What has happened since `position`; everything, where that is unknown or forgotten.
    pub(super) fn step_since(&self, position: Option<u64>) -> Step {
        let mut step =
            Step { position: self.steps.end(), revision: self.revision, ..Step::default() };
        match position.and_then(|position| self.steps.since(position)) {
            Some(ids) => {
                for id in ids {
                    match self.record(id) {
                        Some(record) => step.upserts.push(Arc::clone(record)),
                        None => step.removed.push(id.to_owned()),
                    }
                }
            }
            None => {
                step.reset = true;
                step.upserts = self.known.values().map(|known| Arc::clone(&known.record)).collect();
            }
        }
        step
    }

    /// Takes in a listing that was begun when [`Self::revision`] was `since`.
    ///
    /// What is newer here than the listing stays. A listing older than `since` is of another store
    /// (one restored from a backup, an empty one in place of the full one): its numbers count.
    pub(super) fn load(&mut self, listing: &Listing, since: u64) -> Outcome {
        let mut outcome = Outcome::default();
        if listing.revision < since {
            self.forget_numbers();
        }
        for entry in &listing.entries {
            self.put(entry, &mut outcome);
        }
        let listed: HashSet<&str> =
            listing.entries.iter().map(|entry| entry.app_id.as_str()).collect();
        let vanished =
            |revision: u64, id: &str| revision <= listing.revision && !listed.contains(id);
        let gone = self.known.iter().filter(|(id, known)| vanished(known.revision, id));
        let gone: Vec<String> = gone.map(|(id, _)| id.clone()).collect();
        if is_suspicious(gone.len(), self.known.len()) {
            outcome.held = gone;
        } else {
            for id in gone {
                self.remove(&id, listing.revision, &mut outcome);
            }
        }
        self.deleted.retain(|_, revision| *revision > listing.revision);
        self.bad.retain(|id, revision| !vanished(*revision, id));
        self.revision = self.revision.max(listing.revision);
        self.listed = listing.revision;
        outcome
    }

    /// Takes in changes. What is older than what is known is ignored, and so is what the last listing would
    /// have shown if it were true; many deletions of one revision (someone wiped a prefix) are held back
    /// like those of a listing.
    pub(super) fn apply(&mut self, changes: &[Change]) -> Outcome {
        let mut outcome = Outcome::default();
        for batch in changes.chunk_by(|a, b| a.revision() == b.revision()) {
            let gone = batch.iter().filter(|change| self.removes(change)).count();
            let hold = gone > 1 && is_suspicious(gone, self.known.len());
            for change in batch {
                match change {
                    Change::Put(entry) if self.is_over(entry) => {}
                    Change::Put(entry) => self.put(entry, &mut outcome),
                    Change::Deleted { app_id, .. } if hold => outcome.held.push(app_id.clone()),
                    Change::Deleted { app_id, revision } => {
                        self.remove(app_id, *revision, &mut outcome);
                    }
                }
                self.revision = self.revision.max(change.revision());
            }
        }
        outcome
    }

    /// Removes an app that the store does not have; an operator said so.
    pub(super) fn release(&mut self, app_id: &str) -> bool {
        let removed = self.known.remove(app_id).is_some();
        if removed {
            self.steps.push(app_id);
        }
        removed
    }

    fn forget_numbers(&mut self) {
        for known in self.known.values_mut() {
            known.revision = 0;
        }
        self.deleted.clear();
        self.bad.clear();
        self.revision = 0;
        self.listed = 0;
    }

    /// Whether the last listing was made after this write: the app may be gone since.
    fn is_over(&self, entry: &Entry) -> bool {
        entry.revision <= self.listed && !cfg!(feature = "bug-old-revisions")
    }

    fn removes(&self, change: &Change) -> bool {
        match change {
            Change::Put(_) => false,
            Change::Deleted { app_id, revision } => {
                self.known.get(app_id).is_some_and(|known| known.revision < *revision)
            }
        }
    }

    fn put(&mut self, entry: &Entry, outcome: &mut Outcome) {
        let id = &entry.app_id;
        let seen = self.known.get(id).map_or(0, |known| known.revision);
        let seen = seen.max(self.deleted.get(id).copied().unwrap_or(0));
        let seen = seen.max(self.bad.get(id).copied().unwrap_or(0));
        if entry.revision <= seen && !cfg!(feature = "bug-old-revisions") {
            return;
        }
        self.deleted.remove(id);
        match stored::decode(entry, &self.keyring) {
            Ok(read) => {
                let known = Known {
                    revision: entry.revision,
                    record: Arc::new(read.record),
                    app: Arc::new(read.app),
                };
                self.known.insert(id.clone(), known);
                self.bad.remove(id);
                self.steps.push(id);
                outcome.changed += 1;
            }
            Err(bad) => {
                if let Some(known) = self.known.get_mut(id) {
                    known.revision = entry.revision;
                }
                self.bad.insert(id.clone(), entry.revision);
                outcome.bad.push((id.clone(), entry.revision, bad));
            }
        }
    }

    fn remove(&mut self, app_id: &str, revision: u64, outcome: &mut Outcome) {
        if self.bad.get(app_id).is_some_and(|seen| *seen < revision) {
            self.bad.remove(app_id);
        }
        if self.known.get(app_id).is_none_or(|known| known.revision > revision) {
            return;
        }
        self.known.remove(app_id);
        self.deleted.insert(app_id.to_owned(), revision);
        self.steps.push(app_id);
        outcome.changed += 1;
    }
}

/// Whether so many apps vanishing at once look like a lost store rather than like a decision.
fn is_suspicious(gone: usize, known: usize) -> bool {
    if cfg!(feature = "bug-empty-world") {
        return false;
    }
    let emptied = gone > 0 && gone == known;
    emptied || (gone > VANISHING_FREELY && gone * VANISHING_SHARE > known)
}

#[cfg(test)]
mod tests;
