//! What the other control planes say of themselves: plain values.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Instant,
};

use model::{AppId, OwnerId, SHARDS, ShardId, replica};
use proto::{
    internal::{FollowResponse, Replica},
    link::Link,
};

use super::{
    SILENCE_MAX,
    forward::{Forward, Forwarder},
};
use crate::ownership::Standing;

/// All that are known, by address.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_address: BTreeMap<String, Peer>,
    changed: bool,
}

/// Another control plane.
#[derive(Debug)]
struct Peer {
    said: FollowResponse,
    standing: Standing,
    heard: Instant,
    /// Its stream has not ended.
    linked: bool,
    /// How it is called.
    way: Option<(Link, Forwarder)>,
    demands: HashMap<AppId, (f64, f64)>,
}

impl Peers {
    /// One says something of itself. Returns whether that is news.
    pub(super) fn heard(&mut self, address: &str, said: FollowResponse, now: Instant) -> bool {
        let replica = said.replica.clone().unwrap_or_default();
        let known = self.by_address.get_mut(address);
        let former = known.filter(|peer| peer.standing.owner.0 == replica.owner);
        let news = said.holdings.is_some()
            || former.is_none_or(|peer| {
                !peer.linked || peer.said.replica != said.replica || peer.said.nodes != said.nodes
            });
        let way = self.by_address.get_mut(address).and_then(|peer| peer.way.take());
        let former = self.by_address.remove(address);
        let held = match &said.holdings {
            None => former
                .filter(|peer| peer.standing.owner.0 == replica.owner)
                .map_or_else(nothing_held, |peer| peer.standing.held),
            Some(holdings) => {
                let mut held = vec![0; usize::from(SHARDS)];
                let shards = holdings.shards.iter();
                for (shard, stake) in shards.filter_map(|one| Some((ShardId::new(one.shard)?, one)))
                {
                    held[shard.index()] = stake.epoch;
                }
                held.into()
            }
        };
        let standing = Standing {
            name: replica.name.into(),
            owner: OwnerId(replica.owner),
            alive: true,
            reachable: true,
            eligible: replica.eligible,
            held,
        };
        let demands = said.demands.iter().filter_map(|demand| {
            Some((AppId::parse(&demand.app_id).ok()?, (demand.publishes, demand.reads)))
        });
        let demands = demands.collect();
        let peer = Peer { said, standing, heard: now, linked: true, way, demands };
        self.by_address.insert(address.to_owned(), peer);
        self.changed |= news;
        news
    }

    /// We could not hear them for a while.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.by_address.values_mut().for_each(|peer| peer.heard = now);
    }

    /// The stream of one has ended: it cannot be reached.
    pub(super) fn lost(&mut self, address: &str) {
        if let Some(peer) = self.by_address.get_mut(address) {
            peer.linked = false;
            peer.way = None;
            self.changed = true;
        }
    }

    /// One can be reached like this.
    pub(super) fn link(&mut self, address: &str, link: Link, forwarder: Forwarder) {
        if let Some(peer) = self.by_address.get_mut(address) {
            peer.way = Some((link, forwarder));
            self.changed = true;
        }
    }

    /// Looks at the clock. `alive`: lives that answer nodes which answer us.
    pub(super) fn look(&mut self, alive: &[OwnerId], now: Instant) {
        for peer in self.by_address.values_mut() {
            let heard = now.saturating_duration_since(peer.heard) < SILENCE_MAX;
            let reachable = peer.linked && heard;
            let is_alive = reachable || alive.contains(&peer.standing.owner);
            let before = (peer.standing.reachable, peer.standing.alive);
            self.changed |= before != (reachable, is_alive);
            (peer.standing.reachable, peer.standing.alive) = (reachable, is_alive);
        }
        // One that has come back under another life is not the one that went.
        self.by_address.retain(|_, peer| peer.linked || peer.standing.alive);
    }

    /// As ownership sees them.
    pub(super) fn standings(&self) -> Vec<Standing> {
        self.by_address.values().map(|peer| peer.standing.clone()).collect()
    }

    /// The same, each with its internal listener.
    pub(super) fn by_address(&self) -> Vec<(String, Standing)> {
        let peers = self.by_address.iter();
        peers.map(|(address, peer)| (address.clone(), peer.standing.clone())).collect()
    }

    pub(super) fn knows(&self, owner: OwnerId) -> bool {
        self.by_address.values().any(|peer| peer.standing.owner == owner)
    }

    /// Whether it answers us, or nodes that answer us.
    pub(super) fn is_alive(&self, owner: OwnerId) -> bool {
        let mut alive = self.by_address.values().filter(|peer| peer.standing.alive);
        alive.any(|peer| peer.standing.owner == owner)
    }

    /// Whether anything has changed since this was asked last.
    pub(super) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The most nodes that an eligible one reaches.
    pub(super) fn most_nodes(&self) -> usize {
        let reachable = self.by_address.values().filter(|peer| peer.standing.reachable);
        let fit = reachable.filter(|peer| peer.standing.eligible);
        fit.map(|peer| peer.said.nodes.len()).max().unwrap_or(0)
    }

    /// The most nodes that any one knows.
    pub(super) fn nodes(&self) -> usize {
        let reachable = self.by_address.values().filter(|peer| peer.standing.reachable);
        reachable.map(|peer| peer.said.nodes.len()).max().unwrap_or(0)
    }

    /// Whether somebody who can be reached holds each shard.
    pub(super) fn covered(&self) -> Vec<bool> {
        let mut covered = vec![false; usize::from(SHARDS)];
        for peer in self.by_address.values().filter(|peer| peer.standing.reachable) {
            for (covered, epoch) in covered.iter_mut().zip(&*peer.standing.held) {
                *covered |= *epoch > 0;
            }
        }
        covered
    }

    /// To the reachable one that holds a shard, under the highest epoch.
    pub(super) fn forwarder(&self, shard: ShardId) -> Option<Forwarder> {
        let holders = self
            .by_address
            .values()
            .filter(|peer| peer.standing.reachable && peer.standing.held[shard.index()] > 0);
        let holder =
            holders.max_by_key(|peer| (peer.standing.held[shard.index()], peer.standing.owner))?;
        holder.way.as_ref().map(|(_, forwarder)| forwarder.clone())
    }

    /// Those that live, and how they are called.
    pub(super) fn ways(&self) -> Vec<(OwnerId, String, Option<Link>)> {
        let alive = self.by_address.values().filter(|peer| peer.standing.alive);
        let way = |peer: &Peer| {
            let way = peer.way.as_ref().filter(|_| peer.standing.reachable);
            let link = way.map(|(link, _)| link.clone());
            (peer.standing.owner, peer.standing.name.to_string(), link)
        };
        alive.map(way).collect()
    }

    /// Tells all that can be reached.
    pub(super) fn tell_all(&self, said: &Forward) {
        for (_, forwarder) in self.by_address.values().filter_map(|peer| peer.way.as_ref()) {
            forwarder.tell(said.clone());
        }
    }

    /// What waits for the streams to all of them, and for answers.
    pub(super) fn depth(&self) -> (usize, usize) {
        let ways = self.by_address.values().filter_map(|peer| peer.way.as_ref());
        let depths = ways.map(|(_, forwarder)| forwarder.depth());
        depths.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// To the one that is wanted for a shard among the eligible ones and `own`.
    pub(super) fn home(&self, own: Option<&str>, shard: ShardId) -> Option<Link> {
        let fit = |peer: &&Peer| peer.standing.reachable && peer.standing.eligible;
        let fit = self.by_address.values().filter(fit);
        let names = fit.clone().map(|peer| &*peer.standing.name).chain(own);
        let wanted = replica::owner(names, shard).filter(|wanted| Some(*wanted) != own)?;
        let mut fit = fit.filter(|peer| &*peer.standing.name == wanted);
        fit.find_map(|peer| peer.way.as_ref()).map(|(link, _)| link.clone())
    }

    /// What the others ask of an app's limits, and how many they are.
    pub(super) fn demand(&self, app: &AppId) -> Option<(f64, f64, usize)> {
        let reachable = self.by_address.values().filter(|peer| peer.standing.reachable);
        let mut total = (0.0, 0.0, 0);
        for peer in reachable {
            let (publishes, reads) = peer.demands.get(app).copied().unwrap_or_default();
            total = (total.0 + publishes, total.1 + reads, total.2 + 1);
        }
        (total.2 > 0).then_some(total)
    }

    /// As gateways and nodes are told.
    pub(super) fn list(&self) -> impl Iterator<Item = Replica> {
        let alive = self.by_address.values().filter(|peer| peer.standing.alive);
        alive.filter_map(|peer| peer.said.replica.clone())
    }
}

fn nothing_held() -> Arc<[u64]> {
    vec![0; usize::from(SHARDS)].into()
}
