//! The keys of all apps, shared among callers.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use model::{App, AppId, MessageId, Reason, Rejection};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{Bounds, Claim, Idempotency, Outcome, Results};
use crate::{content::Content, metrics::DispatchMetrics};

/// Keys are spread over this many locks.
const SHARDS: usize = 16;
/// Keys remembered by the process, and of one app.
const BOUNDS: Bounds = Bounds { keys_max: 1_000_000, keys_per_app_max: 100_000 };
/// Longest wait for the first publish of a key; most callers give up earlier.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// Who publishes under which key.
#[derive(Debug)]
pub struct Claims {
    shards: [Mutex<Idempotency>; SHARDS],
    patience: Duration,
    metrics: DispatchMetrics,
}

/// What a publish is to do.
#[derive(Debug)]
pub enum Turn {
    /// It has no key: publish.
    Free,
    /// It is the first of its key: publish, and say so.
    First(Claimed),
    /// It was published before, with this answer.
    Repeat(Results),
}

/// A key that is ours. Dropped after [`Claimed::dispatched`] it stands for the answer, whether or not
/// the caller is still there; dropped before that, the key is free again.
#[derive(Debug)]
pub struct Claimed {
    claims: Arc<Claims>,
    app: AppId,
    key: Content,
    content: Content,
    number: u64,
    outcome: watch::Sender<Outcome>,
    results: Option<Results>,
}

impl Claims {
    /// No keys yet.
    #[must_use]
    pub fn new(metrics: DispatchMetrics) -> Arc<Self> {
        let share = Bounds {
            keys_max: BOUNDS.keys_max / SHARDS,
            keys_per_app_max: BOUNDS.keys_per_app_max / SHARDS,
        };
        let shards = std::array::from_fn(|_| Mutex::new(Idempotency::new(share)));
        Arc::new(Self { shards, patience: WAIT_MAX, metrics })
    }

    /// Whose turn it is. Where the same is being published already, this waits for its outcome.
    pub async fn claim(
        self: &Arc<Self>,
        app: &App,
        key: Content,
        content: Content,
    ) -> Result<Turn, Rejection> {
        let Some(kept) = app.idempotency else { return Ok(Turn::Free) };
        let deadline = Instant::now() + self.patience;
        loop {
            let now = Instant::now().into_std();
            let (claim, evicted) = self.shard(key).claim(&app.id, (key, content), (now, kept));
            self.metrics.keys_evicted.inc_by(evicted as u64);
            let mut waiting = match claim {
                Claim::First { number, outcome } => {
                    let (claims, app) = (Arc::clone(self), app.id.clone());
                    let results = None;
                    return Ok(Turn::First(Claimed {
                        claims,
                        app,
                        key,
                        content,
                        number,
                        outcome,
                        results,
                    }));
                }
                Claim::Done(results) => return Ok(self.repeat(results)),
                Claim::Conflict => return Err(conflict()),
                Claim::Running(waiting) => waiting,
            };
            let done = waiting.wait_for(|outcome| matches!(outcome, Outcome::Done(_)));
            let done = timeout_at(deadline, done).await;
            match done.map_err(|_| still_running())?.as_deref() {
                Ok(Outcome::Done(results)) => return Ok(self.repeat(Arc::clone(results))),
                // The first was refused: perhaps this one is not.
                Ok(Outcome::Running) | Err(_) => {}
            }
        }
    }

    /// Forgets keys whose time is over.
    pub fn forget_expired(&self, now: std::time::Instant) {
        let kept = self.shards.iter().map(|shard| {
            let mut keys = lock(shard);
            keys.forget_expired(now);
            keys.len()
        });
        self.metrics.keys.set(kept.sum::<usize>() as i64);
    }

    fn repeat(&self, results: Results) -> Turn {
        self.metrics.repeated.inc();
        Turn::Repeat(results)
    }

    fn shard(&self, key: Content) -> MutexGuard<'_, Idempotency> {
        lock(&self.shards[key.share(SHARDS)])
    }
}

fn lock(shard: &Mutex<Idempotency>) -> MutexGuard<'_, Idempotency> {
    shard.lock().expect("no code in this module panics while it holds the keys")
}

/// The key was used for something else.
pub(crate) fn conflict() -> Rejection {
    let message = "idempotency_key was used a short while ago for a publish that differs from this \
                   one; a key names one publish";
    Rejection::field(Reason::Conflict, "idempotency_key", message)
}

fn still_running() -> Rejection {
    let message = "the first publish with this idempotency_key is still under way; try again";
    Rejection::field(Reason::Unavailable, "idempotency_key", message)
}

impl Claimed {
    /// The id of what is published: a retry that reaches another control plane has the same.
    #[must_use]
    pub fn message_id(&self) -> MessageId {
        Content::message_id(&self.app, self.key, self.content)
    }

    /// It is on its way to the nodes and can't be taken back. The others hear of it when this is
    /// dropped: when the nodes have it, or nobody waits for that any more.
    pub fn dispatched(&mut self, results: Results) {
        self.results = Some(results);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let claim = (self.key, self.number);
        match self.results.take() {
            Some(results) => {
                self.claims.shard(self.key).complete(&self.app, claim, Arc::clone(&results));
                self.outcome.send_replace(Outcome::Done(results));
            }
            // The sender goes with this, which is how those who wait hear of it.
            None => self.claims.shard(self.key).release(&self.app, claim),
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{AppSecret, Secrets};

    use super::*;

    fn app() -> App {
        let id = AppId::parse("a").unwrap();
        App::new(id, "k", Secrets::one(AppSecret::new("s")))
    }

    fn first(turn: Turn) -> Claimed {
        match turn {
            Turn::First(claimed) => claimed,
            Turn::Free | Turn::Repeat(_) => panic!("{turn:?}"),
        }
    }

    async fn start() -> (Arc<Claims>, App, [Content; 2], Claimed) {
        let (claims, app) = (Claims::new(DispatchMetrics::default()), app());
        let names = ["key", "content"].map(|text| Content::of_texts(&[text]));
        let claimed = first(claims.claim(&app, names[0], names[1]).await.unwrap());
        (claims, app, names, claimed)
    }

    #[tokio::test]
    async fn the_second_waits_for_the_first() {
        let (claims, app, [key, content], mut claimed) = start().await;
        let second = claims.claim(&app, key, content);
        let finish = async {
            tokio::task::yield_now().await;
            claimed.dispatched([].into());
            drop(claimed);
        };
        let (second, ()) = tokio::join!(second, finish);
        assert!(matches!(second, Ok(Turn::Repeat(_))));
        assert_eq!(claims.metrics.repeated.get(), 1);
    }

    #[tokio::test]
    async fn where_the_first_is_refused_the_second_has_its_turn() {
        let (claims, app, [key, content], claimed) = start().await;
        let second = claims.claim(&app, key, content);
        let refuse = async {
            tokio::task::yield_now().await;
            drop(claimed);
        };
        let (second, ()) = tokio::join!(second, refuse);
        first(second.unwrap());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let (mut claims, app, [key, content], claimed) = start().await;
        drop(claimed);
        Arc::get_mut(&mut claims).unwrap().patience = Duration::from_millis(20);
        let _claimed = first(claims.claim(&app, key, content).await.unwrap());
        let refused = claims.claim(&app, key, content).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unavailable);
        let refused = claims.claim(&app, key, key).await.unwrap_err();
        assert_eq!((refused.reason, &*refused.field), (Reason::Conflict, "idempotency_key"));
    }

    #[tokio::test]
    async fn an_app_without_idempotency_has_no_keys() {
        let (claims, app, [key, content], _claimed) = start().await;
        let app = App { idempotency: None, ..app };
        assert!(matches!(claims.claim(&app, key, content).await, Ok(Turn::Free)));
    }
}
