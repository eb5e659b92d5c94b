//! Control planes and gateways are replaced one after the other while clients publish.

use std::collections::HashMap;

use tests::{
    arena::Part,
    chaos::{history::Key, lane::size, measures, run::Run},
};
use tokio::time::{Duration, sleep};

use crate::crowd::{Crowd, order};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_planes() {
    let mut run = Run::start("rolling_planes", order(2, 2, 2)).await;
    // A client that tries again, once, at the other gateway.
    let crowd = Crowd {
        rate: size(200, 1_000),
        channels: size(4, 10),
        idle: 30,
        members: 12,
        attempts_max: 2,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(2)).await;
    let parts = [Part::ControlPlane(0), Part::ControlPlane(1), Part::Gateway(0), Part::Gateway(1)];
    for _ in 0..size(1, 3) {
        for part in parts {
            let step = run.begin(format!("end and start {part}"));
            run.arena.end(part).await;
            run.arena.start_again(part);
            run.arena.ready(part).await;
            run.done(step);
            sleep(Duration::from_secs(size(1, 4))).await;
        }
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let mut answered: HashMap<Key, bool> = HashMap::new();
    for attempt in &history.attempts {
        *answered.entry(attempt.key).or_default() |= attempt.status == 200;
    }
    let failed = answered.values().filter(|answered| !**answered).count();
    let answers = measures::answers(history, 0, u64::MAX, |_| true);
    let again = history.attempts.len() - answered.len();
    run.measure("answers", answers.json());
    run.measure("second attempts", again.into());
    run.exactly("events that failed twice", failed, 0);
    run.floor("events", answered.len(), size(500, 20_000));
    run.finish().await;
}
