//! The acknowledgement of one publish: done when every healthy interested node has queued it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use tokio::sync::Notify;

/// Counts the nodes that still owe an acknowledgement.
#[derive(Debug)]
pub struct Ack {
    owed: AtomicU32,
    /// Nodes that it is on its way to, whether anybody waits for them or not.
    lacking: AtomicU32,
    refused: AtomicBool,
    paid: Notify,
}

impl Ack {
    /// One is owed at first: by the publisher itself, which [`Ack::pay`]s when it has asked all nodes.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (owed, lacking) = (AtomicU32::new(1), AtomicU32::new(0));
        let refused = AtomicBool::new(false);
        Arc::new(Self { owed, lacking, refused, paid: Notify::new() })
    }

    /// One more node owes.
    pub fn owe(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// One has acknowledged, or has left the set of those that are waited for.
    pub fn pay(&self) {
        if self.owed.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.paid.notify_one();
        }
    }

    /// It is on its way to one more node.
    pub fn lack(&self) {
        self.lacking.fetch_add(1, Ordering::Relaxed);
    }

    /// A node has it, or will never have it and is told so.
    pub fn lack_no_more(&self) {
        self.lacking.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether all nodes have it: then nobody has to dispatch it again. Who has refused it has it not.
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        let lacks = self.lacking.load(Ordering::Acquire) > 0;
        self.is_paid() && !lacks && !self.refused.load(Ordering::Acquire)
    }

    /// A node has refused an event: another control plane owns the shard there. To be called before
    /// that node [`Ack::pay`]s.
    pub fn refuse(&self) {
        self.refused.store(true, Ordering::Release);
    }

    /// Whether nobody owes.
    #[must_use]
    pub fn is_paid(&self) -> bool {
        self.owed.load(Ordering::Acquire) == 0
    }

    /// Waits until nobody owes. There is one waiter. Returns whether all have queued it.
    pub async fn paid(&self) -> bool {
        while !self.is_paid() {
            self.paid.notified().await;
        }
        !self.refused.load(Ordering::Acquire)
    }
}
