//! Presence while planes come and go.

use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::{Cluster, Shape, is_ready},
    process::{Process, free_port},
    proxy::Proxy,
    rest::Credentials,
};
use tokio::time::Instant;

use super::{ROOM, users};

/// All notices of the channel have arrived and these clients have read them.
async fn quiet<const N: usize>(cluster: &Cluster, clients: [&mut Client; N]) {
    cluster.backend(0).publish_text(ROOM, "quiet", "?").await;
    for client in clients {
        client.expect_event(ROOM, "quiet", "?").await;
        client.expect_nothing().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_node_that_drains_do_not_flap() {
    let mut cluster = Cluster::start(Shape::wide()).await;
    let [mut here, mut there] = [cluster.client(1).await, cluster.client(2).await];
    here.join(ROOM, "0", &["0"]).await;
    there.join(ROOM, "0", &["0"]).await;
    let mut moving = Vec::new();
    for user in ["1", "2", "3", "4", "5", "stays away"] {
        let mut client = cluster.client(0).await;
        client.ask_to_join(ROOM, &json!({ "user_id": user })).await;
        client.next_frame().await;
        for other in [&mut here, &mut there] {
            other.expect_added(ROOM, user).await;
        }
        moving.push((user, client));
    }
    let addresses = [1, 2].map(|node| cluster.node_address(node));
    let moves = moving.into_iter().enumerate().map(|(place, (user, mut client))| {
        tokio::spawn(async move {
            // What the others do is told until the close.
            while client.next_frame().await["event"] != "pusher:error" {}
            client.expect_close(4200).await;
            if user == "stays away" {
                return None;
            }
            let mut client = Client::connect(addresses[place % 2], &Credentials::default()).await;
            client.ask_to_join(ROOM, &json!({ "user_id": user })).await;
            let frame = client.next_frame().await;
            assert_eq!(frame["event"], "pusher_internal:subscription_succeeded", "{frame}");
            Some(client)
        })
    });
    let moves: Vec<_> = moves.collect();
    cluster.restart_node(0).await;
    let mut moved = Vec::new();
    for client in moves {
        moved.extend(client.await.unwrap());
    }
    // The one who does not come back is the first of whom anybody hears.
    for client in [&mut here, &mut there].into_iter().chain(&mut moved) {
        client.expect_removed(ROOM, "stays away").await;
    }
    quiet(&cluster, [&mut here, &mut there]).await;
    assert_eq!(users(&cluster.backend(0), ROOM).await, ["0", "1", "2", "3", "4", "5"]);
}

/// A node as a process of its own, beside those of the cluster.
async fn process_of(cluster: &Cluster, folder: &TempDir) -> (Process, std::net::SocketAddr) {
    let [address, operations] =
        [free_port(), free_port()].map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let process = Process::start(
        "carillon-data-plane",
        &[
            format!("--listen={address}"),
            format!("--operations-listen={operations}"),
            format!("--control-plane=http://{}", cluster.internal_address()),
            format!("--last-known-good={}", folder.path().join("apps").display()),
        ],
    );
    is_ready(operations).await;
    (process, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_a_node_that_is_killed_are_gone_within_5_s() {
    let cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }.alone()).await;
    let folder = TempDir::new().unwrap();
    let (process, address) = process_of(&cluster, &folder).await;
    let [mut here, mut there] = [cluster.client(0).await, cluster.client(1).await];
    here.join(ROOM, "here", &["here"]).await;
    there.join(ROOM, "there", &["here", "there"]).await;
    here.expect_added(ROOM, "there").await;
    let mut lost = Client::connect(address, &Credentials::default()).await;
    lost.join(ROOM, "lost", &["here", "lost", "there"]).await;
    let mut tab = Client::connect(address, &Credentials::default()).await;
    tab.join(ROOM, "here", &["here", "lost", "there"]).await;
    for other in [&mut here, &mut there] {
        other.expect_added(ROOM, "lost").await;
    }
    process.signal("KILL");
    let killed = Instant::now();
    for other in [&mut here, &mut there] {
        other.expect_removed(ROOM, "lost").await;
    }
    let took = killed.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    quiet(&cluster, [&mut here, &mut there]).await;
    assert_eq!(users(&cluster.backend(0), ROOM).await, ["here", "there"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_control_plane_that_restarts_is_not_seen() {
    let mut cluster = Cluster::start(Shape::wide()).await;
    let [mut ann, mut bob] = [cluster.client(0).await, cluster.client(1).await];
    let mut eve = cluster.client(2).await;
    ann.join(ROOM, "ann", &["ann"]).await;
    bob.join(ROOM, "bob", &["ann", "bob"]).await;
    ann.expect_added(ROOM, "bob").await;
    eve.join(ROOM, "eve", &["ann", "bob", "eve"]).await;
    ann.expect_added(ROOM, "eve").await;
    bob.expect_added(ROOM, "eve").await;

    cluster.stop_control_plane().await;
    cluster.start_control_plane().await;
    cluster.ready().await;
    quiet(&cluster, [&mut ann, &mut bob, &mut eve]).await;
    assert_eq!(users(&cluster.backend(0), ROOM).await, ["ann", "bob", "eve"]);

    // Who goes while there is none is gone afterwards, once.
    cluster.stop_control_plane().await;
    eve.unsubscribe(ROOM).await;
    eve.expect_nothing().await;
    cluster.start_control_plane().await;
    cluster.ready().await;
    for other in [&mut ann, &mut bob] {
        other.expect_removed(ROOM, "eve").await;
    }
    quiet(&cluster, [&mut ann, &mut bob]).await;
    eve.join(ROOM, "eve", &["ann", "bob", "eve"]).await;
    for other in [&mut ann, &mut bob] {
        other.expect_added(ROOM, "eve").await;
    }
    quiet(&cluster, [&mut ann, &mut bob, &mut eve]).await;
}

/// Two nodes; the first one's link goes through a proxy.
async fn with_proxy() -> (Cluster, Proxy) {
    let internal = std::net::SocketAddr::from(([127, 0, 0, 1], free_port()));
    let proxy = Proxy::start(internal).await;
    let shape = Shape { nodes: 2, first_node_calls: Some(proxy.address), ..Shape::default() };
    let shape = shape.control_plane(&format!("--internal-listen={internal}"));
    (Cluster::start(shape).await, proxy)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_is_missed_after_a_grace_and_its_sockets_come_back() {
    let (cluster, proxy) = with_proxy().await;
    let [mut ann, mut bob] = [cluster.client(0).await, cluster.client(1).await];
    let mut eve = cluster.client(1).await;
    ann.join(ROOM, "ann", &["ann"]).await;
    bob.join(ROOM, "bob", &["ann", "bob"]).await;
    ann.expect_added(ROOM, "bob").await;
    // A moment is not noticed.
    proxy.cut();
    tokio::time::sleep(Duration::from_millis(500)).await;
    proxy.heal();
    eve.join(ROOM, "eve", &["ann", "bob", "eve"]).await;
    for other in [&mut ann, &mut bob] {
        other.expect_added(ROOM, "eve").await;
    }
    quiet(&cluster, [&mut ann, &mut bob, &mut eve]).await;

    proxy.cut();
    for other in [&mut bob, &mut eve] {
        other.expect_removed(ROOM, "ann").await;
    }
    eve.unsubscribe(ROOM).await;
    bob.expect_removed(ROOM, "eve").await;
    let mut dan = cluster.client(1).await;
    dan.join(ROOM, "dan", &["bob", "dan"]).await;
    bob.expect_added(ROOM, "dan").await;
    ann.expect_nothing().await;
    // What was published meanwhile is lost to the node: its sockets have to come back.
    proxy.heal();
    ann.expect_refusal(4200).await;
    let mut ann = cluster.client(0).await;
    ann.join(ROOM, "ann", &["ann", "bob", "dan"]).await;
    for other in [&mut bob, &mut dan] {
        other.expect_added(ROOM, "ann").await;
    }
}
