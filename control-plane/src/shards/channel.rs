//! One channel: which nodes hold it, who is in it, what they have been told.
//!
//! A holder is told the whole state once, and then changes. What cannot be told at present (the control
//! plane has just started, the node's queue is half full) is owed: the holder counts as untold and is
//! told the whole state later. So no burst of news overflows a queue, and none is lost.

use std::{collections::BTreeMap, sync::Arc};

use model::{ChannelKind, ChannelName, UserId};
use proto::{internal::DispatchedEvent, v1::CachedEvent};

use super::{Wanted, count::Count, event::About, roster::Users};
use crate::node::{Attachment, Node};

/// A channel in which some node is interested, or in which somebody is.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) serial: u64,
    pub(super) holders: Vec<Holder>,
    /// What only some channels have, so that a plain one stays small.
    pub(super) extra: Option<Box<Extra>>,
}

/// What a presence, cache or watched channel has besides, and one with many subscriptions.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) users: Users,
    pub(super) count: Count,
    /// Answers to nodes that named a user.
    verdicts: BTreeMap<UserId, Vec<Verdict>>,
    /// The shard has the channel among those that owe something.
    pub(super) listed: bool,
}

#[derive(Debug)]
struct Verdict {
    node: Arc<Node>,
    full: bool,
    /// In which version of its interest the node named the user.
    since: u64,
}

/// A node with interest in a channel.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) node: Arc<Node>,
    /// The version in which the node's interest began.
    since: u64,
    /// The attachment in which the node last named the channel.
    attachment: u32,
    pub(super) subscriptions: u32,
    /// The attachment during which the state was told; 0: it was not.
    told: u32,
    linger: bool,
    watched: bool,
}

/// What a holder is told of a channel besides its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Nothing,
    /// Members and the last event.
    State,
    /// Whether the user of the channel is there.
    Occupancy,
}

impl Holder {
    /// One that only watches gets no events.
    pub(super) fn wants_events(&self) -> bool {
        self.subscriptions > 0 || self.linger
    }

    fn news(&self, has_state: bool) -> News {
        if has_state && self.wants_events() {
            News::State
        } else if self.watched {
            News::Occupancy
        } else {
            News::Nothing
        }
    }

    fn hears(&self, has_state: bool, news: News) -> bool {
        self.told > 0 && self.news(has_state) == news
    }

    /// Tells it, or counts it as untold.
    fn tell(&mut self, notice: &Arc<DispatchedEvent>, about: &About<'_>) {
        self.told = self.node.tell(notice, self.subscriptions, about.now).unwrap_or(0);
    }
}

/// Whether subscribers of a channel wait for its state.
fn has_state(channel: &ChannelName) -> bool {
    channel.kind() == ChannelKind::Presence || channel.is_cache()
}

impl Channel {
    /// Without holders; events go on behind `serial`.
    pub(super) fn new(serial: u64) -> Self {
        Self { serial, holders: Vec::with_capacity(1), extra: None }
    }

    /// Subscriptions over all nodes.
    pub(super) fn subscriptions(&self) -> u32 {
        self.holders.iter().map(|holder| holder.subscriptions).sum()
    }

    /// Users over all nodes.
    pub(super) fn users(&self) -> usize {
        self.extra.as_ref().map_or(0, |extra| extra.users.len())
    }

    /// Gets that which plain channels do not have.
    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// A node says what it wants. Returns whether it is from here on that it gets the channel's events.
    pub(super) fn set_holder(
        &mut self,
        from: &Attachment,
        channel: &ChannelName,
        wanted: Wanted,
    ) -> bool {
        let known = self.holders.iter().position(|holder| Arc::ptr_eq(&holder.node, &from.node));
        if wanted.is_nothing() {
            if let Some(place) = known {
                self.holders.swap_remove(place);
            }
            return false;
        }
        let mut holder = Holder {
            node: Arc::clone(&from.node),
            since: wanted.since,
            attachment: from.number,
            subscriptions: wanted.subscriptions,
            told: 0,
            linger: wanted.linger,
            watched: wanted.watched,
        };
        let Some(place) = known else {
            let begins = holder.wants_events();
            self.holders.push(holder);
            return begins;
        };
        let former = &self.holders[place];
        // What was told holds, unless the node has forgotten it, or it was lost on its way.
        let holds = former.since == wanted.since && former.told >= from.unbroken;
        let has_state = has_state(channel);
        if holds && former.news(has_state) == holder.news(has_state) {
            holder.told = former.told;
        }
        let begins = holder.wants_events() && !former.wants_events();
        self.holders[place] = holder;
        begins
    }

    /// Drops the holder that did not name the channel in the attachment `kept`.
    pub(super) fn drop_holder(&mut self, node: &Arc<Node>, kept: Option<u32>) {
        self.holders
            .retain(|holder| !Arc::ptr_eq(&holder.node, node) || Some(holder.attachment) == kept);
        if let Some(extra) = self.extra.as_mut().filter(|_| kept.is_none()) {
            extra.verdicts.retain(|_, verdicts| {
                verdicts.retain(|verdict| !Arc::ptr_eq(&verdict.node, node));
                !verdicts.is_empty()
            });
        }
    }

    /// Tells a change of the roster to all who know the roster.
    pub(super) fn tell_roster(&mut self, notice: &Arc<DispatchedEvent>, about: &About<'_>) {
        for holder in self.holders.iter_mut().filter(|holder| holder.hears(true, News::State)) {
            holder.tell(notice, about);
        }
    }

    /// Tells those who watch the channel's user that it has come or gone.
    pub(super) fn tell_occupancy(&mut self, occupied: bool, about: &About<'_>) {
        let hear = |holder: &&mut Holder| holder.hears(false, News::Occupancy);
        let mut notice = None;
        for holder in self.holders.iter_mut().filter(hear) {
            let notice = notice.get_or_insert_with(|| about.occupancy(occupied));
            holder.tell(notice, about);
        }
    }

    /// Tells the number of subscriptions. Returns whether all heard it.
    pub(super) fn tell_count(&self, about: &About<'_>) -> bool {
        let notice = about.count(self.subscriptions());
        let mut all = true;
        for holder in self.holders.iter().filter(|holder| holder.wants_events()) {
            all &= holder.node.tell(&notice, holder.subscriptions, about.now).is_some();
        }
        all
    }

    /// A node that named a user is to be answered.
    pub(super) fn owe_verdict(
        &mut self,
        user: &UserId,
        node: &Arc<Node>,
        (full, since): (bool, u64),
    ) {
        self.withdraw_verdict(user, node);
        let verdicts = self.extra().verdicts.entry(user.clone()).or_default();
        verdicts.push(Verdict { node: Arc::clone(node), full, since });
    }

    /// A node that waits for an answer waits no longer.
    pub(super) fn withdraw_verdict(&mut self, user: &UserId, node: &Arc<Node>) {
        let Some(extra) = &mut self.extra else { return };
        if let Some(verdicts) = extra.verdicts.get_mut(user) {
            verdicts.retain(|verdict| !Arc::ptr_eq(&verdict.node, node));
            if verdicts.is_empty() {
                extra.verdicts.remove(user);
            }
        }
    }

    /// What was told by another control plane does not count.
    pub(super) fn untell(&mut self) {
        self.holders.iter_mut().for_each(|holder| holder.told = 0);
    }

    /// Another control plane tells what was owed.
    pub(super) fn owe_nothing(&mut self) {
        self.untell();
        if let Some(extra) = &mut self.extra {
            extra.verdicts.clear();
            extra.count = Count::default();
            extra.listed = false;
        }
    }

    /// Whether somebody has to be told something.
    pub(super) fn owes(&self, channel: &ChannelName) -> bool {
        let has_state = has_state(channel);
        let untold = |holder: &Holder| holder.told == 0 && holder.news(has_state) != News::Nothing;
        self.holders.iter().any(untold)
            || self.extra.as_ref().is_some_and(|extra| !extra.verdicts.is_empty())
    }

    /// Tells what is owed, as far as the nodes have room.
    pub(super) fn settle(
        &mut self,
        about: &About<'_>,
        cached: impl FnOnce() -> Option<CachedEvent>,
    ) {
        let has_state = has_state(about.channel());
        let occupied = self.subscriptions() > 0;
        let (mut cached, mut state, mut occupancy) = (Some(cached), None, None);
        for holder in self.holders.iter_mut().filter(|holder| holder.told == 0) {
            let notice = match holder.news(has_state) {
                News::Nothing => continue,
                News::Occupancy => occupancy.get_or_insert_with(|| about.occupancy(occupied)),
                News::State => state.get_or_insert_with(|| {
                    let members = self.extra.iter().flat_map(|extra| extra.users.users());
                    about.state(members, cached.take().and_then(|cached| cached()))
                }),
            };
            holder.tell(notice, about);
        }
        let Some(extra) = &mut self.extra else { return };
        // The answer stands behind the roster in which the user is.
        let untold = |node: &Arc<Node>| {
            let mut holders = self.holders.iter();
            holders.any(|holder| {
                Arc::ptr_eq(&holder.node, node) && holder.wants_events() && holder.told == 0
            })
        };
        extra.verdicts.retain(|user, verdicts| {
            verdicts.retain(|Verdict { node, full, since }| {
                let verdict = || about.verdict(user, (*full, *since));
                untold(node) || node.tell(&verdict(), 1, about.now).is_none()
            });
            !verdicts.is_empty()
        });
    }

    /// Gives up what is empty. Returns whether nothing is left of the channel.
    pub(super) fn tidy(&mut self, about: &About<'_>) -> bool {
        let idle = |extra: &Extra| {
            extra.users.is_empty() && extra.verdicts.is_empty() && extra.count.is_idle(about.now)
        };
        if self.extra.as_deref().is_some_and(|extra| !extra.listed && idle(extra)) {
            self.extra = None;
        }
        let over = self
            .extra
            .as_ref()
            .is_none_or(|extra| extra.users.is_empty() && extra.verdicts.is_empty());
        over && self.holders.is_empty()
    }
}
