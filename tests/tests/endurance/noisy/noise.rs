//! The noisy app: many sockets in one channel, and publishers that do not mind a refusal.

use std::{net::SocketAddr, thread::JoinHandle, time::Duration};

use serde_json::{Value, json};
use tests::{
    client::Client,
    load::{Plan, Subscribers},
    rest::{Answer, Backend},
};
use tokio::{
    task::{JoinHandle as Task, spawn_blocking},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

const DATA_BYTES: usize = 1_000;
const PUBLISHERS: u32 = 100;
/// Of a batch.
const EVENTS: usize = 10;
/// The queue is full by then.
const LEAD: Duration = Duration::from_secs(1);

/// How it publishes.
#[derive(Clone, Copy)]
pub(super) enum Said {
    /// So many events per second, one by one.
    Paced(u32),
    /// Batches, by several at once, each as soon as the one before is answered.
    AsFastAsPossible,
}

/// The app at work.
pub(super) struct Noise {
    listening: JoinHandle<()>,
    publishers: Vec<Task<(u64, u64)>>,
    probe: Task<Vec<Duration>>,
    ended: CancellationToken,
}

/// What became of it.
pub(super) struct Heard {
    pub(super) admitted: u64,
    pub(super) refused: u64,
    /// Of the time that its events were under way.
    pub(super) median: Duration,
}

impl Noise {
    /// Opens the sockets, and begins to publish.
    pub(super) async fn start(
        (node, backend): (SocketAddr, Backend),
        sockets: u32,
        said: Said,
    ) -> Self {
        let (key, channel) = (backend.credentials.key.clone(), "room".to_owned());
        let plan = Plan { address: node, key, channel, terms: Vec::new(), sockets };
        let open = move || Subscribers::open(&plan).expect("the node takes the sockets");
        let mut subscribers = spawn_blocking(open).await.unwrap();
        // It ends when the node does: with an error.
        let listening = std::thread::spawn(move || while subscribers.receive().is_ok() {});
        let ended = CancellationToken::new();
        let origin = Instant::now();
        let mut client = Client::connect(node, &backend.credentials).await;
        client.subscribe("room").await;
        let probe = tokio::spawn(probe(client, origin, ended.clone()));
        let publisher = |_| {
            let (backend, ended) = (backend.clone(), ended.clone());
            tokio::spawn(publish(backend, said, origin, ended))
        };
        let publishers = (0..PUBLISHERS).map(publisher).collect();
        sleep(LEAD).await;
        Self { listening, publishers, probe, ended }
    }

    /// Ends it; none of its sockets has been closed before.
    pub(super) async fn stop(self) -> Heard {
        assert!(!self.listening.is_finished(), "a noisy socket was closed");
        self.ended.cancel();
        let mut latencies = self.probe.await.unwrap();
        latencies.sort_unstable();
        let (mut admitted, mut refused) = (0, 0);
        for publisher in self.publishers {
            let (some, others) = publisher.await.unwrap();
            admitted += some;
            refused += others;
        }
        Heard { admitted, refused, median: latencies[latencies.len() / 2] }
    }
}

/// When an event was published, since the origin that its publisher and its reader know.
pub(super) fn sent(frame: &Value) -> Duration {
    let digits = frame["data"].as_str().and_then(|digits| digits.parse().ok());
    Duration::from_micros(digits.unwrap_or_else(|| panic!("no event: {frame}")))
}

/// Returns how many events were admitted and refused.
async fn publish(
    backend: Backend,
    said: Said,
    origin: Instant,
    ended: CancellationToken,
) -> (u64, u64) {
    let mut pace = match said {
        Said::Paced(per_second) => Some(interval(Duration::from_secs(1) * PUBLISHERS / per_second)),
        Said::AsFastAsPossible => None,
    };
    if let Some(pace) = &mut pace {
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let (mut admitted, mut refused) = (0, 0);
    while !ended.is_cancelled() {
        let events = if pace.is_some() { 1 } else { EVENTS };
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let data = format!("{:0>DATA_BYTES$}", origin.elapsed().as_micros());
        let batch = vec![json!({ "name": "e", "channel": "room", "data": data }); events];
        let body = json!({ "batch": batch }).to_string();
        let answer: Answer = backend.post("batch_events", body).send().await;
        match answer.status {
            200 => admitted += events as u64,
            429 => {
                refused += events as u64;
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            }
            _ => panic!("{answer:?}"),
        }
    }
    (admitted, refused)
}

/// How long events were under way to one of its sockets.
async fn probe(mut client: Client, origin: Instant, ended: CancellationToken) -> Vec<Duration> {
    let mut latencies = Vec::new();
    loop {
        let frame = tokio::select! {
            frame = client.next_frame() => frame,
            () = ended.cancelled() => return latencies,
        };
        latencies.push(origin.elapsed().saturating_sub(sent(&frame)));
    }
}
