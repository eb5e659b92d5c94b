//! For a node that stands still more is published than is kept for it: its sockets are told.

use tests::{
    arena::Part,
    chaos::{
        history::{COME_BACK, End, Socket},
        lane::{Lane, say, size},
        publisher::Publisher,
        run::Run,
    },
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CONTROL_PLANES, Crowd, listener, order};

/// After this long publishers wait for the node no longer.
const UNHEARD: Duration = Duration::from_millis(1_500);
/// Two events for one channel, in bytes: of the first the app is not told to publish later, and behind it
/// the second is more than a control plane keeps for a node, which is 8 MiB. Elsewhere it has room.
const EVENTS: [usize; 2] = [3 << 19, 7 << 20];
const PAYLOAD_KIB_MAX: u32 = 8 << 10;
/// They are numbered from here on.
const NUMBERS: u32 = 2_000;
/// Sockets in their channel.
const LISTENERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_overflows() {
    if Lane::chosen() == Lane::Short {
        say("node_overflows: LEFT OUT; the long lane has it, and the one with bugs");
        return;
    }
    let mut order = order(CONTROL_PLANES, 1, 3);
    order.app.limits.get_or_insert_default().event_payload_kib_max = Some(PAYLOAD_KIB_MAX);
    let mut run = Run::start("node_overflows", order).await;
    let crowd = Crowd {
        rate: size(50, 500),
        channels: size(4, 10),
        idle: size(20, 300),
        members: size(6, 60),
        attempts_max: 1,
    };
    let mut there = crowd.seat(&mut run).await;
    let vast = run.scene.channel("vast");
    for place in 0..LISTENERS {
        run.listen(listener(run.arena.nodes(), vast, place));
    }
    run.all_seated().await;
    crowd.talk(&mut run, &there);
    sleep(Duration::from_secs(1)).await;
    let step = run.begin("stop node 0");
    run.arena.stop(Part::Node(0));
    run.done(step);
    sleep(UNHEARD).await;
    let step = run.begin("publish more than is kept for it");
    let refused = publish_into(&mut run, vast).await;
    run.done(step);
    let step = run.begin("node 0 goes on");
    run.arena.go_on(Part::Node(0));
    let resumed = run.done(step);
    sleep(Duration::from_secs(2)).await;
    run.probe(resumed).await;
    run.all_seated().await;
    run.hush().await;
    there.channels.push(vast);
    run.view(0, &there.channels).await;
    let history = run.told().await;
    let is_told = |socket: &&Socket| {
        socket.ended.is_some_and(|(_, end)| end == End::Closed(COME_BACK)) && socket.node == 0
    };
    let told = history.sockets.iter().filter(is_told).count();
    let elsewhere = history.sockets.iter().filter(|socket| socket.node > 0);
    let closed = elsewhere.filter(|socket| socket.ended.is_some()).count();
    run.exactly("large events that were not acknowledged", refused, 0);
    run.exactly("sockets of other nodes that were closed", closed, 0);
    run.floor("sockets that were told that something is missing", told, LISTENERS / 3);
    run.floor("frames", run.frames(), size(1_000, 5_000));
    run.finish().await;
}

/// How many of the large events were not acknowledged.
async fn publish_into(run: &mut Run, channel: u32) -> usize {
    let (mut attempts, mut refused) = (Vec::new(), 0);
    for (number, bytes) in (NUMBERS..).zip(EVENTS) {
        let publisher = Publisher {
            number,
            app: 0,
            backends: run.backends(0, 0),
            channels: vec![channel],
            every: Duration::ZERO,
            attempts_max: 1,
            bytes,
        };
        refused += usize::from(!publisher.publish(&run.scene, 0, &mut attempts).await);
    }
    run.add(attempts, Vec::new());
    refused
}
