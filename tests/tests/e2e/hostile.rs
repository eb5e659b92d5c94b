//! Peers that mean no good, or cannot keep up: others do not notice them.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    client::{Client, Incoming},
    cluster::{Cluster, Shape, is_ready},
    process::{Process, free_port},
    quiet::Place,
    rest::{Backend, Credentials},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

/// Masked with zeros, as clients may: the payload stands there as it is.
fn masked(head: &[u8], payload: &[u8]) -> Vec<u8> {
    [head, &[0; 4], payload].concat()
}

#[tokio::test]
async fn what_breaks_the_websocket_protocol_is_closed_with_its_code() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut bystander = cluster.client(0).await;
    bystander.subscribe("room").await;
    let long = [0x81, 0xff, 0, 0, 0, 0, 0, 2, 0, 1];
    let huge = [0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for (what, bytes, code) in [
        ("bad UTF-8", masked(&[0x81, 0x82], b"\xff\xfe"), 1007),
        ("UTF-8 that ends early", masked(&[0x81, 0x81], b"\xc3"), 1007),
        ("a frame over the limit", masked(&long, b"x"), 1009),
        ("a frame of eight exabytes", masked(&huge, b"x"), 1009),
        ("an unmasked frame", vec![0x81, 0x01, b'x'], 1002),
        ("an unknown opcode", masked(&[0x83, 0x81], b"x"), 1002),
        ("a reserved bit", masked(&[0xc1, 0x81], b"x"), 1002),
        ("a ping in fragments", masked(&[0x09, 0x81], b"x"), 1002),
        ("a ping of 126 bytes", masked(&[0x89, 0xfe, 0, 126], &[0; 126]), 1002),
        ("a continuation of nothing", masked(&[0x80, 0x81], b"x"), 1002),
    ] {
        let mut client = cluster.client(0).await;
        client.send_bytes(&bytes).await;
        let next = client.next().await;
        let closed = matches!(next, Incoming::Close(given, _) if given == code);
        assert!(closed, "{what}: {next:?}");
        assert_eq!(client.next().await, Incoming::End, "{what}");
    }
    cluster.backend(0).publish_text("room", "e", "x").await;
    bystander.expect_event("room", "e", "x").await;
    bystander.expect_nothing().await;
}

#[tokio::test]
async fn fragments_do_not_get_around_the_limit() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    let part = [b'x'; 16 << 10];
    for place in 0..9 {
        let opcode = if place == 0 { 0x01 } else { 0x00 };
        client.send_bytes(&masked(&[opcode, 0xfe, 0x40, 0x00], &part)).await;
    }
    client.expect_close(1009).await;
}

/// Sends a beginning and then nothing; returns how long the connection was kept.
async fn kept_for(address: SocketAddr, beginning: &[u8]) -> Option<Duration> {
    let began = Instant::now();
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(beginning).await.unwrap();
    let to_the_end = async { while let Ok(1..) = tcp.read(&mut [0; 1_024]).await {} };
    timeout(Duration::from_secs(15), to_the_end).await.ok().map(|()| began.elapsed())
}

#[tokio::test]
async fn those_who_do_not_get_to_the_point_are_closed() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut bystander = cluster.client(0).await;
    bystander.subscribe("room").await;
    let node = cluster.node_address(0);
    let gateway = cluster.gateways[0].running.address;
    let beginnings: [&[u8]; 5] = [
        b"",
        b"P",
        b"GET /app/app-key HTTP/1.1\r\nHost: x\r\n",
        b"POST /apps/app-id/events HTTP/1.1\r\nX-Slow: ",
        b"\x16\x03\x01",
    ];
    let waits = beginnings.iter().flat_map(|beginning| {
        [node, gateway].map(|address| async move {
            let kept = kept_for(address, beginning).await;
            let shown = String::from_utf8_lossy(beginning);
            assert!(kept.is_some_and(|kept| kept < Duration::from_secs(13)), "{shown:?}: {kept:?}");
        })
    });
    join_all(waits).await;
    cluster.backend(0).publish_text("room", "e", "x").await;
    bystander.expect_event("room", "e", "x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_does_not_read_is_closed_and_nobody_waits_for_it() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut slow = cluster.client(0).await;
    let mut fast = cluster.client(0).await;
    for client in [&mut slow, &mut fast] {
        client.subscribe("room").await;
    }
    let data = "x".repeat(100 << 10);
    let event = |n: usize| json!({ "name": n.to_string(), "channel": "room", "data": data, "info": "subscription_count" });
    let backend = cluster.backend(0);
    let began = Instant::now();
    let mut published = 0;
    // The count falls when the node has given up on the slow one.
    loop {
        let sent = Instant::now();
        let answer = backend.publish(&event(published)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(sent.elapsed() < Duration::from_millis(200), "{:?}", sent.elapsed());
        assert_eq!(fast.next_frame().await["event"], published.to_string());
        published += 1;
        if answer.json()["channels"]["room"]["subscription_count"] == 1 {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{published} events, and it is still open"
        );
    }
    // What it did get is without a hole, and then it is told.
    let mut received = 0;
    let last: Value = loop {
        let frame = slow.next_frame().await;
        let expected = received.to_string();
        if frame["event"].as_str() != Some(&expected) {
            break frame;
        }
        received += 1;
    };
    assert!(received < published);
    assert_eq!(last["event"], "pusher:error", "after {received} of {published}: {last}");
    assert_eq!(last["data"]["code"], 4100);
    slow.expect_close(4100).await;
    fast.expect_nothing().await;
}

/// The all-in-one as a process of its own, whose memory can be told from that of the tests.
async fn all_in_one(folder: &TempDir) -> (Process, SocketAddr) {
    let [public, operations]: [SocketAddr; 2] =
        [(); 2].map(|()| ([127, 0, 0, 1], free_port()).into());
    let arguments = [
        format!("--listen={public}"),
        format!("--operations-listen={operations}"),
        format!("--data={}", folder.path().display()),
    ];
    let process = Process::start("carillon", &arguments);
    is_ready(operations).await;
    (process, public)
}

#[tokio::test]
async fn sockets_that_do_not_read_cost_no_more_than_their_outboxes() {
    const SOCKETS: u64 = 20;
    const OUTBOX_KIB: u64 = 1 << 10;
    let _place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let (process, public) = all_in_one(&folder).await;
    let backend = Backend::new(public, Credentials::default());
    let mut slow = Vec::new();
    for _ in 0..SOCKETS {
        let mut client = Client::connect(public, &Credentials::default()).await;
        client.subscribe("room").await;
        slow.push(client);
    }
    let before = process.resident_kib();
    // 15 MiB for each of them.
    let data = "x".repeat(100 << 10);
    for _ in 0..150 {
        backend.publish_text("room", "e", &data).await;
        let grown = process.resident_kib().saturating_sub(before);
        assert!(grown < SOCKETS * OUTBOX_KIB + (32 << 10), "{grown} KiB");
    }
    let event =
        json!({ "name": "e", "channel": "room", "data": "x", "info": "subscription_count" });
    let answer = backend.publish(&event).await.json();
    assert_eq!(answer["channels"]["room"]["subscription_count"], 0, "all were closed");
}

const NAMES: usize = 100_000;
/// Subscribed at a time, and channels of one publish.
const CHUNK: usize = 100;

/// Subscribes and leaves, and publishes to, channels that nobody has named before.
async fn name_channels(client: &mut Client, backend: &Backend, round: &str) {
    for chunk in 0..NAMES / CHUNK {
        let names: Vec<_> = (0..CHUNK).map(|n| format!("{round}-{chunk}-{n}")).collect();
        for name in &names {
            client.ask_for(name).await;
        }
        for _ in &names {
            let frame = client.next_frame().await;
            assert_eq!(frame["event"], "pusher_internal:subscription_succeeded", "{frame}");
        }
        for name in &names {
            client.unsubscribe(name).await;
        }
        let unheard: Vec<_> = names.iter().map(|name| format!("{name}-unheard")).collect();
        let event = json!({ "name": "e", "channels": unheard, "data": "x" });
        assert_eq!(backend.publish(&event).await.status, 200);
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_hundred_thousand_channel_names_do_not_fill_the_memory() {
    let _place = Place::take(false).await;
    let folder = TempDir::new().unwrap();
    let (process, public) = all_in_one(&folder).await;
    let backend = Backend::new(public, Credentials::default());
    let mut client = Client::connect(public, &Credentials::default()).await;
    let mut bystander = Client::connect(public, &Credentials::default()).await;
    bystander.subscribe("room").await;
    let before = process.resident_kib();
    name_channels(&mut client, &backend, "first").await;
    let first = process.resident_kib() - before;
    assert!(first < 128 << 10, "{first} KiB for {NAMES} names");
    backend.publish_text("room", "e", "x").await;
    bystander.expect_event("room", "e", "x").await;
    bystander.expect_nothing().await;
}
