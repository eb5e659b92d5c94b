//! One shard: its channels, what is said of them and what follows from that.

use std::{sync::Arc, time::Instant};

use foldhash::{HashMap, HashMapExt as _};
use model::{AppId, ChannelKind, ChannelName, OwnerId, ShardId, UserId};
use proto::internal::DispatchedEvent;

use super::{
    Dispatched, Happened, Key, MemberReport, Report, Rules, Sending, Wanted,
    cache::{Budget, Cache},
    channel::Channel,
    count::{Count, Telling},
    dispatched::Lately,
    event::{About, Place},
    roster::{self, Dropped, Entered, Exited},
};
use crate::{ack::Piece, node::Node, nodes::Nodes, webhooks::Happening};

pub(super) type Channels = HashMap<AppId, HashMap<ChannelName, Channel>>;

/// A share of all channels.
#[derive(Debug)]
pub(super) struct Shard {
    /// Ours is above all epochs that nodes have seen.
    pub(super) place: Place,
    /// The highest serial given in this epoch: a channel that comes back starts behind it.
    pub(super) serial_high: u64,
    pub(super) apps: Channels,
    pub(super) cache: Cache,
    /// This control plane owns the shard. Where it does not, it hears all and says nothing, neither to
    /// nodes nor to backends: the owner does.
    pub(super) owned: bool,
    /// Since when; or when it did last.
    held: Option<(Instant, Option<Instant>)>,
    /// Which events were lately.
    pub(super) dispatched: Lately,
    /// When the last event was dispatched here, wanted or not.
    last: Option<Instant>,
    /// Channels that owe something to a node.
    owing: Vec<(AppId, ChannelName)>,
    /// What has to be looked at later.
    later: Vec<Later>,
}

/// A channel to be looked at when a time has come.
#[derive(Debug)]
struct Later {
    at: Instant,
    app: AppId,
    channel: ChannelName,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A user who left a node that shuts down.
    Kept(UserId, Arc<Node>),
    /// The number of subscriptions.
    Count,
}

/// What happened in a shard, for the webhooks.
pub(super) type Happenings = Vec<Happened>;

impl Shard {
    pub(super) fn new(shard: ShardId, owner: OwnerId) -> Self {
        Self {
            place: Place { shard, epoch: 0, owner },
            serial_high: 0,
            apps: HashMap::new(),
            cache: Cache::default(),
            owned: false,
            held: None,
            dispatched: Lately::default(),
            last: None,
            owing: Vec::new(),
            later: Vec::new(),
        }
    }

    /// Channels that owe something to a node, for lack of room in its queue.
    pub(super) fn owing(&self) -> usize {
        self.owing.len()
    }

    pub(super) fn find(&self, (app, channel): Key<'_>) -> Option<&Channel> {
        self.apps.get(app.as_str())?.get(channel.as_str())
    }

    /// Gives an event its serial and pushes it to all who want it.
    pub(super) fn send(
        &mut self,
        (app, channel): Key<'_>,
        mut event: DispatchedEvent,
        Sending { eager, ack, keepers, now }: Sending<'_>,
    ) -> Dispatched {
        if event.notice.is_none() {
            self.last = self.last.max(Some(now));
        }
        let entry = self.apps.get_mut(app.as_str()).and_then(|map| map.get_mut(channel.as_str()));
        let mut dispatched = Dispatched::default();
        let (serial, holders) = match entry {
            Some(entry) => {
                // A notice takes no serial: it is not missed where only some nodes get it.
                entry.serial += u64::from(event.notice.is_none());
                self.serial_high = self.serial_high.max(entry.serial);
                dispatched.users = entry.users() as u32;
                (entry.serial, &entry.holders[..])
            }
            None if eager.is_empty() => return dispatched,
            // Nodes that get every event may have the channel all the same: theirs are in one order too.
            None => {
                self.serial_high += u64::from(event.notice.is_none());
                (self.serial_high, &[][..])
            }
        };
        self.place.stamp(&mut event, serial);
        if event.notice.is_none() {
            self.dispatched.note(&mut event, now);
        }
        let event = Arc::new(event);
        let holders = holders.iter().filter(|holder| holder.wants_events());
        let fresh = eager
            .iter()
            .filter(|node| !holders.clone().any(|holder| Arc::ptr_eq(&holder.node, node)));
        let fresh = fresh.map(|node| (node, 0));
        let piece = ack.map(|ack| Piece::new(ack, keepers.is_some_and(Nodes::are_several)));
        for (node, sockets) in
            holders.clone().map(|holder| (&holder.node, holder.subscriptions)).chain(fresh)
        {
            dispatched.add(node.push(&event, sockets, now, piece.as_ref()));
        }
        // Should this control plane die before they answer again, whoever takes the shard finds it there.
        if dispatched.is_unheard()
            && let Some(keeper) = keepers.and_then(Nodes::keeper)
        {
            keeper.push(&event, 0, now, piece.as_ref());
        }
        if let Some(piece) = piece.filter(|_| dispatched.nodes == 0) {
            piece.hold();
        }
        dispatched.subscriptions = holders.map(|holder| holder.subscriptions).sum();
        dispatched
    }

    /// A node says what it wants of a channel. Returns when the last event of the shard was dispatched where
    /// the channel's events did not go there.
    pub(super) fn set_interest(
        &mut self,
        report: &Report<'_>,
        key: Key<'_>,
        wanted: Wanted,
        happenings: &mut Happenings,
    ) -> Option<Instant> {
        if wanted.is_nothing() && self.find(key).is_none() {
            return None;
        }
        let channel = self.entry(key);
        let before = channel.subscriptions();
        let begins = channel.set_holder(report.from, key.1, wanted);
        self.changed(key, before, (report.rules(key.0), report.now), happenings);
        self.last.filter(|_| begins)
    }

    /// A node says whether a user is there.
    pub(super) fn set_member(
        &mut self,
        report: &Report<'_>,
        key: Key<'_>,
        member: &MemberReport,
        happenings: &mut Happenings,
    ) {
        let (from, now) = (report.from, report.now);
        let about = About { place: self.place, key, now };
        match member {
            MemberReport::Present(user, info, since) => {
                // Only the owner says who is in: whom another one has let in must not be put out here.
                let owned = self.owned;
                let limit = owned.then(|| report.rules(key.0).members_max);
                let channel = self.entry(key);
                let entered = roster::enter(&mut channel.extra().users, (user, info), from, limit);
                if entered == Entered::Joined {
                    channel.tell_roster(&about.joined(user, info), &about);
                }
                if owned {
                    let verdict = (entered == Entered::Full, *since);
                    channel.owe_verdict(user, &from.node, verdict);
                }
                if entered == Entered::Joined {
                    self.happened(key, Happening::MemberAdded(user.clone()), happenings);
                }
            }
            MemberReport::Absent(user) => {
                let Some(channel) = find(&mut self.apps, key) else { return };
                channel.withdraw_verdict(user, &from.node);
                let exited = roster::exit(&mut channel.extra().users, user, &from.node, now);
                self.exited(key, (user, &from.node, now), exited, happenings);
            }
        }
        self.settle(key, now);
    }

    fn exited(
        &mut self,
        key: Key<'_>,
        (user, node, now): (&UserId, &Arc<Node>, Instant),
        exited: Exited,
        happenings: &mut Happenings,
    ) {
        match exited {
            Exited::Left => self.users_left(key, std::slice::from_ref(user), now, happenings),
            Exited::Kept(at) => {
                self.look_later(key, at, What::Kept(user.clone(), Arc::clone(node)))
            }
            Exited::Unchanged => {}
        }
    }

    fn users_left(
        &mut self,
        key: Key<'_>,
        users: &[UserId],
        now: Instant,
        happenings: &mut Happenings,
    ) {
        let about = About { place: self.place, key, now };
        if let Some(channel) = find(&mut self.apps, key) {
            channel.tell_roster(&about.left(users), &about);
        }
        for user in users {
            self.happened(key, Happening::MemberRemoved(user.clone()), happenings);
        }
    }

    /// Drops what a node contributed, but for what it named in the attachment `kept`.
    pub(super) fn forget(
        &mut self,
        node: &Arc<Node>,
        kept: Option<u32>,
        (rules, now): (&dyn Fn(&AppId) -> Rules, Instant),
        happenings: &mut Happenings,
    ) {
        if cfg!(feature = "bug-ghosts") {
            return;
        }
        let mut changed = Vec::new();
        for (app, channels) in &mut self.apps {
            for (name, channel) in channels {
                let (before, holders) = (channel.subscriptions(), channel.holders.len());
                let mut dropped = Dropped::default();
                if let Some(extra) = &mut channel.extra {
                    dropped = roster::drop_node(&mut extra.users, node, kept, now);
                }
                channel.drop_holder(node, kept);
                let same = holders == channel.holders.len()
                    && dropped.gone.is_empty()
                    && dropped.kept.is_empty();
                if !same || channel.holders.is_empty() {
                    changed.push((app.clone(), name.clone(), before, dropped));
                }
            }
        }
        for (app, name, before, dropped) in changed {
            let key = (&app, &name);
            if !dropped.gone.is_empty() {
                self.users_left(key, &dropped.gone, now, happenings);
            }
            for (user, at) in dropped.kept {
                self.look_later(key, at, What::Kept(user, Arc::clone(node)));
            }
            self.changed(key, before, (rules(&app), now), happenings);
        }
    }

    /// This control plane owns the shard from here on: nodes are told the state of their channels, of
    /// which they tell their sockets the difference. Backends are told nothing of it: whoever is there
    /// was there before, as far as anybody can say.
    pub(super) fn begin(&mut self, epoch: u64, now: Instant) {
        self.place.epoch = epoch;
        self.serial_high = 0;
        self.owned = true;
        self.held = Some((now, None));
        let channels = self.apps.iter_mut().flat_map(|(app, channels)| {
            channels.iter_mut().map(move |(name, channel)| (app, name, channel))
        });
        let mut owing = Vec::new();
        for (app, name, channel) in channels {
            channel.serial = 0;
            channel.untell();
            if channel.owes(name) {
                owing.push((app.clone(), name.clone()));
            }
        }
        for (app, name) in &owing {
            self.settle((app, name), now);
        }
    }

    /// Whether this control plane owned the shard at that time, the last time that it did.
    pub(super) fn was_held(&self, at: Instant) -> bool {
        let held = self.held.filter(|(since, _)| *since <= at);
        held.is_some_and(|(_, until)| until.is_none_or(|until| at <= until))
    }

    /// Another control plane owns the shard, or will.
    pub(super) fn end(&mut self, now: Instant) {
        self.owned = false;
        if let Some((_, until)) = &mut self.held {
            until.get_or_insert(now);
        }
        self.owing = Vec::new();
        let channels = self.apps.values_mut().flat_map(std::collections::HashMap::values_mut);
        for channel in channels {
            channel.owe_nothing();
        }
    }

    /// Looks at the clock.
    pub(super) fn tick(&mut self, now: Instant, budget: &Budget, happenings: &mut Happenings) {
        self.cache.sweep(now, budget);
        self.dispatched.expire(now);
        let due: Vec<Later> = self.later.extract_if(.., |later| later.at <= now).collect();
        for Later { app, channel, what, .. } in due {
            let key = (&app, &channel);
            match what {
                What::Count => self.count_due(key, now),
                What::Kept(user, node) => {
                    let Some(channel) = find(&mut self.apps, key) else { continue };
                    let exited = roster::expire(&mut channel.extra().users, &user, &node, now);
                    self.exited(key, (&user, &node, now), exited, happenings);
                    self.settle(key, now);
                }
            }
        }
        if !self.owing.is_empty() {
            self.settle_all(now);
        }
    }

    /// What follows from another number of subscriptions than `before`: the state is told before the
    /// number, as nobody is in who has not been told the state.
    fn changed(
        &mut self,
        key: Key<'_>,
        before: u32,
        (rules, now): (Rules, Instant),
        happenings: &mut Happenings,
    ) {
        let about = About { place: self.place, key, now };
        let Some(channel) = find(&mut self.apps, key) else { return };
        let after = channel.subscriptions();
        let (is_first, is_last) = (before == 0 && after > 0, before > 0 && after == 0);
        let kind = key.1.kind();
        if kind == ChannelKind::User && (is_first || is_last) && self.owned {
            channel.tell_occupancy(is_first, &about);
        }
        self.settle(key, now);
        if kind == ChannelKind::User || before == after || !self.owned {
            return;
        }
        let counted = kind != ChannelKind::Presence;
        if counted && rules.count_events && after > 0 {
            self.tell_count(key, after, now);
        }
        if is_first {
            self.happened(key, Happening::Occupied, happenings);
        }
        if is_last {
            self.happened(key, Happening::Vacated, happenings);
        }
        if counted {
            self.happened(key, Happening::SubscriptionCount(after), happenings);
        }
    }

    fn tell_count(&mut self, key: Key<'_>, subscriptions: u32, now: Instant) {
        let Some(channel) = find(&mut self.apps, key) else { return };
        let telling = match &mut channel.extra {
            None if Count::is_small(subscriptions) => Telling::Now,
            Some(_) | None => channel.extra().count.changed(subscriptions, now),
        };
        self.told_count(key, telling, now);
    }

    fn count_due(&mut self, key: Key<'_>, now: Instant) {
        let extra = find(&mut self.apps, key).and_then(|channel| channel.extra.as_mut());
        if extra.is_some_and(|extra| extra.count.due(now)) {
            self.told_count(key, Telling::Now, now);
        }
        self.settle(key, now);
    }

    fn told_count(&mut self, key: Key<'_>, telling: Telling, now: Instant) {
        let about = About { place: self.place, key, now };
        let Some(channel) = find(&mut self.apps, key) else { return };
        let again = match telling {
            Telling::Now if channel.tell_count(&about) => return,
            Telling::Now => channel.extra().count.defer(now),
            Telling::At(at) => at,
            Telling::Arranged => return,
        };
        self.look_later(key, again, What::Count);
    }

    /// Tells a channel's holders what is owed to them, now or when that is possible; gives up a channel
    /// of which nothing is left.
    fn settle(&mut self, key: Key<'_>, now: Instant) {
        let about = About { place: self.place, key, now };
        let Some(channel) = find(&mut self.apps, key) else { return };
        if self.owned && channel.owes(key.1) {
            channel.settle(&about, || self.cache.get(key, now));
            if channel.owes(key.1) && !std::mem::replace(&mut channel.extra().listed, true) {
                self.owing.push((key.0.clone(), key.1.clone()));
            }
        }
        if channel.tidy(&about) {
            self.remove(key);
        }
    }

    fn settle_all(&mut self, now: Instant) {
        for (app, name) in std::mem::take(&mut self.owing) {
            let key = (&app, &name);
            let extra = find(&mut self.apps, key).and_then(|channel| channel.extra.as_mut());
            if let Some(extra) = extra {
                extra.listed = false;
                self.settle(key, now);
            }
        }
    }

    fn entry(&mut self, (app, channel): Key<'_>) -> &mut Channel {
        let serial = self.serial_high;
        let channels = self.apps.entry(app.clone()).or_default();
        channels.entry(channel.clone()).or_insert_with(|| Channel::new(serial))
    }

    fn remove(&mut self, (app, channel): Key<'_>) {
        if let Some(channels) = self.apps.get_mut(app) {
            channels.remove(channel);
            if channels.is_empty() {
                self.apps.remove(app);
            }
        }
    }

    fn look_later(&mut self, (app, channel): Key<'_>, at: Instant, what: What) {
        self.later.push(Later { at, app: app.clone(), channel: channel.clone(), what });
    }

    fn happened(&self, (app, channel): Key<'_>, what: Happening, happenings: &mut Happenings) {
        if self.owned {
            happenings.push(Happened { app: app.clone(), channel: channel.clone(), what });
        }
    }
}

fn find<'a>(apps: &'a mut Channels, (app, channel): Key<'_>) -> Option<&'a mut Channel> {
    apps.get_mut(app.as_str())?.get_mut(channel.as_str())
}
