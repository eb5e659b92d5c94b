//! A control plane in the simulation: all of the real one but its listeners for backends and operators.

use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use clap::Parser;
use control_plane::{Cluster, ControlPlane, config::Options};
use model::OwnerId;
use proto::plane::operations::Operations;
use tokio::sync::Notify;

use crate::{network, settings};

/// One control plane through all its lives; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Replica {
    /// Its host.
    pub name: &'static str,
    /// All control planes.
    pub all: Arc<[&'static str]>,
    /// How many nodes there are.
    pub nodes: usize,
    /// Counts the lives of all control planes.
    pub lives: Arc<AtomicU64>,
    /// SIGTERM.
    pub terminate: Arc<Notify>,
}

#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    options: Options,
}

impl Replica {
    /// One life, until it is told to end or is killed.
    pub(crate) async fn live(self) -> turmoil::Result {
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let mut options = Defaults::parse_from(["control-plane"]).options;
        options.expect_nodes = self.nodes;
        let others: Vec<_> = self.all.iter().copied().filter(|name| *name != self.name).collect();
        let cluster = Cluster {
            name: Some(self.name.to_owned()),
            address: network::address(self.name),
            peers: network::seeds(&others)?,
            life: Some(OwnerId(life << 20)),
        };
        let settings = settings::settings().await?;
        let operations = Operations::default();
        let control_plane = ControlPlane::start(&options, cluster, settings, &operations);
        let serving = tokio::spawn(network::serve(control_plane.internal_router()));
        self.terminate.notified().await;
        control_plane.hand_over().await;
        tokio::time::sleep(2 * control_plane::node::LAG_MAX).await;
        control_plane.stop();
        tokio::time::sleep(control_plane::node::LAG_MAX).await;
        serving.abort();
        Ok(())
    }
}
