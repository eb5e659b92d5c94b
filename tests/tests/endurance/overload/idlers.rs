//! Connections that never get to the point, some a byte at a time, beside honest ones.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use tests::{client::Client, quiet::Place, rest::Credentials};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

use super::{Server, quantile};
use crate::size::{say, size};

/// What they begin with; a byte follows every so often.
const BEGINNINGS: [&[u8]; 5] = [
    b"",
    b"PRI * HTTP/2.0\r\n",
    b"GET /app/app-key HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    b"POST /apps/app-id/events HTTP/1.1\r\nX-Slow: ",
    b"POST /apps/app-id/events HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
];
const EVERY: Duration = Duration::from_secs(2);
const KEPT_MAX: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_gets_to_the_point_is_closed_and_holds_up_nobody() {
    let attackers = size(300, 1_000);
    let _place = Place::take(true).await;
    let server = Server::start(&[], None).await;
    let began = Instant::now();
    let attack = (0..attackers).map(|number| {
        let beginning = BEGINNINGS[number % BEGINNINGS.len()];
        tokio::spawn(attack(server.public, beginning))
    });
    let attack: Vec<_> = attack.collect();
    let mut took = Vec::new();
    while began.elapsed() < Duration::from_secs(9) {
        let connecting = Instant::now();
        let client = Client::connect(server.public, &Credentials::default()).await;
        took.push(connecting.elapsed());
        drop(client);
        sleep(Duration::from_millis(20)).await;
    }
    let kept: Vec<Duration> = join_all(attack).await.into_iter().map(Result::unwrap).collect();
    let longest = kept.iter().max().unwrap();
    let p99 = quantile(&mut took, 0.99);
    say(&format!(
        "{attackers} idlers kept for {longest:?} at most; {} honest connections, p99 {p99:?}",
        took.len()
    ));
    assert!(*longest < KEPT_MAX, "{longest:?}");
    assert!(p99 < Duration::from_millis(size(500, 100)), "{p99:?}");
}

/// How long one was kept.
async fn attack(address: SocketAddr, beginning: &[u8]) -> Duration {
    let began = Instant::now();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let mut written = tcp.write_all(beginning).await;
    let mut bytes = [0; 1_024];
    while began.elapsed() < KEPT_MAX + EVERY && written.is_ok() {
        match timeout(EVERY, tcp.read(&mut bytes)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => {}
            Err(_) => written = tcp.write_all(b"x").await,
        }
    }
    began.elapsed()
}
