//! A node is killed with thousands of sockets, which all come back at once.

use serde_json::json;
use tests::{
    arena::Part,
    chaos::{history::End, lane::size, listener::Listener, run::Run},
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, listener, order};

const BACK_MAX_MS: f64 = 15_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm() {
    let mut run = Run::start("storm", order(CONTROL_PLANES, 2, 3)).await;
    let sockets = size(600, 10_000);
    let channels = run.channels("crowded", sockets / 20);
    let crowd = Crowd { rate: size(50, 200), channels: 4, idle: 0, members: 12, attempts_max: 1 };
    let there = crowd.seat(&mut run).await;
    let before = run.scene.seated();
    // They come in steps: what is to be measured is how they come back.
    for (place, step) in (0..sockets).collect::<Vec<_>>().chunks(200).enumerate() {
        let nodes = run.arena.nodes();
        for socket in step {
            let channel = channels[socket % channels.len()];
            let back_after = run.chance.pause(Duration::from_millis(100));
            run.listen(Listener { back_after, ..listener(nodes.clone(), channel, 0) });
        }
        run.seated(before + place * 200 + step.len()).await;
    }
    crowd.talk(&mut run, &there);
    sleep(Duration::from_secs(2)).await;
    let step = run.begin(format!("kill node 0 with {sockets} sockets"));
    run.arena.kill(Part::Node(0)).await;
    let killed = run.done(step);
    sleep(Duration::from_millis(500)).await;
    run.all_seated().await;
    let back_ms = (run.scene.now() - killed) as f64 / 1e3;
    sleep(Duration::from_secs(4)).await;
    let step = run.begin("start node 0");
    run.arena.start_again(Part::Node(0));
    run.arena.ready(Part::Node(0)).await;
    run.done(step);
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let ends = history.sockets.iter().filter_map(|socket| socket.ended);
    let over_quota = ends.filter(|(_, end)| *end == End::Closed(4004)).count();
    let absences = run.absences();
    run.measure("absences", absences.json());
    run.measure("sockets", json!(sockets));
    run.target("all back, ms", back_ms, BACK_MAX_MS);
    run.exactly("sockets closed with 4004", over_quota, 0);
    run.floor("absences", absences.count, sockets);
    run.finish().await;
}
