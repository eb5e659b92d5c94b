//! Finds the control planes and says which of them live: seeds, what they say of each other, and a
//! heartbeat to each.
//!
//! Gateways and nodes, which both need all control planes, share it: [`Seeds`] say where to begin, the
//! directory keeps who is where, each address has its beats. What is known stands in one list that
//! callers read without waiting.

pub mod age;
mod beats;
mod directory;
mod seeds;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use self::{age::ClockThere, beats::Beats, directory::Directory};
use crate::{internal::HeartbeatResponse, link::Link};

pub use self::{
    beats::{LOST_AFTER, SILENT_AFTER},
    directory::REPLICAS_MAX,
    seeds::{Before, Dial, Seeds},
};

/// How often names are looked up again.
const LOOK_UP: Duration = Duration::from_secs(5);
/// How often addresses are looked at that may be given up.
const LOOK_AT: Duration = Duration::from_secs(1);

/// The control planes; cheap to clone. Its tasks end with the last clone.
#[derive(Clone, Debug)]
pub struct Replicas {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// Who sends heartbeats.
#[derive(Clone, Debug)]
pub struct Caller {
    /// A node's name; empty: a gateway.
    pub node_id: String,
    /// 16 bytes, new in each life of the process.
    pub boot_id: Bytes,
}

/// What a node says with each heartbeat.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// It closes its sockets.
    pub draining: bool,
    /// The control planes that it is attached to and that answer it.
    pub owners: Vec<u64>,
}

/// One control plane.
#[derive(Clone)]
pub struct Replica {
    /// Where it is.
    pub address: Arc<str>,
    /// Its name, which outlives it.
    pub name: Arc<str>,
    /// Its life; 0 before its first answer.
    pub owner: u64,
    /// Shards are given to it.
    pub eligible: bool,
    /// For calls.
    pub link: Link,
    /// Cancelled when it dies or falls silent; `None` where it has.
    pub life: Option<CancellationToken>,
    /// What its clock shows.
    pub clock: ClockThere,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, name, owner, eligible, life, .. } = self;
        write!(f, "{name} at {address} ({owner}, eligible {eligible}, alive {})", life.is_some())
    }
}

/// All that are known, dead ones too; each once.
pub type Known = Arc<[Replica]>;

#[derive(Debug)]
struct Shared {
    caller: Caller,
    said: watch::Sender<Said>,
    known: watch::Sender<Known>,
    state: Mutex<State>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct State {
    directory: Directory,
    links: BTreeMap<String, Link>,
    clocks: BTreeMap<String, ClockThere>,
}

impl Replicas {
    /// Starts looking for them.
    #[must_use]
    pub fn start(seeds: Seeds, caller: Caller) -> Self {
        let now = Instant::now().into_std();
        let state = State {
            directory: Directory::new(now),
            links: BTreeMap::new(),
            clocks: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            caller,
            said: watch::Sender::new(Said::default()),
            known: watch::Sender::new(Known::default()),
            state: Mutex::new(state),
            stop: CancellationToken::new(),
        });
        let stop = shared.stop.clone();
        let find = Arc::clone(&shared).find(seeds);
        tokio::spawn(stop.clone().run_until_cancelled_owned(find));
        Self { shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// Those that are known now.
    #[must_use]
    pub fn known(&self) -> Known {
        Arc::clone(&self.shared.known.borrow())
    }

    /// Looks at those that are known now.
    pub fn look<T>(&self, look: impl FnOnce(&[Replica]) -> T) -> T {
        look(&self.shared.known.borrow())
    }

    /// Says when anything of what is known changes.
    #[must_use]
    pub fn follow(&self) -> watch::Receiver<Known> {
        self.shared.known.subscribe()
    }

    /// Since when all are gone; `None` while one answers, or has only fallen silent: then its connection
    /// is given up in [`LOST_AFTER`].
    #[must_use]
    pub fn dead_since(&self) -> Option<Instant> {
        self.shared.state().directory.dead_since().map(Instant::from_std)
    }

    /// Says this with every heartbeat from here on, and at once where it is new.
    pub fn say(&self, said: Said) {
        self.shared.said.send_if_modified(|current| {
            let new = *current != said;
            *current = said;
            new
        });
    }

    /// Sends no more heartbeats.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }

    /// Keeps an address for each control plane that there may be, and beats for each address.
    async fn find(self: Arc<Self>, seeds: Seeds) {
        let mut beating: BTreeMap<String, CancellationToken> = BTreeMap::new();
        let local = |(place, link): (usize, &Link)| (format!("local:{place}"), link.clone());
        let local: BTreeMap<String, Link> = seeds.links.iter().enumerate().map(local).collect();
        self.state().links.clone_from(&local);
        let mut before = Before::default();
        let mut look = tokio::time::interval(LOOK_AT);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looked_up: Option<Instant> = None;
        let mut known = self.known.subscribe();
        loop {
            let due = seeds.have_names() && looked_up.is_none_or(|at| at.elapsed() >= LOOK_UP);
            if due || looked_up.is_none() {
                let mut addresses = seeds.resolve(&mut before).await;
                addresses.extend(local.keys().cloned());
                self.change(|directory, now| {
                    directory.seed(&addresses, now);
                    true
                });
                looked_up = Some(Instant::now());
            }
            self.change(Directory::give_up);
            self.keep_beating((&seeds, &local), &mut beating);
            tokio::select! {
                biased;
                _ = look.tick() => {}
                _ = known.changed() => {}
            }
        }
    }

    /// Begins to beat where an address is new, ends where it is given up.
    fn keep_beating(
        self: &Arc<Self>,
        (seeds, local): (&Seeds, &BTreeMap<String, Link>),
        beating: &mut BTreeMap<String, CancellationToken>,
    ) {
        let wanted: Vec<String> = self.state().directory.addresses().map(str::to_owned).collect();
        for address in &wanted {
            if beating.contains_key(address) {
                continue;
            }
            if let Some(link) = local.get(address) {
                self.beat(address.clone(), (link.clone(), true), beating);
                continue;
            }
            match seeds.connect(address).and_then(|link| Ok((link, seeds.connect(address)?))) {
                Ok((link, beats)) => {
                    self.state().links.insert(address.clone(), link);
                    self.beat(address.clone(), (beats, false), beating);
                    info!(address, "a control plane may be here");
                }
                Err(error) => {
                    warn!(%error, address, "a control plane named what is no address");
                    beating.insert(address.clone(), CancellationToken::new());
                }
            }
        }
        beating.retain(|address, beats| {
            let keep = wanted.contains(address);
            if !keep {
                beats.cancel();
                let mut state = self.state();
                state.links.remove(address);
                state.clocks.remove(address);
            }
            keep
        });
        self.change(|_, _| true);
    }

    fn beat(
        self: &Arc<Self>,
        address: String,
        (link, local): (Link, bool),
        beating: &mut BTreeMap<String, CancellationToken>,
    ) {
        let stop = self.stop.child_token();
        beating.insert(address.clone(), stop.clone());
        let beats = Beats { shared: Arc::clone(self), address, link, local };
        tokio::spawn(stop.run_until_cancelled_owned(beats.run()));
    }

    fn hear(&self, address: &str, answer: HeartbeatResponse) {
        let clock = self.state().clocks.entry(address.to_owned()).or_default().clone();
        clock.set(answer.clock_ms);
        self.change(|directory, now| directory.hear(address, answer, now));
    }

    fn fall_silent(&self, address: &str) {
        self.change(|directory, _| directory.fall_silent(address));
    }

    fn lose(&self, address: &str) {
        self.change(|directory, now| directory.lose(address, now));
    }

    fn is_duplicate(&self, address: &str) -> bool {
        self.state().directory.is_duplicate(address)
    }

    /// Changes the directory, and publishes what is known where that says that it is new.
    fn change(&self, change: impl FnOnce(&mut Directory, std::time::Instant) -> bool) {
        let mut state = self.state();
        if !change(&mut state.directory, Instant::now().into_std()) {
            return;
        }
        let former = Arc::clone(&self.known.borrow());
        let known = state.known(&former);
        let same = known.len() == former.len()
            && known.iter().zip(&*former).all(|(one, other)| one.is_same(other));
        for replica in former.iter().filter(|_| !same) {
            let lives = known.iter().any(|one| one.is_life_of(replica));
            if let Some(life) = replica.life.as_ref().filter(|_| !lives) {
                life.cancel();
            }
        }
        if !same {
            self.known.send_replace(known.into());
        }
    }
}

impl State {
    /// What is known, with the lives that go on.
    fn known(&self, former: &[Replica]) -> Vec<Replica> {
        let known = self.directory.known().filter_map(|(address, standing, alive)| {
            let link = self.links.get(address)?.clone();
            let known = former.iter().find(|former| &*former.address == address);
            let same_life = known.filter(|known| known.owner == standing.owner);
            let life = alive.then(|| {
                same_life
                    .and_then(|known| known.life.clone())
                    .unwrap_or_else(CancellationToken::new)
            });
            Some(Replica {
                address: known.map_or_else(|| address.into(), |known| Arc::clone(&known.address)),
                name: (*standing.name).into(),
                owner: standing.owner,
                eligible: standing.eligible,
                link,
                life,
                clock: self.clocks.get(address).cloned().unwrap_or_default(),
            })
        });
        known.collect()
    }
}

impl Replica {
    fn is_same(&self, other: &Self) -> bool {
        let facts = |one: &Self| (Arc::clone(&one.address), Arc::clone(&one.name), one.eligible);
        facts(self) == facts(other)
            && self.life.is_some() == other.life.is_some()
            && self.owner == other.owner
    }

    /// Whether this is the same life of it, and still alive.
    fn is_life_of(&self, former: &Self) -> bool {
        let same = self.address == former.address && self.owner == former.owner;
        same && self.life.is_some()
    }
}

#[cfg(test)]
mod tests;
