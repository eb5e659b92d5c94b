//! Admitted events on their way to nodes: dispatched here where the shard is this control plane's, sent
//! on to its owner where it is another's, and again where the owner has changed meanwhile. Nodes know
//! each event by its id, so that what was sent twice is delivered once.

use std::{sync::Arc, time::Duration};

use model::{AppId, ChannelName, Publish, Reason, Rejection, ShardId};
use proto::{internal::DispatchedEvent, v1::TriggerEventBatchResult};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{Publisher, info, now};
use crate::{
    ack::Ack,
    replicas::forward::{Answer, Forwarder},
    shards::{
        Dispatched, Sending as To,
        event::{self, Kept},
    },
};

/// How long an owner is looked for: a takeover is over much sooner.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest pause between two tries; a change of owners ends it.
const PAUSE: Duration = Duration::from_millis(50);

/// An event that is published to one or several channels.
#[derive(Debug)]
pub(super) struct Item {
    /// Its place in the batch.
    pub(super) place: usize,
    pub(super) publish: Publish,
    pub(super) kept: Kept,
}

/// Events on their way.
#[derive(Debug)]
pub(super) struct Sending {
    publisher: Publisher,
    app: AppId,
    what: What,
    /// How many events the publisher named, repeats included.
    events: usize,
    /// What became of each part, by number.
    reached: Vec<Dispatched>,
    changes: watch::Receiver<u64>,
    under_way: UnderWay,
}

#[derive(Debug)]
enum What {
    Items(Vec<Item>),
    /// One message that is no publish.
    Message(ChannelName, Box<DispatchedEvent>),
}

/// One event for one channel.
#[derive(Clone, Copy, Debug)]
enum Part<'a> {
    /// The item's event for its channel of this number.
    Item(&'a Item, usize),
    Message(&'a DispatchedEvent),
}

/// What one round of sending waits for.
#[derive(Debug, Default)]
struct UnderWay {
    /// Parts that nodes of ours acknowledge.
    here: Vec<usize>,
    /// Their acknowledgement, and since when it is waited for.
    ack: Option<(Arc<Ack>, std::time::Instant)>,
    /// Parts that other control planes answer for.
    elsewhere: Vec<(Vec<usize>, Answer)>,
    /// Parts without an owner at present.
    nowhere: Vec<usize>,
}

impl Sending {
    /// Sends each event to each of its channels, in order; the publisher named so many `events`.
    pub(super) fn start(
        publisher: Publisher,
        app: &AppId,
        (items, events): (Vec<Item>, usize),
    ) -> Self {
        let parts = items.iter().map(|item| item.publish.channels.len()).sum();
        Self::begin(publisher, app, (What::Items(items), events), parts)
    }

    /// Sends one message to one channel.
    pub(super) fn start_one(
        publisher: Publisher,
        app: &AppId,
        channel: ChannelName,
        message: DispatchedEvent,
    ) -> Self {
        Self::begin(publisher, app, (What::Message(channel, Box::new(message)), 1), 1)
    }

    fn begin(
        publisher: Publisher,
        app: &AppId,
        (what, events): (What, usize),
        parts: usize,
    ) -> Self {
        let changes = publisher.parts.replicas.changes();
        let reached = vec![Dispatched::default(); parts];
        let (app, under_way) = (app.clone(), UnderWay::default());
        let mut sending = Self { publisher, app, what, events, reached, changes, under_way };
        sending.send(0..parts);
        sending
    }

    /// What a part is of, and its channel.
    fn part(&self, number: usize) -> Option<(&ChannelName, Part<'_>)> {
        let items = match &self.what {
            What::Message(channel, message) => return Some((channel, Part::Message(message))),
            What::Items(items) => items,
        };
        let mut rest = number;
        for item in items {
            if let Some(channel) = item.publish.channels.get(rest) {
                return Some((channel, Part::Item(item, rest)));
            }
            rest -= item.publish.channels.len();
        }
        None
    }

    fn event(&self, part: Part<'_>) -> DispatchedEvent {
        match part {
            Part::Message(message) => message.clone(),
            Part::Item(item, place) => {
                event::published(&self.app, (&item.publish, place), item.kept)
            }
        }
    }

    fn send(&mut self, parts: impl IntoIterator<Item = usize>) {
        self.changes.mark_unchanged();
        let ack = Ack::new();
        let nodes = &self.publisher.parts.nodes;
        let (eager, since) = (nodes.eager(), now());
        let to = To { eager: &eager, ack: Some(&ack), keepers: Some(nodes), now: since };
        let mut under_way = UnderWay::default();
        let mut forwards: Vec<(Forwarder, Vec<usize>, Vec<DispatchedEvent>)> = Vec::new();
        for number in parts {
            let Some((channel, part)) = self.part(number) else { continue };
            let event = match self.publisher.send(&self.app, channel, self.event(part), to) {
                Ok(dispatched) => {
                    self.reached[number] = dispatched;
                    under_way.here.push(number);
                    continue;
                }
                Err(event) => *event,
            };
            let shard = ShardId::of(&self.app, channel.as_str());
            let Some(owner) = self.publisher.parts.replicas.forwarder(shard) else {
                under_way.nowhere.push(number);
                continue;
            };
            match forwards.iter_mut().find(|(other, ..)| other.is(&owner)) {
                Some((_, numbers, events)) => {
                    numbers.push(number);
                    events.push(event);
                }
                None => forwards.push((owner, vec![number], vec![event])),
            }
        }
        for (owner, numbers, events) in forwards {
            match owner.send(events) {
                Some(answer) => under_way.elsewhere.push((numbers, answer)),
                None => under_way.nowhere.extend(numbers),
            }
        }
        ack.pay();
        under_way.ack = Some((ack, since));
        self.under_way = under_way;
    }

    /// Waits until every healthy interested node has queued every event; sends again what could not be
    /// sent.
    pub(super) async fn delivered(&mut self) -> Result<(), Rejection> {
        let began = Instant::now();
        loop {
            let again = self.wait().await;
            if again.is_empty() {
                return Ok(());
            }
            if began.elapsed() >= PATIENCE {
                let message = "no control plane that can be reached owns the channel at present; \
                               try again";
                return Err(Rejection::new(Reason::Unavailable, message));
            }
            // An error says that nothing changes any more; then it is the time that counts.
            let _ = timeout(PAUSE, self.changes.changed()).await;
            self.publisher.parts.metrics.sent_again.inc_by(again.len() as u64);
            self.send(again);
        }
    }

    fn see_through(&self, parts: &[usize], since: std::time::Instant) {
        for number in parts {
            if let Some((channel, _)) = self.part(*number) {
                self.publisher.parts.shards.see_through((&self.app, channel), since);
            }
        }
    }

    /// The parts that must be sent again.
    async fn wait(&mut self) -> Vec<usize> {
        let UnderWay { here, ack, elsewhere, nowhere } = std::mem::take(&mut self.under_way);
        let mut again = nowhere;
        if let Some((ack, since)) = ack {
            match ack.paid().await {
                true => self.see_through(&here, since),
                false => again.extend(here),
            }
        }
        for (numbers, answer) in elsewhere {
            match answer.await {
                Ok(Some(reached)) if reached.len() == numbers.len() => {
                    for (number, reached) in numbers.into_iter().zip(reached) {
                        self.reached[number] = reached;
                    }
                }
                Ok(_) | Err(_) => again.extend(numbers),
            }
        }
        again.sort_unstable();
        again
    }

    /// The counts that were asked for, for each event that the publisher named.
    pub(super) fn results(&self) -> Vec<TriggerEventBatchResult> {
        let mut results = vec![TriggerEventBatchResult::default(); self.events];
        let What::Items(items) = &self.what else { return results };
        let mut reached = self.reached.iter();
        for Item { place, publish, .. } in items {
            let channels = publish.channels.iter().zip(reached.by_ref());
            let asked = channels.filter(|_| publish.info.is_some());
            let infos = asked.map(|(channel, reached)| info(channel, publish, *reached));
            results[*place].channels = infos.collect();
        }
        results
    }
}
