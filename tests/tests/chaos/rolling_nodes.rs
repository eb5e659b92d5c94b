//! Nodes are replaced one after the other under stock pusher-js clients.

use serde_json::json;
use tests::{
    arena::Part,
    balancer::{Balancer, Target},
    chaos::{lane::size, measures::Spread, run::Run},
    rig::Rig,
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, order};

/// How long a user is without its channel: of 100 users the 99th, and the last one.
const DOWN_P99_MS: f64 = 1_000.0;
const DOWN_MAX_MS: f64 = 3_000.0;
const NODES: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rolling_nodes() {
    let mut order = order(CONTROL_PLANES, 1, NODES);
    order.node.push(format!("--drain-seconds={}", size(3, 10)));
    let mut run = Run::start("rolling_nodes", order).await;
    let targets = (0..NODES).map(|number| {
        let station = run.arena.station(Part::Node(number));
        Target { public: station.public, operations: station.operations }
    });
    let balancer = Balancer::start(targets.collect()).await;
    let clients = size(60, 500).to_string();
    let port = balancer.address.port().to_string();
    let arguments = ["--port", &port, "--clients", &clients, "--members", "50"];
    let mut rig = Rig::node("crowd.mjs", &arguments);
    rig.expect("ready").await;
    let crowd = Crowd { rate: size(100, 500), channels: 4, idle: 20, members: 0, attempts_max: 1 };
    crowd.come(&mut run).await;
    sleep(Duration::from_secs(1)).await;
    for number in 0..NODES {
        let part = Part::Node(number);
        let step = run.begin(format!("end and start {part}"));
        run.arena.end(part).await;
        run.arena.start_again(part);
        run.arena.ready(part).await;
        run.done(step);
        sleep(Duration::from_secs(size(1, 3))).await;
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    // Who is late would be told of by now.
    sleep(Duration::from_secs(6)).await;
    run.hush().await;
    run.told().await;
    rig.order(&json!("tell")).await;
    let told = rig.expect("told").await;
    let downs = told["downs"].as_array().unwrap();
    let downs = downs.iter().map(|ms| (ms.as_f64().unwrap() * 1e3) as u64).collect();
    let downs = Spread::of(downs);
    let count = |name: &str| told[name].as_array().map_or(0, Vec::len);
    run.measure("time without a channel", downs.json());
    run.measure("errors", told["errors"].clone());
    run.measure(
        "flaps",
        json!(told["flaps"].as_array().unwrap().iter().take(9).collect::<Vec<_>>()),
    );
    run.target("time without a channel, p99, ms", downs.p99 as f64 / 1e3, DOWN_P99_MS);
    run.target("time without a channel, longest, ms", downs.max as f64 / 1e3, DOWN_MAX_MS);
    run.exactly("clients that are out at the end", count("out"), 0);
    run.exactly("members who came or went", count("flaps"), 0);
    run.floor("times that a client was without a channel", downs.count, size(50, 400));
    run.finish().await;
}
