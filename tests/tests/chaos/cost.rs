//! What a cluster costs: processor time per publish and per delivery, against the all-in-one, and as
//! nodes are added.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use tests::{
    arena::{Order, Part, Vitals},
    chaos::{
        lane::{say, size},
        publisher::Publisher,
        run::Run,
    },
};
use tokio::time::{Duration, sleep};

use crate::crowd::{listener, order};

/// Sockets in each channel: few and many, so that both prices can be told apart.
const FAN_OUTS: [usize; 2] = [1, 40];
const CHANNELS: usize = 6;
const PUBLISHERS: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cost() {
    if !size(false, true) {
        say("cost: only in the long lane (CHAOS=long), where the machine is its own");
        return;
    }
    let all_in_one = Order { all_in_one: true, etcd: 0, ..order(0, 0, 0) };
    let mut prices = Vec::new();
    for (name, nodes, order) in [
        ("cost_all_in_one", 1, all_in_one),
        ("cost_of_1_node", 1, order(2, 2, 1)),
        ("cost_of_3_nodes", 3, order(2, 2, 3)),
    ] {
        let mut run = Run::start(name, order).await;
        let price = price(&mut run, nodes).await;
        prices.push(json!({ "arena": name, "price": price }));
        run.measure("prices", json!(prices));
        run.told().await;
        run.finish().await;
    }
}

/// Microseconds per publish and per delivery, of the parts and in all.
async fn price(run: &mut Run, nodes: usize) -> Value {
    let mut bills = Vec::new();
    for (turn, fan_out) in FAN_OUTS.into_iter().enumerate() {
        bills.push(bill(run, turn, fan_out).await);
    }
    let [few, many] = [&bills[0], &bills[1]];
    // cpu = publishes * p + deliveries * d, twice.
    let determinant = few.publishes * many.deliveries - many.publishes * few.deliveries;
    let publish = (few.cpu * many.deliveries - many.cpu * few.deliveries) / determinant;
    let delivery = (few.publishes * many.cpu - many.publishes * few.cpu) / determinant;
    run.floor("deliveries that were paid", many.deliveries as usize, 1_000);
    json!({
        "nodes": nodes,
        "us_per_publish": publish * 1e6,
        "us_per_delivery": delivery * 1e6,
        "bills": bills.iter().map(|bill| json!({
            "publishes": bill.publishes, "deliveries": bill.deliveries, "cpu_s": bill.cpu,
            "parts": bill.parts,
        })).collect::<Vec<_>>(),
    })
}

/// What some seconds of work took.
struct Bill {
    publishes: f64,
    deliveries: f64,
    /// Seconds.
    cpu: f64,
    parts: BTreeMap<String, f64>,
}

async fn bill(run: &mut Run, turn: usize, fan_out: usize) -> Bill {
    let channels = run.channels(&format!("turn-{turn}"), CHANNELS);
    let nodes = run.arena.nodes();
    for channel in &channels {
        for place in 0..fan_out {
            run.listen(listener(nodes.clone(), *channel, place));
        }
    }
    run.all_seated().await;
    let rate = size(200, 800);
    let work = Arc::new(tokio::sync::Notify::new());
    let publishers = (0..PUBLISHERS).map(|number| {
        let publisher = Publisher {
            number: turn as u32 * PUBLISHERS + number,
            app: 0,
            backends: run.backends(0, number as usize),
            channels: vec![channels[number as usize % CHANNELS]],
            every: Duration::from_secs(1) * PUBLISHERS / rate,
            attempts_max: 1,
            bytes: 200,
        };
        let (scene, work) = (Arc::clone(&run.scene), Arc::clone(&work));
        tokio::spawn(async move { publisher.run_until(&scene, work.notified()).await })
    });
    let publishers: Vec<_> = publishers.collect();
    sleep(Duration::from_secs(1)).await;
    let (before, began) = (run.arena.vitals(), run.scene.now());
    sleep(Duration::from_secs(size(4, 20))).await;
    let (after, ended) = (run.arena.vitals(), run.scene.now());
    work.notify_waiters();
    let mut publishes = 0;
    for publisher in publishers {
        let attempts = publisher.await.unwrap();
        let paid = attempts.iter().filter(|attempt| (began..ended).contains(&attempt.start));
        publishes += paid.count();
        run.add(attempts, Vec::new());
    }
    sleep(Duration::from_secs(1)).await;
    let parts = cpu(&before, &after);
    let publishes = publishes as f64;
    Bill { publishes, deliveries: publishes * fan_out as f64, cpu: parts.values().sum(), parts }
}

/// Seconds of each part; etcd has nothing to do with it.
fn cpu(before: &BTreeMap<Part, Vitals>, after: &BTreeMap<Part, Vitals>) -> BTreeMap<String, f64> {
    let parts = after.iter().filter(|(part, _)| !matches!(part, Part::Etcd(_)));
    let spent = |part: &Part, now: &Vitals| now.cpu.saturating_sub(before[part].cpu);
    parts.map(|(part, now)| (part.to_string(), spent(part, now).as_secs_f64())).collect()
}
