//! Real services over real sockets.

use tokio::net::TcpListener;

use super::*;

fn caller() -> Caller {
    Caller { node_id: String::new(), boot_id: vec![1; 16].into() }
}

/// An address where nobody listens.
async fn nobody() -> String {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", tcp.local_addr().unwrap())
}

#[tokio::test]
async fn one_that_is_not_there_is_known_and_dead() {
    let address = nobody().await;
    let replicas = Replicas::start(Seeds::at([&address]).unwrap(), caller());
    let mut known = replicas.follow();
    known.wait_for(|known| known.len() == 1).await.unwrap();
    assert!(replicas.known()[0].life.is_none() && *replicas.known()[0].address == *address);
    assert!(replicas.dead_since().is_some());
}

#[tokio::test]
async fn its_tasks_end_with_it() {
    let replicas = Replicas::start(Seeds::at([nobody().await]).unwrap(), caller());
    replicas.follow().wait_for(|known| known.len() == 1).await.unwrap();
    let stop = replicas.shared.stop.clone();
    drop(replicas);
    assert!(stop.is_cancelled());
}
