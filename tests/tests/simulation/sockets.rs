//! A node's thread with simulated browsers: what a shard thread does with its inbox, without sockets.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use data_plane::{
    inbox::{Command, Progress, Step},
    interest::CONFIRM_TIMEOUT,
    node::Node,
    states::{Join, Place, has_state},
    wire,
};
use data_plane_core::{CloseCode, Hub, Member, SocketKey, Subscribed, Subscription, Unsubscribed};
use model::{AppId, ChannelName, ShardId, SocketId, UserId};
use serde_json::Value;
use tests::{
    chance::Chance,
    chaos::history::{End, Key, What},
    rest::Credentials,
};

use crate::recorder::{CHANNELS, Recorder, socket_id};

/// Browsers of one node.
pub(crate) const BROWSERS: usize = 3;
/// Channels that each of them is in.
const CHANNELS_EACH: usize = 4;
/// How long one that was let in without an acknowledgement, or was closed, stays away.
const BACK_AFTER: Duration = Duration::from_millis(200);

/// The thread.
#[derive(Debug)]
pub(crate) struct Thread {
    node: Arc<Node>,
    number: usize,
    app: AppId,
    hub: Hub,
    browsers: Vec<Browser>,
    chance: Chance,
    recorder: Recorder,
    commands: Vec<Command>,
}

/// A browser that comes back.
#[derive(Debug)]
struct Browser {
    user: u32,
    channels: Vec<u32>,
    generation: u32,
    open: Option<Open>,
    /// It opens a socket, or leaves its channels for a moment, at this time.
    moves: Instant,
    restless: Duration,
    is_proven: bool,
}

/// Its socket.
#[derive(Debug)]
struct Open {
    number: u32,
    /// What it waits for, and since when.
    waiting: BTreeMap<u32, Instant>,
    inside: BTreeSet<u32>,
}

fn name(channel: u32) -> ChannelName {
    ChannelName::trusted(CHANNELS[channel as usize])
}

fn number(channel: &str) -> u32 {
    let number = CHANNELS.iter().position(|name| *name == channel);
    number.expect("there are only these channels") as u32
}

impl Thread {
    /// All browsers are about to come.
    pub(crate) fn new(
        node: Arc<Node>,
        (number, chance): (usize, &mut Chance),
        recorder: Recorder,
    ) -> Self {
        let now = tokio::time::Instant::now().into_std();
        let browsers = (0..BROWSERS).map(|place| {
            let mut channels: Vec<u32> = (0..CHANNELS.len() as u32).collect();
            while channels.len() > CHANNELS_EACH {
                channels.remove(chance.below(channels.len()));
            }
            // Some users are at two nodes at once.
            let user = (number * (BROWSERS - 1) + place) as u32;
            let restless = Duration::from_millis(2_000 + chance.below(20_000) as u64);
            let moves = now + chance.pause(Duration::from_millis(500));
            let (generation, open, is_proven) = (0, None, false);
            Browser { user, channels, generation, open, moves, restless, is_proven }
        });
        let app = AppId::parse(&Credentials::default().app_id).expect("it is an id");
        let (browsers, chance) = (browsers.collect(), chance.fork());
        let (hub, commands) = (Hub::default(), Vec::new());
        Self { node, number, app, hub, browsers, chance, recorder, commands }
    }

    /// Runs what is in the inbox, then lets browsers do what they want.
    pub(crate) fn turn(&mut self, now: Instant) {
        let mut commands = std::mem::take(&mut self.commands);
        self.node.inboxes[0].take(&mut commands);
        for command in commands.drain(..) {
            self.run_command(command, now);
        }
        self.commands = commands;
        for place in 0..BROWSERS {
            self.move_browser(place, now);
        }
    }

    fn run_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Deliver(steps, progress, position) => {
                self.take_steps(steps, now);
                Progress::done(&progress, 0, position);
            }
            Command::Take(steps) => self.take_steps(steps, now),
            Command::Confirm((_, channel)) => self.confirm(&channel, now),
            Command::CloseSubscribed(code, shards) => self.close_subscribed(code, &shards, now),
            Command::Open(_)
            | Command::Apps(_)
            | Command::List(_)
            | Command::Drain
            | Command::Stop => {}
        }
    }

    fn take_steps(&mut self, steps: Vec<Step>, now: Instant) {
        for step in steps {
            match step {
                Step::Push(delivery) => {
                    let (app, channel) = (&*delivery.app, &*delivery.channel);
                    let what = what(&wire::payload(&delivery.frame));
                    for key in self.listeners((app, channel), delivery.excluded) {
                        if let Some(open) = self.open(key) {
                            self.recorder.note(open.number, number(channel), what.clone());
                        }
                    }
                }
                Step::Join(join) => self.join(&join, now),
                Step::Full { key, channel, .. } => {
                    if let Some(open) = self.open(key) {
                        let what = What::Strange("no channel is full".into());
                        self.recorder.note(open.number, number(channel.as_str()), what);
                    }
                }
                Step::Close { app, channel, code } => {
                    for key in self.listeners((app.as_str(), channel.as_str()), None) {
                        self.close(key.index as usize, End::Closed(code.number()), now);
                    }
                }
                Step::Watched { .. } => {}
            }
        }
    }

    /// Who is in a channel, but for one socket; the hub's own order is none.
    fn listeners(
        &mut self,
        (app, channel): (&str, &str),
        excluded: Option<SocketId>,
    ) -> Vec<SocketKey> {
        let mut keys = Vec::new();
        self.hub.deliver(app, channel, excluded, |key| keys.push(key));
        keys.sort_by_key(|key| key.index);
        keys
    }

    fn open(&self, key: SocketKey) -> Option<&Open> {
        let browser = &self.browsers[key.index as usize];
        browser.open.as_ref().filter(|_| browser.generation == key.generation)
    }

    fn key(&self, place: usize) -> SocketKey {
        SocketKey { index: place as u32, generation: self.browsers[place].generation }
    }

    fn move_browser(&mut self, place: usize, now: Instant) {
        let browser = &mut self.browsers[place];
        if let Some(open) = &browser.open
            && open.waiting.is_empty()
            && !browser.is_proven
            && self.recorder.is_calm()
        {
            browser.is_proven = true;
            self.recorder.probe(format!("browser {place} at node {}", self.number));
        }
        if now < browser.moves {
            return;
        }
        match &browser.open {
            None => {
                let number = self.recorder.open(self.number, browser.user);
                browser.generation += 1;
                let (waiting, inside) = (BTreeMap::new(), BTreeSet::new());
                browser.open = Some(Open { number, waiting, inside });
                browser.moves = now + browser.restless;
                self.node.interest().connect(&self.app, None);
                self.subscribe_all(place, now);
            }
            Some(open) if open.waiting.is_empty() && !self.recorder.is_hushed() => {
                browser.moves = now + browser.restless;
                self.leave_all(place, now);
                self.subscribe_all(place, now);
            }
            Some(_) => {}
        }
    }

    fn subscribe_all(&mut self, place: usize, now: Instant) {
        for channel in self.browsers[place].channels.clone() {
            // It may have been closed over one before.
            if let Some(open) = &mut self.browsers[place].open {
                open.waiting.insert(channel, now);
                self.subscribe(place, channel, now);
            }
        }
    }

    /// As a shard thread does it.
    fn subscribe(&mut self, place: usize, channel: u32, now: Instant) {
        let (key, app, name) = (self.key(place), self.app.clone(), name(channel));
        let member = self.member(place, channel);
        if has_state(name.as_str()) {
            let at = Place { thread: 0, key };
            return self.node.join(at, (&app, &name), member.as_ref(), now);
        }
        let Some(open) = self.open(key) else { return };
        let subscription = Subscription::plain(key, socket_id(open.number));
        match self.hub.subscribe(&app, &name, subscription) {
            Subscribed::Again => self.enter(place, channel, (What::Subscribed, now)),
            Subscribed::Joined { subscriptions, .. } => {
                self.set_interest(&name, subscriptions, now);
                self.enter(place, channel, (What::Subscribed, now));
            }
            Subscribed::Waiting { subscriptions, .. } => {
                if self.set_interest(&name, subscriptions, now) {
                    self.confirm(&name, now);
                }
            }
        }
    }

    fn member(&self, place: usize, channel: u32) -> Option<Member> {
        let is_presence = CHANNELS[channel as usize].starts_with("presence-");
        let user = UserId::trusted(&self.browsers[place].user.to_string());
        is_presence.then(|| Member { user, info: "{}".into() })
    }

    fn set_interest(&self, channel: &ChannelName, subscriptions: u32, now: Instant) -> bool {
        let mut interest = self.node.interest();
        let wait = subscriptions > 0 && !self.hub.is_confirmed(self.app.as_str(), channel.as_str());
        let certain =
            interest.set_subscriptions(0, (&self.app, channel), subscriptions, (now, wait));
        drop(interest);
        self.node.report();
        certain
    }

    fn confirm(&mut self, channel: &ChannelName, now: Instant) {
        let mut joined = Vec::new();
        self.hub.confirm(&self.app, channel, &mut joined);
        joined.sort_by_key(|key| key.index);
        for key in joined {
            if self.open(key).is_some() {
                let place = key.index as usize;
                self.enter(place, number(channel.as_str()), (What::Subscribed, now));
            }
        }
    }

    fn join(&mut self, join: &Join, now: Instant) {
        let Some(open) = self.open(join.key) else { return };
        let (place, channel) = (join.key.index as usize, number(join.channel.as_str()));
        if !open.waiting.contains_key(&channel) {
            return;
        }
        let subscription = Subscription::plain(join.key, socket_id(open.number));
        self.hub.subscribe(&self.app, &join.channel, subscription);
        self.hub.confirm(&self.app, &join.channel, &mut Vec::new());
        let frame = parse(&wire::payload(&join.success));
        let roster = parse(frame["data"].as_str().unwrap_or_default().as_bytes());
        let ids = roster["presence"]["ids"].as_array().into_iter().flatten();
        self.enter(place, channel, (What::Entered(ids.filter_map(user).collect()), now));
    }

    /// A browser is in a channel.
    fn enter(&mut self, place: usize, channel: u32, (what, now): (What, Instant)) {
        let Some(open) = &mut self.browsers[place].open else { return };
        let since = open.waiting.remove(&channel);
        if since.is_some_and(|since| now - since >= CONFIRM_TIMEOUT) {
            self.recorder.record().degraded += 1;
        }
        open.inside.insert(channel);
        self.recorder.note(open.number, channel, what);
    }

    fn leave_all(&mut self, place: usize, now: Instant) {
        let Some(open) = &mut self.browsers[place].open else { return };
        let number = open.number;
        let inside = std::mem::take(&mut open.inside);
        open.waiting.clear();
        inside.iter().for_each(|channel| self.recorder.note(number, *channel, What::Leaving));
        for channel in self.browsers[place].channels.clone() {
            self.leave(place, channel, now);
        }
        inside.iter().for_each(|channel| self.recorder.note(number, *channel, What::Left));
    }

    fn leave(&mut self, place: usize, channel: u32, now: Instant) {
        let (key, app, name) = (self.key(place), self.app.clone(), name(channel));
        let left = self.hub.unsubscribe(&app, &name, key);
        if let Some(member) = self.member(place, channel) {
            self.node.leave(Place { thread: 0, key }, (&app, &name), Some(&member.user), now);
        } else if let Unsubscribed::Left { subscriptions } = left {
            self.set_interest(&name, subscriptions, now);
        }
    }

    fn close(&mut self, place: usize, end: End, now: Instant) {
        let Some(number) = self.browsers[place].open.as_ref().map(|open| open.number) else {
            return;
        };
        self.recorder.end(number, end);
        for channel in self.browsers[place].channels.clone() {
            self.leave(place, channel, now);
        }
        self.node.interest().disconnect(&self.app);
        let browser = &mut self.browsers[place];
        browser.open = None;
        browser.moves = now + BACK_AFTER + self.chance.pause(BACK_AFTER);
    }

    fn close_subscribed(&mut self, code: CloseCode, shards: &[bool], now: Instant) {
        for place in 0..BROWSERS {
            let browser = &self.browsers[place];
            let touched =
                |channel: &u32| shards[ShardId::of(&self.app, CHANNELS[*channel as usize]).index()];
            if browser.channels.iter().any(touched) {
                self.close(place, End::Closed(code.number()), now);
            }
        }
    }
}

fn what(payload: &[u8]) -> What {
    let frame = parse(payload);
    let data = frame["data"].as_str().unwrap_or_default();
    let seen = match frame["event"].as_str().unwrap_or_default() {
        "e" => key(data).map(What::Event),
        "pusher_internal:member_added" => user(&parse(data.as_bytes())["user_id"]).map(What::Added),
        "pusher_internal:member_removed" => {
            user(&parse(data.as_bytes())["user_id"]).map(What::Removed)
        }
        _ => None,
    };
    seen.unwrap_or_else(|| What::Strange(frame.to_string().into()))
}

/// An event's data begins with its publisher and which of its events it is.
fn key(data: &str) -> Option<Key> {
    let mut numbers = data.split(':').map(str::parse);
    let mut number = || numbers.next()?.ok();
    Some(Key { publisher: number()?, sequence: number()? })
}

fn user(id: &Value) -> Option<u32> {
    id.as_str()?.parse().ok()
}

fn parse(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap_or_default()
}
