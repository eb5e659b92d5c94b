//! Who a node is.

use model::{BootId, NodeId};
use proto::{chance, convert, replicas::Caller};

/// The name of a node, and one life of it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its name.
    pub node: NodeId,
    /// This life.
    pub boot: BootId,
}

impl Identity {
    /// A new life of the node of that name; it is made up where absent.
    #[must_use]
    pub fn new(name: Option<String>) -> Self {
        let made_up = || format!("node-{:08x}", chance::number() as u32);
        let node = NodeId(name.unwrap_or_else(made_up).into());
        Self { node, boot: BootId(chance::wide_number()) }
    }

    /// Whose heartbeats they are.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { node_id: self.node.to_string(), boot_id: convert::id_bytes(self.boot.0) }
    }
}
