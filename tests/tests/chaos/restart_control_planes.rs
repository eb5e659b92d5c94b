//! All control planes are killed at once and started again.

use serde_json::json;
use tests::{
    arena::Part,
    chaos::{lane::size, measures, run::Run},
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, order};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_control_planes() {
    let mut run = Run::start("restart_control_planes", order(CONTROL_PLANES, 2, 3)).await;
    let crowd = Crowd {
        rate: size(200, 1_000),
        channels: size(4, 10),
        idle: size(40, 500),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(2)).await;
    let mut returns = Vec::new();
    for round in 0..size(1, 5) {
        let step = run.begin(format!("round {round}: kill all control planes, start them again"));
        for number in 0..CONTROL_PLANES {
            run.arena.kill(Part::ControlPlane(number)).await;
        }
        for number in 0..CONTROL_PLANES {
            run.arena.start_again(Part::ControlPlane(number));
        }
        returns.push(run.done(step));
        sleep(Duration::from_secs(size(5, 8))).await;
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let closed = history.sockets.iter().filter(|socket| socket.ended.is_some()).count();
    let silences: Vec<_> = returns
        .iter()
        .map(|at| measures::silence(history, &there.busy, *at, at + 3_000_000))
        .collect();
    let refused = measures::refused(history);
    run.measure("publishes refused while there was none", json!(refused));
    let longest = silences.into_iter().max().unwrap_or_default() as f64 / 1_000.0;
    run.target("longest silence, ms", longest, 3_500.0);
    run.exactly("sockets that were closed", closed, 0);
    run.floor("frames", run.frames(), size(1_000, 50_000));
    run.finish().await;
}
