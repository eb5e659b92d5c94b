//! Whatever is published after `subscription_succeeded` reaches the socket.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::future::join_all;
use tests::cluster::{Cluster, Shape};

const TRIALS: usize = 10_000;
const AT_A_TIME: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_published_after_the_confirmation_is_missed() {
    let cluster = Arc::new(Cluster::start(Shape::wide()).await);
    let next = Arc::new(AtomicUsize::new(0));
    let workers = (0..AT_A_TIME).map(|worker| {
        let (cluster, next) = (Arc::clone(&cluster), Arc::clone(&next));
        tokio::spawn(async move {
            let mut client = cluster.client(worker % 3).await;
            let backend = cluster.backend(worker % 2);
            loop {
                let trial = next.fetch_add(1, Ordering::Relaxed);
                if trial >= TRIALS {
                    return;
                }
                // A channel that nobody knew: the node must tell its interest first.
                let (channel, data) = (format!("fresh-{trial}"), trial.to_string());
                client.subscribe(&channel).await;
                backend.publish_text(&channel, "e", &data).await;
                client.expect_event(&channel, "e", &data).await;
                client.unsubscribe(&channel).await;
            }
        })
    });
    for worker in join_all(workers).await {
        worker.unwrap();
    }
}

#[tokio::test]
async fn the_second_subscriber_of_a_node_misses_nothing_either() {
    let cluster = Cluster::start(Shape::wide()).await;
    for trial in 0..100 {
        let channel = format!("room-{trial}");
        let mut clients = Vec::new();
        for node in [0, 0, 1, 0, 2, 1] {
            let mut client = cluster.client(node).await;
            client.subscribe(&channel).await;
            clients.push(client);
            let data = clients.len().to_string();
            cluster.backend(0).publish_text(&channel, "e", &data).await;
            for client in &mut clients {
                client.expect_event(&channel, "e", &data).await;
            }
        }
    }
}
