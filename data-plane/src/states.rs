//! Channels that are more than a name: rosters of presence channels, last events of cache channels,
//! users who are watched.
//!
//! A socket that subscribes to such a channel is in once this node knows the channel's state; what it
//! is told then and what follows are put into its thread's inbox under one lock, so that a roster and
//! the joins behind it never contradict each other.

use std::{collections::VecDeque, fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use data_plane_core::{Change, Member, Presence, SocketKey, frame};
use foldhash::{HashMap, HashMapExt as _, HashSet, HashSetExt as _};
use model::{AppId, ChannelKind, ChannelName, Tags, UserId, UserInfo};

use crate::{
    inbox::{Delivery, Step},
    interest::ChannelKey,
    wire,
};

/// A socket of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Its shard thread.
    pub thread: usize,
    /// Its place there.
    pub key: SocketKey,
}

/// Steps for each shard thread, in order.
pub type Batches = Vec<Vec<Step>>;

/// All states of a node.
#[derive(Debug)]
pub struct States {
    threads: usize,
    channels: HashMap<AppId, HashMap<ChannelName, State>>,
    /// Channels of watched users: whether anybody is signed in, once that is known.
    watched: HashMap<AppId, HashMap<ChannelName, Option<bool>>>,
    /// Where somebody may still wait, by when that began.
    waiting: VecDeque<(Instant, AppId, ChannelName)>,
}

/// What a node knows of one channel.
#[derive(Debug)]
struct State {
    /// Subscribed sockets, waiting ones included.
    sockets: HashSet<Place>,
    per_thread: Box<[u32]>,
    presence: Option<Presence<Place>>,
    cached: Option<Arc<Cached>>,
    /// Sockets of a channel without presence that wait until its state is told.
    waiting: Vec<(Place, Instant)>,
    told: bool,
}

/// The last event of a cache channel, as it is sent.
#[derive(Clone, Debug)]
pub struct Cached {
    /// The frame, without tags.
    pub frame: Bytes,
    /// What subscribers' filters read.
    pub tags: Option<Tags>,
    /// It is shown no longer after this.
    pub until: Instant,
}

/// All that a control plane knows of a channel.
pub struct Whole<'a> {
    /// Who is in it.
    pub members: Vec<(UserId, UserInfo)>,
    /// What it shows.
    pub cached: Option<Cached>,
    /// Whether it has heard that this user is on this node, since it came.
    pub is_heard: &'a dyn Fn(&UserId) -> bool,
}

impl fmt::Debug for Whole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("members", &self.members).finish_non_exhaustive()
    }
}

/// A socket may hear its channel from here on.
#[derive(Debug)]
pub struct Join {
    /// The socket.
    pub key: SocketKey,
    /// Whose channel.
    pub app: AppId,
    /// Which channel.
    pub channel: ChannelName,
    /// Who it is there, in presence channels.
    pub user: Option<UserId>,
    /// What it is told first.
    pub success: Bytes,
    /// What it is shown of a cache channel; `None` where nothing is kept.
    pub shown: Option<Arc<Cached>>,
}

/// What a join or a leave changed for the control plane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Sockets of the thread in the channel.
    pub subscriptions: u32,
    /// The user has come to this node, or has left it.
    pub user: bool,
}

/// Whether subscribers of the channel wait for its state.
#[must_use]
pub fn has_state(channel: &str) -> bool {
    ChannelKind::of(channel) == ChannelKind::Presence || ChannelKind::is_cache(channel)
}

impl States {
    /// Nothing yet, on a node with this many shard threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let (channels, watched, waiting) = (HashMap::new(), HashMap::new(), VecDeque::new());
        Self { threads, channels, watched, waiting }
    }

    /// A socket subscribes. It is let in by [`States::let_in`], which may be at once.
    pub fn join(
        &mut self,
        place: Place,
        (app, channel): (&AppId, &ChannelName),
        member: Option<&Member>,
        now: Instant,
    ) -> Changed {
        let threads = self.threads;
        self.waiting.push_back((now, app.clone(), channel.clone()));
        let channels = self.channels.entry(app.clone()).or_default();
        let state = channels.entry(channel.clone()).or_insert_with(|| State::new(channel, threads));
        if state.sockets.insert(place) {
            state.per_thread[place.thread] += 1;
        }
        let user = match (&mut state.presence, member) {
            (Some(presence), Some(member)) => presence.join(&member.user, &member.info, place, now),
            (Some(_), None) | (None, _) => {
                state.waiting.push((place, now));
                false
            }
        };
        Changed { subscriptions: state.per_thread[place.thread], user }
    }

    /// A socket leaves. `None` where it was not in.
    pub fn leave(
        &mut self,
        place: Place,
        (app, channel): (&AppId, &ChannelName),
        user: Option<&UserId>,
        batches: &mut Batches,
    ) -> Option<Changed> {
        let state = self.find(app, channel)?;
        let gone = user.zip(state.presence.as_mut());
        let (user, change) =
            gone.map_or_else(Default::default, |(user, presence)| presence.leave(user, place));
        let left = state.take_out(place);
        state.tell((app, channel), &change, batches);
        left.then(|| Changed { subscriptions: state.per_thread[place.thread], user })
    }

    /// Lets in who waits and may.
    pub fn let_in(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        now: Instant,
        batches: &mut Batches,
    ) {
        let Some(state) = self.find(app, channel) else {
            return;
        };
        let places = state.ready();
        if places.is_empty() {
            return;
        }
        let success = state.success(channel);
        let shown = state.cached.as_ref().filter(|cached| cached.until > now);
        for (user, Place { thread, key }) in places {
            let (app, channel) = (app.clone(), channel.clone());
            let (success, shown) = (success.clone(), shown.cloned());
            let join = Join { key, app, channel, user, success, shown };
            batches[thread].push(Step::Join(Box::new(join)));
        }
    }

    /// The whole state of a channel, as the control plane knows it.
    pub fn replace(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        Whole { members, cached, is_heard }: Whole<'_>,
        batches: &mut Batches,
    ) {
        let Some(state) = self.find(app, channel) else {
            return;
        };
        state.told = true;
        // A control plane that has lost its own knows less than this node.
        state.cached = cached.map(Arc::new).or(state.cached.take());
        if let Some(presence) = &mut state.presence {
            let change = presence.replace(members, is_heard);
            state.tell((app, channel), &change, batches);
        }
    }

    /// Users came and went.
    pub fn change(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        (joined, left): (Vec<(UserId, UserInfo)>, Vec<UserId>),
        batches: &mut Batches,
    ) {
        let Some(state) = self.find(app, channel) else {
            return;
        };
        if let Some(presence) = &mut state.presence {
            let change = presence.change(joined, left);
            state.tell((app, channel), &change, batches);
        }
    }

    /// The control plane has let a user in, or not. Where sockets were put out, returns how many are
    /// left on each thread.
    pub fn judge(
        &mut self,
        (app, channel): (&AppId, &ChannelName),
        (user, full): (&UserId, bool),
        batches: &mut Batches,
    ) -> Option<Box<[u32]>> {
        let state = self.find(app, channel)?;
        let presence = state.presence.as_mut()?;
        if !full {
            presence.admit(user);
            return None;
        }
        let (places, change) = presence.refuse(user);
        for place in places {
            state.take_out(place);
            let (key, channel, user) = (place.key, channel.clone(), user.clone());
            let step = Step::Full { key, channel, user };
            batches[place.thread].push(step);
        }
        state.tell((app, channel), &change, batches);
        Some(state.per_thread.clone())
    }

    /// An event of a cache channel passes by; it is what later subscribers see.
    pub fn keep(&mut self, (app, channel): (&AppId, &ChannelName), cached: Cached) {
        if let Some(state) = self.find(app, channel) {
            state.cached = Some(Arc::new(cached));
        }
    }

    /// Lets in who has waited since `since` without an answer; returns where.
    pub fn give_up(
        &mut self,
        (since, now): (Instant, Instant),
        batches: &mut Batches,
    ) -> Vec<ChannelKey> {
        let mut given_up = Vec::new();
        while self.waiting.front().is_some_and(|(began, ..)| *began <= since) {
            let Some((_, app, channel)) = self.waiting.pop_front() else {
                break;
            };
            let Some(state) = self.find(&app, &channel).filter(|state| state.is_overdue(since))
            else {
                continue;
            };
            state.told = true;
            if let Some(presence) = &mut state.presence {
                let change = presence.give_up(since);
                state.tell((&app, &channel), &change, batches);
            }
            self.let_in((&app, &channel), now, batches);
            given_up.push((app, channel));
        }
        given_up
    }

    /// Interest in the channel has ended.
    pub fn forget(&mut self, app: &AppId, channel: &ChannelName) {
        if let Some(channels) = self.channels.get_mut(app) {
            if channels.get(channel).is_some_and(|state| state.sockets.is_empty()) {
                channels.remove(channel);
            }
            if channels.is_empty() {
                self.channels.remove(app);
            }
        }
    }

    /// Somebody here watches a user; returns whether anybody is signed in as that user, where known.
    pub fn watch(&mut self, app: &AppId, channel: &ChannelName) -> Option<bool> {
        let users = self.watched.entry(app.clone()).or_default();
        *users.entry(channel.clone()).or_default()
    }

    /// Nobody here watches the user any more.
    pub fn unwatch(&mut self, app: &AppId, channel: &ChannelName) {
        if let Some(users) = self.watched.get_mut(app) {
            users.remove(channel);
            if users.is_empty() {
                self.watched.remove(app);
            }
        }
    }

    /// Whether anybody is signed in as a user has changed, or is known for the first time.
    pub fn set_occupied(&mut self, app: &AppId, channel: &ChannelName, occupied: bool) {
        let users = self.watched.get_mut(app);
        if let Some(known) = users.and_then(|users| users.get_mut(channel)) {
            *known = Some(occupied);
        }
    }

    fn find(&mut self, app: &AppId, channel: &ChannelName) -> Option<&mut State> {
        self.channels.get_mut(app)?.get_mut(channel)
    }
}

impl State {
    fn new(channel: &ChannelName, threads: usize) -> Self {
        let presence = channel.kind() == ChannelKind::Presence;
        Self {
            sockets: HashSet::new(),
            per_thread: vec![0; threads].into(),
            presence: presence.then(Presence::default),
            cached: None,
            waiting: Vec::new(),
            told: false,
        }
    }

    /// Returns whether the socket was in.
    fn take_out(&mut self, place: Place) -> bool {
        self.waiting.retain(|(waiting, _)| *waiting != place);
        let was_in = self.sockets.remove(&place);
        if was_in {
            self.per_thread[place.thread] -= 1;
        }
        was_in
    }

    /// Takes the sockets that may be let in, and who they are.
    fn ready(&mut self) -> Vec<(Option<UserId>, Place)> {
        let waiting = match self.told {
            true => std::mem::take(&mut self.waiting),
            false => Vec::new(),
        };
        let plain = waiting.into_iter().map(|(place, _)| (None, place));
        let confirmed = self.presence.as_mut().map(Presence::confirmed).unwrap_or_default();
        plain.chain(confirmed.into_iter().map(|(user, place)| (Some(user), place))).collect()
    }

    fn success(&self, channel: &ChannelName) -> Bytes {
        let text = match &self.presence {
            Some(presence) => {
                let users = presence.users();
                let count = users.len();
                frame::presence_succeeded(channel.as_str(), users, count)
            }
            None => frame::subscription_succeeded(channel.as_str()),
        };
        wire::text(&text).into()
    }

    fn is_overdue(&self, since: Instant) -> bool {
        self.waiting.first().is_some_and(|(_, began)| *began <= since)
            || self.presence.as_ref().is_some_and(|presence| presence.is_overdue(since))
    }

    fn tell(&self, (app, channel): (&AppId, &ChannelName), change: &Change, batches: &mut Batches) {
        let name = channel.as_str();
        let removed = change.removed.iter().map(|user| frame::member_removed(name, user));
        let added = change.added.iter().map(|(user, info)| frame::member_added(name, user, info));
        for text in removed.chain(added) {
            let delivery = Delivery {
                app: app.to_string(),
                channel: channel.to_string(),
                excluded: None,
                frame: wire::text(&text).into(),
                event: None,
            };
            self.push(&Arc::new(delivery), batches);
        }
    }

    fn push(&self, delivery: &Arc<Delivery>, batches: &mut Batches) {
        for (batch, _) in batches.iter_mut().zip(&self.per_thread).filter(|(_, count)| **count > 0)
        {
            batch.push(Step::Push(Arc::clone(delivery)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    struct Channel {
        states: States,
        app: AppId,
        name: ChannelName,
        now: Instant,
    }

    impl Channel {
        fn new(name: &str) -> Self {
            Self {
                states: States::new(2),
                app: AppId::parse("a").unwrap(),
                name: ChannelName::trusted(name),
                now: crate::shard::clock(),
            }
        }

        fn join(&mut self, thread: usize, index: u32, user: Option<&str>) -> Changed {
            let member = user.map(|user| Member { user: UserId::trusted(user), info: "{}".into() });
            let names = (&self.app, &self.name);
            self.states.join(place(thread, index), names, member.as_ref(), self.now)
        }

        fn leave(&mut self, thread: usize, index: u32, user: Option<&str>) -> Option<Changed> {
            let user = user.map(UserId::trusted);
            let mut batches = vec![Vec::new(), Vec::new()];
            let names = (&self.app, &self.name);
            self.states.leave(place(thread, index), names, user.as_ref(), &mut batches)
        }

        /// What the threads are told, a line per step.
        fn steps(
            &mut self,
            change: impl FnOnce(&mut States, (&AppId, &ChannelName), &mut Batches),
        ) -> Vec<String> {
            let mut batches = vec![Vec::new(), Vec::new()];
            let names = (&self.app, &self.name);
            change(&mut self.states, names, &mut batches);
            self.states.let_in(names, self.now, &mut batches);
            let lines = batches.into_iter().enumerate();
            lines
                .flat_map(|(thread, steps)| steps.into_iter().map(move |step| line(thread, step)))
                .collect()
        }
    }

    fn place(thread: usize, index: u32) -> Place {
        Place { thread, key: SocketKey { index, generation: 0 } }
    }

    fn line(thread: usize, step: Step) -> String {
        let text = |frame: &Bytes| {
            let text = String::from_utf8_lossy(frame).into_owned();
            let event = text.split('"').nth(3).unwrap_or_default().to_owned();
            event.rsplit([':', '_']).next().unwrap_or_default().to_owned()
        };
        match step {
            Step::Push(delivery) => format!("{thread}: push {}", text(&delivery.frame)),
            Step::Join(join) => {
                let shown = join.shown.map_or_else(String::new, |shown| text(&shown.frame));
                format!("{thread}: {} joins {} {shown}", join.key.index, text(&join.success))
            }
            Step::Full { key, .. } => format!("{thread}: {} full", key.index),
            Step::Watched { online, .. } => format!("{thread}: watched {online}"),
            Step::Close { .. } => format!("{thread}: close"),
        }
    }

    fn whole(members: Vec<(UserId, UserInfo)>) -> Whole<'static> {
        Whole { members, cached: None, is_heard: &|_| true }
    }

    fn members(users: &[&str]) -> Vec<(UserId, UserInfo)> {
        users.iter().map(|user| (UserId::trusted(user), "{}".into())).collect()
    }

    #[test]
    fn a_joiner_is_let_in_behind_what_the_others_hear_of_it() {
        let mut room = Channel::new("presence-room");
        assert_eq!(room.join(0, 1, Some("ann")), Changed { subscriptions: 1, user: true });
        let none = room.steps(|states, names, _| {
            states.judge(names, (&UserId::trusted("ann"), false), &mut vec![]);
        });
        assert!(none.is_empty(), "the roster is not known");
        let told = room.steps(|states, names, batches| {
            let all = whole(members(&["ann"]));
            states.replace(names, all, batches);
        });
        assert_eq!(told, ["0: push added", "0: 1 joins succeeded "]);
        assert_eq!(room.join(1, 2, Some("ann")), Changed { subscriptions: 1, user: false });
        assert_eq!(room.steps(|_, _, _| {}), ["1: 2 joins succeeded "]);
        room.join(1, 3, Some("bob"));
        let told = room.steps(|states, names, batches| {
            states.change(names, (members(&["bob"]), vec![]), batches);
            states.judge(names, (&UserId::trusted("bob"), false), batches);
        });
        assert_eq!(told, ["0: push added", "1: push added", "1: 3 joins succeeded "]);
        assert_eq!(room.leave(0, 1, Some("ann")), Some(Changed { subscriptions: 0, user: false }));
        assert_eq!(room.leave(1, 2, Some("ann")), Some(Changed { subscriptions: 1, user: true }));
        assert_eq!(room.leave(1, 2, Some("ann")), None);
    }

    #[test]
    fn a_full_channel_counts_nobody_who_was_put_out() {
        let mut room = Channel::new("presence-room");
        room.join(1, 1, Some("ann"));
        let told = room.steps(|states, names, batches| {
            let left = states.judge(names, (&UserId::trusted("ann"), true), batches);
            assert_eq!(left.as_deref(), Some(&[0, 0][..]));
        });
        assert_eq!(told, ["1: 1 full"]);
        assert_eq!(room.leave(1, 1, Some("ann")), None);
    }

    #[test]
    fn a_cache_channel_shows_its_last_event_or_nothing() {
        let mut room = Channel::new("cache-room");
        room.join(0, 1, None);
        assert!(room.steps(|_, _, _| {}).is_empty(), "its state is not told");
        let told = room.steps(|states, names, batches| {
            states.replace(names, whole(vec![]), batches);
        });
        assert_eq!(told, ["0: 1 joins succeeded "]);
        let until = room.now + Duration::from_secs(1);
        let frame = Bytes::from_static(br#"{"event":"price"}"#);
        room.steps(|states, names, _| states.keep(names, Cached { frame, tags: None, until }));
        room.join(1, 2, None);
        assert_eq!(room.steps(|_, _, _| {}), ["1: 2 joins succeeded price"]);
        room.now = until;
        room.join(1, 2, None);
        assert_eq!(room.steps(|_, _, _| {}), ["1: 2 joins succeeded "]);
    }

    #[test]
    fn waiting_is_bounded() {
        let mut room = Channel::new("presence-room");
        room.join(0, 1, Some("ann"));
        let (now, later) = (room.now, room.now + Duration::from_millis(1));
        let early = now.checked_sub(Duration::from_millis(1)).unwrap();
        let told = room.steps(|states, _, batches| {
            assert!(states.give_up((early, later), batches).is_empty());
            assert_eq!(states.give_up((now, later), batches).len(), 1);
            assert!(states.give_up((now, later), batches).is_empty());
        });
        assert_eq!(told, ["0: push added", "0: 1 joins succeeded "]);
        let (app, name) = (room.app.clone(), room.name.clone());
        room.states.forget(&app, &name);
        assert_eq!(room.states.channels.len(), 1, "somebody is in it");
        room.leave(0, 1, Some("ann"));
        room.states.forget(&app, &name);
        assert!(room.states.channels.is_empty());
    }
}
