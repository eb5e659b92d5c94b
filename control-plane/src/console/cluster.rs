//! Who takes part in the cluster, and how they do.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use model::{AppId, NodeId};
use serde::Serialize;
use tokio::time::Instant;

use super::{Console, answer::respond};
use crate::{
    node::Node,
    nodes::Nodes,
    ownership::Standing,
    replicas::Replicas,
    settings::{Settings, WatcherLook},
    shards::Shards,
};

/// Where a [`ClusterView`] is taken from; cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster {
    settings: Settings,
    shards: Arc<Shards>,
    nodes: Arc<Nodes>,
    replicas: Arc<Replicas>,
    started: Instant,
}

/// The cluster as this control plane sees it.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterView {
    /// The program's version.
    pub version: &'static str,
    /// Control planes, this one first.
    pub control_planes: Vec<ControlPlaneView>,
    /// Nodes that are attached, or were until a moment ago.
    pub nodes: Vec<NodeView>,
    /// Gateways and nodes that follow the settings here.
    pub watchers: Vec<WatcherLook>,
    /// Connections by app and node.
    pub connections: Vec<ConnectionsView>,
}

/// One control plane.
#[derive(Clone, Debug, Serialize)]
pub struct ControlPlaneView {
    /// Its name.
    pub name: String,
    /// One life of it, in hexadecimal.
    pub owner: String,
    /// Its internal listener.
    pub address: String,
    /// It answers.
    pub reachable: bool,
    /// Shards are given to it.
    pub eligible: bool,
    /// Shards that it dispatches.
    pub shards: usize,
    /// The highest epoch of these.
    pub epoch_max: u64,
    /// What only the one that is asked knows of itself; absent for the others.
    pub own: Option<OwnView>,
}

/// What a control plane knows of itself.
#[derive(Clone, Debug, Serialize)]
pub struct OwnView {
    /// Channels with interest.
    pub channels: usize,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Since the store last confirmed the settings; absent where it never has.
    pub config_age_seconds: Option<f64>,
    /// Of the settings in force.
    pub config_revision: u64,
    /// Apps in force.
    pub apps: usize,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// One life of it, in hexadecimal.
    pub boot: String,
    /// It has a stream.
    pub attached: bool,
    /// Publishers wait for it.
    pub healthy: bool,
    /// It closes its sockets.
    pub draining: bool,
    /// Events on their way to it.
    pub queue_events: usize,
    /// Bytes of these.
    pub queue_bytes: usize,
    /// Age of the oldest of these.
    pub lag_ms: u64,
    /// Open WebSockets, over all apps.
    pub connections: u32,
}

/// The connections of an app on a node.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsView {
    /// The app.
    pub app_id: String,
    /// The node.
    pub node: String,
    /// How many.
    pub connections: u32,
}

impl Cluster {
    /// Of these.
    #[must_use]
    pub fn new(
        settings: Settings,
        (shards, nodes, replicas): (Arc<Shards>, Arc<Nodes>, Arc<Replicas>),
    ) -> Self {
        Self { settings, shards, nodes, replicas, started: Instant::now() }
    }

    /// Nodes that can be asked.
    pub(super) fn attached(&self) -> Vec<Arc<Node>> {
        self.nodes.all().into_iter().filter(|node| node.is_attached()).collect()
    }

    /// As it is.
    #[must_use]
    pub fn view(&self) -> ClusterView {
        let connections: Vec<_> = self.connections();
        let nodes = self.nodes(&connections);
        ClusterView {
            version: env!("CARGO_PKG_VERSION"),
            control_planes: self.control_planes(),
            nodes,
            watchers: self.settings.watchers(),
            connections,
        }
    }

    fn control_planes(&self) -> Vec<ControlPlaneView> {
        let (shards, epoch_max) = self.shards.epochs();
        let me = self.replicas.myself();
        let own = ControlPlaneView {
            name: me.name,
            owner: format!("{:016x}", me.owner),
            address: me.address,
            reachable: true,
            eligible: me.eligible,
            shards,
            epoch_max,
            own: Some(self.own()),
        };
        let peer = |(address, standing): (String, Standing)| ControlPlaneView {
            name: standing.name.to_string(),
            owner: format!("{:016x}", standing.owner.0),
            address,
            reachable: standing.reachable,
            eligible: standing.eligible,
            shards: standing.held.iter().filter(|epoch| **epoch > 0).count(),
            epoch_max: standing.held.iter().copied().max().unwrap_or(0),
            own: None,
        };
        let mut peers: Vec<_> = self.replicas.standings().into_iter().map(peer).collect();
        peers.sort_by(|a, b| a.name.cmp(&b.name));
        std::iter::once(own).chain(peers).collect()
    }

    fn own(&self) -> OwnView {
        let apps = self.settings.apps();
        let apps = apps.borrow();
        OwnView {
            channels: self.shards.channels(),
            uptime_seconds: self.started.elapsed().as_secs(),
            config_age_seconds: self.settings.current_age().as_ref().map(Duration::as_secs_f64),
            config_revision: apps.as_ref().map_or(0, |apps| apps.revision()),
            apps: apps.as_ref().map_or(0, |apps| apps.len()),
        }
    }

    fn nodes(&self, connections: &[ConnectionsView]) -> Vec<NodeView> {
        let now = Instant::now().into_std();
        let view = |node: Arc<Node>| {
            let (queue_events, queue_bytes) = node.depth();
            let own = connections.iter().filter(|count| *count.node == *node.id.0);
            NodeView {
                name: node.id.to_string(),
                boot: format!("{:032x}", node.boot.0),
                attached: node.is_attached(),
                healthy: node.is_healthy(),
                draining: node.is_draining(),
                queue_events,
                queue_bytes,
                lag_ms: node.lag(now).as_millis() as u64,
                connections: own.map(|count| count.connections).sum(),
            }
        };
        let mut nodes: Vec<_> = self.nodes.all().into_iter().map(view).collect();
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        nodes
    }

    fn connections(&self) -> Vec<ConnectionsView> {
        let view = |(app, node, connections): (AppId, NodeId, u32)| ConnectionsView {
            app_id: app.to_string(),
            node: node.to_string(),
            connections,
        };
        self.nodes.connections().into_iter().map(view).collect()
    }
}

#[allow(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn show(State(console): State<Console>) -> Response {
    respond(Ok(console.cluster.view()))
}
