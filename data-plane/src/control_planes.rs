//! Keeps a stream to every control plane that lives.

use std::{collections::HashMap, sync::Arc, time::Duration};

use proto::{
    plane::operations::Condition,
    replicas::{LOST_AFTER, Replica, Replicas, SILENT_AFTER, Said},
};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

use crate::{
    attach::{Attachment, Last, Shared},
    identity::Identity,
    interest::{STREAMS_MAX, Slot},
    node::Node,
};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// How often waiting and lingering interest is looked at.
const TICK: Duration = Duration::from_millis(50);
/// A node that starts waits this long for all control planes before it says that it is ready.
const PATIENCE: Duration = Duration::from_secs(2);

/// The control planes of a node.
#[derive(Debug)]
pub struct ControlPlanes {
    node: Arc<Node>,
    replicas: Replicas,
    identity: Identity,
    /// Holds once the node has attached: it serves on when all control planes are gone.
    attached: Condition,
    started: Instant,
    places: [Option<Place>; STREAMS_MAX],
    streams: JoinSet<(Slot, Last, Status)>,
    greeted: Arc<Notify>,
    /// Where the streams of each control plane have ended.
    lasts: HashMap<u64, Last>,
}

/// A control plane, and the stream to it.
#[derive(Debug)]
struct Place {
    address: Arc<str>,
    stream: Option<Stream>,
    /// Not before this.
    retry: Instant,
    backoff: Duration,
}

#[derive(Debug)]
struct Stream {
    shared: Arc<Shared>,
    stop: CancellationToken,
    began: Instant,
    /// Since when its heartbeats are not answered.
    silent: Option<Instant>,
}

impl ControlPlanes {
    /// Those that `replicas` finds; `attached` is set once the node can serve.
    #[must_use]
    pub fn new(
        node: Arc<Node>,
        replicas: Replicas,
        identity: Identity,
        attached: Condition,
    ) -> Self {
        Self {
            node,
            replicas,
            identity,
            attached,
            started: Instant::now(),
            places: Default::default(),
            streams: JoinSet::new(),
            greeted: Arc::default(),
            lasts: HashMap::new(),
        }
    }

    /// Stays attached until it is dropped.
    pub async fn run(mut self) {
        let mut known = self.replicas.follow();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let greeted = Arc::clone(&self.greeted);
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => self.tick(),
                _ = known.changed() => {}
                () = greeted.notified() => {}
                Some(ended) = self.streams.join_next() => {
                    let (slot, last, reason) = ended.expect("no stream panics");
                    self.end(slot, last, &reason);
                }
            }
            self.look();
        }
    }

    /// Attached or not: who waits for an acknowledgement waits for a bounded time.
    fn tick(&self) {
        let now = Instant::now().into_std();
        self.node.confirm(self.node.expire(now));
        self.node.gate().expire(now);
        self.node.report();
        self.node.metrics.channels.set(self.node.interest().len() as i64);
    }

    fn end(&mut self, slot: Slot, last: Last, reason: &Status) {
        let known = self.replicas.known();
        self.lasts.retain(|owner, _| known.iter().any(|replica| replica.owner == *owner));
        if last.owner != 0 {
            self.lasts.insert(last.owner, last);
        }
        let Some(place) = &mut self.places[slot] else {
            return;
        };
        debug!(address = &*place.address, reason = reason.message(), "detached");
        let lasted = place.stream.take().map(|stream| stream.began.elapsed());
        if lasted.is_some_and(|lasted| lasted > BACKOFF_MAX) {
            place.backoff = BACKOFF_MIN;
        }
        place.retry = Instant::now() + place.backoff;
        place.backoff = (place.backoff * 2).min(BACKOFF_MAX);
    }

    /// Does what follows from who lives now.
    fn look(&mut self) {
        let known = self.replicas.known();
        // One that has not answered yet may take a shard all the same.
        self.node.gate().set_several(known.len() > 1);
        for (slot, place) in self.places.iter_mut().enumerate() {
            let Some(there) = place else { continue };
            let replica = known.iter().find(|replica| replica.address == there.address);
            match &mut there.stream {
                Some(stream) => watch(stream, (&self.node, slot), replica),
                None if replica.is_none() => *place = None,
                None => {}
            }
        }
        for replica in known.iter().filter(|replica| replica.life.is_some()) {
            self.attach(replica);
        }
        self.say(&known);
    }

    /// Begins a stream, where there is none and it is time for one.
    fn attach(&mut self, replica: &Replica) {
        let is_there = |place: &Option<Place>| {
            place.as_ref().is_some_and(|place| place.address == replica.address)
        };
        let place = self.places.iter().position(is_there);
        let Some(slot) = place.or_else(|| self.places.iter().position(Option::is_none)) else {
            return;
        };
        let others = self.places.iter().flatten().filter(|place| place.address != replica.address);
        let mut others = others.filter_map(|place| place.stream.as_ref());
        if let Some(same) = others.find(|other| other.shared.owner() == Some(replica.owner)) {
            // It answers elsewhere now: the new stream goes on where this one ends.
            same.stop.cancel();
            return;
        }
        let now = Instant::now();
        let place = self.places[slot].get_or_insert_with(|| Place {
            address: Arc::clone(&replica.address),
            stream: None,
            retry: now,
            backoff: BACKOFF_MIN,
        });
        if place.stream.is_some() || now < place.retry {
            return;
        }
        let (shared, stop): (Arc<Shared>, _) = (Arc::default(), CancellationToken::new());
        place.stream = Some(Stream {
            shared: Arc::clone(&shared),
            stop: stop.clone(),
            began: now,
            silent: None,
        });
        let attachment = Attachment {
            node: Arc::clone(&self.node),
            slot,
            link: replica.link.clone(),
            identity: self.identity.clone(),
            shared,
            greeted: Arc::clone(&self.greeted),
            stop,
        };
        let last = self.lasts.get(&replica.owner).copied().unwrap_or_default();
        self.streams.spawn(async move {
            let (last, reason) = attachment.follow(last).await;
            (slot, last, reason)
        });
    }

    /// Tells the control planes which of them this node reaches, and whoever asks whether it is ready.
    fn say(&self, known: &[Replica]) {
        let places = self.places.iter().flatten();
        let streams = places.filter_map(|place| place.stream.as_ref());
        let greeted: Vec<&Stream> =
            streams.filter(|stream| stream.shared.owner().is_some()).collect();
        let answering = greeted.iter().filter(|stream| stream.silent.is_none());
        let mut owners: Vec<u64> = answering.filter_map(|stream| stream.shared.owner()).collect();
        owners.sort_unstable();
        self.replicas.say(Said { draining: self.node.is_draining(), owners });
        self.node.metrics.attached.set(greeted.len() as i64);
        let all = greeted.len() >= known.len() || self.started.elapsed() >= PATIENCE;
        if all && !greeted.is_empty() {
            self.attached.set(true);
        }
    }
}

/// A stream whose control plane is silent is not waited for; after a while it is ended.
fn watch(stream: &mut Stream, (node, slot): (&Node, Slot), replica: Option<&Replica>) {
    let answers = replica.is_some_and(|replica| {
        let same = stream.shared.owner().is_none_or(|owner| owner == replica.owner);
        replica.life.is_some() && same
    });
    if answers != stream.silent.is_none() {
        stream.silent = (!answers).then(Instant::now);
    }
    if stream.shared.owner().is_some() {
        let confirmed = node.interest().set_answers(slot, answers, Instant::now().into_std());
        node.confirm(confirmed);
    }
    if stream.silent.is_some_and(|since| since.elapsed() >= LOST_AFTER - SILENT_AFTER) {
        stream.stop.cancel();
    }
}
