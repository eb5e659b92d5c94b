//! Channels by shard: who is interested, in which order events go out.
//!
//! Giving an event its serial and pushing it onto the queue of every interested node is one critical
//! section, so that all nodes see one order. State exists only for channels in which some node has
//! interest: publishing to a name that nobody knows leaves nothing behind.

use std::sync::{Arc, Mutex, MutexGuard};

use foldhash::{HashMap, HashMapExt as _};
use model::{AppId, ChannelName, MessageId, OwnerId, Publish, SHARDS, ShardId};
use proto::{
    convert,
    internal::{DispatchedEvent, ShardEpoch},
    v1,
};

use crate::node::{Node, Pushed, Waiter};

/// All shards of this control plane.
#[derive(Debug)]
pub struct Shards {
    owner: OwnerId,
    shards: Box<[Mutex<Shard>]>,
}

#[derive(Debug)]
struct Shard {
    /// How often this shard has changed hands; ours is above all that nodes have seen.
    epoch: u64,
    /// The highest serial given in this epoch: a channel that comes back starts behind it.
    serial_high: u64,
    apps: HashMap<AppId, HashMap<ChannelName, Channel>>,
}

#[derive(Debug)]
struct Channel {
    serial: u64,
    holders: Vec<Holder>,
}

/// A node with interest in a channel.
#[derive(Debug)]
struct Holder {
    node: Arc<Node>,
    /// The attachment in which the node last named the channel.
    attachment: u32,
    subscriptions: u32,
}

/// What a node says of one channel.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Sockets subscribed on that node.
    pub subscriptions: u32,
    /// Events are wanted although nobody is subscribed.
    pub linger: bool,
}

/// What became of one event for one channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dispatched {
    /// Connections subscribed, over all nodes.
    pub subscriptions: u32,
    /// Nodes that it was queued for.
    pub nodes: u32,
    /// Nodes whose queue overflowed on it.
    pub overflowed: u32,
}

impl Shards {
    /// Empty shards, all in epoch 1.
    #[must_use]
    pub fn new(owner: OwnerId) -> Self {
        let shard = || Shard { epoch: 1, serial_high: 0, apps: HashMap::new() };
        Self { owner, shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect() }
    }

    fn shard(&self, id: ShardId) -> MutexGuard<'_, Shard> {
        self.shards[id.index()]
            .lock()
            .expect("no code in this module panics while it holds a shard")
    }

    /// A node has seen these epochs: ours must be higher, unless the shard was ours.
    pub fn raise_epochs(&self, seen: &[ShardEpoch]) {
        for seen in seen {
            let Some(id) = ShardId::new(seen.shard) else {
                continue;
            };
            let mut shard = self.shard(id);
            if seen.owner != self.owner.0 && seen.epoch >= shard.epoch {
                shard.epoch = seen.epoch + 1;
                shard.serial_high = 0;
            }
        }
    }

    /// Takes note of what a node wants of a channel.
    pub fn set_interest(
        &self,
        (node, attachment): (&Arc<Node>, u32),
        (app, channel): (&AppId, &ChannelName),
        wanted: Wanted,
    ) {
        let mut shard = self.shard(ShardId::of(app, channel.as_str()));
        if wanted.subscriptions == 0 && !wanted.linger {
            shard.remove(node, app, channel);
            return;
        }
        let serial = shard.serial_high;
        let holder =
            Holder { node: Arc::clone(node), attachment, subscriptions: wanted.subscriptions };
        let channels = shard.apps.entry(app.clone()).or_default();
        let entry = channels
            .entry(channel.clone())
            .or_insert_with(|| Channel { serial, holders: Vec::with_capacity(1) });
        match entry.holders.iter_mut().find(|other| Arc::ptr_eq(&other.node, node)) {
            Some(present) => *present = holder,
            None => entry.holders.push(holder),
        }
    }

    /// Drops what a node contributed, but for what it named in the attachment `kept`.
    pub fn forget(&self, node: &Arc<Node>, kept: Option<u32>) {
        for shard in &*self.shards {
            let mut shard =
                shard.lock().expect("no code in this module panics while it holds a shard");
            shard.apps.retain(|_, channels| {
                channels.retain(|_, channel| {
                    channel.holders.retain(|holder| {
                        !Arc::ptr_eq(&holder.node, node) || Some(holder.attachment) == kept
                    });
                    !channel.holders.is_empty()
                });
                !channels.is_empty()
            });
        }
    }

    /// Gives the publish its place in one channel and pushes it onto the queue of every interested
    /// node. `eager` nodes get it in any case.
    pub fn dispatch(
        &self,
        app: &AppId,
        (publish, index): (&Publish, usize),
        eager: &[Arc<Node>],
        waiter: Waiter<'_>,
    ) -> Dispatched {
        let channel = &publish.channels[index];
        let id = ShardId::of(app, channel.as_str());
        let mut guard = self.shard(id);
        let shard = &mut *guard;
        let entry = shard.apps.get_mut(app.as_str()).and_then(|map| map.get_mut(channel.as_str()));
        let mut dispatched = Dispatched::default();
        let (serial, holders) = match entry {
            Some(entry) => {
                entry.serial += 1;
                shard.serial_high = shard.serial_high.max(entry.serial);
                (entry.serial, &entry.holders[..])
            }
            None if eager.is_empty() => return dispatched,
            None => (0, &[][..]),
        };
        let place = Place { shard: id, epoch: shard.epoch, owner: self.owner, serial };
        let event = Arc::new(event(app, publish, index, place));
        let fresh = eager
            .iter()
            .filter(|node| !holders.iter().any(|holder| Arc::ptr_eq(&holder.node, node)));
        for node in holders.iter().map(|holder| &holder.node).chain(fresh) {
            match node.push(&event, &waiter) {
                Pushed::Queued => dispatched.nodes += 1,
                Pushed::Overflowed => dispatched.overflowed += 1,
                Pushed::Lost => {}
            }
        }
        dispatched.subscriptions = holders.iter().map(|holder| holder.subscriptions).sum();
        dispatched
    }

    /// Channels with interest.
    #[must_use]
    pub fn channels(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().expect("no code in this module panics while it holds a shard");
            shard.apps.values().map(std::collections::HashMap::len).sum::<usize>()
        };
        self.shards.iter().map(count).sum()
    }
}

impl Shard {
    fn remove(&mut self, node: &Arc<Node>, app: &AppId, channel: &ChannelName) {
        let Some(channels) = self.apps.get_mut(app) else {
            return;
        };
        if let Some(entry) = channels.get_mut(channel) {
            entry.holders.retain(|holder| !Arc::ptr_eq(&holder.node, node));
            if entry.holders.is_empty() {
                channels.remove(channel);
            }
        }
        if channels.is_empty() {
            self.apps.remove(app);
        }
    }
}

/// Where an event stands.
#[derive(Clone, Copy)]
struct Place {
    shard: ShardId,
    epoch: u64,
    owner: OwnerId,
    serial: u64,
}

fn event(app: &AppId, publish: &Publish, index: usize, place: Place) -> DispatchedEvent {
    DispatchedEvent {
        shard: u32::from(place.shard.number()),
        epoch: place.epoch,
        owner: place.owner.0,
        serial: place.serial,
        message_id: convert::id_bytes(channel_message_id(publish.message_id, index).0),
        app_id: app.to_string(),
        channel: publish.channels[index].to_string(),
        name: publish.event.name.0.clone(),
        data: publish.event.data.clone(),
        tags: publish.event.tags.clone().map(|pairs| v1::EventTags { pairs }),
        delta: publish.event.delta,
        excluded: publish.excluded.map(Into::into),
        ..DispatchedEvent::default()
    }
}

/// Each channel of a publish has its own id: the publish's, with the channel's place in its upper bits.
fn channel_message_id(id: MessageId, index: usize) -> MessageId {
    MessageId(id.0 ^ ((index as u128) << 112))
}
