//! A watch that leaves out, repeats, mixes up and ends, and an etcd that compacts what it should go on
//! from: the settings end up as they are in etcd, never go back, and what nobody changed is never touched.
//! An etcd that is empty all at once takes nothing with it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use control_plane::settings::{
    Change, Changes, Entry, EtcdOptions, EtcdStore, Fault, Freshness, Listing, Options, Settings,
    Store, Written,
};
use futures_util::{StreamExt as _, stream};
use model::{App, Apps};
use tests::{
    chance::Chance,
    chaos::lane::{say, seed, size},
    etcd::Etcd,
};
use tokio::time::{Duration, Instant, interval, sleep, timeout};

/// As often as etcd is listed, give or take a quarter: sixty seconds where it is not a test.
const RELIST_EVERY: Duration = Duration::from_secs(2);
const CONVERGED_MAX: Duration = Duration::from_secs(4);
/// Apps that nobody changes, that are changed, and that come and go.
const STILL: usize = 20;
const BUSY: usize = 10;
const FLEETING: usize = 3;
const CHANGE_EVERY: Duration = Duration::from_millis(10);
/// A watch lies about one batch in so many, and ends after one in so many.
const LIE: usize = 3;
const END: usize = 40;
/// It repeats one of so many.
const PAST: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lying_watch() {
    let seed = seed();
    say(&format!("lying_watch: CHAOS_SEED={seed}"));
    let mut chance = Chance::new(seed);
    let etcd = Etcd::start().await;
    let truth = EtcdStore::new(EtcdOptions::new(vec![etcd.endpoint()])).unwrap();
    let mut world = World::default();
    for app in names("still", STILL).chain(names("busy", BUSY)) {
        world.put(&truth, app).await;
    }
    let honest = EtcdStore::new(EtcdOptions::new(vec![etcd.endpoint()])).unwrap();
    let lies = Arc::new(Lies { chance: Mutex::new(chance.fork()), told: Mutex::default() });
    let liar = Liar { honest, lies: Arc::clone(&lies) };
    let options = Options { relist_every: RELIST_EVERY, ..Options::default() };
    let settings = Settings::start(Arc::new(liar), options).await.unwrap();
    let seen = tokio::spawn(watch_over(settings.apps()));

    let (mut ends, mut ticks) = (0, interval(CHANGE_EVERY));
    for _ in 0..size(800, 6_000) {
        ticks.tick().await;
        world.change(&truth, &mut chance).await;
        // What a watch that has ended should go on from is gone every other time.
        let ended = lies.told("ended");
        if ended > std::mem::replace(&mut ends, ended) && ended.is_multiple_of(2) {
            etcd.compact(world.revision).await;
        }
    }
    let began = Instant::now();
    let mut apps = settings.apps();
    let is_true = apps.wait_for(|apps| apps.as_ref().is_some_and(|apps| world.is_that_of(apps)));
    timeout(CONVERGED_MAX, is_true).await.expect("the settings become what etcd has").unwrap();
    let converged = began.elapsed();

    let left = apps.borrow_and_update().as_ref().map(|apps| apps.len());
    etcd.wipe().await;
    sleep(2 * RELIST_EVERY).await;
    let kept = apps.borrow().as_ref().map(|apps| apps.len());
    assert_eq!(kept, left, "apps went with an etcd that was wiped");
    drop((settings, apps));
    let snapshots = seen.await.unwrap();
    let told = lies.told.lock().unwrap().clone();
    say(&format!(
        "{} changes, {snapshots} snapshots, as in etcd {converged:?} after the last; lies: {told:?}",
        world.changes
    ));
    for lie in ["left out", "repeated", "held back", "ended", "compacted"] {
        assert!(told.contains_key(lie), "no watch has {lie}: {told:?}");
    }
}

fn names(kind: &'static str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{kind}-{number}"))
}

/// What etcd has: each app with the number of its last write, which is its secret.
#[derive(Default)]
struct World {
    apps: BTreeMap<String, (u64, u64)>,
    changes: u64,
    /// etcd's number of the last write.
    revision: u64,
}

impl World {
    /// Creates or replaces an app.
    async fn put(&mut self, store: &EtcdStore, id: String) {
        self.changes += 1;
        let number = self.changes;
        let app = format!(r#"{{"app_id":"{id}","key":"key-{id}"}}"#);
        let record = format!(r#"{{"version":1,"app":{app},"secret":"{number}"}}"#);
        let expected = self.apps.get(&id).map_or(0, |(revision, _)| *revision);
        let written = store.put(&id, record.into(), expected).await.unwrap();
        let Written::At(revision) = written else { panic!("{id}: {written:?}") };
        self.apps.insert(id, (revision, number));
        self.revision = revision;
    }

    async fn delete(&mut self, store: &EtcdStore, id: &str) {
        self.changes += 1;
        let (expected, _) = self.apps.remove(id).unwrap();
        let written = store.delete(id, expected).await.unwrap();
        let Written::At(revision) = written else { panic!("{id}: {written:?}") };
        self.revision = revision;
    }

    async fn change(&mut self, store: &EtcdStore, chance: &mut Chance) {
        if chance.below(4) > 0 {
            return self.put(store, format!("busy-{}", chance.below(BUSY))).await;
        }
        let id = format!("fleeting-{}", chance.below(FLEETING));
        match self.apps.contains_key(&id) {
            true => self.delete(store, &id).await,
            false => self.put(store, id).await,
        }
    }

    fn is_that_of(&self, apps: &Apps) -> bool {
        let same = |(id, (_, written)): (&String, &(u64, u64))| {
            apps.by_id(id).is_some_and(|app| number(app) == *written)
        };
        apps.len() == self.apps.len() && self.apps.iter().all(same)
    }
}

fn number(app: &App) -> u64 {
    app.secrets.current.expose().parse().unwrap()
}

/// Looks at all that is in force until nothing more comes; how often it changed.
async fn watch_over(mut apps: proto::watch::AppsReceiver) -> u64 {
    let (mut newest, mut snapshots) = (BTreeMap::<String, u64>::new(), 0);
    while apps.changed().await.is_ok() {
        let Some(now) = apps.borrow_and_update().clone() else { continue };
        snapshots += 1;
        for still in names("still", STILL) {
            assert!(now.by_id(&still).is_some(), "{still}, which nobody touched, is gone");
        }
        for app in now.iter() {
            let before = newest.insert(app.id.to_string(), number(app)).unwrap_or(0);
            assert!(
                before <= number(app),
                "settings go back: {} from {before} to {}",
                app.id,
                number(app)
            );
        }
    }
    snapshots
}

/// A store whose watch cannot be relied on; all the rest is etcd.
#[derive(Debug)]
struct Liar {
    honest: EtcdStore,
    lies: Arc<Lies>,
}

#[tonic::async_trait]
impl Store for Liar {
    async fn list(&self, freshness: Freshness) -> Result<Listing, Fault> {
        self.honest.list(freshness).await
    }

    async fn get(&self, app_id: &str) -> Result<Option<Entry>, Fault> {
        self.honest.get(app_id).await
    }

    async fn put(&self, app_id: &str, value: Bytes, expected: u64) -> Result<Written, Fault> {
        self.honest.put(app_id, value, expected).await
    }

    async fn delete(&self, app_id: &str, expected: u64) -> Result<Written, Fault> {
        self.honest.delete(app_id, expected).await
    }

    async fn watch(&self, after: u64) -> Result<Changes, Fault> {
        let honest = self.honest.watch(after).await?;
        let (past, ahead, held) = <(VecDeque<_>, VecDeque<_>, Vec<_>)>::default();
        let lying = Lying { honest, lies: Arc::clone(&self.lies), past, ahead, held };
        let next = |mut lying: Lying| async { Some((lying.next().await, lying)) };
        Ok(stream::unfold(lying, next).boxed())
    }
}

/// What was told, and when to lie next.
#[derive(Debug)]
struct Lies {
    chance: Mutex<Chance>,
    told: Mutex<BTreeMap<&'static str, u64>>,
}

impl Lies {
    fn note(&self, lie: &'static str) {
        *self.told.lock().unwrap().entry(lie).or_default() += 1;
    }

    fn below(&self, end: usize) -> usize {
        self.chance.lock().unwrap().below(end)
    }

    fn told(&self, lie: &str) -> u64 {
        self.told.lock().unwrap().get(lie).copied().unwrap_or_default()
    }
}

/// A watch of etcd, and what is made of it.
struct Lying {
    honest: Changes,
    lies: Arc<Lies>,
    /// What etcd has said lately.
    past: VecDeque<Vec<Change>>,
    /// What is said next.
    ahead: VecDeque<Vec<Change>>,
    /// What is said behind what came after it.
    held: Vec<Vec<Change>>,
}

impl Lying {
    async fn next(&mut self) -> Result<Vec<Change>, Fault> {
        loop {
            if let Some(batch) = self.ahead.pop_front() {
                return Ok(batch);
            }
            let batch = self.honest.next().await.expect("etcd's watch goes on or says why not");
            if matches!(batch, Err(Fault::Compacted { .. })) {
                self.lies.note("compacted");
            }
            let batch = batch?;
            if batch.is_empty() {
                return Ok(batch);
            }
            self.past.push_back(batch.clone());
            self.past.drain(..self.past.len().saturating_sub(PAST));
            if self.lies.below(END) == 0 {
                self.lies.note("ended");
                return Err(Fault::broken("watch", "it has ended"));
            }
            match self.lies.below(3 * LIE) {
                0 => self.lies.note("left out"),
                1 => {
                    self.lies.note("held back");
                    self.held.push(batch);
                }
                2 => {
                    self.lies.note("repeated");
                    let old = self.past[self.lies.below(self.past.len())].clone();
                    self.ahead.extend([batch, old]);
                }
                _ => self.ahead.extend([batch].into_iter().chain(self.held.drain(..))),
            }
        }
    }
}
