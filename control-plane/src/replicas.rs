//! The control planes together: who is there, which shards are this one's, where the others' are.
//!
//! [`Replicas`] looks at what peers and nodes say, asks [`Ownership`] what follows, and does it: claims
//! shards from nodes, begins and ends to dispatch in them, tells the others. It looks whenever something
//! has changed, and on every tick of the clock.

pub mod discovery;
pub mod forward;
mod peers;
mod rounds;
pub mod service;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use model::{AppId, OwnerId, ShardId};
use prometheus_client::registry::Registry;
use proto::{
    internal::{AppDemand, Claim, Claimed, FollowResponse, Holdings, Replica, ShardEpoch},
    link::Link,
    plane::metrics::reading::{self, Name},
    replicas::age,
};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::{
    metrics::DispatchMetrics,
    node::Node,
    nodes::Nodes,
    ownership::{Ownership, Standing, Steps},
    shards::Shards,
};
use forward::{Forward, Forwarder};
use peers::Peers;
use rounds::{Leavings, Rounds};

/// A peer that says nothing for this long has stopped, whatever TCP says.
pub const SILENCE_MAX: Duration = Duration::from_millis(750);
/// Where this process has not looked for this long it was stopped itself, and what it has not heard
/// meanwhile proves nothing.
const STALLED: Duration = Duration::from_millis(300);
/// One that reaches fewer nodes than another for this long gives its shards away.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// This control plane, as others are told of it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name, which outlives it.
    pub name: Arc<str>,
    /// Its internal listener.
    pub address: String,
    /// This life of it.
    pub owner: OwnerId,
}

/// All control planes, as this one sees them.
#[derive(Debug)]
pub struct Replicas {
    /// This one.
    pub me: Identity,
    shards: Arc<Shards>,
    nodes: Arc<Nodes>,
    metrics: DispatchMetrics,
    state: Mutex<State>,
    /// Addresses of others that have neither answered nor failed yet; one before they are looked up.
    unasked: AtomicUsize,
    /// There are others: a copy for those who ask often.
    accompanied: AtomicBool,
    /// There are, or were, and none of them is alive, or one reaches more nodes.
    apart: AtomicBool,
    /// Counts changes of what this one holds, or of whom it knows.
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    ownership: Ownership,
    peers: Peers,
    rounds: Rounds,
    leavings: Leavings,
    warm: bool,
    draining: bool,
    eligible: bool,
    /// Since when another one reaches more nodes.
    behind: Option<Instant>,
    /// There have been others: one that is cut off for long does not know of them any more.
    had_peers: bool,
    /// Grows whenever shards are taken or given away.
    version: u64,
    looked: Option<Instant>,
}

impl Replicas {
    /// Alone, and without shards.
    #[must_use]
    pub fn new(
        me: Identity,
        (shards, nodes): (Arc<Shards>, Arc<Nodes>),
        metrics: DispatchMetrics,
    ) -> Arc<Self> {
        let state = State {
            ownership: Ownership::new(Arc::clone(&me.name), me.owner),
            peers: Peers::default(),
            rounds: Rounds::default(),
            leavings: Leavings::default(),
            warm: false,
            draining: false,
            eligible: false,
            behind: None,
            had_peers: false,
            version: 0,
            looked: None,
        };
        let changes = watch::Sender::new(0);
        let state = Mutex::new(state);
        let [accompanied, apart] = [(); 2].map(|()| AtomicBool::new(false));
        let unasked = AtomicUsize::new(1);
        Arc::new(Self { me, shards, nodes, metrics, state, unasked, accompanied, apart, changes })
    }

    /// Names what is on its way to the others.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let read = |read: fn((usize, usize)) -> usize| {
            let replicas = Arc::downgrade(self);
            move || replicas.upgrade().map(|own| read(own.state().peers.depth()) as f64)
        };
        let help = "Messages on their way to other control planes";
        let name = Name::new("forward_queue_messages", help);
        reading::gauge(registry, name, read(|(queued, _)| queued));
        let help = "Publishes sent on that their owners have not answered";
        reading::gauge(registry, Name::new("forwards_in_flight", help), read(|(_, sent)| sent));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code in this module panics while it holds the state")
    }

    /// Is told of every change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The nodes have reported: shards may be taken.
    pub fn warm_up(&self, now: Instant) {
        self.state().warm = true;
        self.look(now);
    }

    /// Gives all shards away, if there is anybody who takes them.
    pub fn drain(&self, now: Instant) {
        self.state().draining = true;
        self.look(now);
    }

    /// Shards that are not given away yet, or not yet for certain.
    #[must_use]
    pub fn held(&self) -> usize {
        self.state().ownership.held().count()
    }

    /// So many others are going to be asked for the first time.
    pub fn will_ask(&self, others: usize) {
        self.unasked.store(others, Ordering::Release);
    }

    /// One of them has answered, or has failed to.
    pub fn has_asked(&self) {
        let fewer = |unasked: usize| unasked.checked_sub(1);
        let _ = self.unasked.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer);
    }

    /// Whether all that may be there have been asked what is theirs.
    #[must_use]
    pub fn have_been_asked(&self) -> bool {
        self.unasked.load(Ordering::Acquire) == 0
    }

    /// The most nodes that another control plane knows.
    #[must_use]
    pub fn nodes_elsewhere(&self) -> usize {
        self.state().peers.nodes()
    }

    /// Whether there are others.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        self.accompanied.load(Ordering::Relaxed)
    }

    /// Whether there are or were others, of which none is alive, or one reaches more nodes than this one.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.apart.load(Ordering::Relaxed)
    }

    /// Whether somebody who can be reached dispatches in each shard.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let state = self.state();
        let mut covered = state.peers.covered();
        for stake in state.ownership.held() {
            covered[stake.shard as usize] = true;
        }
        covered.into_iter().all(|covered| covered)
    }

    /// Looks at peers, nodes and the clock, and does what follows.
    pub fn look(&self, now: Instant) {
        let mut state = self.state();
        let before = (state.version, state.eligible);
        let looked = state.looked.replace(now).unwrap_or(now);
        if now.saturating_duration_since(looked) > STALLED {
            warn!("this process stood still; it gives the others time to be heard");
            self.metrics.stalls.inc();
            state.peers.excuse(now);
            self.nodes.excuse(now);
        }
        let alive = self.nodes.owners_heard(now);
        state.peers.look(&alive, now);
        state.judge_itself(self.nodes.reached(now).len(), now);
        self.nodes.set_partial(state.behind.is_some());
        let standings = state.peers.standings();
        let strangers: Vec<OwnerId> = alive
            .into_iter()
            .filter(|owner| *owner != self.me.owner && !state.peers.knows(*owner))
            .collect();
        let eligible = state.eligible;
        let steps = state.ownership.look(eligible, &standings, &strangers, now);
        self.take_steps(&mut state, &steps, now);
        self.finish_rounds(&mut state, now);
        self.finish_leavings(&mut state, now);
        let changed = before != (state.version, state.eligible) || state.peers.take_changed();
        let alive = standings.iter().filter(|peer| peer.alive).count();
        state.had_peers |= !standings.is_empty();
        self.accompanied.store(!standings.is_empty(), Ordering::Relaxed);
        let is_apart = state.had_peers && (alive == 0 || state.behind.is_some());
        self.apart.store(is_apart, Ordering::Relaxed);
        self.metrics.owned_shards.set(state.ownership.owned() as i64);
        self.metrics.peers.set(alive as i64);
        drop(state);
        if changed {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn take_steps(&self, state: &mut State, steps: &Steps, now: Instant) {
        if steps.is_empty() {
            return;
        }
        state.version += 1;
        self.shards.end(&steps.lost, now);
        self.shards.end(&steps.leave, now);
        self.metrics.shards_lost.inc_by(steps.lost.len() as u64);
        if !steps.lost.is_empty() {
            warn!(shards = steps.lost.len(), "another control plane owns these shards");
        }
        if !steps.leave.is_empty() {
            info!(shards = steps.leave.len(), "shards are given away");
            for shard in &steps.leave {
                let cached = self.shards.cached_in(*shard, now);
                cached.into_iter().for_each(|event| state.peers.tell_all(&Forward::Cached(event)));
            }
            state.leavings.begin(steps.leave.clone(), self.nodes.marks(), now);
        }
        if !steps.claim.is_empty() {
            info!(shards = steps.claim.len(), round = steps.round, "shards are claimed");
            self.metrics.shards_claimed.inc_by(steps.claim.len() as u64);
            let owner = self.me.owner.0;
            let claims: Vec<ShardEpoch> = steps
                .claim
                .iter()
                .map(|(shard, epoch)| ShardEpoch {
                    shard: shard.number().into(),
                    epoch: *epoch,
                    owner,
                })
                .collect();
            state.rounds.begin(steps.round, now);
            self.nodes.claim(steps.round, &claims);
        }
    }

    fn finish_rounds(&self, state: &mut State, now: Instant) {
        for done in state.rounds.finished(&self.nodes, now) {
            if !done.silent.is_empty() && state.behind.is_some() {
                // Others reach those that do not answer.
                state.ownership.abandon(done.number);
                state.version += 1;
                continue;
            }
            for node in &done.silent {
                // It may have interest that it has not told.
                warn!(node = %node.id, "node does not answer a claim; it gets every event");
                node.set_late(true);
                self.nodes.set_eager(node, true);
            }
            let taken = state.ownership.claimed(done.number);
            let recovered = done.recovered.len();
            let eager = self.nodes.eager();
            self.shards.begin(&taken, done.recovered, &eager, now);
            self.metrics.recovered.inc_by(recovered as u64);
            info!(shards = taken.len(), round = done.number, recovered, "shards are ours");
            state.version += 1;
        }
    }

    fn finish_leavings(&self, state: &mut State, now: Instant) {
        for left in state.leavings.finished(now) {
            state.ownership.left(&left);
            state.version += 1;
        }
    }

    /// A node has attached and knows of these stakes: it is told what is ours.
    pub fn greet(&self, node: &Node, stakes: &[ShardEpoch], now: Instant) {
        let mut state = self.state();
        node.tell_dispatches(self.shards.dispatches(now));
        state.ownership.seen(stakes);
        let held: Vec<_> = state.ownership.held().collect();
        if !held.is_empty() {
            node.claim(Claim { round: state.ownership.round(), shards: held });
        }
        drop(state);
        self.look(now);
    }

    /// A node has refused what we dispatched or claimed.
    pub fn refused(&self, stakes: &[ShardEpoch], now: Instant) {
        self.state().ownership.refused(stakes);
        self.look(now);
    }

    /// A node answers a claim.
    pub fn claimed(&self, node: &Arc<Node>, answer: Claimed, now: Instant) {
        let mut state = self.state();
        state.ownership.refused(&answer.stale);
        self.shards.inherit(&answer.places, now);
        let heard = self.nodes.owners_heard(now);
        let is_alive = |owner| state.peers.is_alive(owner) || heard.contains(&owner);
        let elsewhere = self.shards.note_passed(&answer.dispatched, is_alive, now);
        if !elsewhere.is_empty() {
            self.nodes.tell_elsewhere(node, &elsewhere);
        }
        let late = state.rounds.recover(answer.round, answer.events);
        self.metrics.recovered_late.inc_by(late.len() as u64);
        if !late.is_empty() {
            self.shards.repeat_late(late, (&self.nodes.eager(), now));
        }
        if !answer.more {
            node.claimed(answer.round);
            if node.has_answered() && node.is_late() {
                node.set_late(false);
                self.nodes.set_eager(node, !node.has_snapshot());
            }
        }
        drop(state);
        self.look(now);
    }

    /// A peer says something of itself. `false`: it is this control plane.
    pub fn heard(&self, address: &str, said: FollowResponse, now: Instant) -> bool {
        if said.replica.as_ref().is_some_and(|replica| replica.owner == self.me.owner.0) {
            return false;
        }
        let mut state = self.state();
        if let Some(holdings) = &said.holdings {
            state.ownership.seen(&holdings.shards);
        }
        let changed = state.peers.heard(address, said, now);
        drop(state);
        if changed {
            self.look(now);
        }
        true
    }

    /// The stream of a peer has ended.
    pub fn lost(&self, address: &str, now: Instant) {
        self.state().peers.lost(address);
        self.look(now);
    }

    /// A peer can be reached like this.
    pub fn link(&self, address: &str, link: Link, forwarder: Forwarder) {
        self.state().peers.link(address, link, forwarder);
    }

    /// Where the owner of a shard takes what others have admitted; `None` while there is none that can
    /// be reached, and where the owner is this control plane.
    #[must_use]
    pub fn forwarder(&self, shard: ShardId) -> Option<Forwarder> {
        self.state().peers.forwarder(shard)
    }

    /// The others that live: a life, its name, and how it is called if it can be.
    #[must_use]
    pub fn ways(&self) -> Vec<(OwnerId, String, Option<Link>)> {
        self.state().peers.ways()
    }

    /// Tells all peers, as far as there is room.
    pub fn tell_all(&self, said: &Forward) {
        self.state().peers.tell_all(said);
    }

    /// What this control plane says of itself; its holdings where they have changed since `version`.
    #[must_use]
    pub fn describe(
        &self,
        version: Option<u64>,
        demands: Vec<AppDemand>,
        now: Instant,
    ) -> (FollowResponse, u64) {
        let nodes = self.nodes.reached(now);
        let state = self.state();
        let holdings = (version != Some(state.version))
            .then(|| Holdings { shards: state.ownership.held().collect() });
        let said = FollowResponse {
            replica: Some(self.own(&state)),
            warm: state.warm,
            draining: state.draining,
            nodes,
            holdings,
            demands,
            clock_ms: age::clock_ms(),
        };
        (said, state.version)
    }

    /// This control plane, as others are told of it.
    #[must_use]
    pub fn myself(&self) -> Replica {
        self.own(&self.state())
    }

    fn own(&self, state: &State) -> Replica {
        Replica {
            name: self.me.name.to_string(),
            address: self.me.address.clone(),
            owner: self.me.owner.0,
            eligible: state.eligible,
        }
    }

    /// All control planes that this one knows, itself first.
    #[must_use]
    pub fn list(&self) -> Vec<Replica> {
        let state = self.state();
        std::iter::once(self.own(&state)).chain(state.peers.list()).collect()
    }

    /// The others, each by its internal listener, as ownership sees them.
    #[must_use]
    pub fn standings(&self) -> Vec<(String, Standing)> {
        self.state().peers.by_address()
    }

    /// A link to the other control plane that is wanted for a shard; `None` where that is this one, or
    /// cannot be reached.
    #[must_use]
    pub fn home(&self, shard: ShardId) -> Option<Link> {
        let state = self.state();
        let own = state.eligible.then_some(&*self.me.name);
        state.peers.home(own, shard)
    }

    /// How much of an app's limit others ask for at present, as publishes and reads per second.
    #[must_use]
    pub fn demand_elsewhere(&self, app: &AppId) -> Option<(f64, f64, usize)> {
        self.state().peers.demand(app)
    }
}

impl State {
    /// A control plane that reaches fewer nodes than another one is no good home for a shard: one without
    /// any is given none, one that has some keeps them for a moment. With nobody better there it goes on
    /// with those it reaches.
    fn judge_itself(&mut self, nodes: usize, now: Instant) {
        let most = self.peers.most_nodes();
        match most > nodes {
            true => _ = self.behind.get_or_insert(now),
            false => self.behind = None,
        }
        let patience = if self.ownership.is_empty() { Duration::ZERO } else { BEHIND_MAX };
        let is_behind =
            self.behind.is_some_and(|since| now.saturating_duration_since(since) >= patience);
        self.eligible = self.warm && !self.draining && !is_behind;
    }
}
