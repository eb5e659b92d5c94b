//! The attached nodes: who they are, who counts as interested in everything, connections per app.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use model::{AppId, BootId, NodeId, OwnerId};
use proto::internal::{Claim, Hello, ShardAge, ShardEpoch};

use crate::node::{Attachment, Node, Ticked};

/// All nodes, by name.
#[derive(Debug)]
pub struct Nodes {
    /// This life of the control plane.
    pub owner: OwnerId,
    known: Mutex<Known>,
    /// Nodes whose snapshot is not complete: they get every event.
    eager: RwLock<Arc<[Arc<Node>]>>,
    /// Some app may have so much on its way to a node that it has to publish later.
    crowded: AtomicBool,
    /// Another control plane reaches more of them.
    partial: AtomicBool,
    /// There are several.
    several: AtomicBool,
    /// And none of them answers.
    silent: AtomicBool,
    /// There were several, and all have been given up.
    bereft: AtomicBool,
}

#[derive(Debug, Default)]
struct Known {
    by_id: BTreeMap<NodeId, Arc<Node>>,
    connections: BTreeMap<AppId, BTreeMap<NodeId, u32>>,
    /// Apps whose totals have changed since they were last told.
    changed: Vec<AppId>,
    /// There were several since there was none.
    had_several: bool,
}

/// A stream that has begun.
#[derive(Debug)]
pub struct Attached {
    /// It.
    pub attachment: Attachment,
    /// The node's former life, whose contributions end now.
    pub replaced: Option<Arc<Node>>,
}

/// What a look at the clock found.
#[derive(Debug, Default)]
pub struct Found {
    /// Nodes that nobody waits for from now on.
    pub lagging: Vec<Arc<Node>>,
    /// Nodes that are gone, with all they contributed.
    pub gone: Vec<Arc<Node>>,
    /// Events that are waited for no longer, although their nodes are.
    pub overdue: usize,
}

impl Nodes {
    /// No nodes yet.
    #[must_use]
    pub fn new(owner: OwnerId) -> Self {
        let (known, eager) = (Mutex::default(), RwLock::new(Arc::from([])));
        let [crowded, partial, several, silent, bereft] = [(); 5].map(|()| AtomicBool::new(false));
        Self { owner, known, eager, crowded, partial, several, silent, bereft }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("no code in this module panics while it holds the nodes")
    }

    /// A node says hello. From here on, until its snapshot is complete, it gets every event.
    pub fn attach(&self, hello: &Hello, boot: BootId, now: Instant) -> Attached {
        let id = NodeId(Arc::from(&*hello.node_id));
        let mut known = self.known();
        let present = known.by_id.get(&id).filter(|node| node.boot == boot).map(Arc::clone);
        let (node, replaced) = match present {
            Some(node) => (node, None),
            None => {
                let node = Arc::new(Node::new(id.clone(), boot, now));
                known.had_several &= !known.by_id.is_empty();
                known.forget_connections(&id);
                (Arc::clone(&node), known.by_id.insert(id, node))
            }
        };
        self.set_eager(&node, true);
        let attachment = node.attach(hello, self.owner.0, now);
        self.listen(&mut known);
        Attached { attachment, replaced }
    }

    /// The nodes that get every event.
    #[must_use]
    pub fn eager(&self) -> Arc<[Arc<Node>]> {
        Arc::clone(&self.eager.read().expect("no writer panics"))
    }

    /// Asks every attached node for shards.
    pub fn claim(&self, round: u64, shards: &[ShardEpoch]) {
        for node in self.known().by_id.values().filter(|node| node.is_attached()) {
            node.claim(Claim { round, shards: shards.to_vec() });
        }
    }

    /// We could not hear them for a while.
    pub fn excuse(&self, now: Instant) {
        self.known().by_id.values().for_each(|node| node.excuse(now));
    }

    /// The attached nodes that have not answered the claims of a round.
    #[must_use]
    pub fn owing(&self, round: u64) -> Vec<Arc<Node>> {
        let known = self.known();
        known.by_id.values().filter(|node| node.owes_claim(round)).cloned().collect()
    }

    /// What has been pushed to each node.
    #[must_use]
    pub fn marks(&self) -> Vec<(Arc<Node>, u64)> {
        self.known().by_id.values().map(|node| (Arc::clone(node), node.mark())).collect()
    }

    /// The names of nodes that are attached and have been heard lately.
    #[must_use]
    pub fn reached(&self, now: Instant) -> Vec<String> {
        let known = self.known();
        let reached = known.by_id.values().filter(|node| node.is_reached(now));
        reached.map(|node| node.id.to_string()).collect()
    }

    /// Whether several nodes are known and none of them answers: then it is this control plane that is cut off.
    #[must_use]
    pub fn are_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// Whether several nodes were known and none is any more: it may be this control plane that is cut off.
    #[must_use]
    pub fn are_bereft(&self) -> bool {
        self.bereft.load(Ordering::Relaxed)
    }

    /// Whether there is another node that can keep what is for one of them.
    #[must_use]
    pub fn are_several(&self) -> bool {
        self.several.load(Ordering::Relaxed)
    }

    /// A stream has ended: it may have been the last.
    pub fn detached(&self) {
        self.listen(&mut self.known());
    }

    fn listen(&self, known: &mut Known) {
        let mut nodes = known.by_id.values();
        let (some, several) = (nodes.len() > 0, nodes.len() > 1);
        let silent = several && !nodes.any(|node| node.is_healthy());
        known.had_several |= several;
        self.several.store(several, Ordering::Relaxed);
        self.silent.store(silent, Ordering::Relaxed);
        self.bereft.store(!some && known.had_several, Ordering::Relaxed);
    }

    /// Tells all other nodes where another control plane has dispatched what only this one may have heard.
    pub fn tell_elsewhere(&self, heard: &Arc<Node>, shards: &[ShardAge]) {
        let known = self.known();
        let others = known.by_id.values().filter(|node| !Arc::ptr_eq(node, heard));
        others.for_each(|node| node.tell_elsewhere(shards));
    }

    /// Some node that publishers wait for.
    #[must_use]
    pub fn keeper(&self) -> Option<Arc<Node>> {
        self.known().by_id.values().find(|node| node.is_healthy()).cloned()
    }

    /// Whether others reach more nodes: what all have that are reached here, not all have.
    pub fn set_partial(&self, partial: bool) {
        self.partial.store(partial, Ordering::Relaxed);
    }

    /// Whether that is so.
    #[must_use]
    pub fn are_partial(&self) -> bool {
        self.partial.load(Ordering::Relaxed)
    }

    /// The lives of control planes that answer nodes which answer us.
    #[must_use]
    pub fn owners_heard(&self, now: Instant) -> Vec<OwnerId> {
        let known = self.known();
        let mut owners: Vec<_> =
            known.by_id.values().flat_map(|node| node.owners_heard(now)).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// Whether `node` gets every event.
    pub fn set_eager(&self, node: &Arc<Node>, eager: bool) {
        let mut current = self.eager.write().expect("no writer panics");
        let others = current.iter().filter(|other| !Arc::ptr_eq(other, node)).cloned();
        *current = others.chain(eager.then(|| Arc::clone(node))).collect();
    }

    /// The node's own number of connections of an app.
    pub fn set_connections(&self, node: &Node, app: AppId, connections: u32) {
        let mut known = self.known();
        let counts = known.connections.entry(app.clone()).or_default();
        if connections == 0 {
            counts.remove(&node.id);
        } else {
            counts.insert(node.id.clone(), connections);
        }
        if counts.is_empty() {
            known.connections.remove(&app);
        }
        known.changed.push(app);
    }

    /// Looks at the clock, and tells each node the connections that all others have.
    pub fn tick(&self, now: Instant) -> Found {
        let mut found = Found::default();
        let mut known = self.known();
        for node in known.by_id.values() {
            match node.tick(now, self.partial.load(Ordering::Relaxed)) {
                Ticked::Steady => {}
                Ticked::Overdue(events) => found.overdue += events,
                Ticked::Lagging => found.lagging.push(Arc::clone(node)),
                Ticked::Gone => found.gone.push(Arc::clone(node)),
            }
        }
        for node in &found.gone {
            known.by_id.remove(&node.id);
            known.forget_connections(&node.id);
            self.set_eager(node, false);
        }
        known.tell_totals();
        let crowded = known.by_id.values().any(|node| node.may_be_crowded());
        self.crowded.store(crowded, Ordering::Relaxed);
        self.listen(&mut known);
        found
    }

    /// Whether an app has so much on its way to some node that it has to publish later. The first
    /// question is asked for every publish: it costs a look at one flag.
    #[must_use]
    pub fn are_crowded_by(&self, app: &AppId) -> bool {
        self.crowded.load(Ordering::Relaxed)
            && self.known().by_id.values().any(|node| node.is_crowded_by(app))
    }

    /// A node by its name and life.
    #[must_use]
    pub fn get(&self, id: &str, boot: BootId) -> Option<Arc<Node>> {
        let known = self.known();
        known.by_id.get(&NodeId(Arc::from(id))).filter(|node| node.boot == boot).map(Arc::clone)
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Node>> {
        self.known().by_id.values().cloned().collect()
    }

    /// Connections by app and node.
    #[must_use]
    pub fn connections(&self) -> Vec<(AppId, NodeId, u32)> {
        let known = self.known();
        let of_app = |(app, counts): (&AppId, &BTreeMap<NodeId, u32>)| -> Vec<_> {
            counts.iter().map(|(node, count)| (app.clone(), node.clone(), *count)).collect()
        };
        known.connections.iter().flat_map(of_app).collect()
    }

    /// Ends every node's stream, so that a process that stops need not wait for them.
    pub fn detach_all(&self, now: Instant) {
        for node in self.known().by_id.values() {
            node.detach_any(now);
        }
    }

    /// Nodes with a stream and a complete snapshot.
    #[must_use]
    pub fn ready(&self) -> usize {
        let eager = self.eager();
        let is_eager = |node: &Arc<Node>| eager.iter().any(|other| Arc::ptr_eq(other, node));
        let known = self.known();
        known.by_id.values().filter(|node| node.is_attached() && !is_eager(node)).count()
    }

    /// Events and bytes on their way to all nodes.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let known = self.known();
        known.by_id.values().map(|node| node.depth()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1))
    }
}

impl Known {
    fn forget_connections(&mut self, id: &NodeId) {
        for (app, counts) in &mut self.connections {
            if counts.remove(id).is_some() {
                self.changed.push(app.clone());
            }
        }
        self.connections.retain(|_, counts| !counts.is_empty());
    }

    fn tell_totals(&mut self) {
        self.changed.sort();
        self.changed.dedup();
        for app in std::mem::take(&mut self.changed) {
            let counts = self.connections.get(&app);
            let total: u32 = counts.map_or(0, |counts| counts.values().sum());
            for (id, node) in &self.by_id {
                let own = counts.and_then(|counts| counts.get(id)).copied().unwrap_or(0);
                node.set_total(app.clone(), total - own);
            }
        }
    }
}
