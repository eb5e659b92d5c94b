//! The parts of an arena and the command lines that they are started with.

use std::{fmt, net::SocketAddr, path::Path, path::PathBuf};

use super::{Order, network::Berth};
use crate::{
    cluster::ADMIN_TOKEN,
    process::{Launch, free_port, program},
};

/// One process of an arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A member of etcd.
    Etcd(usize),
    /// A control plane.
    ControlPlane(usize),
    /// A gateway.
    Gateway(usize),
    /// A node.
    Node(usize),
    /// All planes in one process.
    AllInOne,
}

/// Planes speak to each other in clear text: what is broken here is not their TLS.
const PLAINTEXT: &str = "--internal-plaintext";

/// Where a part listens, and on which network.
#[derive(Clone, Debug)]
pub struct Station {
    /// Its place.
    pub berth: Berth,
    /// What its clients call: WebSockets of nodes, REST of gateways, gRPC of control planes, clients of etcd.
    pub public: SocketAddr,
    /// What other parts call.
    pub internal: SocketAddr,
    /// Probes and metrics.
    pub operations: SocketAddr,
}

impl Station {
    pub(super) fn at(berth: Berth) -> Self {
        let [public, internal, operations] =
            [(); 3].map(|()| SocketAddr::new(berth.address, free_port()));
        Self { berth, public, internal, operations }
    }
}

/// What a command line depends on: the order and where everybody is.
pub(super) struct Chart<'a> {
    pub(super) order: &'a Order,
    pub(super) stations: &'a dyn Fn(Part) -> &'a Station,
    pub(super) data: &'a Path,
    pub(super) logs: &'a Path,
}

impl Chart<'_> {
    pub(super) fn launch(&self, part: Part) -> Launch {
        let (file, own, further) = match part {
            Part::Etcd(_) => (PathBuf::from("etcd"), self.etcd(part), &[][..]),
            Part::ControlPlane(_) => (
                program("carillon-control-plane"),
                self.control_plane(part),
                &self.order.control_plane[..],
            ),
            Part::Gateway(_) => {
                (program("carillon-gateway"), self.gateway(part), &self.order.gateway[..])
            }
            Part::Node(_) => {
                (program("carillon-data-plane"), self.node(part), &self.order.node[..])
            }
            Part::AllInOne => (program("carillon"), self.all_in_one(), &[][..]),
        };
        Launch {
            program: file,
            arguments: [&own, further].concat(),
            namespace: self.station(part).berth.namespace.clone(),
            log: self.logs.join(format!("{part}.log")),
        }
    }

    fn station(&self, part: Part) -> &Station {
        (self.stations)(part)
    }

    fn etcd(&self, part: Part) -> Vec<String> {
        let Station { public, internal, .. } = self.station(part);
        let peers = (0..self.order.etcd).map(Part::Etcd);
        let peers = peers.map(|peer| format!("{peer}=http://{}", self.station(peer).internal));
        let peers: Vec<_> = peers.collect();
        vec![
            format!("--name={part}"),
            format!("--data-dir={}", self.data.join(part.to_string()).display()),
            format!("--listen-client-urls=http://{public}"),
            format!("--advertise-client-urls=http://{public}"),
            format!("--listen-peer-urls=http://{internal}"),
            format!("--initial-advertise-peer-urls=http://{internal}"),
            format!("--initial-cluster={}", peers.join(",")),
            "--heartbeat-interval=50".to_owned(),
            "--election-timeout=500".to_owned(),
            "--log-level=error".to_owned(),
        ]
    }

    fn control_plane(&self, part: Part) -> Vec<String> {
        let Station { public, internal, operations, .. } = self.station(part);
        let mut line = vec![
            format!("--listen={public}"),
            format!("--internal-listen={internal}"),
            format!("--operations-listen={operations}"),
            format!("--data={}", self.data.join(part.to_string()).display()),
            format!("--admin-token={ADMIN_TOKEN}"),
            format!("--expect-nodes={}", self.order.nodes),
            PLAINTEXT.to_owned(),
        ];
        let etcd: Vec<_> = (0..self.order.etcd)
            .map(|member| format!("http://{}", self.station(Part::Etcd(member)).public))
            .collect();
        if !etcd.is_empty() {
            line.push(format!("--etcd-endpoints={}", etcd.join(",")));
        }
        let peers: Vec<_> = self.control_planes().filter(|(peer, _)| *peer != part).collect();
        if !peers.is_empty() {
            line.push(format!("--name={part}"));
            line.push(format!("--advertise=http://{internal}"));
        }
        line.extend(peers.into_iter().map(|(_, url)| format!("--peer={url}")));
        line
    }

    fn all_in_one(&self) -> Vec<String> {
        let Station { public, operations, .. } = self.station(Part::AllInOne);
        vec![
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--data={}", self.data.join("all-in-one").display()),
            format!("--admin-token={ADMIN_TOKEN}"),
        ]
    }

    fn gateway(&self, part: Part) -> Vec<String> {
        self.caller(part)
    }

    fn node(&self, part: Part) -> Vec<String> {
        let mut line = self.caller(part);
        line.push(format!("--node-id={part}"));
        line
    }

    /// What gateways and nodes have in common.
    fn caller(&self, part: Part) -> Vec<String> {
        let Station { public, operations, .. } = self.station(part);
        let control_planes: Vec<_> = self.control_planes().map(|(_, url)| url).collect();
        vec![
            format!("--listen={public}"),
            format!("--operations-listen={operations}"),
            format!("--control-plane={}", control_planes.join(",")),
            format!("--last-known-good={}", self.data.join(format!("{part}.apps")).display()),
            PLAINTEXT.to_owned(),
        ]
    }

    fn control_planes(&self) -> impl Iterator<Item = (Part, String)> {
        let parts = (0..self.order.control_planes).map(Part::ControlPlane);
        parts.map(|part| (part, format!("http://{}", self.station(part).internal)))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(number) => write!(f, "etcd-{number}"),
            Self::ControlPlane(number) => write!(f, "control-plane-{number}"),
            Self::Gateway(number) => write!(f, "gateway-{number}"),
            Self::Node(number) => write!(f, "node-{number}"),
            Self::AllInOne => write!(f, "all-in-one"),
        }
    }
}
