//! Which control planes there are, as their own answers and those of others tell it. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::internal::{HeartbeatResponse, Replica as Told};

/// Control planes at most; more are not looked at.
pub const REPLICAS_MAX: usize = 16;
/// An address that nobody names any more is given up after this long without an answer.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

/// All addresses, and what is known of who answers there.
#[derive(Debug)]
pub(super) struct Directory {
    entries: BTreeMap<String, Entry>,
    /// Since when all are gone; `None` while one answers, or is only silent.
    dead_since: Option<Instant>,
}

#[derive(Debug)]
struct Entry {
    /// The configuration or the name service says it.
    seeded: bool,
    /// The last answer, or the beginning.
    heard: Instant,
    /// Since when it answers; `None` while it does not.
    alive: Option<Instant>,
    /// It does not answer, but its connection has not ended: it may only be slow.
    silent: bool,
    standing: Standing,
    /// What it has said of all of them.
    told: Vec<Told>,
}

/// Who answers at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub name: String,
    /// Its life; 0 before its first answer.
    pub owner: u64,
    pub eligible: bool,
}

impl Directory {
    pub(super) fn new(now: Instant) -> Self {
        Self { entries: BTreeMap::new(), dead_since: Some(now) }
    }

    /// The configured addresses, with what their names mean at present.
    pub(super) fn seed(&mut self, addresses: &BTreeSet<String>, now: Instant) {
        for (address, entry) in &mut self.entries {
            entry.seeded = addresses.contains(address);
        }
        for address in addresses {
            self.add(address, true, now);
        }
    }

    /// An address has answered; returns whether that changes anything.
    pub(super) fn hear(&mut self, address: &str, answer: HeartbeatResponse, now: Instant) -> bool {
        let HeartbeatResponse { owner, replicas, .. } = answer;
        let standing = match replicas.iter().find(|told| told.owner == owner) {
            Some(told) => Standing { name: told.name.clone(), owner, eligible: told.eligible },
            // One that knows of no others says nothing of itself either.
            None => Standing { name: address.to_owned(), owner, eligible: true },
        };
        let Some(entry) = self.entries.get_mut(address) else {
            return false;
        };
        entry.heard = now;
        let changed = entry.alive.is_none() || entry.standing != standing || entry.told != replicas;
        entry.alive.get_or_insert(now);
        entry.silent = false;
        if !changed {
            return false;
        }
        entry.standing = standing;
        entry.told.clone_from(&replicas);
        self.dead_since = None;
        for told in replicas {
            let elsewhere = self.living(told.owner).is_some();
            if !elsewhere && told.owner != 0 && !told.address.is_empty() {
                self.add(&told.address, false, now);
            }
        }
        true
    }

    /// An address does not answer; returns whether it did until now.
    pub(super) fn fall_silent(&mut self, address: &str) -> bool {
        let Some(entry) = self.entries.get_mut(address).filter(|entry| entry.alive.is_some())
        else {
            return false;
        };
        entry.alive = None;
        entry.silent = true;
        true
    }

    /// The connection to an address has ended; returns whether it answered until now.
    pub(super) fn lose(&mut self, address: &str, now: Instant) -> bool {
        let answered = self.fall_silent(address);
        if let Some(entry) = self.entries.get_mut(address) {
            entry.silent = false;
        }
        let is_dead = |entry: &Entry| entry.alive.is_none() && !entry.silent;
        if self.dead_since.is_none() && self.entries.values().all(is_dead) {
            self.dead_since = Some(now);
        }
        answered
    }

    /// Gives up addresses that nobody names and nobody answers at; returns whether there were any.
    pub(super) fn give_up(&mut self, now: Instant) -> bool {
        let living = self.entries.values().filter(|entry| entry.alive.is_some());
        let named: BTreeSet<String> =
            living.flat_map(|entry| entry.told.iter().map(|told| told.address.clone())).collect();
        let before = self.entries.len();
        self.entries.retain(|address, entry| {
            let wanted = entry.alive.is_some() || entry.seeded || named.contains(address);
            wanted || now.saturating_duration_since(entry.heard) < GIVEN_UP_AFTER
        });
        self.entries.len() != before
    }

    /// Whether the same control plane answers at another address that counts instead of this one.
    pub(super) fn is_duplicate(&self, address: &str) -> bool {
        let owner = self.entries.get(address).map_or(0, |entry| entry.standing.owner);
        owner != 0 && self.living(owner).is_some_and(|first| first != address)
    }

    /// The address that counts for a living control plane: the one that has answered for longest.
    fn living(&self, owner: u64) -> Option<&str> {
        let same = self.entries.iter().filter(|(_, entry)| entry.standing.owner == owner);
        let living = same.filter_map(|(address, entry)| Some((entry.alive?, address.as_str())));
        living.min().map(|(_, address)| address)
    }

    /// Each address, who answers there, and whether it does; no control plane twice.
    pub(super) fn known(&self) -> impl Iterator<Item = (&str, &Standing, bool)> {
        let known = self.entries.iter().filter(|(address, _)| !self.is_duplicate(address));
        known.map(|(address, entry)| (address.as_str(), &entry.standing, entry.alive.is_some()))
    }

    /// All addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn dead_since(&self) -> Option<Instant> {
        self.dead_since
    }

    fn add(&mut self, address: &str, seeded: bool, now: Instant) {
        if self.entries.contains_key(address) || self.entries.len() >= REPLICAS_MAX {
            return;
        }
        let standing = Standing { name: address.to_owned(), owner: 0, eligible: false };
        let entry =
            Entry { seeded, heard: now, alive: None, silent: false, standing, told: Vec::new() };
        self.entries.insert(address.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn told(name: &str, owner: u64) -> Told {
        Told { name: name.into(), address: format!("http://{name}"), owner, eligible: true }
    }

    fn answer(owner: u64, replicas: &[Told]) -> HeartbeatResponse {
        HeartbeatResponse { sequence: 1, owner, replicas: replicas.to_vec(), clock_ms: 0 }
    }

    fn seeds(addresses: &[&str]) -> BTreeSet<String> {
        addresses.iter().map(|address| (*address).to_owned()).collect()
    }

    fn shown(directory: &Directory) -> Vec<String> {
        let known = directory.known();
        known
            .map(|(address, standing, alive)| {
                format!("{address} {} {} {alive}", standing.name, standing.owner)
            })
            .collect()
    }

    #[test]
    fn further_ones_are_learnt_and_each_counts_once() {
        let now = start();
        let mut directory = Directory::new(now);
        directory.seed(&seeds(&["http://10.0.0.1", "http://10.0.0.2"]), now);
        let all = [told("cp-0", 1), told("cp-1", 2), told("cp-2", 3)];
        assert!(directory.hear("http://10.0.0.1", answer(1, &all), now));
        assert!(!directory.hear("http://10.0.0.1", answer(1, &all), now), "nothing is new");
        assert_eq!(directory.addresses().count(), 4, "the one that answers is not dialled twice");
        assert!(directory.hear("http://10.0.0.2", answer(2, &all), now));
        let later = now + Duration::from_secs(1);
        assert!(directory.hear("http://cp-1", answer(2, &all), later));
        assert!(directory.is_duplicate("http://cp-1"));
        directory.seed(&seeds(&["http://10.0.0.1", "http://10.0.0.0"]), later);
        directory.hear("http://10.0.0.0", answer(1, &all), later);
        assert!(!directory.is_duplicate("http://10.0.0.1"), "it was there before");
        directory.lose("http://10.0.0.0", later);
        assert_eq!(
            shown(&directory),
            [
                "http://10.0.0.1 cp-0 1 true",
                "http://10.0.0.2 cp-1 2 true",
                "http://cp-2 http://cp-2 0 false"
            ]
        );
        assert!(directory.lose("http://10.0.0.2", now));
        assert!(!directory.is_duplicate("http://cp-1"), "it stands in");
        assert_eq!(directory.dead_since(), None);
    }

    #[test]
    fn one_that_says_nothing_of_itself_is_called_by_its_address() {
        let now = start();
        let mut directory = Directory::new(now);
        directory.seed(&seeds(&["http://a"]), now);
        assert_eq!(directory.dead_since(), Some(now));
        directory.hear("http://a", answer(7, &[]), now);
        assert_eq!(shown(&directory), ["http://a http://a 7 true"]);
        let later = now + Duration::from_secs(1);
        assert!(directory.fall_silent("http://a") && !directory.fall_silent("http://a"));
        assert_eq!(directory.dead_since(), None, "it may only be slow");
        assert!(!directory.lose("http://a", later));
        assert_eq!(directory.dead_since(), Some(later));
        directory.hear("http://a", answer(7, &[]), later);
        assert!(directory.lose("http://a", now) && !directory.lose("http://a", later));
        assert_eq!(directory.dead_since(), Some(now));
    }

    #[test]
    fn who_is_named_by_nobody_is_given_up_in_time() {
        let now = start();
        let mut directory = Directory::new(now);
        directory.seed(&seeds(&["http://a"]), now);
        directory.hear("http://a", answer(1, &[told("b", 2)]), now);
        directory.hear("http://b", answer(2, &[]), now);
        directory.lose("http://b", now);
        let later = now + GIVEN_UP_AFTER;
        assert!(!directory.give_up(later), "the other one still names it");
        directory.hear("http://a", answer(1, &[]), now);
        assert!(!directory.give_up(now + GIVEN_UP_AFTER / 2));
        assert!(directory.give_up(later));
        directory.lose("http://a", now);
        assert!(!directory.give_up(later), "it is configured");
        assert_eq!(directory.addresses().collect::<Vec<_>>(), ["http://a"]);
    }

    #[test]
    fn there_are_only_so_many() {
        let now = start();
        let mut directory = Directory::new(now);
        directory.seed(&seeds(&["http://a"]), now);
        let all: Vec<_> = (2..100).map(|owner| told(&format!("cp-{owner}"), owner)).collect();
        directory.hear("http://a", answer(1, &all), now);
        assert_eq!(directory.addresses().count(), REPLICAS_MAX);
    }
}
