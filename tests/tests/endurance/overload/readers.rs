//! Sockets that never read beside as many that do.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use tests::{client::Client, quiet::Place, rest::Credentials, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::Barrier,
    time::{Instant, interval, sleep},
};

use super::{Server, quantile};
use crate::size::{is_full, say, size};

/// What is published, and to whom: in each channel so many read, and in the second run as many do not.
#[derive(Clone, Copy)]
struct Load {
    channels: usize,
    each: usize,
    per_second: u32,
    run: Duration,
}

const DATA_BYTES: usize = 10 << 10;
const CLOSED_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_closed_and_the_others_do_not_notice() {
    let load = size(
        Load { channels: 1, each: 5, per_second: 50, run: Duration::from_secs(14) },
        Load { channels: 10, each: 100, per_second: 200, run: Duration::from_secs(30) },
    );
    let _place = Place::take(true).await;
    let server = Server::start(&[], None).await;
    let base = traffic(&server, load).await;

    let before = server.process.resident_kib();
    let slow: Vec<_> =
        join_all((0..load.sockets()).map(|n| subscribe(server.public, n % load.channels))).await;
    let (began, expected) = (Instant::now(), slow.len() as u64);
    let closed = async {
        let name = "carillon_data_plane_closes_total{code=\"4100\"}";
        while server.metric(name).await < expected {
            assert!(began.elapsed() < CLOSED_WITHIN + load.run, "not all are closed");
            sleep(Duration::from_millis(100)).await;
        }
        began.elapsed()
    };
    let grown = async {
        let (mut peak, began) = (0, Instant::now());
        while began.elapsed() < load.run {
            peak = peak.max(server.process.resident_kib().saturating_sub(before));
            sleep(Duration::from_millis(200)).await;
        }
        peak
    };
    let beside = traffic(&server, load);
    let (beside, closed, grown) = tokio::join!(beside, closed, grown);
    say(&format!(
        "{} sockets that do not read beside as many that do, {} events/s of {DATA_BYTES} bytes: \
         p99 {beside:?} (without them {base:?}), the last closed after {closed:?}, +{grown} KiB",
        slow.len(),
        load.per_second
    ));
    assert!(closed < CLOSED_WITHIN, "{closed:?}");
    assert!(grown < 256 << 10, "{grown} KiB");
    // In the everyday run the programs are not optimised and others use the machine: there it counts
    // that every reader has had every event.
    let bound = base.mul_f64(1.5) + Duration::from_millis(5);
    assert!(!is_full() || beside < bound, "{beside:?} with, {base:?} without");
    drop(slow);
}

impl Load {
    fn sockets(self) -> usize {
        self.channels * self.each
    }
}

/// Publishes to all channels in turn; the p99 from publish to receipt.
async fn traffic(server: &Server, load: Load) -> Duration {
    let Load { channels, per_second, run, .. } = load;
    let origin = Instant::now();
    let events = per_second as usize * run.as_secs() as usize;
    let all_are_there = Arc::new(Barrier::new(load.sockets() + 1));
    let readers = (0..load.sockets()).map(|number| {
        let there = Arc::clone(&all_are_there);
        let expected = (events / channels, origin);
        tokio::spawn(read(server.public, number % channels, expected, there))
    });
    let readers: Vec<_> = readers.collect();
    soon("all are there", all_are_there.wait()).await;
    let (backend, mut pace) = (server.backend(), interval(Duration::from_secs(1) / per_second));
    for number in 0..events {
        pace.tick().await;
        let (backend, channel) = (backend.clone(), format!("room-{}", number % channels));
        tokio::spawn(async move {
            let data = format!("{:0>DATA_BYTES$}", origin.elapsed().as_micros());
            backend.publish_text(&channel, "e", &data).await;
        });
    }
    let latencies = join_all(readers).await;
    let mut latencies: Vec<_> = latencies.into_iter().flat_map(Result::unwrap).collect();
    quantile(&mut latencies, 0.99)
}

/// Reads so many events; how long each was under way.
async fn read(
    address: SocketAddr,
    channel: usize,
    (expected, origin): (usize, Instant),
    all_are_there: Arc<Barrier>,
) -> Vec<Duration> {
    let mut client = Client::connect(address, &Credentials::default()).await;
    client.subscribe(&format!("room-{channel}")).await;
    all_are_there.wait().await;
    let mut latencies = Vec::with_capacity(expected);
    for _ in 0..expected {
        let frame = client.next_frame().await;
        let sent = frame["data"].as_str().and_then(|digits| digits.parse().ok());
        let sent = Duration::from_micros(sent.unwrap());
        latencies.push(origin.elapsed().saturating_sub(sent));
    }
    latencies
}

/// Subscribes, and reads no more than the greeting.
async fn subscribe(address: SocketAddr, channel: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut tcp = socket.connect(address).await.unwrap();
    let upgrade = "GET /app/app-key?protocol=7 HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(upgrade.as_bytes()).await.unwrap();
    let mut greeting = [0; 512];
    assert!(tcp.read(&mut greeting).await.unwrap() > 0);
    let text = format!(r#"{{"event":"pusher:subscribe","data":{{"channel":"room-{channel}"}}}}"#);
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    tcp.write_all(&frame).await.unwrap();
    tcp
}
