//! New sockets per address, over real sockets: counted, refused before the upgrade, never by a forged
//! header.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{net::SocketAddr, time::Duration};

use clap::{Args as _, FromArgMatches as _};
use data_plane::{DataPlane, Surroundings, config::Options, identity::Identity};
use proto::{
    plane::{
        operations::Operations,
        serve::{Listener, ListenerMetrics},
    },
    replicas::{Replicas, Seeds},
    watch::AppsReceiver,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// A node without a control plane: it knows no apps, and upgrades all the same.
struct Node {
    address: SocketAddr,
    operations_address: SocketAddr,
}

impl Node {
    async fn start(line: &[&str], trusted_proxy_hops: usize) -> Self {
        let command = Options::augment_args(clap::Command::new("node").no_binary_name(true));
        let options = Options::from_arg_matches(&command.get_matches_from(line)).unwrap();
        let (_, apps): (_, AppsReceiver) = tokio::sync::watch::channel(None);
        let identity = Identity::new(Some("node".into()));
        let nobody = Seeds::at(["http://127.0.0.1:1"]).unwrap();
        let surroundings = Surroundings {
            apps,
            replicas: Replicas::start(nobody, identity.caller()),
            identity,
            trusted_proxy_hops,
        };
        let operations = Operations::default();
        let node = DataPlane::start(&options, surroundings, &operations).unwrap();
        let address = serve(node.router()).await;
        Self { address, operations_address: serve(operations.router()).await }
    }

    /// Asks for an upgrade; the connection ends with the answer.
    async fn upgrade(&self, key: &str, headers: &[&str]) -> Answer {
        let lines: String = headers.iter().map(|line| format!("{line}\r\n")).collect();
        let request = format!(
            "GET /app/key HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{lines}\r\n"
        );
        Answer(ask(self.address, &request).await)
    }

    async fn open(&self, headers: &[&str]) -> Answer {
        self.upgrade("dGhlIHNhbXBsZSBub25jZQ==", headers).await
    }

    async fn metrics(&self) -> String {
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        let mut stream = TcpStream::connect(self.operations_address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }
}

async fn serve(router: axum::Router) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let listener = Listener { tcp, tls: None, router, connections_max: 1_000 };
    tokio::spawn(listener.serve(ListenerMetrics::default(), std::future::pending()));
    address
}

/// The head of the answer to a request.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    let read = async {
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("silence");
    String::from_utf8(head).unwrap()
}

/// The head of an answer.
struct Answer(String);

impl Answer {
    fn status(&self) -> &str {
        self.0.split(' ').nth(1).unwrap()
    }

    fn retry_after(&self) -> Option<u32> {
        let mut lines = self.0.lines().map(str::to_lowercase);
        lines.find_map(|line| line.strip_prefix("retry-after: ")?.parse().ok())
    }
}

#[tokio::test]
async fn an_address_may_open_so_many_in_a_window() {
    let line = ["--sockets-per-address=2", "--sockets-per-address-window-seconds=1000"];
    let node = Node::start(&line, 0).await;
    assert_eq!(node.open(&[]).await.status(), "101");
    assert_eq!(node.upgrade("short", &[]).await.status(), "400");
    assert_eq!(node.open(&[]).await.status(), "101");
    for forged in [[].as_slice(), &["X-Forwarded-For: 10.0.0.1"], &["X-Real-IP: 10.0.0.2"]] {
        let refused = node.open(forged).await;
        assert_eq!(refused.status(), "429", "{forged:?}");
        assert!(matches!(refused.retry_after(), Some(900..=1_000)), "{}", refused.0);
    }
    let metrics = node.metrics().await;
    for line in [
        "carillon_data_plane_address_limit_refused_total 3",
        "carillon_data_plane_sockets_opened_total 2",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_tells_addresses_apart() {
    let node = Node::start(&["--sockets-per-address=1"], 1).await;
    for (forwarded, status) in [
        ("10.0.0.9, 10.0.0.1", "101"),
        ("10.0.0.9, 10.0.0.2", "101"),
        ("10.0.0.8, 10.0.0.1", "429"),
        ("10.0.0.3", "101"),
        ("10.0.0.3", "429"),
        ("2001:db8::1", "101"),
        ("2001:db8::2", "429"),
    ] {
        let answer = node.open(&[&format!("X-Forwarded-For: {forwarded}")]).await;
        assert_eq!(answer.status(), status, "{forwarded}");
    }
}

#[tokio::test]
async fn without_a_limit_nobody_is_counted() {
    let node = Node::start(&[], 0).await;
    for _ in 0..100 {
        assert_eq!(node.open(&[]).await.status(), "101");
    }
}
