//! What this node holds: absolute numbers, and which of them each control plane knows.
//!
//! Every change gets a version; an entry keeps only its latest one. A stream to a control plane
//! remembers the version it has reported, and reports what is newer: a map of latest values, never a
//! queue. A snapshot is the same report from version 0.

mod connections;
mod overdue;
mod passing;
mod streams;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use foldhash::{HashMap, HashMapExt as _};
use model::{AppId, ChannelName, ShardId, UserId, UserInfo};
use proto::internal::{self, AppConnections, ChannelInterest, DispatchedEvent, MemberInterest};

use self::{connections::Connections, overdue::Overdue, passing::Passed, streams::Streams};
use crate::states::has_state;

pub use self::{
    passing::Turn,
    streams::{STREAMS_MAX, Slot},
};

/// How long interest outlives the last subscriber, so that a page change costs nothing.
pub const LINGER: Duration = Duration::from_secs(10);
/// How long a first subscriber waits for a control plane before it is confirmed all the same.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_millis(300);
/// Channels in one report.
pub const REPORT_ENTRIES_MAX: usize = 1_000;

/// Which shard threads: bit n is thread n.
pub type Threads = u64;

/// A channel of an app.
pub type ChannelKey = (AppId, ChannelName);

/// A user in a presence channel of an app.
type MemberKey = (AppId, ChannelName, UserId);

/// All that a node reports.
#[derive(Debug)]
pub struct Interest {
    threads: usize,
    version: u64,
    channels: HashMap<AppId, HashMap<ChannelName, Entry>>,
    connections: HashMap<AppId, Connections>,
    members: HashMap<MemberKey, Member>,
    /// What has changed, by version; one entry per subject.
    changes: BTreeMap<u64, Subject>,
    /// Versions in which a subject came to hold nothing: forgotten once acknowledged.
    ended: BTreeSet<u64>,
    /// First subscribers that wait, by the version that must be acknowledged.
    waiting: BTreeMap<u64, Waiting>,
    /// Channels whose last subscriber left, by when their interest ends.
    lingering: BTreeMap<(Instant, u64), ChannelKey>,
    /// What each control plane has acknowledged.
    streams: Streams,
    /// Who was let in although one of them had not.
    overdue: Overdue,
}

#[derive(Clone, Debug)]
enum Subject {
    Channel(AppId, ChannelName),
    App(AppId),
    Member(MemberKey),
}

#[derive(Debug)]
struct Entry {
    subscriptions: Box<[u32]>,
    version: u64,
    /// The version in which the interest began: acknowledged means that events arrive.
    since: u64,
    linger: Option<(Instant, u64)>,
    /// Sockets that watch the channel's user, per thread; nobody watches most channels.
    watchers: Option<Box<[u32]>>,
    /// Which of its events were here.
    passed: Passed,
}

#[derive(Debug)]
struct Member {
    version: u64,
    /// What the user says of itself; `None` once it has left.
    info: Option<UserInfo>,
}

#[derive(Debug)]
struct Waiting {
    channel: ChannelKey,
    threads: Threads,
    since: Instant,
}

/// A channel that may be confirmed to its first subscribers on these threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Which.
    pub channel: ChannelKey,
    /// Where.
    pub threads: Threads,
}

impl Interest {
    /// Nothing yet, on a node with this many shard threads (at most 64).
    #[must_use]
    pub fn new(threads: usize) -> Self {
        Self {
            threads,
            version: 0,
            channels: HashMap::new(),
            connections: HashMap::new(),
            members: HashMap::new(),
            changes: BTreeMap::new(),
            ended: BTreeSet::new(),
            waiting: BTreeMap::new(),
            lingering: BTreeMap::new(),
            streams: Streams::default(),
            overdue: Overdue::default(),
        }
    }

    /// A thread's number of subscriptions to a channel is now `subscriptions`. Returns whether events
    /// of the channel arrive for certain; if not and `wait`, the thread is named by a later
    /// [`Interest::acknowledge`], [`Interest::unattach`], [`Interest::set_answers`] or
    /// [`Interest::expire`].
    pub fn set_subscriptions(
        &mut self,
        thread: usize,
        (app, channel): (&AppId, &ChannelName),
        subscriptions: u32,
        (now, wait): (Instant, bool),
    ) -> bool {
        let version = self.next_version();
        let entry = self.entry(app, channel, version);
        let ended = (!entry.is_wanted()).then_some(entry.since);
        if ended.is_some() {
            entry.since = version;
            entry.passed.begin(now);
        }
        entry.subscriptions[thread] = subscriptions;
        let former = std::mem::replace(&mut entry.version, version);
        let lingered = entry.linger.take();
        if entry.total() == 0 {
            entry.linger = Some((now + LINGER, version));
        }
        let (since, linger) = (entry.since, entry.linger);
        if let Some(ended) = ended {
            self.overdue.forget(ended);
        }
        if let Some(place) = lingered {
            self.lingering.remove(&place);
        }
        if let Some(place) = linger {
            self.lingering.insert(place, (app.clone(), channel.clone()));
        }
        self.changed((former, version), Subject::Channel(app.clone(), channel.clone()), false);
        let certain = self.streams.certain() >= since || cfg!(feature = "bug-confirm-early");
        if !certain && wait {
            let waiting = self.waiting.entry(since).or_insert_with(|| Waiting {
                channel: (app.clone(), channel.clone()),
                threads: 0,
                since: now,
            });
            waiting.threads |= 1 << thread;
        }
        let is_early = certain && wait && !cfg!(feature = "bug-confirm-early");
        if is_early && since > self.streams.in_force() {
            self.overdue.note(since, &(app.clone(), channel.clone()), now);
        }
        certain
    }

    /// Somebody is in a channel with a state, whoever has taken note of that.
    pub fn give_up(&mut self, (app, channel): (&AppId, &ChannelName), now: Instant) {
        if let Some(entry) = self.find(app.as_str(), channel.as_str()) {
            self.let_in(entry.since, &(app.clone(), channel.clone()), now);
        }
    }

    fn let_in(&mut self, since: u64, channel: &ChannelKey, now: Instant) {
        if since > self.streams.in_force() {
            self.overdue.note(since, channel, now);
        }
    }

    /// How many sockets of a thread watch the user of a channel. Returns whether nobody here does
    /// any more.
    pub fn set_watchers(
        &mut self,
        thread: usize,
        (app, channel): (&AppId, &ChannelName),
        watchers: u32,
    ) -> bool {
        let version = self.next_version();
        let threads = self.threads;
        let entry = self.entry(app, channel, version);
        entry.watchers.get_or_insert_with(|| vec![0; threads].into())[thread] = watchers;
        if !entry.is_watched() {
            entry.watchers = None;
        }
        let (ended, unwatched) = (entry.is_gone(), !entry.is_watched());
        let former = std::mem::replace(&mut entry.version, version);
        self.changed((former, version), Subject::Channel(app.clone(), channel.clone()), ended);
        unwatched
    }

    /// A user has come to a presence channel on this node (`Some`), or has left it.
    pub fn set_member(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        user: &UserId,
        info: Option<UserInfo>,
    ) {
        let version = self.next_version();
        let key = (app.clone(), channel.clone(), user.clone());
        let ended = info.is_none();
        let member = Member { version, info };
        let former = self.members.insert(key.clone(), member).map_or(0, |former| former.version);
        self.changed((former, version), Subject::Member(key), ended);
    }

    /// The version in which a user of this node came; `None` where it is not there.
    #[must_use]
    pub fn member_since(
        &self,
        (app, channel): (&AppId, &ChannelName),
        user: &UserId,
    ) -> Option<u64> {
        let member = self.members.get(&(app.clone(), channel.clone(), user.clone()))?;
        member.info.is_some().then_some(member.version)
    }

    fn find(&self, app: &str, channel: &str) -> Option<&Entry> {
        self.channels.get(app)?.get(channel)
    }

    fn entry(&mut self, app: &AppId, channel: &ChannelName, version: u64) -> &mut Entry {
        let threads = self.threads;
        let entries = self.channels.entry(app.clone()).or_default();
        entries.entry(channel.clone()).or_insert_with(|| Entry {
            subscriptions: vec![0; threads].into(),
            version: 0,
            since: version,
            linger: None,
            watchers: None,
            passed: Passed::default(),
        })
    }

    /// An event of a channel is here: whether it is to be delivered now, and the threads with a
    /// subscriber.
    pub fn pass(&mut self, event: &DispatchedEvent, now: Instant) -> (Turn, Threads) {
        let entries = self.channels.get_mut(&*event.app_id);
        match entries.and_then(|entries| entries.get_mut(&*event.channel)) {
            Some(entry) => (entry.passed.pass(event, now), entry.threads()),
            None => (Turn::Next, 0),
        }
    }

    /// The threads with a subscriber of a channel.
    #[must_use]
    pub fn threads(&self, app: &str, channel: &str) -> Threads {
        self.find(app, channel).map_or(0, Entry::threads)
    }

    /// The threads where somebody watches the user of a channel.
    #[must_use]
    pub fn watching_threads(&self, app: &str, channel: &str) -> Threads {
        let entry = self.find(app, channel);
        let watchers = entry.and_then(|entry| entry.watchers.as_deref()).unwrap_or_default();
        nonzero(watchers)
    }

    /// A connection of an app opens, unless the app has `limit` over all nodes already.
    pub fn connect(&mut self, app: &AppId, limit: Option<u32>) -> bool {
        let connections = self.connections.entry(app.clone()).or_default();
        let total = connections.own.saturating_add(connections.others());
        if limit.is_some_and(|limit| total >= limit) {
            return false;
        }
        connections.own += 1;
        self.connections_changed(app);
        true
    }

    /// A connection of an app closed.
    pub fn disconnect(&mut self, app: &AppId) {
        if let Some(connections) = self.connections.get_mut(app) {
            connections.own = connections.own.saturating_sub(1);
            self.connections_changed(app);
        }
    }

    /// What all other nodes hold, as one control plane has it.
    pub fn set_others(&mut self, slot: Slot, totals: &[AppConnections]) {
        for total in totals {
            if let Ok(app) = AppId::parse(&total.app_id) {
                self.connections.entry(app).or_default().set_others(slot, total.connections);
            }
        }
    }

    fn connections_changed(&mut self, app: &AppId) {
        let version = self.next_version();
        if let Some(connections) = self.connections.get_mut(app) {
            let former = std::mem::replace(&mut connections.version, version);
            let ended = connections.own == 0;
            self.changed((former, version), Subject::App(app.clone()), ended);
        }
    }

    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// A subject moves from its former version to a new one.
    fn changed(&mut self, (former, version): (u64, u64), subject: Subject, ended: bool) {
        self.changes.remove(&former);
        self.ended.remove(&former);
        self.changes.insert(version, subject);
        if ended {
            self.ended.insert(version);
        }
    }

    /// What changed after `reported`, at most [`REPORT_ENTRIES_MAX`] of it; `None` where nothing did.
    #[must_use]
    pub fn report(&self, reported: u64) -> Option<internal::Interest> {
        let newer = self.changes.range(reported + 1..).take(REPORT_ENTRIES_MAX);
        let mut report = internal::Interest::default();
        for (version, subject) in newer {
            report.sequence = *version;
            match subject {
                Subject::Channel(app, channel) => {
                    let entry = self.find(app.as_str(), channel.as_str());
                    report.channels.push(ChannelInterest {
                        app_id: app.to_string(),
                        channel: channel.to_string(),
                        subscriptions: entry.map_or(0, Entry::total),
                        linger: entry.is_some_and(|entry| entry.linger.is_some()),
                        watched: entry.is_some_and(Entry::is_watched),
                        since: entry.map_or(0, |entry| entry.since),
                    });
                }
                Subject::Member(key) => {
                    let info = self.members.get(key).and_then(|member| member.info.as_ref());
                    let (app, channel, user) = key;
                    report.members.push(MemberInterest {
                        app_id: app.to_string(),
                        channel: channel.to_string(),
                        user_id: user.to_string(),
                        present: info.is_some(),
                        since: info.map_or(0, |_| *version),
                        user_info: info.map_or_else(Bytes::new, |info| {
                            Bytes::copy_from_slice(info.as_bytes())
                        }),
                    });
                }
                Subject::App(app) => report.connections.push(AppConnections {
                    app_id: app.to_string(),
                    connections: self.connections.get(app).map_or(0, |count| count.own),
                }),
            }
        }
        (report.sequence > 0).then_some(report)
    }

    /// A stream begins. Until [`Interest::end_snapshot`] its control plane gives the node everything.
    pub fn attach(&mut self, slot: Slot) {
        self.streams.attach(slot);
    }

    /// A stream has been told everything up to `version`.
    pub fn end_snapshot(&mut self, slot: Slot, version: u64) {
        self.streams.end_snapshot(slot, version);
    }

    /// A control plane has taken note of everything up to `sequence`: what may be confirmed.
    pub fn acknowledge(&mut self, slot: Slot, sequence: u64, now: Instant) -> Vec<Confirmed> {
        self.streams.acknowledge(slot, sequence);
        self.forget_ended();
        self.overdue.settle(self.streams.in_force());
        self.confirmed(now)
    }

    /// Whether somebody was let in before every control plane had taken note.
    #[must_use]
    pub fn has_overdue(&self) -> bool {
        !self.overdue.is_empty()
    }

    /// To be asked before [`Interest::acknowledge`]: channels that somebody was let into before that control
    /// plane last dispatched something in their shard.
    #[must_use]
    pub fn missed(
        &self,
        slot: Slot,
        sequence: u64,
        by_shard: &[Option<Instant>],
    ) -> Vec<Confirmed> {
        let versions = self.acknowledged_by(slot) + 1..=sequence;
        let missed = self.overdue.missed(versions, by_shard).filter_map(|(since, channel)| {
            let entry = self.find(channel.0.as_str(), channel.1.as_str())?;
            let is_one = entry.since == since && entry.total() > 0;
            is_one.then(|| Confirmed { channel: channel.clone(), threads: entry.threads() })
        });
        missed.collect()
    }

    /// A stream has ended: what need not wait for it any more. The next one is told everything.
    pub fn unattach(&mut self, slot: Slot, now: Instant) -> Vec<Confirmed> {
        self.streams.unattach(slot);
        for connections in self.connections.values_mut() {
            connections.forget(slot);
        }
        self.forget_ended();
        self.overdue.settle(self.streams.in_force());
        self.confirmed(now)
    }

    /// What this control plane has taken note of.
    #[must_use]
    pub fn acknowledged_by(&self, slot: Slot) -> u64 {
        self.streams.acknowledged_by(slot)
    }

    /// Channels that somebody is in whose interest is newer than `known`, and began before the time that
    /// stands for their shard.
    #[must_use]
    pub fn begun_before(&self, by_shard: &[Option<Instant>], known: u64) -> Vec<Confirmed> {
        let begun = self.changes.range(known + 1..).filter_map(|(_, subject)| {
            let Subject::Channel(app, channel) = subject else { return None };
            let entry = self.find(app.as_str(), channel.as_str())?;
            let at = by_shard[ShardId::of(app, channel.as_str()).index()]?;
            let is_one = entry.since > known && entry.total() > 0 && entry.passed.begun_before(at);
            let channel = (app.clone(), channel.clone());
            is_one.then(|| Confirmed { channel, threads: entry.threads() })
        });
        begun.collect()
    }

    /// A control plane answers its heartbeats, or does not: what need not wait for it any more.
    pub fn set_answers(&mut self, slot: Slot, answers: bool, now: Instant) -> Vec<Confirmed> {
        self.streams.set_answers(slot, answers);
        self.confirmed(now)
    }

    /// The latest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes those who waited for what is certain now.
    fn confirmed(&mut self, now: Instant) -> Vec<Confirmed> {
        let later = self.waiting.split_off(&self.streams.certain().saturating_add(1));
        let certain = std::mem::replace(&mut self.waiting, later);
        self.confirm(certain, now)
    }

    fn confirm(&mut self, waiting: BTreeMap<u64, Waiting>, now: Instant) -> Vec<Confirmed> {
        let confirm = |(since, Waiting { channel, threads, .. })| {
            self.let_in(since, &channel, now);
            Confirmed { channel, threads }
        };
        waiting.into_iter().map(confirm).collect()
    }

    /// Events were lost: what was known of channels with a state must be told anew.
    pub fn renew(&mut self) {
        let version = self.next_version();
        let channels = self.channels.iter_mut().flat_map(|(app, entries)| {
            entries.iter_mut().map(move |(channel, entry)| (app, channel, entry))
        });
        let stateful = channels.filter(|(_, channel, _)| has_state(channel.as_str()));
        let mut renewed = Vec::new();
        for (app, channel, entry) in stateful {
            entry.since = version;
            renewed.push((app.clone(), channel.clone()));
        }
        for (app, channel) in renewed {
            let version = self.next_version();
            let entry = self.channels.get_mut(&app).and_then(|entries| entries.get_mut(&channel));
            if let Some(entry) = entry {
                let former = std::mem::replace(&mut entry.version, version);
                let ended = self.ended.contains(&former);
                self.changed((former, version), Subject::Channel(app, channel), ended);
            }
        }
    }

    /// Ends lingering interest, and gives up waiting: the channels that ended, and what must be
    /// confirmed without an acknowledgement.
    pub fn expire(&mut self, now: Instant) -> (Vec<ChannelKey>, Vec<Confirmed>) {
        let mut ended = Vec::new();
        let later = self.lingering.split_off(&(now, u64::MAX));
        for ((_, _), (app, channel)) in std::mem::replace(&mut self.lingering, later) {
            let version = self.next_version();
            let entry = self.channels.get_mut(&app).and_then(|entries| entries.get_mut(&channel));
            if let Some(entry) = entry {
                let former = std::mem::replace(&mut entry.version, version);
                entry.linger = None;
                let gone = entry.is_gone();
                ended.push((app.clone(), channel.clone()));
                self.changed((former, version), Subject::Channel(app, channel), gone);
            }
        }
        self.forget_ended();
        let patient = |waiting: &Waiting| now - waiting.since < CONFIRM_TIMEOUT;
        let (patient, given_up): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(_, waiting)| patient(waiting));
        self.waiting = patient;
        (ended, self.confirm(given_up, now))
    }

    /// Drops what holds nothing, where every control plane has taken note of its end.
    fn forget_ended(&mut self) {
        let acknowledged = self.streams.acknowledged();
        let later = self.ended.split_off(&acknowledged.saturating_add(1));
        for version in std::mem::replace(&mut self.ended, later) {
            match self.changes.remove(&version) {
                Some(Subject::Channel(app, channel)) => self.forget_channel(&app, &channel),
                Some(Subject::App(app)) => self.forget_connections(&app),
                Some(Subject::Member(key)) => self.forget_member(&key),
                None => {}
            }
        }
    }

    /// Memory is given back once most of it is empty.
    fn forget_member(&mut self, key: &MemberKey) {
        const KEPT: usize = 32;
        self.members.remove(key);
        if self.members.capacity() > KEPT && self.members.len() < self.members.capacity() / 8 {
            self.members.shrink_to(self.members.len() * 2);
        }
    }

    fn forget_connections(&mut self, app: &AppId) {
        if self.connections.get(app).is_some_and(Connections::is_nothing) {
            self.connections.remove(app);
        }
    }

    fn forget_channel(&mut self, app: &AppId, channel: &ChannelName) {
        if let Some(entries) = self.channels.get_mut(app) {
            entries.remove(channel);
            if entries.is_empty() {
                self.channels.remove(app);
            }
        }
    }

    /// Calls back with each app and its connections here.
    pub fn for_each_app(&self, mut tell: impl FnMut(&str, u32)) {
        self.connections.iter().for_each(|(app, count)| tell(app.as_str(), count.own));
    }

    /// Channels with interest.
    #[must_use]
    pub fn len(&self) -> usize {
        self.channels.values().map(std::collections::HashMap::len).sum()
    }

    /// Whether there is no interest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

impl Entry {
    fn threads(&self) -> Threads {
        nonzero(&self.subscriptions)
    }

    fn total(&self) -> u32 {
        self.subscriptions.iter().sum()
    }

    fn is_watched(&self) -> bool {
        self.watchers.iter().flatten().any(|count| *count > 0)
    }

    /// Whether events of the channel are wanted.
    fn is_wanted(&self) -> bool {
        self.total() > 0 || self.linger.is_some()
    }

    fn is_gone(&self) -> bool {
        !self.is_wanted() && !self.is_watched()
    }
}

/// The threads whose count is not 0.
fn nonzero(counts: &[u32]) -> Threads {
    let some = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    some.fold(0, |threads, (thread, _)| threads | 1 << thread)
}
