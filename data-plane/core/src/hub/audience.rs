//! The subscribers of one channel who do not want every event as it is: filters and deltas.
//!
//! Those with the same filter are one group, found by the event's tags. In a group, those with deltas
//! share a trail, so that an event costs a comparison for each and every frame is made once.

use bytes::Bytes;
use foldhash::HashMap;
use model::{SocketId, Tags};

use crate::{
    FilterGroups, GroupId, SocketKey, TagList,
    delta::{DeltaChannel, DeltaSettings, DeltaWriter, Position, Published, Trail, Turn},
    subscription::{Subscriber, Terms},
};

/// An event as filters and deltas look at it.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What deltas are made of; its tags are those that clients see.
    pub published: Published<'a>,
    /// What filters read.
    pub tags: Option<&'a Tags>,
}

/// What filters have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Filters that were evaluated: one for all who have the same.
    pub filters_tried: u64,
    /// Subscribers who were spared an event.
    pub filtered_out: u64,
}

/// Which frame a subscriber gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form<'a> {
    /// The event as it is.
    Plain,
    /// One that was made for its like.
    Own(&'a Bytes),
}

/// What the channel's deltas need to begin.
#[derive(Clone, Debug)]
pub(super) struct Deltas<'a> {
    pub(super) channel: &'a str,
    pub(super) settings: DeltaSettings,
}

#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Those without a filter.
    open: Group,
    filtered: FilterGroups<Group>,
    seats: HashMap<SocketKey, Seat>,
    deltas: Option<DeltaChannel>,
    /// Subscribers with deltas.
    with_deltas: u32,
}

/// Subscribers who get the same events.
#[derive(Debug, Default)]
struct Group {
    whole: Vec<Subscriber>,
    deltas: Vec<(Subscriber, Position)>,
    trail: Trail,
}

/// Where a subscriber is.
#[derive(Clone, Copy, Debug)]
struct Seat {
    group: Option<GroupId>,
    deltas: bool,
    place: u32,
}

impl Audience {
    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Bytes of the frames that deltas are made from.
    pub(super) fn bases_bytes(&self) -> usize {
        self.deltas.as_ref().map_or(0, DeltaChannel::bases_bytes)
    }

    pub(super) fn contains(&self, key: SocketKey) -> bool {
        self.seats.contains_key(&key)
    }

    /// A subscriber who is not here comes.
    pub(super) fn add(
        &mut self,
        subscriber: Subscriber,
        terms: &Terms,
        deltas: Option<Deltas<'_>>,
    ) {
        let position = terms.delta.zip(deltas).map(|(format, begin)| {
            let channel =
                self.deltas.get_or_insert_with(|| DeltaChannel::new(begin.channel, begin.settings));
            self.with_deltas += 1;
            Position::new(format, channel.next())
        });
        let group = terms.filter.clone().map(|filter| self.filtered.enter(filter));
        let deltas = position.is_some();
        let place = self.group(group).add(subscriber, position);
        self.seats.insert(subscriber.key, Seat { group, deltas, place });
    }

    /// Whether the subscriber was here.
    pub(super) fn remove(&mut self, key: SocketKey) -> bool {
        let Some(seat) = self.seats.remove(&key) else {
            return false;
        };
        if let Some(moved) = self.group(seat.group).remove(seat)
            && let Some(other) = self.seats.get_mut(&moved)
        {
            other.place = seat.place;
        }
        if let Some(group) = seat.group {
            self.filtered.leave(group);
        }
        if seat.deltas {
            self.with_deltas -= 1;
        }
        if self.with_deltas == 0 {
            self.deltas = None;
        }
        true
    }

    /// The subscriber has lost what it had received.
    pub(super) fn resync(&mut self, key: SocketKey) {
        let next = self.deltas.as_ref().map(DeltaChannel::next);
        let seat = self.seats.get(&key).copied().filter(|seat| seat.deltas);
        if let Some((seat, next)) = seat.zip(next) {
            self.group(seat.group).deltas[seat.place as usize].1.reset(next);
        }
    }

    pub(super) fn change_settings(&mut self, settings: DeltaSettings) {
        if let Some(deltas) = &mut self.deltas {
            deltas.change_settings(settings);
        }
    }

    /// Everybody, whatever their terms.
    pub(super) fn everybody(&self) -> impl Iterator<Item = &Subscriber> {
        let groups = self.filtered.iter().map(|(_, group)| group);
        groups.chain(std::iter::once(&self.open)).flat_map(|group| {
            group.whole.iter().chain(group.deltas.iter().map(|(subscriber, _)| subscriber))
        })
    }

    /// Calls `push` for those who want the event, with the frame that they want it in. Returns how
    /// many there were, and what filters did.
    pub(super) fn deliver(
        &mut self,
        event: &Event<'_>,
        excluded: Option<SocketId>,
        writer: &mut DeltaWriter,
        push: &mut impl FnMut(SocketKey, Form<'_>),
    ) -> (u32, Tally) {
        let mut turn =
            self.deltas.as_mut().and_then(|deltas| deltas.begin(event.published, writer));
        let mut pushed = self.open.deliver(turn.as_mut(), excluded, push);
        let mut tally = Tally::default();
        if !self.filtered.is_empty() {
            let (tags, mut matched) = (TagList::of(event.tags), 0);
            tally.filters_tried = self.filtered.for_each_match(&tags, |_, group| {
                matched += group.len();
                pushed += group.deliver(turn.as_mut(), excluded, push);
            });
            tally.filtered_out = (self.seats.len() - self.open.len() - matched) as u64;
        }
        if let Some(turn) = turn {
            turn.finish();
        }
        (pushed, tally)
    }

    fn group(&mut self, id: Option<GroupId>) -> &mut Group {
        match id {
            Some(id) => self.filtered.get_mut(id),
            None => &mut self.open,
        }
    }
}

impl Group {
    fn len(&self) -> usize {
        self.whole.len() + self.deltas.len()
    }

    /// Returns the subscriber's place.
    fn add(&mut self, subscriber: Subscriber, position: Option<Position>) -> u32 {
        let places = match position {
            None => {
                self.whole.push(subscriber);
                self.whole.len()
            }
            Some(position) => {
                self.deltas.push((subscriber, position));
                self.deltas.len()
            }
        };
        u32::try_from(places - 1).expect("a thread has fewer than 2^32 sockets")
    }

    /// The last one takes the place of the one that leaves, and is returned.
    fn remove(&mut self, seat: Seat) -> Option<SocketKey> {
        let place = seat.place as usize;
        if seat.deltas {
            self.deltas.swap_remove(place);
            self.deltas.get(place).map(|(moved, _)| moved.key)
        } else {
            self.whole.swap_remove(place);
            self.whole.get(place).map(|moved| moved.key)
        }
    }

    fn deliver(
        &mut self,
        turn: Option<&mut Turn<'_>>,
        excluded: Option<SocketId>,
        push: &mut impl FnMut(SocketKey, Form<'_>),
    ) -> u32 {
        let mut pushed = 0;
        let mut push_counted = |key, form: Form<'_>| {
            push(key, form);
            pushed += 1;
        };
        let wanted = |subscriber: &Subscriber| excluded != Some(subscriber.id);
        for subscriber in self.whole.iter().filter(|subscriber| wanted(subscriber)) {
            push_counted(subscriber.key, Form::Plain);
        }
        if self.deltas.is_empty() {
            return pushed;
        }
        let Some(turn) = turn else {
            let plain = self.deltas.iter().map(|(subscriber, _)| subscriber);
            plain.filter(|one| wanted(one)).for_each(|one| push_counted(one.key, Form::Plain));
            return pushed;
        };
        let step = turn.pass(&mut self.trail);
        for (subscriber, position) in &mut self.deltas {
            if wanted(subscriber) {
                push_counted(subscriber.key, Form::Own(turn.frame(step, position)));
            } else {
                turn.leave_out(step, position);
            }
        }
        pushed
    }
}
