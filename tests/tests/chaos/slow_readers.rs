//! Sockets that never read, beside others that do.

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use serde_json::json;
use tests::{
    arena::{Part, credentials},
    chaos::{lane::size, measures, publisher::Publisher, run::Run},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Duration, Instant, sleep},
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::crowd::{CONTROL_PLANES, listener, order};

const EVENT_BYTES: usize = 10_000;
/// Events per second, of the healthy and of the slow.
const RATE: u32 = 200;
const PUBLISHERS: u32 = 10;
/// The publishers into the channel of the slow are numbered from here on.
const SLOW_NUMBERS: u32 = 1_000;
const RECEIVE_BYTES: u32 = 4 << 10;
/// How much longer the healthy may wait, and what the slow may cost the node, in KiB.
const SLOWER_MAX: f64 = 1.5;
const GROWTH_KIB_MAX: f64 = 256.0 * 1_024.0;
const CLOSED_MAX_MS: f64 = 30_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers() {
    let mut run = Run::start("slow_readers", order(CONTROL_PLANES, 1, 1)).await;
    let (healthy, slow) = size((50, 50), (1_000, 1_000));
    let channels = run.channels("healthy", size(10, 50));
    let stuck = run.scene.channel("stuck");
    for place in 0..healthy {
        let nodes = run.arena.nodes();
        run.listen(listener(nodes, channels[place % channels.len()], 0));
    }
    run.all_seated().await;
    publish(&mut run, 0, &channels);
    publish(&mut run, SLOW_NUMBERS, &[stuck]);
    sleep(Duration::from_secs(size(4, 30))).await;

    let step = run.begin(format!("{slow} sockets come that never read"));
    let node = run.arena.nodes()[0];
    let sockets: Vec<_> = join_all((0..slow).map(|_| unread(node))).await;
    let came = run.done(step);
    let began = Instant::now();
    let mut peak = 0;
    while sockets_of_node(&run).await > healthy && began.elapsed() < Duration::from_secs(60) {
        peak = peak.max(run.growth_kib(Part::Node(0)));
        sleep(Duration::from_millis(100)).await;
    }
    let closed_ms = began.elapsed().as_secs_f64() * 1_000.0;
    let gone = run.scene.now();
    sleep(Duration::from_secs(2)).await;
    drop(sockets);
    run.probe(gone).await;
    run.hush().await;
    let history = run.told().await;
    let of_healthy = |publisher| publisher < SLOW_NUMBERS;
    let before = measures::deliveries(history, 1_000_000, came, of_healthy);
    let beside = measures::deliveries(history, came, gone, of_healthy);
    let closed = history.sockets.iter().filter(|socket| socket.ended.is_some()).count();
    run.measure("deliveries before", before.json());
    run.measure("deliveries beside them", beside.json());
    let slower = beside.p99 as f64 / before.p99.max(1) as f64;
    run.target("p99 of deliveries beside them against before", slower, SLOWER_MAX);
    run.target("all slow sockets closed, ms", closed_ms, CLOSED_MAX_MS);
    run.bound("growth of the node at its peak, KiB", peak as f64, GROWTH_KIB_MAX);
    run.exactly("healthy sockets that were closed", closed, 0);
    run.floor("deliveries beside them", beside.count, size(100, 10_000));
    run.finish().await;
}

fn publish(run: &mut Run, first: u32, channels: &[u32]) {
    for number in 0..PUBLISHERS {
        run.publish(Publisher {
            number: first + number,
            app: 0,
            backends: run.backends(0, 0),
            channels: channels.to_vec(),
            every: Duration::from_secs(1) * PUBLISHERS / RATE,
            attempts_max: 1,
            bytes: EVENT_BYTES,
        });
    }
}

/// A socket that subscribes, with little room, and reads no further than that.
async fn unread(node: std::net::SocketAddr) -> WebSocketStream<TcpStream> {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    let tcp = tcp.connect(node).await.unwrap();
    let uri = format!("ws://{node}/app/{}?protocol=7", credentials(0).key);
    let (mut stream, _) = client_async(uri, tcp).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let data = json!({ "channel": "stuck" });
    let frame = json!({ "event": "pusher:subscribe", "data": data });
    stream.send(Message::text(frame.to_string())).await.unwrap();
    stream
}

async fn sockets_of_node(run: &Run) -> usize {
    let counters = run.arena.counters().await;
    let counters = &counters[&Part::Node(0)];
    counters["carillon_data_plane_sockets"] as usize
}
