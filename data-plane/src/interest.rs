//! What this node holds: absolute numbers, and which of them each control plane knows.
//!
//! Every change gets a version; an entry keeps only its latest one. A stream to a control plane
//! remembers the version it has reported, and reports what is newer: a map of latest values, never a
//! queue. A snapshot is the same report from version 0.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use foldhash::{HashMap, HashMapExt as _};
use model::{AppId, ChannelName};
use proto::internal::{self, AppConnections, ChannelInterest};

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

/// All that a node reports.
#[derive(Debug)]
pub struct Interest {
    threads: usize,
    version: u64,
    channels: HashMap<AppId, HashMap<ChannelName, Entry>>,
    connections: HashMap<AppId, Connections>,
    /// What has changed, by version; one entry per subject.
    changes: BTreeMap<u64, Subject>,
    /// Versions in which a subject came to hold nothing: forgotten once acknowledged.
    ended: BTreeSet<u64>,
    /// First subscribers that wait, by the version that must be acknowledged.
    waiting: BTreeMap<u64, Waiting>,
    /// Channels whose last subscriber left, by when their interest ends.
    lingering: BTreeMap<(Instant, u64), ChannelKey>,
    /// The version that the control plane has acknowledged.
    acknowledged: u64,
}

#[derive(Clone, Debug)]
enum Subject {
    Channel(AppId, ChannelName),
    App(AppId),
}

#[derive(Debug)]
struct Entry {
    subscriptions: Box<[u32]>,
    version: u64,
    /// The version in which the interest began: acknowledged means that events arrive.
    since: u64,
    linger: Option<(Instant, u64)>,
}

#[derive(Debug, Default)]
struct Connections {
    own: u32,
    others: u32,
    version: u64,
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
            changes: BTreeMap::new(),
            ended: BTreeSet::new(),
            waiting: BTreeMap::new(),
            lingering: BTreeMap::new(),
            acknowledged: 0,
        }
    }

    /// A thread's number of subscriptions to a channel is now `subscriptions`. Returns whether events
    /// of the channel arrive for certain; if not and `wait`, the thread is named by a later
    /// [`Interest::acknowledge`] or [`Interest::expire`].
    pub fn set_subscriptions(
        &mut self,
        thread: usize,
        (app, channel): (&AppId, &ChannelName),
        subscriptions: u32,
        (now, wait): (Instant, bool),
    ) -> bool {
        let version = self.next_version();
        let threads = self.threads;
        let entries = self.channels.entry(app.clone()).or_default();
        let entry = entries.entry(channel.clone()).or_insert_with(|| Entry {
            subscriptions: vec![0; threads].into(),
            version: 0,
            since: version,
            linger: None,
        });
        if entry.is_gone() {
            entry.since = version;
        }
        entry.subscriptions[thread] = subscriptions;
        let former = std::mem::replace(&mut entry.version, version);
        if let Some(place) = entry.linger.take() {
            self.lingering.remove(&place);
        }
        if entry.total() == 0 {
            let place = (now + LINGER, version);
            entry.linger = Some(place);
            self.lingering.insert(place, (app.clone(), channel.clone()));
        }
        let since = entry.since;
        self.changed((former, version), Subject::Channel(app.clone(), channel.clone()), false);
        let certain = self.acknowledged >= since;
        if !certain && wait {
            let waiting = self.waiting.entry(since).or_insert_with(|| Waiting {
                channel: (app.clone(), channel.clone()),
                threads: 0,
                since: now,
            });
            waiting.threads |= 1 << thread;
        }
        certain
    }

    /// The threads with a subscriber of a channel.
    #[must_use]
    pub fn threads(&self, app: &str, channel: &str) -> Threads {
        let entry = self.channels.get(app).and_then(|entries| entries.get(channel));
        let Some(entry) = entry else { return 0 };
        let occupied = entry.subscriptions.iter().enumerate().filter(|(_, count)| **count > 0);
        occupied.fold(0, |threads, (thread, _)| threads | 1 << thread)
    }

    /// A connection of an app opens, unless the app has `limit` over all nodes already.
    pub fn connect(&mut self, app: &AppId, limit: Option<u32>) -> bool {
        let connections = self.connections.entry(app.clone()).or_default();
        let total = connections.own.saturating_add(connections.others);
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

    /// What all other nodes hold.
    pub fn set_others(&mut self, totals: &[AppConnections]) {
        for total in totals {
            if let Ok(app) = AppId::parse(&total.app_id) {
                self.connections.entry(app).or_default().others = total.connections;
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
                    let entry = self.channels.get(app).and_then(|entries| entries.get(channel));
                    report.channels.push(ChannelInterest {
                        app_id: app.to_string(),
                        channel: channel.to_string(),
                        subscriptions: entry.map_or(0, Entry::total),
                        linger: entry.is_some_and(|entry| entry.linger.is_some()),
                        watched: false,
                        since: entry.map_or(0, |entry| entry.since),
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

    /// The control plane has taken note of everything up to `sequence`: what may be confirmed.
    pub fn acknowledge(&mut self, sequence: u64) -> Vec<Confirmed> {
        self.acknowledged = self.acknowledged.max(sequence);
        self.forget_ended(sequence);
        let later = self.waiting.split_off(&(sequence + 1));
        std::mem::replace(&mut self.waiting, later)
            .into_values()
            .map(|waiting| Confirmed { channel: waiting.channel, threads: waiting.threads })
            .collect()
    }

    /// The stream was lost: the next control plane knows nothing.
    pub fn unattach(&mut self) {
        self.acknowledged = 0;
    }

    /// Ends lingering interest, and gives up waiting: what must be confirmed without an
    /// acknowledgement.
    pub fn expire(&mut self, now: Instant) -> Vec<Confirmed> {
        let later = self.lingering.split_off(&(now, u64::MAX));
        for ((_, _), (app, channel)) in std::mem::replace(&mut self.lingering, later) {
            let version = self.next_version();
            let entry = self.channels.get_mut(&app).and_then(|entries| entries.get_mut(&channel));
            if let Some(entry) = entry {
                let former = std::mem::replace(&mut entry.version, version);
                entry.linger = None;
                self.changed((former, version), Subject::Channel(app, channel), true);
            }
        }
        let patient = |waiting: &Waiting| now - waiting.since < CONFIRM_TIMEOUT;
        let (patient, given_up): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.waiting)
                .into_iter()
                .partition(|(_, waiting)| patient(waiting));
        self.waiting = patient;
        given_up
            .into_values()
            .map(|waiting| Confirmed { channel: waiting.channel, threads: waiting.threads })
            .collect()
    }

    /// Drops what holds nothing and whose end is acknowledged.
    fn forget_ended(&mut self, sequence: u64) {
        let later = self.ended.split_off(&(sequence + 1));
        for version in std::mem::replace(&mut self.ended, later) {
            match self.changes.remove(&version) {
                Some(Subject::Channel(app, channel)) => self.forget_channel(&app, &channel),
                // What the others hold is told only when it changes, so it is kept.
                Some(Subject::App(app)) if self.others(&app) == 0 => {
                    self.connections.remove(&app);
                }
                Some(Subject::App(_)) | None => {}
            }
        }
    }

    fn others(&self, app: &AppId) -> u32 {
        self.connections.get(app).map_or(0, |count| count.others)
    }

    fn forget_channel(&mut self, app: &AppId, channel: &ChannelName) {
        if let Some(entries) = self.channels.get_mut(app) {
            entries.remove(channel);
            if entries.is_empty() {
                self.channels.remove(app);
            }
        }
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
    fn total(&self) -> u32 {
        self.subscriptions.iter().sum()
    }

    fn is_gone(&self) -> bool {
        self.total() == 0 && self.linger.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (AppId, ChannelName) {
        (AppId::parse("a").unwrap(), ChannelName::trusted("c"))
    }

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn set(interest: &mut Interest, thread: usize, count: u32, now: Instant) -> bool {
        let (app, channel) = names();
        interest.set_subscriptions(thread, (&app, &channel), count, (now, count > 0))
    }

    #[test]
    fn the_first_subscriber_waits_for_the_acknowledgement() {
        let now = start();
        let mut interest = Interest::new(2);
        assert!(!set(&mut interest, 0, 1, now));
        assert!(!set(&mut interest, 1, 1, now));
        let report = interest.report(0).unwrap();
        assert_eq!((report.channels.len(), report.channels[0].subscriptions), (1, 2));
        let confirmed = interest.acknowledge(report.sequence);
        assert_eq!(confirmed, [Confirmed { channel: names(), threads: 0b11 }]);
        assert!(set(&mut interest, 1, 2, now), "later ones are certain at once");
        assert_eq!(interest.report(report.sequence).unwrap().channels[0].subscriptions, 3);
        assert_eq!(interest.threads("a", "c"), 0b11);
    }

    #[test]
    fn interest_lingers_then_ends_then_is_forgotten() {
        let now = start();
        let mut interest = Interest::new(1);
        set(&mut interest, 0, 1, now);
        interest.acknowledge(interest.version);
        set(&mut interest, 0, 0, now);
        let report = interest.report(0).unwrap();
        assert!(report.channels[0].linger && report.channels[0].subscriptions == 0);
        assert!(set(&mut interest, 0, 1, now), "a quick return is certain at once");
        set(&mut interest, 0, 0, now);
        interest.expire(now + LINGER);
        let end = interest.report(0).unwrap();
        assert!(!end.channels[0].linger && end.channels[0].subscriptions == 0);
        assert!(!set(&mut interest, 0, 1, now), "after the end it must be acknowledged anew");
        set(&mut interest, 0, 0, now);
        interest.expire(now + LINGER * 2);
        interest.acknowledge(interest.version);
        assert!(interest.is_empty() && interest.changes.is_empty() && interest.ended.is_empty());
    }

    #[test]
    fn waiting_ends_by_itself() {
        let now = start();
        let mut interest = Interest::new(1);
        set(&mut interest, 0, 1, now);
        assert!(interest.expire(now + CONFIRM_TIMEOUT / 2).is_empty());
        assert_eq!(interest.expire(now + CONFIRM_TIMEOUT).len(), 1);
        assert!(interest.acknowledge(interest.version).is_empty());
    }

    #[test]
    fn a_new_control_plane_is_told_everything_in_chunks() {
        let now = start();
        let mut interest = Interest::new(1);
        let app = names().0;
        for number in 0..2_500 {
            let channel = ChannelName::trusted(&format!("c{number}"));
            interest.set_subscriptions(0, (&app, &channel), 1, (now, true));
        }
        let (mut reported, mut sizes) = (0, Vec::new());
        while let Some(report) = interest.report(reported) {
            reported = report.sequence;
            sizes.push(report.channels.len());
        }
        assert_eq!(sizes, [1_000, 1_000, 500]);
    }

    #[test]
    fn connections_are_limited_over_all_nodes() {
        let mut interest = Interest::new(1);
        let app = names().0;
        let others = |connections| [AppConnections { app_id: "a".into(), connections }];
        interest.set_others(&others(3));
        assert!(interest.connect(&app, Some(5)) && interest.connect(&app, Some(5)));
        assert!(!interest.connect(&app, Some(5)));
        interest.set_others(&others(1));
        assert!(interest.connect(&app, Some(5)));
        interest.disconnect(&app);
        assert_eq!(interest.report(0).unwrap().connections[0].connections, 2);
    }
}
