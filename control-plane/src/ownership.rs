//! Which shards this control plane owns, and when it takes or gives one away.
//!
//! Pure: what the others say and the time are arguments. The owner that is wanted for a shard is picked
//! by rendezvous hashing over the eligible control planes. One that is wanted waits until nobody alive
//! holds the shard, and then claims it under an epoch higher than any that is known; one that holds a
//! shard for which another is wanted gives it away. Where two hold a shard, because they could not
//! hear each other, the higher epoch wins, and the larger owner within one.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{OwnerId, SHARDS, ShardId, replica};
use proto::internal::ShardEpoch;

/// A shard that nobody alive holds is claimed by anybody after this, whoever is wanted: the others may
/// be of another opinion on who is eligible.
pub const ORPHANED_MAX: Duration = Duration::from_millis(400);

/// A claim to a shard: the higher one wins.
pub type Stake = (u64, OwnerId);

/// The shards of one control plane.
#[derive(Debug)]
pub struct Ownership {
    name: Arc<str>,
    owner: OwnerId,
    holds: Box<[Hold]>,
    /// The highest stake in each shard that anybody has told of.
    seen: Box<[Stake]>,
    orphaned: Box<[Option<Instant>]>,
    wanted: Wanted,
    round: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// It is not ours.
    Not,
    /// Nodes are asked; nothing is dispatched.
    Claiming { epoch: u64, round: u64 },
    /// It is ours.
    Owned { epoch: u64 },
    /// It was ours; nodes are still acknowledging what was dispatched.
    Leaving { epoch: u64 },
}

/// Who is wanted for each shard: computed once for each set of eligible names.
#[derive(Debug, Default)]
struct Wanted {
    names: Vec<Arc<str>>,
    by_shard: Vec<u16>,
}

/// Another control plane, as this one sees it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its name.
    pub name: Arc<str>,
    /// This life of it.
    pub owner: OwnerId,
    /// It answers: us, or nodes that answer us.
    pub alive: bool,
    /// It answers us, so that what it says it holds is the truth.
    pub reachable: bool,
    /// Shards may be given to it.
    pub eligible: bool,
    /// The epochs in which it holds shards; 0 where it does not.
    pub held: Arc<[u64]>,
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Ask nodes for these shards, in this round.
    pub claim: Vec<(ShardId, u64)>,
    /// The round of those claims.
    pub round: u64,
    /// Stop to dispatch in these; say [`Ownership::left`] when what was dispatched is acknowledged.
    pub leave: Vec<ShardId>,
    /// Others own these: stop at once.
    pub lost: Vec<ShardId>,
}

impl Steps {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.claim.is_empty() && self.leave.is_empty() && self.lost.is_empty()
    }
}

impl Ownership {
    /// Owns nothing yet.
    #[must_use]
    pub fn new(name: Arc<str>, owner: OwnerId) -> Self {
        let shards = usize::from(SHARDS);
        Self {
            name,
            owner,
            holds: vec![Hold::Not; shards].into(),
            seen: vec![(0, OwnerId(0)); shards].into(),
            orphaned: vec![None; shards].into(),
            wanted: Wanted::default(),
            round: 0,
        }
    }

    /// Looks at the others and the clock. `eligible`: shards may be given to this control plane;
    /// `strangers`: lives that nodes hear of and we do not.
    pub fn look(
        &mut self,
        eligible: bool,
        peers: &[Standing],
        strangers: &[OwnerId],
        now: Instant,
    ) -> Steps {
        let own = eligible.then(|| Arc::clone(&self.name));
        let fit = |peer: &&Standing| peer.alive && peer.eligible;
        let others = peers.iter().filter(fit).map(|peer| Arc::clone(&peer.name));
        self.wanted.choose(own.into_iter().chain(others).collect());
        let mut steps = Steps { round: self.round + 1, ..Steps::default() };
        for shard in shards() {
            let rival = self.rival(shard, peers, strangers);
            self.step(shard, (eligible, rival), now, &mut steps);
        }
        if !steps.claim.is_empty() {
            self.round = steps.round;
        }
        steps
    }

    fn step(
        &mut self,
        shard: ShardId,
        (eligible, rival): (bool, Option<Stake>),
        now: Instant,
        steps: &mut Steps,
    ) {
        let place = shard.index();
        let wanted = self.wanted.at(shard);
        let is_ours = wanted == Some(&*self.name);
        match self.holds[place] {
            Hold::Claiming { epoch, .. } | Hold::Owned { epoch } | Hold::Leaving { epoch }
                if rival > Some((epoch, self.owner)) =>
            {
                self.holds[place] = Hold::Not;
                steps.lost.push(shard);
            }
            // Nodes know of somebody who is no more: they would refuse what we dispatch.
            Hold::Owned { epoch } if self.seen[place] > (epoch, self.owner) => {
                steps.lost.push(shard);
                self.claim(shard, steps);
            }
            Hold::Owned { epoch } if wanted.is_some() && !is_ours => {
                self.holds[place] = Hold::Leaving { epoch };
                steps.leave.push(shard);
            }
            Hold::Owned { .. } | Hold::Claiming { .. } | Hold::Leaving { .. } => {}
            Hold::Not if rival.is_some() || !eligible => self.orphaned[place] = None,
            Hold::Not => {
                let since = *self.orphaned[place].get_or_insert(now);
                if is_ours || now.saturating_duration_since(since) >= ORPHANED_MAX {
                    self.claim(shard, steps);
                }
            }
        }
    }

    fn claim(&mut self, shard: ShardId, steps: &mut Steps) {
        let place = shard.index();
        let epoch = self.seen[place].0 + 1;
        self.seen[place] = (epoch, self.owner);
        self.orphaned[place] = None;
        self.holds[place] = Hold::Claiming { epoch, round: steps.round };
        steps.claim.push((shard, epoch));
    }

    /// The highest stake that somebody alive has in a shard.
    fn rival(&self, shard: ShardId, peers: &[Standing], strangers: &[OwnerId]) -> Option<Stake> {
        let (epoch, owner) = self.seen[shard.index()];
        let held = peers.iter().filter(|peer| peer.alive).filter_map(|peer| {
            let told = peer.held[shard.index()];
            // Of one that we cannot hear, the nodes may know more.
            let heard_of = if !peer.reachable && peer.owner == owner { epoch } else { 0 };
            let held = told.max(heard_of);
            (held > 0).then_some((held, peer.owner))
        });
        let strange = strangers.contains(&owner).then_some((epoch, owner));
        held.chain(strange).max()
    }

    /// Somebody knows these stakes.
    pub fn seen(&mut self, stakes: &[ShardEpoch]) {
        for stake in stakes {
            let Some(shard) = ShardId::new(stake.shard) else {
                continue;
            };
            let seen = &mut self.seen[shard.index()];
            *seen = (*seen).max((stake.epoch, OwnerId(stake.owner)));
        }
    }

    /// A node has refused claims because of these stakes: what is claimed below them is claimed anew,
    /// if at all.
    pub fn refused(&mut self, stakes: &[ShardEpoch]) {
        self.seen(stakes);
        for shard in stakes.iter().filter_map(|stake| ShardId::new(stake.shard)) {
            let place = shard.index();
            if let Hold::Claiming { epoch, .. } = self.holds[place]
                && self.seen[place] > (epoch, self.owner)
            {
                self.holds[place] = Hold::Not;
            }
        }
    }

    /// All nodes have answered the claims of this round: the shards that are ours from here on.
    pub fn claimed(&mut self, round: u64) -> Vec<(ShardId, u64)> {
        let mut taken = Vec::new();
        for shard in shards() {
            let hold = &mut self.holds[shard.index()];
            if let Hold::Claiming { epoch, round: asked } = *hold
                && asked == round
            {
                *hold = Hold::Owned { epoch };
                taken.push((shard, epoch));
            }
        }
        taken
    }

    /// The claims of this round come to nothing.
    pub fn abandon(&mut self, round: u64) {
        for hold in &mut self.holds {
            if matches!(hold, Hold::Claiming { round: asked, .. } if *asked == round) {
                *hold = Hold::Not;
            }
        }
    }

    /// What was dispatched in these shards is acknowledged: others may take them.
    pub fn left(&mut self, shards: &[ShardId]) {
        for shard in shards {
            let hold = &mut self.holds[shard.index()];
            if matches!(hold, Hold::Leaving { .. }) {
                *hold = Hold::Not;
            }
        }
    }

    /// The shards that are ours, or that we are claiming or leaving: nobody else may claim them.
    pub fn held(&self) -> impl Iterator<Item = ShardEpoch> {
        shards().filter_map(|shard| match self.holds[shard.index()] {
            Hold::Not => None,
            Hold::Claiming { epoch, .. } | Hold::Owned { epoch } | Hold::Leaving { epoch } => {
                let shard = u32::from(shard.number());
                Some(ShardEpoch { shard, epoch, owner: self.owner.0 })
            }
        })
    }

    /// Whether no shard is ours, nor about to be.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holds.iter().all(|hold| *hold == Hold::Not)
    }

    /// How many shards are ours.
    #[must_use]
    pub fn owned(&self) -> usize {
        self.holds.iter().filter(|hold| matches!(hold, Hold::Owned { .. })).count()
    }

    /// The last round of claims.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round
    }
}

impl Wanted {
    fn choose(&mut self, mut names: Vec<Arc<str>>) {
        names.sort_unstable();
        names.dedup();
        if self.names == names {
            return;
        }
        let place = |shard| {
            let chosen = replica::owner(names.iter().map(|name| &**name), shard);
            let place = names.iter().position(|name| Some(&**name) == chosen);
            place.unwrap_or_default() as u16
        };
        self.by_shard = shards().map(place).collect();
        self.names = names;
    }

    fn at(&self, shard: ShardId) -> Option<&str> {
        let place = self.by_shard.get(shard.index())?;
        self.names.get(usize::from(*place)).map(|name| &**name)
    }
}

/// All shards.
pub fn shards() -> impl Iterator<Item = ShardId> {
    (0..u32::from(SHARDS)).filter_map(ShardId::new)
}
