//! What one control plane sends on to the owner of a shard: one stream to each peer, taken in order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use proto::{
    internal::{
        Admitted, CacheMiss, DispatchedEvent, ForwardRequest, ForwardResponse,
        forward_request::Forwarded, peer_service_client::PeerServiceClient,
    },
    link::Link,
    replicas::age::ClockThere,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::Status;

use crate::{metrics::DispatchMetrics, shards::Dispatched};

/// Messages on their way to one peer; when there are more, publishes are tried again later and what
/// nobody waits for is dropped.
const QUEUE_MAX: usize = 8_192;
/// A message may carry a batch of events.
const MESSAGE_BYTES_MAX: usize = 32 << 20;

/// What nobody waits for.
#[derive(Clone, Debug)]
pub enum Forward {
    /// A client's event.
    Relayed(DispatchedEvent),
    /// Somebody found nothing in a cache channel.
    CacheMiss(CacheMiss),
    /// The last event of a cache channel.
    Cached(DispatchedEvent),
}

/// What the owner made of admitted events: one each, or it is not the owner.
pub type Answer = oneshot::Receiver<Option<Vec<Dispatched>>>;

/// The stream to one peer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Forwarder {
    queue: mpsc::Sender<ForwardRequest>,
    waiting: Arc<Mutex<Waiting>>,
    clock: ClockThere,
    metrics: DispatchMetrics,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    ended: bool,
    answers: BTreeMap<u64, oneshot::Sender<Option<Vec<Dispatched>>>>,
}

impl Forwarder {
    /// A stream that begins when the future is polled, and ends with it.
    pub fn open(
        link: Link,
        clock: ClockThere,
        metrics: DispatchMetrics,
    ) -> (Self, impl Future<Output = Result<(), Status>>) {
        let (queue, requests) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::<Mutex<Waiting>>::default();
        let answers = End(Arc::clone(&waiting));
        let run = async move {
            let mut client = PeerServiceClient::new(link)
                .max_encoding_message_size(MESSAGE_BYTES_MAX)
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            let opened = client.forward(ReceiverStream::new(requests)).await;
            take_answers(opened?.into_inner(), &answers.0).await
        };
        (Self { queue, waiting, clock, metrics }, run)
    }

    /// Whether it is the same stream.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.waiting, &other.waiting)
    }

    /// Messages that wait for the stream, and publishes sent on that the peer has not answered.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        (queued, lock(&self.waiting).answers.len())
    }

    /// Sends admitted events to their owner, behind all that was sent before. `None` where the stream is
    /// full or over.
    #[must_use]
    pub fn send(&self, events: Vec<DispatchedEvent>) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        if waiting.ended {
            return None;
        }
        let id = waiting.last + 1;
        let forwarded = Some(Forwarded::Admitted(Admitted { events }));
        let clock_ms = self.clock.now_ms();
        self.queue.try_send(ForwardRequest { id, forwarded, clock_ms }).ok()?;
        waiting.last = id;
        waiting.answers.insert(id, answer);
        self.metrics.forwarded.inc();
        Some(answered)
    }

    /// Tells the peer something; it is dropped and counted where the stream is full or over.
    pub fn tell(&self, said: Forward) {
        let forwarded = Some(match said {
            Forward::Relayed(event) => Forwarded::Relayed(event),
            Forward::CacheMiss(miss) => Forwarded::CacheMiss(miss),
            Forward::Cached(event) => Forwarded::Cached(event),
        });
        // Under the lock, so that all messages go in one order.
        let waiting = lock(&self.waiting);
        let clock_ms = self.clock.now_ms();
        if self.queue.try_send(ForwardRequest { id: 0, forwarded, clock_ms }).is_err() {
            self.metrics.forwards_dropped.inc();
        }
        drop(waiting);
    }
}

/// Whatever ends the stream, those who wait hear that there is no answer.
struct End(Arc<Mutex<Waiting>>);

impl Drop for End {
    fn drop(&mut self) {
        let mut waiting = lock(&self.0);
        waiting.ended = true;
        waiting.answers.clear();
    }
}

async fn take_answers(
    mut answers: tonic::Streaming<ForwardResponse>,
    waiting: &Mutex<Waiting>,
) -> Result<(), Status> {
    while let Some(answer) = answers.next().await {
        let ForwardResponse { id, reached, refused } = answer?;
        let waiter = lock(waiting).answers.remove(&id);
        let reached = reached.into_iter().map(|reach| Dispatched {
            subscriptions: reach.subscriptions,
            users: reach.users,
            ..Dispatched::default()
        });
        if let Some(waiter) = waiter {
            // Who waited may have given up.
            let _ = waiter.send((!refused).then(|| reached.collect()));
        }
    }
    Ok(())
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock().expect("no code in this module panics while it holds it")
}
