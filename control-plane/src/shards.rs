//! Channels by shard: who is interested, who is there, in which order events go out.
//!
//! Giving an event its serial and pushing it onto the queue of every interested node is one critical
//! section, so that all nodes see one order; notices of who came and went stand in the same order.
//! State exists only for channels in which some node has interest, and for the last events of cache
//! channels: publishing to a name that nobody knows leaves nothing behind.

mod cache;
mod channel;
mod count;
mod dispatched;
pub mod event;
mod reads;
mod roster;
mod shard;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use model::{App, AppId, Apps, ChannelName, Limits, OwnerId, SHARDS, ShardId, UserId, UserInfo};
use prometheus_client::registry::Registry;
use proto::{
    internal::{DispatchedEvent, Dispatches, EventPlace, ShardAge},
    plane::metrics::reading::{self, Name},
};

pub use cache::Budget;
pub use reads::{ChannelNow, Cursor};

use crate::{
    ack::Ack,
    node::{Attachment, Node, Pushed},
    nodes::Nodes,
    webhooks::Happening,
};
use shard::{Happenings, Shard};

/// A channel of an app.
pub type Key<'a> = (&'a AppId, &'a ChannelName);

/// All shards of this control plane.
#[derive(Debug)]
pub struct Shards {
    shards: Box<[Mutex<Shard>]>,
    /// When the last acknowledged event of each was dispatched: milliseconds since `began`, from 1.
    seen_through: Box<[AtomicU64]>,
    began: Instant,
    cache: Budget,
}

/// What a node says of one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Sockets subscribed on that node.
    pub subscriptions: u32,
    /// Events are wanted although nobody is subscribed.
    pub linger: bool,
    /// Whether anybody is subscribed, anywhere, is wanted.
    pub watched: bool,
    /// The version in which this interest began: the channel's state is told once for each.
    pub since: u64,
}

impl Wanted {
    /// Whether the node has no interest in the channel.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.subscriptions == 0 && !self.linger && !self.watched
    }
}

/// What a node says of one user in a presence channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberReport {
    /// It is there, says this of itself, and came in this version of the node's interest.
    Present(UserId, UserInfo, u64),
    /// It is not there, or no longer.
    Absent(UserId),
}

/// In which light something that a node says is seen.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// Who says it.
    pub from: &'a Attachment,
    /// The apps' settings.
    pub apps: &'a Apps,
    /// When.
    pub now: Instant,
}

impl Report<'_> {
    fn rules(&self, app: &AppId) -> Rules {
        Rules::of(self.apps, app)
    }
}

/// The settings of an app that matter for who is told what.
#[derive(Clone, Copy, Debug)]
struct Rules {
    members_max: usize,
    count_events: bool,
}

impl Rules {
    fn of(apps: &Apps, app: &AppId) -> Self {
        let rules = |limits: &Limits, count_events: bool| Self {
            members_max: limits.presence_members_max as usize,
            count_events,
        };
        let known = |app: &Arc<App>| rules(&app.limits, app.features.subscription_count_events);
        apps.by_id(app.as_str()).map_or_else(|| rules(&Limits::default(), false), known)
    }
}

/// Something that backends may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happened {
    /// In which app.
    pub app: AppId,
    /// In which channel.
    pub channel: ChannelName,
    /// What.
    pub what: Happening,
}

/// Who gets an event besides those who are interested, who waits for it, and when.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// These get it in any case.
    pub eager: &'a [Arc<Node>],
    /// The publisher's acknowledgement; absent where nobody waits.
    pub ack: Option<&'a Arc<Ack>>,
    /// One of these keeps it where nobody who wants it answers; absent where nobody need.
    pub keepers: Option<&'a Nodes>,
    /// The time.
    pub now: Instant,
}

/// What became of one event for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Connections subscribed, over all nodes.
    pub subscriptions: u32,
    /// Users in the channel.
    pub users: u32,
    /// Nodes that it was queued for.
    pub nodes: u32,
    /// Those of them that publishers wait for.
    pub heard: u32,
    /// Nodes whose queue overflowed on it.
    pub overflowed: u32,
}

impl Dispatched {
    fn add(&mut self, pushed: Pushed) {
        match pushed {
            Pushed::Queued => (self.nodes, self.heard) = (self.nodes + 1, self.heard + 1),
            Pushed::Unheard => self.nodes += 1,
            Pushed::Overflowed => self.overflowed += 1,
            Pushed::Lost => {}
        }
    }

    /// Whether there are nodes that want it, and none of them answers.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        self.nodes > 0 && self.heard == 0
    }
}

/// Who is told what happened.
pub type Tell<'a> = &'a mut dyn FnMut(Happened);

/// Changes a shard and tells what happened before anybody else can change it: of two happenings in
/// one channel the later one is told later.
fn in_order(
    mut shard: MutexGuard<'_, Shard>,
    tell: Tell<'_>,
    change: impl FnOnce(&mut Shard, &mut Happenings),
) {
    let mut happenings = Happenings::new();
    change(&mut shard, &mut happenings);
    happenings.into_iter().for_each(tell);
}

impl Shards {
    /// Empty shards, none of them owned.
    #[must_use]
    pub fn new(owner: OwnerId, cache: Budget, began: Instant) -> Self {
        let ids = (0..SHARDS).filter_map(|number| ShardId::new(number.into()));
        let shards = ids.map(|id| Mutex::new(Shard::new(id, owner))).collect();
        let seen_through = (0..SHARDS).map(|_| AtomicU64::new(0)).collect();
        Self { shards, seen_through, began, cache }
    }

    /// An event of this channel that was dispatched at that time is acknowledged: who was not attached
    /// then, and had somebody in the channel, has a hole.
    pub fn see_through(&self, (app, channel): Key<'_>, at: Instant) {
        self.note_seen(ShardId::of(app, channel.as_str()), at);
    }

    /// Other owners' events passed a node, and were dispatched to whoever they reached. Returns those of a time
    /// at which this control plane owned the shard, and of which nobody else will tell: they may not have
    /// reached all. One that is alive tells the nodes that were cut off from it itself.
    pub fn note_passed(
        &self,
        ages: &[ShardAge],
        is_alive: impl Fn(OwnerId) -> bool,
        now: Instant,
    ) -> Vec<ShardAge> {
        let is_elsewhere = |age: &&ShardAge| {
            let at = now.checked_sub(Duration::from_millis(age.age_ms));
            let Some((id, at)) = ShardId::new(age.shard).zip(at) else { return false };
            self.note_seen(id, at);
            self.shard(id).was_held(at) && !is_alive(OwnerId(age.owner))
        };
        ages.iter().filter(is_elsewhere).copied().collect()
    }

    fn note_seen(&self, shard: ShardId, at: Instant) {
        let milliseconds = at.saturating_duration_since(self.began).as_millis() as u64;
        self.seen_through[shard.index()].fetch_max(milliseconds + 1, Ordering::Relaxed);
    }

    fn shard(&self, id: ShardId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[id.index()])
    }

    fn shard_of(&self, (app, channel): Key<'_>) -> MutexGuard<'_, Shard> {
        self.shard(ShardId::of(app, channel.as_str()))
    }

    /// Takes note of what a node wants of a channel. Where the channel's events go there from now on, this
    /// is when the last one of its shard was dispatched.
    pub fn set_interest(
        &self,
        report: &Report<'_>,
        key: Key<'_>,
        wanted: Wanted,
        tell: Tell<'_>,
    ) -> Option<ShardAge> {
        let mut last = None;
        let shard = self.shard_of(key);
        let number = shard.place.shard.number();
        in_order(shard, tell, |shard, happenings| {
            last = shard.set_interest(report, key, wanted, happenings);
        });
        let age = |at| report.now.saturating_duration_since(at).as_millis() as u64;
        last.map(|at| ShardAge { shard: number.into(), age_ms: age(at), owner: 0 })
    }

    /// Takes note of a user that came to a node or left it.
    pub fn set_member(
        &self,
        report: &Report<'_>,
        key: Key<'_>,
        member: &MemberReport,
        tell: Tell<'_>,
    ) {
        in_order(self.shard_of(key), tell, |shard, happenings| {
            shard.set_member(report, key, member, happenings);
        });
    }

    /// Drops what a node contributed, but for what it named in the attachment `kept`.
    pub fn forget(
        &self,
        node: &Arc<Node>,
        kept: Option<u32>,
        (apps, now): (&Apps, Instant),
        tell: Tell<'_>,
    ) {
        let rules = |app: &AppId| Rules::of(apps, app);
        for shard in &*self.shards {
            in_order(lock(shard), tell, |shard, happenings| {
                shard.forget(node, kept, (&rules, now), happenings);
            });
        }
    }

    /// This control plane owns these shards from here on, in these epochs. What former owners may have
    /// told only some nodes goes first, to all of them: who has it knows it by its id.
    pub fn begin(
        &self,
        taken: &[(ShardId, u64)],
        recovered: Vec<DispatchedEvent>,
        eager: &[Arc<Node>],
        now: Instant,
    ) {
        let mut by_shard: HashMap<u32, Vec<DispatchedEvent>> = HashMap::new();
        for event in recovered {
            by_shard.entry(event.shard).or_default().push(event);
        }
        for (id, epoch) in taken {
            let mut shard = self.shard(*id);
            shard.begin(*epoch, now);
            let recovered = by_shard.remove(&u32::from(id.number())).unwrap_or_default();
            recovered.into_iter().for_each(|event| self.repeat(&mut shard, event, (eager, now)));
        }
    }

    /// Where former owners' events stood, of which publishers may not have been answered.
    pub fn inherit(&self, places: &[EventPlace], now: Instant) {
        for place in places {
            if let Some(id) = ShardId::new(place.shard) {
                self.shard(id).dispatched.inherit(place, now);
            }
        }
    }

    /// As in [`Shards::begin`], for what was told of later: behind what has been dispatched since, so that
    /// a node either has it, or passed its place before anybody was there, or has a hole there.
    pub fn repeat_late(
        &self,
        recovered: Vec<DispatchedEvent>,
        (eager, now): (&[Arc<Node>], Instant),
    ) {
        for event in recovered {
            let Some(id) = ShardId::new(event.shard) else { continue };
            let mut shard = self.shard(id);
            if shard.owned {
                self.repeat(&mut shard, event, (eager, now));
            }
        }
    }

    /// Dispatches again what a former owner did.
    fn repeat(
        &self,
        shard: &mut Shard,
        mut event: DispatchedEvent,
        (eager, now): (&[Arc<Node>], Instant),
    ) {
        let Some((app, channel)) = event.names() else { return };
        event.keep_origin(0);
        let ack = Ack::new();
        let sending = Sending { eager, ack: Some(&ack), keepers: None, now };
        self.send(shard, (&app, &channel), event, sending);
        ack.pay();
    }

    /// Another control plane owns these shards, or will: nothing is dispatched in them any more.
    pub fn end(&self, left: &[ShardId], now: Instant) {
        for id in left {
            self.shard(*id).end(now);
        }
    }

    /// Where events were dispatched that are acknowledged, and how long ago.
    #[must_use]
    pub fn dispatches(&self, now: Instant) -> Dispatches {
        let now = now.saturating_duration_since(self.began).as_millis() as u64 + 1;
        let seen = (0..).zip(&self.seen_through).filter_map(|(shard, at)| {
            let at = at.load(Ordering::Relaxed);
            (at > 0).then(|| ShardAge { shard, age_ms: now.saturating_sub(at), owner: 0 })
        });
        Dispatches { shards: seen.collect(), elsewhere: false }
    }

    /// What the cache channels of a shard show.
    #[must_use]
    pub fn cached_in(&self, id: ShardId, now: Instant) -> Vec<DispatchedEvent> {
        self.shard(id).cache.all(now).collect()
    }

    /// The last event of a cache channel, as its owner says.
    pub fn keep(&self, key: Key<'_>, event: &DispatchedEvent, now: Instant) {
        self.shard_of(key).cache.store(key, event, now, &self.cache);
        self.trim_cache(ShardId::of(key.0, key.1.as_str()));
    }

    /// Looks at the clock: what is owed, who was kept, what is shown no longer.
    pub fn tick(&self, now: Instant, tell: Tell<'_>) {
        for shard in &*self.shards {
            in_order(lock(shard), tell, |shard, happenings| {
                shard.tick(now, &self.cache, happenings);
            });
        }
    }

    /// Gives an event its place in its channel and pushes it onto the queue of every interested node.
    /// The event comes back where the shard is not this control plane's.
    pub fn dispatch(
        &self,
        key: Key<'_>,
        event: DispatchedEvent,
        sending: Sending<'_>,
    ) -> Result<Dispatched, Box<DispatchedEvent>> {
        let is_kept = event.cache_ttl_ms > 0;
        let mut shard = self.shard_of(key);
        if !shard.owned {
            return Err(Box::new(event));
        }
        let dispatched = self.send(&mut shard, key, event, sending);
        drop(shard);
        if is_kept {
            self.trim_cache(ShardId::of(key.0, key.1.as_str()));
        }
        Ok(dispatched)
    }

    fn send(
        &self,
        shard: &mut Shard,
        key: Key<'_>,
        event: DispatchedEvent,
        sending: Sending<'_>,
    ) -> Dispatched {
        if event.cache_ttl_ms > 0 {
            shard.cache.store(key, &event, sending.now, &self.cache);
        }
        shard.send(key, event, sending)
    }

    /// Where kept events exceed what they may take, the oldest of other shards make room, and only then
    /// the one just kept.
    fn trim_cache(&self, from: ShardId) {
        let (before, rest) = self.shards.split_at(from.index());
        let mut evicted = true;
        while evicted {
            evicted = false;
            for shard in rest.iter().skip(1).chain(before) {
                if !self.cache.is_over() {
                    return;
                }
                evicted |= lock(shard).cache.evict(&self.cache);
            }
        }
        if self.cache.is_over() {
            self.shard(from).cache.evict(&self.cache);
        }
    }

    /// Channels with interest.
    #[must_use]
    pub fn channels(&self) -> usize {
        let count =
            |shard: &Mutex<Shard>| lock(shard).apps.values().map(HashMap::len).sum::<usize>();
        self.shards.iter().map(count).sum()
    }

    /// Shards that are dispatched here, and the highest of their epochs.
    #[must_use]
    pub fn epochs(&self) -> (usize, u64) {
        let owned = self.shards.iter().filter_map(|shard| {
            let shard = lock(shard);
            shard.owned.then_some(shard.place.epoch)
        });
        owned.fold((0, 0), |(shards, most), epoch| (shards + 1, most.max(epoch)))
    }

    /// Channels of which something is owed to a node: its queue had no room for notices.
    #[must_use]
    pub fn owing(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).owing()).sum()
    }

    /// Registers the highest epoch, and what is owed.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let name = Name::new("shard_epoch_max", "Highest epoch of the shards dispatched here");
        let shards = Arc::clone(self);
        reading::gauge(registry, name, move || Some(shards.epochs().1 as f64));
        let name = Name::new("channels_owing", "Channels of which nodes are owed notices");
        let shards = Arc::clone(self);
        reading::gauge(registry, name, move || Some(shards.owing() as f64));
    }

    /// How long the last event of a cache channel is shown.
    #[must_use]
    pub fn cached_for(&self) -> Duration {
        self.cache.ttl
    }

    /// Bytes of kept events.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.cache.used()
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("no code in this module panics while it holds a shard")
}
