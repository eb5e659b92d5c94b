//! What is published is what is read, byte for byte: every kind of channel with every kind of trouble.

mod cell;
mod listener;
mod message;
mod publisher;
mod referees;

use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde_json::json;
use tests::cluster::{Cluster, Shape};

use self::{cell::Cell, referees::Samples};

/// Messages over all cells, where the environment does not say another number.
const MESSAGES: usize = 10_000;
/// Deltas that the packages of clients decode once more.
const SAMPLES: usize = 4_000;
/// Cells at a time.
const TOGETHER: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn payloads_survive_the_matrix() {
    let app = json!({ "channel_delta_compression": { "keyed-*": { "conflation_key": "asset" } } });
    let cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }.app(app)).await;
    let nodes = [cluster.node_address(0), cluster.node_address(1)];
    let cells = Cell::all();
    let messages = messages().div_ceil(cells.len());
    let samples = Arc::new(Samples::new(SAMPLES / cells.len()));
    let running = cells.into_iter().map(|cell| {
        let (events, samples) = (cluster.events(), Arc::clone(&samples));
        async move { tokio::spawn(cell.run(nodes, events, messages, samples)).await.unwrap() }
    });
    let received: usize = stream::iter(running)
        .buffer_unordered(TOGETHER)
        .fold(0, |sum, received| async move { sum + received })
        .await;
    assert!(received > 2 * messages, "{received} were received");
    samples.referee(SAMPLES / 2).await;
}

fn messages() -> usize {
    let number = tests::chaos::lane::setting("DELTA_MESSAGES");
    number.map_or(MESSAGES, |number| number.parse().expect("DELTA_MESSAGES is a number"))
}
