//! One of two control planes is killed again and again under load.

use serde_json::json;
use tests::{
    arena::Part,
    chaos::{
        lane::size,
        measures::{self, Spread},
        run::Run,
    },
};
use tokio::time::{Duration, sleep};

use crate::crowd::{Crowd, order};

/// What a kill may cost the listeners of a busy channel, in the middle and at worst.
const SILENCE_MEDIAN_MS: f64 = 500.0;
const SILENCE_P99_MS: f64 = 1_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_control_plane() {
    let mut run = Run::start("kill_control_plane", order(2, 2, 3)).await;
    let crowd = Crowd {
        rate: size(300, 2_000),
        channels: size(6, 20),
        idle: size(60, 800),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(2)).await;
    let mut kills = Vec::new();
    for round in 0..size(2, 20) {
        let part = Part::ControlPlane(run.chance.below(2));
        let step = run.begin(format!("round {round}: kill {part}"));
        run.arena.kill(part).await;
        kills.push(run.done(step));
        sleep(Duration::from_secs(size(2, 4))).await;
        let step = run.begin(format!("round {round}: start {part}"));
        run.arena.start_again(part);
        run.arena.ready(part).await;
        run.done(step);
        // Its share of the channels comes back to it meanwhile.
        sleep(Duration::from_secs(size(2, 4))).await;
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let silences =
        kills.iter().map(|at| measures::silence(history, &there.busy, *at, at + 1_500_000));
    let silences = Spread::of(silences.collect());
    let answers = measures::answers(history, 0, u64::MAX, |_| true);
    let refused = measures::refused(history);
    let closed = history.sockets.iter().filter(|socket| socket.ended.is_some()).count();
    run.measure("silences after kills", silences.json());
    run.measure("answers", answers.json());
    run.measure("publishes without 200", json!(refused));
    run.target("silence, median, ms", silences.p50 as f64 / 1e3, SILENCE_MEDIAN_MS);
    run.target("silence, p99, ms", silences.p99 as f64 / 1e3, SILENCE_P99_MS);
    run.exactly("sockets that were closed", closed, 0);
    run.floor("frames", run.frames(), size(1_000, 500_000));
    run.finish().await;
}
