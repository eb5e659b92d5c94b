//! Sockets that stop to read, beside others in the same channels that go on.

use futures_util::{SinkExt as _, StreamExt as _, future::join_all};
use serde_json::json;
use tests::{
    arena::{Part, credentials},
    chaos::{lane::size, measures, publisher::Publisher, run::Run},
};
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{Duration, Instant, sleep},
};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use crate::crowd::{CONTROL_PLANES, listener, order};

const EVENT_BYTES: usize = 10_000;
/// Events per second, in all channels together.
const RATE: u32 = 200;
const PUBLISHERS: u32 = 10;
/// A small window, so that what is not read stands in the node and not in the kernel.
const RECEIVE_BYTES: u32 = 16 << 10;
/// How much longer the healthy may wait, and what the slow may cost the node, in KiB.
const SLOWER_MAX: f64 = 1.5;
const GROWTH_KIB_MAX: f64 = 256.0 * 1_024.0;
const CLOSED_MAX_MS: f64 = 30_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_readers() {
    let mut run = Run::start("slow_readers", order(CONTROL_PLANES, 1, 1)).await;
    let (healthy, slow) = size((50, 50), (1_000, 1_000));
    let channels = run.channels("both", size(2, 25));
    let node = run.arena.nodes()[0];
    for place in 0..healthy {
        run.listen(listener(vec![node], channels[place % channels.len()], 0));
    }
    run.all_seated().await;
    let stop = CancellationToken::new();
    let names: Vec<String> = channels.iter().map(|channel| run.scene.name(*channel)).collect();
    let readers =
        (0..slow).map(|place| reader(node, names[place % names.len()].clone(), stop.clone()));
    let readers: Vec<_> = join_all(readers).await;
    publish(&mut run, &channels);
    sleep(Duration::from_secs(2)).await;
    let base = run.scene.now();
    sleep(Duration::from_secs(size(4, 30))).await;

    let step = run.begin(format!("{slow} sockets stop to read"));
    stop.cancel();
    let stopped = run.done(step);
    let began = Instant::now();
    let mut peak = 0;
    while sockets_of_node(&run).await > healthy && began.elapsed() < Duration::from_secs(60) {
        peak = peak.max(run.growth_kib(Part::Node(0)));
        sleep(Duration::from_millis(100)).await;
    }
    let closed_ms = began.elapsed().as_secs_f64() * 1_000.0;
    let gone = run.scene.now();
    sleep(Duration::from_secs(2)).await;
    readers.iter().for_each(JoinHandle::abort);
    run.probe(gone).await;
    run.hush().await;
    let history = run.told().await;
    let before = measures::deliveries(history, base, stopped, |_| true);
    let beside = measures::deliveries(history, stopped, gone, |_| true);
    let closed = history.sockets.iter().filter(|socket| socket.ended.is_some()).count();
    run.measure("deliveries while all read", before.json());
    run.measure("deliveries beside those that do not", beside.json());
    let slower = beside.p99 as f64 / before.p99.max(1) as f64;
    run.target("p99 of deliveries beside them against before", slower, SLOWER_MAX);
    run.bound("all slow sockets closed, ms", closed_ms, CLOSED_MAX_MS);
    run.bound("growth of the node at its peak, KiB", peak as f64, GROWTH_KIB_MAX);
    run.measure("slow sockets", json!(slow));
    run.exactly("healthy sockets that were closed", closed, 0);
    run.floor("deliveries beside them", beside.count, size(100, 10_000));
    run.finish().await;
}

fn publish(run: &mut Run, channels: &[u32]) {
    for number in 0..PUBLISHERS {
        run.publish(Publisher {
            number,
            app: 0,
            backends: run.backends(0, 0),
            channels: channels.to_vec(),
            every: Duration::from_secs(1) * PUBLISHERS / RATE,
            attempts_max: 1,
            bytes: EVENT_BYTES,
        });
    }
}

/// A socket that subscribes, with little room, and reads all that comes until it is to stop; then it
/// stays as it is.
async fn reader(
    node: std::net::SocketAddr,
    channel: String,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
    let tcp = tcp.connect(node).await.unwrap();
    let uri = format!("ws://{node}/app/{}?protocol=7", credentials(0).key);
    let (mut stream, _) = client_async(uri, tcp).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let frame = json!({ "event": "pusher:subscribe", "data": { "channel": channel } });
    stream.send(Message::text(frame.to_string())).await.unwrap();
    stream.next().await.unwrap().unwrap();
    let mut tcp: TcpStream = stream.into_inner();
    tokio::spawn(async move {
        let mut bytes = vec![0; RECEIVE_BYTES as usize];
        let read = async { while tcp.read(&mut bytes).await.is_ok_and(|bytes| bytes > 0) {} };
        stop.run_until_cancelled(read).await;
        std::future::pending::<()>().await;
    })
}

async fn sockets_of_node(run: &Run) -> usize {
    let counters = run.arena.counters().await;
    let counters = &counters[&Part::Node(0)];
    counters["carillon_data_plane_sockets"] as usize
}
