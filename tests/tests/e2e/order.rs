//! All sockets see the events of one channel in one order, each once.

use futures_util::future::join_all;
use tests::cluster::{Cluster, Shape};

const PUBLISHERS: usize = 4;
const EVENTS_EACH: usize = 500;
const SOCKETS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sockets_on_three_nodes_see_one_order() {
    let cluster = Cluster::start(Shape::wide()).await;
    let sockets = join_all((0..SOCKETS).map(|place| {
        let cluster = &cluster;
        async move {
            let mut client = cluster.client(place % 3).await;
            client.subscribe("room").await;
            client
        }
    }));
    let readers = sockets.await.into_iter().map(|mut client| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < PUBLISHERS * EVENTS_EACH {
                let frame = client.next_frame().await;
                seen.push(frame["data"].as_str().unwrap().to_owned());
            }
            client.expect_nothing().await;
            seen
        })
    });
    let readers: Vec<_> = readers.collect();
    let publishers = (0..PUBLISHERS).map(|publisher| {
        let backend = cluster.backend(publisher % 2);
        tokio::spawn(async move {
            for n in 0..EVENTS_EACH {
                backend.publish_text("room", "e", &format!("{publisher}:{n}")).await;
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let mut orders = Vec::new();
    for reader in readers {
        orders.push(reader.await.unwrap());
    }
    let first = &orders[0];
    assert!(orders.iter().all(|order| order == first), "one order");
    for publisher in 0..PUBLISHERS {
        let prefix = format!("{publisher}:");
        let own: Vec<_> = first.iter().filter_map(|data| data.strip_prefix(&prefix)).collect();
        let expected: Vec<_> = (0..EVENTS_EACH).map(|n| n.to_string()).collect();
        assert_eq!(own, expected, "a publisher that waits for answers keeps its order");
    }
}
