//! The channels of one shard thread and who is in them; deliver.

mod channel;
#[cfg(test)]
mod tests;

use std::{collections::hash_map::Entry, hash::Hash};

use foldhash::HashMap;
use model::{AppId, ChannelName, SocketId};

use self::channel::Channel;
use crate::{SocketKey, subscription::Subscriber};

/// Channels and their subscribers. Two maps, so that app and channel are found by `&str` without
/// building a key. A channel without subscribers has no entry.
#[derive(Debug, Default)]
pub struct Hub {
    apps: HashMap<AppId, HashMap<ChannelName, Channel>>,
}

/// What became of a subscribe. `subscriptions` counts the hub's sockets in the channel, waiting
/// ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscribed {
    /// The socket is in and gets every event from here on.
    Joined {
        /// The hub's own copy of the name, for the session to share.
        channel: ChannelName,
        /// Sockets in the channel.
        subscriptions: u32,
    },
    /// It was in already.
    Again,
    /// The channel is not confirmed; [`Hub::confirm`] will name the socket once, however often it
    /// has subscribed meanwhile.
    Waiting {
        /// The channel is new here: the node's interest must be announced.
        first: bool,
        /// Sockets in the channel.
        subscriptions: u32,
    },
}

/// What became of an unsubscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsubscribed {
    /// The socket was not in the channel.
    NotThere,
    /// It has left.
    Left {
        /// Sockets that remain; at 0 the channel is gone.
        subscriptions: u32,
    },
}

impl Hub {
    /// A hub without channels.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the socket. Until the channel is confirmed it gets no events.
    pub fn subscribe(
        &mut self,
        app: &AppId,
        channel: &ChannelName,
        key: SocketKey,
        id: SocketId,
    ) -> Subscribed {
        let subscriber = Subscriber { key, id };
        match self.apps.entry(app.clone()).or_default().entry(channel.clone()) {
            Entry::Vacant(entry) => {
                entry.insert(Channel::with(subscriber));
                Subscribed::Waiting { first: true, subscriptions: 1 }
            }
            Entry::Occupied(mut entry) => {
                let added = entry.get_mut().add(subscriber);
                let subscriptions = entry.get().len();
                match (entry.get().confirmed, added) {
                    (false, _) => Subscribed::Waiting { first: false, subscriptions },
                    (true, false) => Subscribed::Again,
                    (true, true) => {
                        Subscribed::Joined { channel: entry.key().clone(), subscriptions }
                    }
                }
            }
        }
    }

    /// From here on the channel's sockets get its events, and later ones join at once. Those that
    /// waited are appended to `joined`. Nothing happens if the channel is gone or was confirmed.
    pub fn confirm(&mut self, app: &AppId, channel: &ChannelName, joined: &mut Vec<SocketKey>) {
        let channels = self.apps.get_mut(app.as_str());
        let Some(found) = channels.and_then(|channels| channels.get_mut(channel.as_str())) else {
            return;
        };
        if !found.confirmed {
            found.confirmed = true;
            joined.extend(found.subscribers().iter().map(|subscriber| subscriber.key));
        }
    }

    /// Takes the socket out, waiting or not.
    pub fn unsubscribe(
        &mut self,
        app: &AppId,
        channel: &ChannelName,
        key: SocketKey,
    ) -> Unsubscribed {
        let Some(channels) = self.apps.get_mut(app.as_str()) else {
            return Unsubscribed::NotThere;
        };
        let Some(found) = channels.get_mut(channel.as_str()) else {
            return Unsubscribed::NotThere;
        };
        if !found.remove(key) {
            return Unsubscribed::NotThere;
        }
        let subscriptions = found.len();
        if subscriptions == 0 {
            remove(channels, channel.as_str());
            if channels.is_empty() {
                remove(&mut self.apps, app.as_str());
            }
        }
        Unsubscribed::Left { subscriptions }
    }

    /// Calls `push` with each confirmed subscriber but the excluded one, in no particular order.
    /// Returns how many there were.
    pub fn deliver(
        &self,
        app: &str,
        channel: &str,
        excluded: Option<SocketId>,
        mut push: impl FnMut(SocketKey),
    ) -> u32 {
        let Some(found) = self.find(app, channel).filter(|found| found.confirmed) else {
            return 0;
        };
        let subscribers = found.subscribers();
        let Some(excluded) = excluded else {
            subscribers.iter().for_each(|subscriber| push(subscriber.key));
            return found.len();
        };
        let mut pushed = 0;
        for subscriber in subscribers.iter().filter(|subscriber| subscriber.id != excluded) {
            push(subscriber.key);
            pushed += 1;
        }
        pushed
    }

    /// How many sockets are in the channel, waiting ones included.
    #[must_use]
    pub fn subscriptions(&self, app: &str, channel: &str) -> u32 {
        self.find(app, channel).map_or(0, Channel::len)
    }

    /// Whether the channel exists and its subscribers get events.
    #[must_use]
    pub fn is_confirmed(&self, app: &str, channel: &str) -> bool {
        self.find(app, channel).is_some_and(|found| found.confirmed)
    }

    /// The hub's own copy of a channel's name, for sessions to share.
    #[must_use]
    pub fn name(&self, app: &str, channel: &str) -> Option<&ChannelName> {
        self.apps.get(app)?.get_key_value(channel).map(|(name, _)| name)
    }

    /// All channels with their number of sockets, waiting ones included.
    pub fn channels(&self) -> impl Iterator<Item = (&AppId, &ChannelName, u32)> {
        self.apps.iter().flat_map(|(app, channels)| {
            channels.iter().map(move |(name, found)| (app, name, found.len()))
        })
    }

    fn find(&self, app: &str, channel: &str) -> Option<&Channel> {
        self.apps.get(app)?.get(channel)
    }
}

/// Removes an entry, and gives memory back once most of the map is empty: the price of that is paid
/// by the removals before it, so a removal stays O(1) on average.
fn remove<K: Eq + Hash + std::borrow::Borrow<str>, V>(map: &mut HashMap<K, V>, key: &str) {
    const KEPT: usize = 32;
    map.remove(key);
    if map.capacity() > KEPT && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}
