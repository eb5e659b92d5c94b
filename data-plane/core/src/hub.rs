//! The channels of one shard thread and who is in them; deliver.

mod audience;
mod channel;
#[cfg(test)]
mod tests;

use std::{collections::hash_map::Entry, hash::Hash};

use foldhash::HashMap;
use model::{App, AppId, ChannelName, SocketId};

pub use self::audience::{Event, Form, Tally};
use self::{audience::Deltas, channel::Channel};
use crate::{
    SocketKey,
    delta::{DeltaSettings, DeltaWriter},
    subscription::{Subscriber, Subscription},
};

/// Channels and their subscribers. Two maps, so that app and channel are found by `&str` without
/// building a key. A channel without subscribers has no entry.
#[derive(Debug, Default)]
pub struct Hub {
    apps: HashMap<AppId, HashMap<ChannelName, Channel>>,
    subscriptions: u64,
    bases_bytes: usize,
    tally: Tally,
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
    /// Adds the socket, or gives it other terms. Until the channel is confirmed it gets no events.
    pub fn subscribe(
        &mut self,
        app: &AppId,
        channel: &ChannelName,
        subscription: Subscription,
    ) -> Subscribed {
        let Subscription { key, id, terms, deltas } = subscription;
        let deltas = deltas.map(|settings| Deltas { channel: channel.as_str(), settings });
        let entry = self.apps.entry(app.clone()).or_default().entry(channel.clone());
        let first = matches!(entry, Entry::Vacant(_));
        let mut entry = match entry {
            Entry::Vacant(entry) => entry.insert_entry(Channel::new()),
            Entry::Occupied(entry) => entry,
        };
        let bases_before = entry.get().bases_bytes();
        let added = entry.get_mut().add(Subscriber { key, id }, &terms, deltas);
        self.bases_bytes = self.bases_bytes + entry.get().bases_bytes() - bases_before;
        let subscriptions = entry.get().len();
        self.subscriptions += u64::from(added);
        match (entry.get().confirmed, added) {
            (false, _) => Subscribed::Waiting { first, subscriptions },
            (true, false) => Subscribed::Again,
            (true, true) => Subscribed::Joined { channel: entry.key().clone(), subscriptions },
        }
    }

    /// A socket that is in the channel gets other terms; nothing happens where it is not.
    pub fn set_terms(&mut self, app: &AppId, channel: &ChannelName, subscription: Subscription) {
        if self
            .find(app.as_str(), channel.as_str())
            .is_some_and(|one| one.contains(subscription.key))
        {
            self.subscribe(app, channel, subscription);
        }
    }

    /// The socket has lost what it had received: its next frame is whole.
    pub fn resync(&mut self, app: &AppId, channel: &ChannelName, key: SocketKey) {
        let found = self.find_mut(app.as_str(), channel.as_str());
        if let Some(audience) = found.and_then(|found| found.audience.as_mut()) {
            audience.resync(key);
        }
    }

    /// The app's settings have changed.
    pub fn change_app(&mut self, app: &App) {
        for (name, channel) in self.apps.get_mut(app.id.as_str()).into_iter().flatten() {
            if let Some(audience) = &mut channel.audience
                && let Some(settings) = DeltaSettings::of(app, name)
            {
                let bases_before = audience.bases_bytes();
                audience.change_settings(settings);
                self.bases_bytes = self.bases_bytes + audience.bases_bytes() - bases_before;
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
            joined.extend(found.everybody().map(|subscriber| subscriber.key));
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
        let bases_before = found.bases_bytes();
        if !found.remove(key) {
            return Unsubscribed::NotThere;
        }
        self.bases_bytes = self.bases_bytes + found.bases_bytes() - bases_before;
        let subscriptions = found.len();
        self.subscriptions -= 1;
        if subscriptions == 0 {
            remove(channels, channel.as_str());
            if channels.is_empty() {
                remove(&mut self.apps, app.as_str());
            }
        }
        Unsubscribed::Left { subscriptions }
    }

    /// Calls `push` with each confirmed subscriber but the excluded one, whatever their terms, in no
    /// particular order. Returns how many there were.
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
        let mut pushed = 0;
        for subscriber in found.everybody().filter(|one| excluded != Some(one.id)) {
            push(subscriber.key);
            pushed += 1;
        }
        pushed
    }

    /// Calls `push` with each confirmed subscriber that wants the event, and which frame it gets.
    /// Returns how many there were.
    pub fn deliver_event(
        &mut self,
        (app, channel): (&str, &str),
        (event, excluded): (&Event<'_>, Option<SocketId>),
        writer: &mut DeltaWriter,
        mut push: impl FnMut(SocketKey, Form<'_>),
    ) -> u32 {
        let Some(found) = self.find_mut(app, channel).filter(|found| found.confirmed) else {
            return 0;
        };
        let mut pushed = 0;
        for subscriber in found.subscribers().iter().filter(|one| excluded != Some(one.id)) {
            push(subscriber.key, Form::Plain);
            pushed += 1;
        }
        if let Some(audience) = &mut found.audience {
            let bases_before = audience.bases_bytes();
            let (wanted, tally) = audience.deliver(event, excluded, writer, &mut push);
            let bases_after = audience.bases_bytes();
            self.bases_bytes = self.bases_bytes + bases_after - bases_before;
            pushed += wanted;
            self.tally.filters_tried += tally.filters_tried;
            self.tally.filtered_out += tally.filtered_out;
        }
        pushed
    }

    /// What filters have done since this was last asked.
    pub fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Subscriptions to all channels, waiting ones included.
    #[must_use]
    pub fn all_subscriptions(&self) -> u64 {
        self.subscriptions
    }

    /// Bytes of the frames that deltas are made from, of all channels.
    #[must_use]
    pub fn bases_bytes(&self) -> usize {
        self.bases_bytes
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

    fn find_mut(&mut self, app: &str, channel: &str) -> Option<&mut Channel> {
        self.apps.get_mut(app)?.get_mut(channel)
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
