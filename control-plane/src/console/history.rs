//! The last minutes in numbers, for plots.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{extract::State, response::Response};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Console, answer::respond};
use crate::{metrics::DispatchMetrics, nodes::Nodes};

/// Between two samples.
const EVERY: Duration = Duration::from_secs(2);
/// Samples that are kept: ten minutes.
const SAMPLES_MAX: usize = 300;

/// Samples of the last minutes; clones share them.
#[derive(Clone, Debug, Default)]
pub struct History(Arc<Mutex<VecDeque<Sample>>>);

/// What was counted up to a moment, and what was there at that moment.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sample {
    /// Milliseconds since the first sample.
    pub at_ms: u64,
    /// Events that backends published.
    pub events: u64,
    /// Events that clients published.
    pub client_events: u64,
    /// Events queued for nodes.
    pub dispatched: u64,
    /// Publishes and reads refused by an app's limit.
    pub rate_limited: u64,
    /// Queues to nodes that overflowed.
    pub overflows: u64,
    /// Events on their way to nodes.
    pub queue_events: u64,
    /// Channels with interest.
    pub channels: u64,
    /// Open WebSockets.
    pub connections: u64,
}

#[derive(Serialize)]
struct Shown {
    every_ms: u64,
    samples: Vec<Sample>,
}

impl History {
    /// Takes samples until the process ends.
    pub async fn record(self, metrics: DispatchMetrics, nodes: Arc<Nodes>) {
        let began = Instant::now();
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let at_ms = began.elapsed().as_millis() as u64;
            self.add(sample(at_ms, &metrics, &nodes));
        }
    }

    fn add(&self, sample: Sample) {
        let mut samples = self.0.lock().expect("no holder panics");
        if samples.len() == SAMPLES_MAX {
            samples.pop_front();
        }
        samples.push_back(sample);
    }
}

fn sample(at_ms: u64, metrics: &DispatchMetrics, nodes: &Nodes) -> Sample {
    let connections = nodes.connections().iter().map(|(_, _, count)| u64::from(*count)).sum();
    Sample {
        at_ms,
        events: metrics.events.get(),
        client_events: metrics.client_events.get(),
        dispatched: metrics.dispatched.get(),
        rate_limited: metrics.rate_limited.get() + metrics.reads_limited.get(),
        overflows: metrics.overflowed.get(),
        queue_events: nodes.depth().0 as u64,
        channels: metrics.channels.get().unsigned_abs(),
        connections,
    }
}

#[allow(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn show(State(console): State<Console>) -> Response {
    let samples = console.history.0.lock().expect("no holder panics").iter().copied().collect();
    respond(Ok(Shown { every_ms: EVERY.as_millis() as u64, samples }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_sample_makes_room() {
        let history = History::default();
        for at_ms in 0..SAMPLES_MAX as u64 + 5 {
            history.add(Sample { at_ms, ..Sample::default() });
        }
        let samples = history.0.lock().unwrap();
        assert_eq!((samples.len(), samples[0].at_ms), (SAMPLES_MAX, 5));
    }
}
