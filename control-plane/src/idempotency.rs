//! Publishes that carry a key: the first one is delivered, the others get its answer.
//!
//! This part is pure: it knows keys and their outcomes, and the time is an argument. [`Claims`] shares
//! it among callers and lets those who came second wait.

mod claims;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use model::AppId;
use proto::v1::TriggerEventBatchResult;
use tokio::sync::watch;

use crate::content::Content;
pub(crate) use claims::conflict;
pub use claims::{Claimed, Claims, Turn};

/// What was answered: one result per event.
pub type Results = Arc<[TriggerEventBatchResult]>;

/// How many keys are remembered. The oldest one of the app goes first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of all apps.
    pub keys_max: usize,
    /// Of one app.
    pub keys_per_app_max: usize,
}

/// The keys of all apps.
#[derive(Debug)]
pub struct Idempotency {
    bounds: Bounds,
    apps: HashMap<AppId, Keys>,
    len: usize,
    last_number: u64,
}

/// The keys of one app.
#[derive(Debug, Default)]
struct Keys {
    by_key: HashMap<Content, Entry>,
    by_age: BTreeMap<u64, Content>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    content: Content,
    until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Running(watch::Receiver<Outcome>),
    Done(Results),
}

/// What has become of a publish.
#[derive(Clone, Debug, Default)]
pub enum Outcome {
    /// Nothing yet.
    #[default]
    Running,
    /// It was dispatched.
    Done(Results),
}

/// What a caller with a key is to do.
#[derive(Debug)]
pub enum Claim {
    /// It is the first: publish, then [`Idempotency::complete`] or [`Idempotency::release`].
    First {
        /// Names the claim.
        number: u64,
        /// Tells those who wait; dropped without a word, they try for themselves.
        outcome: watch::Sender<Outcome>,
    },
    /// The first is not done: wait.
    Running(watch::Receiver<Outcome>),
    /// The first is done, and this was its answer.
    Done(Results),
    /// The key stands for another content.
    Conflict,
}

impl Idempotency {
    /// Remembers nothing yet.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, apps: HashMap::new(), len: 0, last_number: 0 }
    }

    /// Somebody wants to publish `content` under `key`. The second value is how many keys had to be
    /// forgotten before their time.
    pub fn claim(
        &mut self,
        app: &AppId,
        (key, content): (Content, Content),
        (now, kept): (Instant, Duration),
    ) -> (Claim, usize) {
        self.forget_expired_of(app, now);
        let known = self.apps.get(app).and_then(|keys| keys.by_key.get(&key));
        match known {
            Some(entry) if entry.until <= now => self.remove(app, key),
            Some(entry) if entry.content != content => return (Claim::Conflict, 0),
            Some(Entry { state: State::Running(outcome), .. }) => {
                return (Claim::Running(outcome.clone()), 0);
            }
            Some(Entry { state: State::Done(results), .. }) => {
                return (Claim::Done(Arc::clone(results)), 0);
            }
            None => {}
        }
        let evicted = self.make_room(app);
        let (outcome, waiting) = watch::channel(Outcome::Running);
        self.last_number += 1;
        let number = self.last_number;
        let entry = Entry { number, content, until: now + kept, state: State::Running(waiting) };
        let keys = self.apps.entry(app.clone()).or_default();
        keys.by_key.insert(key, entry);
        keys.by_age.insert(number, key);
        self.len += 1;
        (Claim::First { number, outcome }, evicted)
    }

    /// The publish of this claim was dispatched.
    pub fn complete(&mut self, app: &AppId, (key, number): (Content, u64), results: Results) {
        let entry = self.apps.get_mut(app).and_then(|keys| keys.by_key.get_mut(&key));
        if let Some(entry) = entry.filter(|entry| entry.number == number) {
            entry.state = State::Done(results);
        }
    }

    /// The publish of this claim was refused: the key is free again.
    pub fn release(&mut self, app: &AppId, (key, number): (Content, u64)) {
        let entry = self.apps.get(app).and_then(|keys| keys.by_key.get(&key));
        if entry.is_some_and(|entry| entry.number == number) {
            self.remove(app, key);
        }
    }

    /// Forgets keys whose time is over.
    pub fn forget_expired(&mut self, now: Instant) {
        let apps: Vec<AppId> = self.apps.keys().cloned().collect();
        apps.iter().for_each(|app| self.forget_expired_of(app, now));
    }

    /// Keys that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn forget_expired_of(&mut self, app: &AppId, now: Instant) {
        while let Some((key, until)) = self.apps.get(app).and_then(Keys::oldest)
            && until <= now
        {
            self.remove(app, key);
        }
    }

    fn make_room(&mut self, app: &AppId) -> usize {
        let of_app = self.apps.get(app).map_or(0, |keys| keys.by_key.len());
        let loser = if of_app >= self.bounds.keys_per_app_max {
            Some(app.clone())
        } else if self.len >= self.bounds.keys_max {
            let most = self.apps.iter().max_by_key(|(_, keys)| keys.by_key.len());
            most.map(|(app, _)| app.clone())
        } else {
            None
        };
        let oldest = loser.and_then(|app| {
            self.apps.get(&app).and_then(Keys::oldest).map(|(key, _)| (app.clone(), key))
        });
        let Some((app, key)) = oldest else { return 0 };
        self.remove(&app, key);
        1
    }

    fn remove(&mut self, app: &AppId, key: Content) {
        let Some(keys) = self.apps.get_mut(app) else { return };
        if let Some(entry) = keys.by_key.remove(&key) {
            keys.by_age.remove(&entry.number);
            self.len -= 1;
        }
        if keys.by_key.is_empty() {
            self.apps.remove(app);
        }
    }
}

impl Keys {
    fn oldest(&self) -> Option<(Content, Instant)> {
        let (_, key) = self.by_age.first_key_value()?;
        self.by_key.get(key).map(|entry| (*key, entry.until))
    }
}

#[cfg(test)]
mod tests;
