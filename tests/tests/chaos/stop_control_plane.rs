//! A control plane stands still, is replaced, and goes on as if it still owned its channels.

use serde_json::json;
use tests::{
    arena::Part,
    chaos::{lane::size, measures, run::Run},
};
use tokio::time::{Duration, sleep};

use crate::crowd::{Crowd, order};

const STOPPED: Duration = Duration::from_secs(5);
const SILENCE_MAX_MS: f64 = 1_500.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stop_control_plane() {
    let mut run = Run::start("stop_control_plane", order(2, 2, 3)).await;
    let crowd = Crowd {
        rate: size(300, 1_000),
        channels: size(6, 10),
        idle: size(40, 500),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(2)).await;
    let mut longest = Vec::new();
    for round in 0..size(1, 6) {
        let part = Part::ControlPlane(run.chance.below(2));
        let step = run.begin(format!("round {round}: stop {part}"));
        run.arena.stop(part);
        longest.push(run.done(step));
        sleep(STOPPED).await;
        let step = run.begin(format!("round {round}: {part} goes on"));
        run.arena.go_on(part);
        run.done(step);
        sleep(Duration::from_secs(4)).await;
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let silences =
        longest.iter().map(|at| measures::silence(history, &there.busy, *at, at + 6_000_000));
    let longest = silences.max().unwrap_or_default() as f64 / 1e3;
    let closed = history.sockets.iter().filter(|socket| socket.ended.is_some()).count();
    let refused = measures::refused(history);
    run.measure("publishes without 200", json!(refused));
    run.target("longest silence, ms", longest, SILENCE_MAX_MS);
    run.exactly("sockets that were closed", closed, 0);
    run.floor("frames", run.frames(), size(1_000, 50_000));
    run.finish().await;
}
