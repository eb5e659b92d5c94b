//! Who a node is.

use std::hash::{BuildHasher as _, RandomState};

use model::{BootId, NodeId};
use proto::{convert, replicas::Caller};

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
        let made_up = || format!("node-{:08x}", random() as u32);
        let node = NodeId(name.unwrap_or_else(made_up).into());
        Self { node, boot: BootId(random()) }
    }

    /// Whose heartbeats they are.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { node_id: self.node.to_string(), boot_id: convert::id_bytes(self.boot.0) }
    }
}

/// 128 bits from the randomness that the standard library takes from the system.
pub(crate) fn random() -> u128 {
    let random = RandomState::new();
    u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))
}
