//! One limiter of every app.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Instant,
};

use model::{AppId, Quota};

use super::{
    Bucket,
    demand::{Demand, share},
};
use crate::content::Content;

/// The buckets of all apps that have used theirs.
#[derive(Debug, Default)]
pub struct Buckets {
    by_app: Mutex<HashMap<AppId, Limiter>>,
}

#[derive(Debug)]
struct Limiter {
    bucket: Bucket,
    demand: Demand,
    /// Of the limit.
    share: f64,
    limit: u32,
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
        let taken = self.with(app, per_second, now, |limiter| {
            limiter.demand.ask(cost);
            limiter.bucket.take(cost, now)
        });
        if let Ok(quota) = taken {
            return Ok(quota);
        }
        let call = call();
        self.with(app, per_second, now, |limiter| limiter.bucket.take_as_promised(cost, call, now))
    }

    /// What the app has left; takes nothing.
    pub fn look(&self, app: &AppId, per_second: u32, now: Instant) -> Quota {
        self.with(app, per_second, now, |limiter| limiter.bucket.look(now))
    }

    /// Tokens per second that each app asks for.
    pub fn demands(&self, now: Instant) -> Vec<(AppId, f64)> {
        let mut limiters = self.lock();
        let demands =
            limiters.iter_mut().map(|(app, limiter)| (app.clone(), limiter.demand.rate(now)));
        demands.filter(|(_, rate)| *rate > 0.1).collect()
    }

    /// What is asked for elsewhere, and by how many control planes, makes the share that is given here.
    pub fn share(&self, elsewhere: impl Fn(&AppId) -> Option<(f64, usize)>, now: Instant) {
        for (app, limiter) in self.lock().iter_mut() {
            let here = limiter.demand.rate(now);
            limiter.share = match elsewhere(app) {
                Some(others) => share(limiter.limit, here, others),
                None => 1.0,
            };
        }
    }

    /// Forgets the buckets of apps that are gone, and promises that nobody came back for.
    pub fn retain(&self, known: impl Fn(&AppId) -> bool, now: Instant) {
        let mut buckets = self.lock();
        buckets.retain(|app, _| known(app));
        buckets.values_mut().for_each(|limiter| limiter.bucket.forget_expired(now));
    }

    fn with<T>(
        &self,
        app: &AppId,
        per_second: u32,
        now: Instant,
        act: impl FnOnce(&mut Limiter) -> T,
    ) -> T {
        let mut limiters = self.lock();
        let limiter = limiters.entry(app.clone()).or_insert_with(|| Limiter {
            bucket: Bucket::new(per_second, now),
            demand: Demand::new(now),
            share: 1.0,
            limit: per_second,
        });
        limiter.limit = per_second;
        limiter.bucket.set_limit(per_second, limiter.share, now);
        act(limiter)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AppId, Limiter>> {
        self.by_app.lock().expect("no code in this module panics while it holds the buckets")
    }
}
