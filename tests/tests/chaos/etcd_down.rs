//! etcd is gone for a while, and each plane is restarted meanwhile.

use serde_json::json;
use tests::{
    arena::Part,
    chaos::{lane::size, measures, run::Run},
};
use tokio::time::{Duration, Instant, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, order};

/// Serving again after a restart without etcd.
const SERVING_MAX_MS: f64 = 3_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcd_down() {
    let mut run = Run::start("etcd_down", order(CONTROL_PLANES, 2, 3)).await;
    let crowd = Crowd {
        rate: size(200, 1_000),
        channels: size(4, 10),
        idle: size(40, 500),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(1)).await;
    let step = run.begin("kill all of etcd");
    for member in 0..3 {
        run.arena.kill(Part::Etcd(member)).await;
    }
    let down = run.done(step);
    sleep(Duration::from_secs(size(10, 300))).await;
    let until = run.scene.now();
    let late = crowd_of_newcomers(&mut run, &there.busy).await;
    let parts = (0..CONTROL_PLANES).map(Part::ControlPlane);
    let parts = parts.chain((0..2).map(Part::Gateway)).chain((0..3).map(Part::Node));
    let mut slowest = 0.0_f64;
    for part in parts {
        slowest = slowest.max(restart(&mut run, part).await);
    }
    let step = run.begin("start etcd again");
    for member in 0..3 {
        run.arena.start_again(Part::Etcd(member));
    }
    for member in 0..3 {
        run.arena.ready(Part::Etcd(member)).await;
    }
    run.done(step);
    let healed = run.scene.now();
    run.all_seated().await;
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let attempts = history.attempts.iter().filter(|at| (down..until).contains(&at.start));
    let failed = attempts.filter(|attempt| attempt.status != 200).count();
    let ended = |at| (down..until).contains(&at);
    let sockets = history.sockets.iter();
    let closed = sockets.filter(|socket| socket.ended.is_some_and(|(at, _)| ended(at))).count();
    let answers = measures::answers(history, down, until, |_| true);
    run.measure("answers without etcd", answers.json());
    run.measure("newcomers without etcd, ms", json!(late));
    run.exactly("publishes that failed without etcd", failed, 0);
    run.exactly("sockets that were closed without etcd", closed, 0);
    run.target("slowest restart without etcd, ms", slowest, SERVING_MAX_MS);
    run.floor("frames", run.frames(), size(1_000, 500_000));
    run.finish().await;
}

/// New sockets are let in; how long that took, in milliseconds.
async fn crowd_of_newcomers(run: &mut Run, busy: &[u32]) -> f64 {
    let began = Instant::now();
    for (place, channel) in busy.iter().enumerate() {
        let nodes = run.arena.nodes();
        run.listen(crate::crowd::listener(nodes, *channel, place));
    }
    run.all_seated().await;
    began.elapsed().as_secs_f64() * 1_000.0
}

/// Kills a part, starts it again, and says after how many milliseconds it is ready.
async fn restart(run: &mut Run, part: Part) -> f64 {
    let step = run.begin(format!("kill and start {part}"));
    run.arena.kill(part).await;
    run.arena.start_again(part);
    run.arena.ready(part).await;
    let began = run.done(step);
    let took = (run.scene.now() - began) as f64 / 1_000.0;
    run.measure(&format!("{part} ready again, ms"), json!(took));
    sleep(Duration::from_secs(size(1, 10))).await;
    took
}
