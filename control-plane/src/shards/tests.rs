//! Shards with nodes that are real but for their streams: what reaches them is read from their queues.

mod cache;
mod channels;
mod presence;
mod walk;

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use model::{
    App, AppId, AppSecret, Apps, BootId, ChannelName, Event, EventName, Features, InfoWanted,
    Limits, MessageId, NodeId, OwnerId, Publish, Secrets, UserId,
};
use prometheus_client::metrics::counter::Counter;
use proto::internal::{
    Delivered, DispatchedEvent, Hello, attach_response::Down, notice::Notice as Kind,
};

use super::Tell;
use super::{Budget, Dispatched, Happened, MemberReport, Report, Sending, Shards, Wanted, event};
use crate::{
    ack::Ack,
    node::{Attachment, Node},
    nodes::Nodes,
    ownership::shards,
    webhooks::Happening,
};

const OWNER: OwnerId = OwnerId(7);
const SECOND: Duration = Duration::from_secs(1);

/// A control plane's shards, warm, and a clock.
struct World {
    shards: Shards,
    apps: Apps,
    now: Instant,
    happenings: Vec<String>,
}

/// A node without a network.
struct Fake {
    stream: Attachment,
    position: u64,
    boot: u128,
}

fn app_id() -> AppId {
    AppId::parse("a").unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::trusted(text)
}

fn member(text: &str) -> MemberReport {
    let user = UserId::parse(text).unwrap();
    MemberReport::Present(user, format!("{{\"name\":\"{text}\"}}").into(), 0)
}

fn subscribed(subscriptions: u32, since: u64) -> Wanted {
    Wanted { subscriptions, since, ..Wanted::default() }
}

impl World {
    /// At most three members, counts are told, 1,000 seconds and `bytes_max` for cached events.
    fn with(bytes_max: usize) -> Self {
        let app = App {
            limits: Limits { presence_members_max: 3, ..Limits::default() },
            features: Features { subscription_count_events: true, ..Features::default() },
            ..App::new(app_id(), "k", Secrets::one(AppSecret::new("s")))
        };
        let cache = Budget::new(1_000 * SECOND, bytes_max, Counter::default());
        let now = tokio::time::Instant::now().into_std();
        let (apps, _) = Apps::new(1, [Arc::new(app)]);
        Self { shards: Shards::new(OWNER, cache, now), apps, now, happenings: Vec::new() }
    }

    fn cold() -> Self {
        Self::with(1 << 20)
    }

    fn new() -> Self {
        let world = Self::cold();
        world.begin(1);
        world
    }

    /// The control plane owns all shards from here on.
    fn begin(&self, epoch: u64) {
        let taken: Vec<_> = shards().map(|shard| (shard, epoch)).collect();
        self.shards.begin(&taken, Vec::new(), &[], self.now);
    }

    fn node(&self, boot: u128) -> Fake {
        let node = Arc::new(Node::new(NodeId("n".into()), BootId(boot), self.now));
        let stream = node.attach(&Hello::default(), OWNER.0, self.now);
        Fake { stream, position: 0, boot }
    }

    fn told(&mut self, happenings: Vec<Happened>) {
        self.happenings.extend(happenings.into_iter().map(|Happened { channel, what, .. }| {
            match what {
                Happening::Occupied => format!("occupied {channel}"),
                Happening::Vacated => format!("vacated {channel}"),
                Happening::MemberAdded(user) => format!("added {user}"),
                Happening::MemberRemoved(user) => format!("removed {user}"),
                Happening::SubscriptionCount(count) => format!("count {count}"),
                Happening::CacheMiss | Happening::ClientEvent { .. } => panic!("not from here"),
            }
        }));
    }

    fn happened(&mut self) -> Vec<String> {
        std::mem::take(&mut self.happenings)
    }

    /// Returns how long ago what did not go there was dispatched.
    fn interest(&mut self, fake: &Fake, channel: &str, wanted: Wanted) -> Option<u64> {
        let report = Report { from: &fake.stream, apps: &self.apps, now: self.now };
        let mut told = Vec::new();
        let tell: Tell<'_> = &mut |happened| told.push(happened);
        let last = self.shards.set_interest(&report, (&app_id(), &name(channel)), wanted, tell);
        self.told(told);
        last.map(|last| last.age_ms)
    }

    fn member(&mut self, fake: &Fake, channel: &str, member: &MemberReport) {
        let report = Report { from: &fake.stream, apps: &self.apps, now: self.now };
        let mut told = Vec::new();
        let tell: Tell<'_> = &mut |happened| told.push(happened);
        self.shards.set_member(&report, (&app_id(), &name(channel)), member, tell);
        self.told(told);
    }

    fn join(&mut self, fake: &Fake, channel: &str, user: &str) {
        self.member(fake, channel, &member(user));
    }

    fn leave(&mut self, fake: &Fake, channel: &str, user: &str) {
        self.member(fake, channel, &MemberReport::Absent(UserId::parse(user).unwrap()));
    }

    fn forget(&mut self, fake: &Fake, kept: Option<u32>) {
        let mut told = Vec::new();
        let tell: Tell<'_> = &mut |happened| told.push(happened);
        self.shards.forget(&fake.stream.node, kept, (&self.apps, self.now), tell);
        self.told(told);
    }

    fn tick(&mut self, later: Duration) {
        self.now += later;
        let mut told = Vec::new();
        self.shards.tick(self.now, &mut |happened| told.push(happened));
        self.told(told);
    }

    fn publish(&self, channel: &str, data: &str) -> Dispatched {
        self.publish_eagerly(channel, data, &[])
    }

    fn publish_eagerly(&self, channel: &str, data: &str, eager: &[Arc<Node>]) -> Dispatched {
        self.publish_to(channel, data, (eager, None))
    }

    fn publish_to(
        &self,
        channel: &str,
        data: &str,
        (eager, keepers): (&[Arc<Node>], Option<&Nodes>),
    ) -> Dispatched {
        let event = Event {
            name: EventName("price".into()),
            data: data.to_owned().into(),
            tags: None,
            delta: None,
        };
        let publish = Publish {
            event,
            channels: vec![name(channel)],
            excluded: None,
            info: Some(InfoWanted::default()),
            message_id: MessageId(1),
            traceparent: String::new(),
        };
        let kept = event::Kept { cached: self.shards.cached_for(), ..event::Kept::default() };
        let (app, ack) = (app_id(), Ack::new());
        let event = event::published(&app, (&publish, 0), kept);
        let sending = Sending { eager, ack: Some(&ack), keepers, now: self.now };
        self.shards.dispatch((&app, &name(channel)), event, sending).unwrap_or_default()
    }

    fn users(&self, channel: &str) -> Vec<String> {
        let users = self.shards.users(&app_id(), &name(channel), None, usize::MAX);
        users.iter().map(ToString::to_string).collect()
    }
}

impl Fake {
    /// The node attaches again; `resumes` where it has all that was sent to it.
    fn attach(&mut self, world: &World, resumes: bool) {
        let owner = if resumes { OWNER.0 } else { 0 };
        let hello = Hello { owner, position: self.position, ..Hello::default() };
        self.stream = self.stream.node.attach(&hello, OWNER.0, world.now);
    }

    /// What came down since the last look, events and notices alike.
    fn events(&mut self, now: Instant) -> Vec<DispatchedEvent> {
        let context = Context::from_waker(Waker::noop());
        let (mut events, mut before) = (Vec::new(), None);
        // There may be more once this is acknowledged.
        while before != Some(self.position) {
            before = Some(self.position);
            while let Poll::Ready(Some(response)) =
                self.stream.node.poll_down(self.stream.number, &context)
            {
                if let Some(Down::Dispatch(dispatch)) = response.down {
                    self.position = dispatch.position;
                    events.extend(dispatch.events);
                }
            }
            let delivered = Delivered { position: self.position, ..Delivered::default() };
            self.stream.node.delivered(&delivered, now);
        }
        events
    }

    /// The same, each in a few words.
    fn news(&mut self, world: &World) -> Vec<String> {
        self.events(world.now).iter().map(in_words).collect()
    }
}

fn in_words(event: &DispatchedEvent) -> String {
    let names = |members: &[proto::internal::Member]| {
        members.iter().map(|member| member.user_id.clone()).collect::<Vec<_>>().join(" ")
    };
    let Some(notice) = &event.notice else {
        return format!("event {}", String::from_utf8_lossy(&event.data));
    };
    assert_eq!((event.owner, &*event.app_id), (OWNER.0, "a"));
    match notice.notice.as_ref().unwrap() {
        Kind::State(state) => match &state.cached {
            Some(cached) => format!("state [{}] {}", names(&state.members), cached.data),
            None => format!("state [{}]", names(&state.members)),
        },
        Kind::Roster(change) if change.left.is_empty() => {
            format!("joined {}", names(&change.joined))
        }
        Kind::Roster(change) => format!("left {}", change.left.join(" ")),
        Kind::Verdict(verdict) if verdict.full => format!("full {}", verdict.user_id),
        Kind::Verdict(verdict) => format!("ok {}", verdict.user_id),
        Kind::Count(count) => format!("count {}", count.subscriptions),
        Kind::Occupancy(occupancy) => format!("there {}", occupancy.occupied),
        Kind::Termination(_) => "terminate".to_owned(),
    }
}
