//! What other control planes dispatch, for those who follow it here.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{
    Stream, StreamExt as _,
    future::join_all,
    stream::{self, BoxStream, SelectAll},
};
use model::{ChannelName, OwnerId};
use proto::{
    internal::{TapRequest, TapResponse, peer_service_client::PeerServiceClient},
    link::Link,
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::{Seen, Wanted};
use crate::replicas::Replicas;

/// How long a control plane has to begin.
const OPENING: Duration = Duration::from_secs(1);
/// Who could not be heard is asked again after this, or when something changes.
const AGAIN: Duration = Duration::from_secs(1);
/// Changes come in bursts.
const PAUSE: Duration = Duration::from_millis(250);

/// A following of all the others: of those who come later, too. It ends when this is dropped.
pub struct Elsewhere {
    replicas: Arc<Replicas>,
    wanted: Wanted,
    streams: SelectAll<BoxStream<'static, Step>>,
    /// The lives that are followed.
    followed: Vec<OwnerId>,
    /// Names of those that are not.
    unheard: Vec<String>,
    changes: watch::Receiver<u64>,
}

impl fmt::Debug for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { wanted, followed, unheard, .. } = self;
        f.debug_tuple("Elsewhere").field(wanted).field(followed).field(unheard).finish()
    }
}

/// What is heard of the others.
#[derive(Debug)]
pub enum Heard {
    /// An event, and how many were missed before it.
    Event(Box<Seen>, u64),
    /// What these control planes dispatch cannot be followed at present.
    Unheard(Vec<String>),
}

enum Step {
    Event(Box<Seen>, u64),
    Ended(OwnerId),
}

impl Elsewhere {
    /// Begins to follow; returns when all that answer in time have begun.
    pub async fn open(replicas: Arc<Replicas>, wanted: Wanted) -> Self {
        let changes = replicas.changes();
        let (streams, followed, unheard) = (SelectAll::new(), Vec::new(), Vec::new());
        let mut own = Self { replicas, wanted, streams, followed, unheard, changes };
        own.unheard = own.look().await;
        own
    }

    /// All that is heard, who is unheard at the beginning included.
    pub fn heard(self) -> impl Stream<Item = Heard> {
        let first = (!self.unheard.is_empty()).then(|| Heard::Unheard(self.unheard.clone()));
        let rest = stream::unfold(self, |mut own| async { Some((own.next().await, own)) });
        stream::iter(first).chain(rest)
    }

    async fn next(&mut self) -> Heard {
        loop {
            tokio::select! {
                Some(step) = self.streams.next() => match step {
                    Step::Event(seen, missed) => return Heard::Event(seen, missed),
                    Step::Ended(owner) => self.followed.retain(|other| *other != owner),
                },
                () = changed(&mut self.changes) => {
                    let unheard = self.look().await;
                    if unheard != self.unheard {
                        self.unheard.clone_from(&unheard);
                        return Heard::Unheard(unheard);
                    }
                }
            }
        }
    }

    /// Follows those that are not followed; returns the names of those that cannot be.
    async fn look(&mut self) -> Vec<String> {
        let ways = self.replicas.ways();
        let new = ways.into_iter().filter(|(owner, ..)| !self.followed.contains(owner));
        let opening = new.map(|(owner, name, link)| {
            let Wanted { app, channel } = self.wanted.clone();
            let request = TapRequest { app_id: app.to_string(), channel };
            async move {
                match link {
                    Some(link) => open(link, request, owner).await.ok_or(name),
                    None => Err(name),
                }
            }
        });
        let mut unheard = Vec::new();
        for opened in join_all(opening).await {
            match opened {
                Ok((owner, stream)) => {
                    self.followed.push(owner);
                    self.streams.push(stream);
                }
                Err(name) => unheard.push(name),
            }
        }
        unheard.sort();
        unheard
    }
}

/// Somebody may have come, or be ready by now.
async fn changed(changes: &mut watch::Receiver<u64>) {
    sleep(PAUSE).await;
    // An error says that nothing changes any more; then it is the time that counts.
    let _ = timeout(AGAIN, changes.changed()).await;
}

async fn open(
    link: Link,
    request: TapRequest,
    owner: OwnerId,
) -> Option<(OwnerId, BoxStream<'static, Step>)> {
    let mut client = PeerServiceClient::new(link);
    let opened = timeout(OPENING, client.tap(request)).await.ok()?.ok()?;
    let events = opened.into_inner().map(Result::ok).take_while(|event| {
        let goes_on = event.is_some();
        async move { goes_on }
    });
    let events = events.filter_map(async |event| event.map(step));
    Some((owner, events.chain(stream::iter([Step::Ended(owner)])).boxed()))
}

fn step(response: TapResponse) -> Step {
    let missed = response.missed;
    let seen = Seen {
        channel: ChannelName::trusted(&response.channel),
        name: response.name,
        data: response.data,
        data_bytes: response.data_bytes as usize,
        tags: response.tags.map(|tags| tags.pairs),
        message_id: response.message_id,
        subscriptions: response.subscriptions,
        nodes: response.nodes,
        by_client: response.by_client,
    };
    Step::Event(Box::new(seen), missed)
}

/// As a control plane tells another one.
#[must_use]
pub fn response((seen, missed): (Seen, u64)) -> TapResponse {
    TapResponse {
        channel: seen.channel.to_string(),
        name: seen.name,
        data: seen.data,
        data_bytes: seen.data_bytes as u64,
        tags: seen.tags.map(|pairs| proto::v1::EventTags { pairs }),
        message_id: seen.message_id,
        subscriptions: seen.subscriptions,
        nodes: seen.nodes,
        by_client: seen.by_client,
        missed,
    }
}
