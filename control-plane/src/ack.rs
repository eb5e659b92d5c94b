//! The acknowledgement of one publish: done when every healthy interested node has queued it.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use tokio::sync::Notify;

/// Counts the nodes that still owe an acknowledgement.
#[derive(Debug)]
pub struct Ack {
    owed: AtomicU32,
    paid: Notify,
}

impl Ack {
    /// One is owed at first: by the publisher itself, which [`Ack::pay`]s when it has asked all nodes.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self { owed: AtomicU32::new(1), paid: Notify::new() })
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

    /// Waits until nobody owes. There is one waiter.
    pub async fn paid(&self) {
        while self.owed.load(Ordering::Acquire) > 0 {
            self.paid.notified().await;
        }
    }
}
