//! The subscribers of one channel by their filters, and which of them an event concerns.

#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, mem, sync::Arc};

use foldhash::HashMap;
use slab::Slab;

use super::{
    Filter, TagList,
    anchors::{Anchor, Anchors},
};

/// Groups of subscribers with equal filters; `G` is what is kept per group.
///
/// A group whose filter needs one of certain tags stands at these tags in an index, and costs
/// nothing at events without them. The others are tried at every event. A group exists while
/// it has members; all numbers are used again.
#[derive(Debug, Default)]
pub struct FilterGroups<G> {
    groups: Slab<Group<G>>,
    by_filter: HashMap<Filter, GroupId>,
    /// Groups by the key and the value of a tag. They are sorted, so that their order does not
    /// depend on who came and went before.
    by_tag: HashMap<Arc<str>, HashMap<Arc<str>, BTreeSet<GroupId>>>,
    /// Groups with filters that may match whatever the tags are.
    anywhere: BTreeSet<GroupId>,
    /// Events so far.
    events: u64,
}

/// Names a group for as long as it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u32);

#[derive(Debug)]
struct Group<G> {
    filter: Filter,
    /// Where the group stands in the index.
    anchors: Option<Anchors>,
    members: u32,
    /// The event for which this group was looked at last: it may stand at several of its tags.
    seen: u64,
    kept: G,
}

impl<G: Default> FilterGroups<G> {
    /// No groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a member to the group of this filter, which is made if there is none.
    pub fn enter(&mut self, filter: Filter) -> GroupId {
        if let Some(id) = self.by_filter.get(&filter) {
            self.groups[id.place()].members += 1;
            return *id;
        }
        let crowd = |(key, value): &Anchor| {
            self.by_tag.get(key).and_then(|values| values.get(value)).map_or(0, BTreeSet::len)
        };
        let anchors = Anchors::of(&filter.0, &crowd);
        let entry = self.groups.vacant_entry();
        let id = GroupId(u32::try_from(entry.key()).expect("a thread has fewer than 2^32 sockets"));
        match &anchors {
            None => drop(self.anywhere.insert(id)),
            Some(Anchors { tags, .. }) => {
                for (key, value) in tags {
                    let values = self.by_tag.entry(Arc::clone(key)).or_default();
                    values.entry(Arc::clone(value)).or_default().insert(id);
                }
            }
        }
        self.by_filter.insert(filter.clone(), id);
        entry.insert(Group { filter, anchors, members: 1, seen: 0, kept: G::default() });
        id
    }

    /// Takes a member out. With the last one the group is gone, and what was kept comes back.
    ///
    /// # Panics
    /// If there is no such group, as with the other methods that take a [`GroupId`].
    pub fn leave(&mut self, id: GroupId) -> Option<G> {
        let group = &mut self.groups[id.place()];
        group.members -= 1;
        if group.members > 0 {
            return None;
        }
        let group = self.groups.remove(id.place());
        self.by_filter.remove(&group.filter);
        match &group.anchors {
            None => drop(self.anywhere.remove(&id)),
            Some(anchors) => anchors.tags.iter().for_each(|tag| self.lift(tag, id)),
        }
        if self.groups.is_empty() {
            // Gives back the memory that the maps hold for more groups than there will be.
            *self = Self::default();
        }
        Some(group.kept)
    }

    /// Takes the group away from one tag.
    fn lift(&mut self, (key, value): &Anchor, id: GroupId) {
        let values = self.by_tag.get_mut(key).expect("an anchored group stands at its keys");
        let groups = values.get_mut(value).expect("an anchored group stands at its values");
        groups.remove(&id);
        if groups.is_empty() {
            values.remove(value);
        }
        if values.is_empty() {
            self.by_tag.remove(key);
        }
    }
}

impl<G> FilterGroups<G> {
    /// Calls `visit` once with each group whose filter matches. The order depends on nothing but
    /// the tags and the groups. Allocates nothing. Returns how many filters were tried.
    pub fn for_each_match(
        &mut self,
        tags: &TagList<'_>,
        mut visit: impl FnMut(GroupId, &mut G),
    ) -> u64 {
        self.events += 1;
        let mut tried = self.anywhere.len() as u64;
        for id in &self.anywhere {
            let group = &mut self.groups[id.place()];
            if group.filter.matches(tags) {
                visit(*id, &mut group.kept);
            }
        }
        if self.by_tag.is_empty() {
            return tried;
        }
        for tag in tags.iter() {
            let values = self.by_tag.get(tag.key.text);
            for id in values.and_then(|values| values.get(tag.value)).into_iter().flatten() {
                let group = &mut self.groups[id.place()];
                let seen = mem::replace(&mut group.seen, self.events);
                if seen == self.events {
                    continue;
                }
                tried += 1;
                if group.is_matched_at_anchor(tags) {
                    visit(*id, &mut group.kept);
                }
            }
        }
        tried
    }

    /// What is kept for a group.
    #[must_use]
    pub fn get(&self, id: GroupId) -> &G {
        &self.groups[id.place()].kept
    }

    /// What is kept for a group.
    pub fn get_mut(&mut self, id: GroupId) -> &mut G {
        &mut self.groups[id.place()].kept
    }

    /// The filter of a group.
    #[must_use]
    pub fn filter(&self, id: GroupId) -> &Filter {
        &self.groups[id.place()].filter
    }

    /// All groups, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &G)> {
        self.groups.iter().map(|(place, group)| (GroupId(place as u32), &group.kept))
    }

    /// How many groups there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether there is no group.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl<G> Group<G> {
    /// Whether an event matches that has one of the tags where the group stands.
    fn is_matched_at_anchor(&self, tags: &TagList<'_>) -> bool {
        self.anchors.as_ref().is_some_and(|anchors| anchors.sufficient) || self.filter.matches(tags)
    }
}

impl GroupId {
    fn place(self) -> usize {
        self.0 as usize
    }
}
