//! What waits for one taker, in a lane per app: apps take turns, and none has more than so much in the
//! taker's hands.
//!
//! Two bounds keep one app from the others. *Turns* (deficit round robin by bytes) share what leaves: who
//! comes waits for one turn of each other app. *Rooms* bound what has left and is not settled: what an app
//! has put into the taker's hands is in front of whatever comes next, and nothing can overtake it there.
//!
//! Within an app items leave in the order in which they came. Between apps there is no order. With one
//! app it is a queue with a bound on what is unsettled.

use std::collections::VecDeque;

use foldhash::{HashMap, HashMapExt as _};
use slab::Slab;

/// So many bytes an app may take each time it is its turn.
pub const TURN_BYTES: usize = 16 << 10;
/// So many lanes are kept although nothing is in them, so that an app that says one thing at a time does
/// not get a new one each time.
const IDLE_LANES_MAX: usize = 1_024;

/// What an item takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Of the way to the taker; turns are counted in it.
    pub bytes: usize,
    /// Of the taker, until the item is settled.
    pub load: usize,
}

/// How much of one app's may be unsettled at once. One item may always.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Items.
    pub items: usize,
    /// Their load.
    pub load: usize,
}

/// Items and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many.
    pub items: usize,
    /// How many bytes.
    pub bytes: usize,
}

/// Proof that an item has left; to be given back when the taker is done with it.
#[derive(Debug)]
pub struct Ticket {
    lane: usize,
    weight: Weight,
}

/// See the module.
#[derive(Debug)]
pub struct FairQueue<T> {
    room: Room,
    lanes: Slab<Lane<T>>,
    by_app: HashMap<Box<str>, usize>,
    /// The lanes that have something to give and room for it, in the order of their turns.
    turns: VecDeque<usize>,
    waiting: usize,
    idle: usize,
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<(T, Weight)>,
    /// Bytes that it may still take of its turn.
    credit: usize,
    /// It stands among the turns.
    has_turn: bool,
    unsettled: usize,
    load: usize,
    /// Of what waits and of what is unsettled.
    bytes: usize,
}

impl<T> FairQueue<T> {
    /// Nothing waits.
    #[must_use]
    pub fn new(room: Room) -> Self {
        let (lanes, by_app, turns) = (Slab::new(), HashMap::new(), VecDeque::new());
        Self { room, lanes, by_app, turns, waiting: 0, idle: 0 }
    }

    /// Puts an item behind those of its app.
    pub fn push(&mut self, app: &str, item: T, weight: Weight) {
        let place = match self.by_app.get(app) {
            Some(place) => *place,
            None => self.open(app),
        };
        let lane = &mut self.lanes[place];
        self.idle -= usize::from(lane.is_idle());
        lane.items.push_back((item, weight));
        lane.bytes += weight.bytes;
        self.waiting += 1;
        self.take_turns(place);
    }

    /// Takes the next item, if it has no more than so many bytes.
    pub fn pop(&mut self, bytes_max: usize) -> Option<(T, Weight, Ticket)> {
        loop {
            let place = *self.turns.front()?;
            let lane = &mut self.lanes[place];
            let (_, weight) = lane.items.front()?;
            if lane.credit < weight.bytes {
                // Its turn is over.
                lane.credit += TURN_BYTES;
                self.turns.rotate_left(1);
                continue;
            }
            if weight.bytes > bytes_max {
                return None;
            }
            let (item, weight) = lane.items.pop_front()?;
            lane.credit -= weight.bytes;
            lane.unsettled += 1;
            lane.load += weight.load;
            self.waiting -= 1;
            if lane.items.is_empty() || !lane.has_room(self.room) {
                lane.has_turn = false;
                self.turns.pop_front();
            }
            return Some((item, weight, Ticket { lane: place, weight }));
        }
    }

    /// The taker is done with an item.
    pub fn settle(&mut self, ticket: &Ticket) {
        let lane = &mut self.lanes[ticket.lane];
        lane.unsettled -= 1;
        lane.load -= ticket.weight.load;
        lane.bytes -= ticket.weight.bytes;
        self.idle += usize::from(lane.is_idle());
        self.take_turns(ticket.lane);
    }

    /// Items that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// What an app has here: what waits and what is unsettled.
    #[must_use]
    pub fn size(&self, app: &str) -> Size {
        let lane = self.by_app.get(app).map(|place| &self.lanes[*place]);
        lane.map_or(Size::default(), |lane| Size {
            items: lane.items.len() + lane.unsettled,
            bytes: lane.bytes,
        })
    }

    /// What waits in each lane, in its order.
    pub fn lanes_mut(&mut self) -> impl Iterator<Item = impl Iterator<Item = &mut T>> {
        let waiting = self.lanes.iter_mut().filter(|(_, lane)| !lane.items.is_empty());
        waiting.map(|(_, lane)| lane.items.iter_mut().map(|(item, _)| item))
    }

    /// The first item of each lane.
    pub fn firsts(&self) -> impl Iterator<Item = &T> {
        self.lanes.iter().filter_map(|(_, lane)| lane.items.front().map(|(item, _)| item))
    }

    fn open(&mut self, app: &str) -> usize {
        if self.idle > IDLE_LANES_MAX {
            self.by_app.retain(|_, place| !self.lanes[*place].is_idle());
            self.lanes.retain(|_, lane| !lane.is_idle());
            self.idle = 0;
        }
        let place = self.lanes.insert(Lane::new());
        self.by_app.insert(app.into(), place);
        self.idle += 1;
        place
    }

    /// Puts a lane behind the other turns, if it has something to give and room for it.
    fn take_turns(&mut self, place: usize) {
        let lane = &mut self.lanes[place];
        if !lane.has_turn && !lane.items.is_empty() && lane.has_room(self.room) {
            lane.has_turn = true;
            lane.credit = TURN_BYTES;
            self.turns.push_back(place);
        }
    }
}

impl<T> Lane<T> {
    fn new() -> Self {
        let items = VecDeque::new();
        Self { items, credit: 0, has_turn: false, unsettled: 0, load: 0, bytes: 0 }
    }

    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.unsettled == 0
    }

    /// Whether the first item has room.
    fn has_room(&self, room: Room) -> bool {
        let load = self.items.front().map_or(0, |(_, weight)| weight.load);
        self.unsettled == 0 || (self.unsettled < room.items && self.load + load <= room.load)
    }
}

#[cfg(test)]
mod tests;
