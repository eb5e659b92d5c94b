//! The link between a node and the control plane breaks, or stands still.

use std::{net::SocketAddr, time::Duration};

use tests::{
    client::Client,
    cluster::{Cluster, Shape, is_ready},
    process::{Process, free_port},
    proxy::Proxy,
    rest::{Backend, Credentials},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// Two nodes; the first one's link goes through a proxy.
async fn with_proxy() -> (Cluster, Proxy) {
    let internal: SocketAddr = ([127, 0, 0, 1], free_port()).into();
    let proxy = Proxy::start(internal).await;
    let shape = Shape { nodes: 2, first_node_calls: Some(proxy.address), ..Shape::default() };
    let shape = shape.control_plane(&format!("--internal-listen={internal}")).alone();
    (Cluster::start(shape).await, proxy)
}

/// Publishes 0, 1, 2, … until told to stop; returns how many, and how long each took.
async fn publish_until(backend: Backend, ended: CancellationToken) -> Vec<Duration> {
    let mut took = Vec::new();
    while !ended.is_cancelled() {
        let began = Instant::now();
        backend.publish_text("room", "e", &took.len().to_string()).await;
        took.push(began.elapsed());
    }
    took
}

async fn receive(client: &mut Client, count: usize) {
    for n in 0..count {
        client.expect_event("room", "e", &n.to_string()).await;
    }
    client.expect_nothing().await;
}

/// One publish waited for the silent node, no longer than it may be waited for.
fn check_waits(took: &[Duration]) {
    let longest = took.iter().max().copied().unwrap_or_default();
    assert!(longest < Duration::from_millis(400), "{longest:?}");
    let waited = took.iter().filter(|took| **took > Duration::from_millis(150)).count();
    assert!(waited <= 1, "{waited} publishes waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_loses_and_doubles_nothing() {
    let (cluster, proxy) = with_proxy().await;
    let mut clients = [cluster.client(0).await, cluster.client(1).await];
    for client in &mut clients {
        client.subscribe("room").await;
    }
    let ended = CancellationToken::new();
    let publisher = tokio::spawn(publish_until(cluster.backend(0), ended.clone()));
    for _ in 0..5 {
        sleep(Duration::from_millis(150)).await;
        proxy.cut();
        sleep(Duration::from_millis(50)).await;
        proxy.heal();
    }
    sleep(Duration::from_millis(150)).await;
    ended.cancel();
    let published = publisher.await.unwrap().len();
    assert!(published > 100, "{published}");
    for client in &mut clients {
        for n in 0..published {
            client.expect_event("room", "e", &n.to_string()).await;
        }
        client.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_stands_still_holds_up_one_publish_once() {
    let (cluster, proxy) = with_proxy().await;
    let [mut held_up, mut other] = [cluster.client(0).await, cluster.client(1).await];
    held_up.subscribe("room").await;
    other.subscribe("room").await;
    let ended = CancellationToken::new();
    let publisher = tokio::spawn(publish_until(cluster.backend(0), ended.clone()));
    sleep(Duration::from_millis(200)).await;
    proxy.freeze();
    sleep(Duration::from_millis(1_000)).await;
    proxy.heal();
    sleep(Duration::from_millis(500)).await;
    ended.cancel();
    let took = publisher.await.unwrap();
    check_waits(&took);
    receive(&mut other, took.len()).await;
    receive(&mut held_up, took.len()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_holds_up_one_publish_once() {
    let cluster = Cluster::start(Shape::default().alone()).await;
    let [public, operations]: [SocketAddr; 2] =
        [(); 2].map(|()| ([127, 0, 0, 1], free_port()).into());
    let node = Process::start(
        "carillon-data-plane",
        &[
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--control-plane=http://{}", cluster.internal_address()),
        ],
    );
    is_ready(operations).await;
    let mut stopped = Client::connect(public, &Credentials::default()).await;
    let mut other = cluster.client(0).await;
    stopped.subscribe("room").await;
    other.subscribe("room").await;
    let ended = CancellationToken::new();
    let publisher = tokio::spawn(publish_until(cluster.backend(0), ended.clone()));
    sleep(Duration::from_millis(200)).await;
    node.signal("STOP");
    sleep(Duration::from_millis(1_000)).await;
    node.signal("CONT");
    sleep(Duration::from_millis(500)).await;
    ended.cancel();
    let took = publisher.await.unwrap();
    check_waits(&took);
    receive(&mut other, took.len()).await;
    receive(&mut stopped, took.len()).await;
}
