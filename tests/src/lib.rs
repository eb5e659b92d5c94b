//! What the scenarios stand on: real programs, real sockets, clients that expect.
//!
//! [`cluster`] starts the three programs in this process, [`fleet`] as processes of their own, and
//! [`process`] any of them.
//! [`rest`] and [`grpc`] are an app's backend, [`client`] is a browser, [`rig`] runs the official
//! libraries. [`etcd`] and [`proxy`] are there to be broken; [`balancer`] stands in
//! front of nodes; [`arena`] is a whole cluster to break,
//! and [`chaos`] what judges how it took that.

pub mod arena;
pub mod balancer;
pub mod cluster;
pub mod etcd;
pub mod fleet;
pub mod process;
pub mod proxy;
pub mod quiet;

pub mod chance;
pub mod chaos;
pub mod client;
pub mod grpc;
pub mod load;
pub mod rest;
pub mod rig;

use std::{future::Future, time::Duration};

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What comes of `future`; fails when it takes longer than [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {} s", PATIENCE.as_secs()),
    }
}

/// Asks until there is an answer; fails when there is none within [`PATIENCE`].
pub async fn eventually<T, F>(what: &str, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(value) = ask().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    soon(what, asking).await
}
