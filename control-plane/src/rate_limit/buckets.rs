//! One limiter of every app.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use model::{AppId, Quota};

use super::Bucket;
use crate::content::Content;

/// The buckets of all apps that have used theirs.
#[derive(Debug, Default)]
pub struct Buckets {
    by_app: Mutex<HashMap<AppId, Bucket>>,
}

impl Buckets {
    /// Takes `cost` tokens of the app. `call` is asked for only when there are not enough: by its
    /// digest a call that has waited as told is recognised.
    pub fn take(
        &self,
        (app, per_second): (&AppId, u32),
        cost: u32,
        call: impl FnOnce() -> Content,
        now: Instant,
    ) -> Result<Quota, Quota> {
        if let Ok(quota) = self.with(app, per_second, now, |bucket| bucket.take(cost, now)) {
            return Ok(quota);
        }
        let call = call();
        self.with(app, per_second, now, |bucket| bucket.take_as_promised(cost, call, now))
    }

    /// What the app has left; takes nothing.
    pub fn look(&self, app: &AppId, per_second: u32, now: Instant) -> Quota {
        self.with(app, per_second, now, |bucket| bucket.look(now))
    }

    /// Forgets the buckets of apps that are gone, and promises that nobody came back for.
    pub fn retain(&self, known: impl Fn(&AppId) -> bool, now: Instant) {
        let mut buckets = self.lock();
        buckets.retain(|app, _| known(app));
        buckets.values_mut().for_each(|bucket| bucket.forget_expired(now));
    }

    fn with<T>(
        &self,
        app: &AppId,
        per_second: u32,
        now: Instant,
        act: impl FnOnce(&mut Bucket) -> T,
    ) -> T {
        let mut buckets = self.lock();
        let bucket = buckets.entry(app.clone()).or_insert_with(|| Bucket::new(per_second, now));
        bucket.set_limit(per_second, now);
        act(bucket)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Bucket>> {
        self.by_app.lock().expect("no code in this module panics while it holds the buckets")
    }
}
