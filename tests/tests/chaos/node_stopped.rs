//! A node stands still for a while; those who publish to the others hardly notice.

use tests::{
    arena::Part,
    chaos::{lane::size, measures, run::Run},
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, order};

/// What the first publishes wait for.
const NOTICED: u64 = 300_000;
/// How much slower others may be, and what the control plane may keep for the node, in KiB.
const SLOWER_MAX: f64 = 1.2;
const GROWTH_KIB_MAX: f64 = 16_384.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_stopped() {
    let mut run = Run::start("node_stopped", order(CONTROL_PLANES, 2, 3)).await;
    let crowd = Crowd {
        rate: size(200, 1_000),
        channels: size(4, 10),
        idle: size(30, 300),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(size(4, 30))).await;
    let step = run.begin("stop node 0");
    run.arena.stop(Part::Node(0));
    let stopped = run.done(step);
    sleep(Duration::from_secs(size(5, 30))).await;
    let growth = (0..CONTROL_PLANES).map(|number| run.growth_kib(Part::ControlPlane(number))).max();
    let step = run.begin("node 0 goes on");
    run.arena.go_on(Part::Node(0));
    let resumed = run.done(step);
    sleep(Duration::from_secs(2)).await;
    run.probe(resumed).await;
    sleep(Duration::from_secs(4)).await;
    run.all_seated().await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let before = measures::answers(history, 1_000_000, stopped, |_| true);
    let during = measures::answers(history, stopped + NOTICED, resumed, |_| true);
    let first = measures::answers(history, stopped - NOTICED, stopped + NOTICED, |_| true);
    run.measure("answers before", before.json());
    run.measure("answers meanwhile", during.json());
    run.measure("answers around the stop", first.json());
    let slower = during.p99 as f64 / before.p99.max(1) as f64;
    run.target("p99 of answers meanwhile against before", slower, SLOWER_MAX);
    run.bound("growth of a control plane, KiB", growth.unwrap_or(0) as f64, GROWTH_KIB_MAX);
    run.floor("publishes answered meanwhile", during.count, size(100, 10_000));
    run.finish().await;
}
