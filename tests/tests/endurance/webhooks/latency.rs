//! How long a publish takes to a socket, all the time.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tests::{
    client::{Client, Incoming},
    fleet::Fleet,
    rest::Credentials,
};
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

const CHANNEL: &str = "room";
const EVERY: Duration = Duration::from_millis(10);

/// A backend that publishes at a steady pace, and one subscriber.
pub(crate) struct Probe {
    sent: Arc<Mutex<Vec<Instant>>>,
    took: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

impl Probe {
    pub(crate) async fn start(fleet: &Fleet, ended: &CancellationToken) -> Self {
        let node = fleet.node_addresses()[0];
        let mut client = Client::connect(node, &Credentials::default()).await;
        client.subscribe(CHANNEL).await;
        let probe = Self { sent: Arc::default(), took: Arc::default() };
        let (sent, took) = (Arc::clone(&probe.sent), Arc::clone(&probe.took));
        let end = ended.clone();
        tokio::spawn(async move {
            while let Some(Incoming::Frame(frame)) = end.run_until_cancelled(client.next()).await {
                let arrived = Instant::now();
                let number: usize = frame["data"].as_str().unwrap().parse().unwrap();
                let begun = sent.lock().unwrap()[number];
                took.lock().unwrap().push((arrived, arrived - begun));
            }
        });
        let (sent, backend, end) = (Arc::clone(&probe.sent), fleet.backend(0), ended.clone());
        tokio::spawn(async move {
            let (mut number, mut pace) = (0_usize, interval(EVERY));
            while !end.is_cancelled() {
                pace.tick().await;
                sent.lock().unwrap().push(Instant::now());
                backend.publish_text(CHANNEL, "e", &number.to_string()).await;
                number += 1;
            }
        });
        probe
    }

    /// The 99th percentile since the last time: of each second, and of these the middle one, so that
    /// a moment in which the machine did something else decides nothing.
    pub(crate) fn restart(&mut self) -> Duration {
        let took = std::mem::take(&mut *self.took.lock().unwrap());
        let Some(&(first, _)) = took.first() else { return Duration::ZERO };
        let seconds = took.chunk_by(|(one, _), (other, _)| {
            (*one - first).as_secs() == (*other - first).as_secs()
        });
        let mut each: Vec<_> = seconds.map(p99).collect();
        each.sort();
        each[each.len() / 2]
    }
}

fn p99(took: &[(Instant, Duration)]) -> Duration {
    let mut took: Vec<_> = took.iter().map(|(_, took)| *took).collect();
    took.sort();
    took[(took.len() * 99).div_ceil(100) - 1]
}
