//! One channel's subscribers: dense to walk, quick to leave.

use foldhash::HashMap;
use smallvec::SmallVec;

use super::audience::{Audience, Deltas};
use crate::{
    SocketKey,
    subscription::{Subscriber, Terms},
};

/// A channel larger than this is indexed; a smaller one is searched, which is faster there and
/// takes no memory.
const SEARCHED_MAX: usize = 32;

/// Where each subscriber stands in the list.
type Places = HashMap<SocketKey, u32>;

/// A channel with at least one subscriber. Most channels of most apps have exactly one, so that one
/// is stored in place.
#[derive(Debug)]
pub(super) struct Channel {
    subscribers: SmallVec<[Subscriber; 1]>,
    places: Option<Box<Places>>,
    /// Those who do not want every event as it is.
    pub(super) audience: Option<Box<Audience>>,
    /// Whether the node's interest is acknowledged, so that no event can be missed any more.
    pub(super) confirmed: bool,
}

impl Channel {
    /// A channel without subscribers, for the first one to be added.
    pub(super) fn new() -> Self {
        Self { subscribers: SmallVec::new(), places: None, audience: None, confirmed: false }
    }

    /// Those who want every event as it is.
    pub(super) fn subscribers(&self) -> &[Subscriber] {
        &self.subscribers
    }

    /// Everybody, whatever their terms.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Subscriber> {
        let audience = self.audience.iter().flat_map(|audience| audience.everybody());
        self.subscribers.iter().chain(audience)
    }

    pub(super) fn len(&self) -> u32 {
        count(self.subscribers.len() + self.audience.as_ref().map_or(0, |audience| audience.len()))
    }

    /// Bytes of the frames that deltas are made from.
    pub(super) fn bases_bytes(&self) -> usize {
        self.audience.as_ref().map_or(0, |audience| audience.bases_bytes())
    }

    #[cfg(test)]
    pub(super) fn subscribers_capacity(&self) -> usize {
        self.subscribers.capacity()
    }

    /// Adds a subscriber, or gives it other terms. Whether it is new.
    pub(super) fn add(
        &mut self,
        subscriber: Subscriber,
        terms: &Terms,
        deltas: Option<Deltas<'_>>,
    ) -> bool {
        if terms.are_plain() && self.place(subscriber.key).is_some() {
            return false;
        }
        let new = !self.remove(subscriber.key);
        if terms.are_plain() {
            self.add_plain(subscriber);
        } else {
            self.audience.get_or_insert_default().add(subscriber, terms, deltas);
        }
        new
    }

    fn add_plain(&mut self, subscriber: Subscriber) {
        let place = count(self.subscribers.len());
        self.subscribers.push(subscriber);
        match &mut self.places {
            Some(places) => drop(places.insert(subscriber.key, place)),
            None if self.subscribers.len() > SEARCHED_MAX => self.places = Some(self.index()),
            None => {}
        }
    }

    /// Whether the subscriber was there. The last one takes its place.
    pub(super) fn remove(&mut self, key: SocketKey) -> bool {
        let Some(place) = self.place(key) else {
            return self.remove_from_audience(key);
        };
        self.subscribers.swap_remove(place);
        if let Some(places) = &mut self.places {
            places.remove(&key);
            if let Some(moved) = self.subscribers.get(place) {
                places.insert(moved.key, count(place));
            }
        }
        self.shed();
        true
    }

    fn remove_from_audience(&mut self, key: SocketKey) -> bool {
        let Some(audience) = &mut self.audience else {
            return false;
        };
        let removed = audience.remove(key);
        if audience.is_empty() {
            self.audience = None;
        }
        removed
    }

    pub(super) fn contains(&self, key: SocketKey) -> bool {
        self.place(key).is_some()
            || self.audience.as_ref().is_some_and(|audience| audience.contains(key))
    }

    /// Gives memory back once the channel has shrunk to a quarter.
    fn shed(&mut self) {
        if self.subscribers.len() <= SEARCHED_MAX / 2 {
            self.places = None;
        }
        if self.subscribers.spilled() && self.subscribers.len() < self.subscribers.capacity() / 4 {
            self.subscribers.shrink_to_fit();
            if let Some(places) = &mut self.places {
                places.shrink_to_fit();
            }
        }
    }

    fn place(&self, key: SocketKey) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(&key).map(|place| *place as usize),
            None => self.subscribers.iter().position(|subscriber| subscriber.key == key),
        }
    }

    fn index(&self) -> Box<Places> {
        let keys = self.subscribers.iter().map(|subscriber| subscriber.key);
        Box::new(keys.enumerate().map(|(place, key)| (key, count(place))).collect())
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a thread has fewer than 2^32 sockets")
}
