//! A backend that publishes at a steady pace and writes down each call.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{
    history::{Attempt, Key},
    scene::Scene,
};
use crate::rest::Backend;

/// One publisher; it has one event under way at a time.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Its number; no other has it.
    pub number: u32,
    /// For which app.
    pub app: u8,
    /// Where it publishes: first at the first, and again, if it may, at the next.
    pub backends: Vec<Backend>,
    /// The channels, one after the other.
    pub channels: Vec<u32>,
    /// Time between two events. Events that it is too slow for are left out.
    pub every: Duration,
    /// How often it tries an event at most.
    pub attempts_max: usize,
    /// How long its events are, at least, in bytes.
    pub bytes: usize,
}

/// Longer than any gateway lets a call wait.
const ANSWER_MAX: Duration = Duration::from_secs(12);
/// Every such event leaves somebody out.
const EXCLUSION_EVERY: u32 = 16;

impl Publisher {
    /// Publishes until nobody does any more.
    pub async fn run(self, scene: Arc<Scene>) -> Vec<Attempt> {
        self.run_until(&scene, scene.published.cancelled()).await
    }

    /// Publishes until something happens.
    pub async fn run_until(&self, scene: &Scene, end: impl Future<Output = ()>) -> Vec<Attempt> {
        tokio::pin!(end);
        let (mut attempts, mut pace) = (Vec::new(), interval(self.every));
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        for sequence in 0.. {
            tokio::select! {
                _ = pace.tick() => {}
                () = &mut end => break,
            }
            self.publish(scene, sequence, &mut attempts).await;
        }
        attempts
    }

    /// Publishes one event, and writes down what came of it; whether it was acknowledged.
    pub async fn publish(&self, scene: &Scene, sequence: u32, attempts: &mut Vec<Attempt>) -> bool {
        let key = Key { publisher: self.number, sequence };
        let channel = self.channels[sequence as usize % self.channels.len()];
        let excluded = (sequence % EXCLUSION_EVERY == EXCLUSION_EVERY - 1)
            .then(|| scene.guest(self.app, channel))
            .flatten();
        let data = format!("{}:{sequence}:", self.number);
        let mut body = json!({
            "name": "e",
            "channel": scene.name(channel),
            "data": format!("{data}{}", "x".repeat(self.bytes.saturating_sub(data.len()))),
        });
        if let Some((_, socket_id)) = &excluded {
            body["socket_id"] = json!(socket_id);
        }
        if self.attempts_max > 1 {
            body["idempotency_key"] = json!(data);
        }
        let body = body.to_string();
        for attempt in 0..self.attempts_max {
            let backend = &self.backends[attempt % self.backends.len()];
            let start = scene.now();
            let answer = timeout(ANSWER_MAX, backend.call(body.clone()).try_send()).await;
            let status = answer.ok().flatten().map_or(0, |answer| answer.status);
            let excluded = excluded.as_ref().map(|(number, _)| *number);
            let Self { app, .. } = *self;
            attempts.push(Attempt { key, app, channel, start, end: scene.now(), status, excluded });
            if status == 200 {
                return true;
            }
        }
        false
    }
}
