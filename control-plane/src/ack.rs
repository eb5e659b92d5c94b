//! The acknowledgement of one publish: done when every healthy interested node has queued it, and at least
//! one has of each of its events that somebody wants.

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
    /// Events that no node has.
    unheld: AtomicU32,
    refused: AtomicBool,
    paid: Notify,
}

/// One event of a publish.
#[derive(Debug)]
pub struct Piece {
    ack: Arc<Ack>,
    /// Some node has it, or none has to.
    held: AtomicBool,
}

impl Piece {
    /// One more event; where it `must_be_held`, the publish is not acknowledged before a node has it: those
    /// that are waited for may all be lost while they are.
    #[must_use]
    pub fn new(ack: &Arc<Ack>, must_be_held: bool) -> Arc<Self> {
        ack.unheld.fetch_add(must_be_held.into(), Ordering::Relaxed);
        Arc::new(Self { ack: Arc::clone(ack), held: (!must_be_held).into() })
    }

    /// Of what.
    #[must_use]
    pub fn ack(&self) -> &Arc<Ack> {
        &self.ack
    }

    /// A node has it, or nobody wants it. To be called before that node [`Ack::pay`]s.
    pub fn hold(&self) {
        if !self.held.swap(true, Ordering::AcqRel) {
            self.ack.unheld.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Ack {
    /// One is owed at first: by the publisher itself, which [`Ack::pay`]s when it has asked all nodes.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let (owed, lacking) = (AtomicU32::new(1), AtomicU32::new(0));
        let (unheld, refused) = (AtomicU32::new(0), AtomicBool::new(false));
        Arc::new(Self { owed, lacking, unheld, refused, paid: Notify::new() })
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

    /// Waits until nobody owes. There is one waiter. Returns whether all have queued it: where not, it must be
    /// sent again.
    pub async fn paid(&self) -> bool {
        if cfg!(feature = "bug-ack-early") {
            return true;
        }
        while !self.is_paid() {
            self.paid.notified().await;
        }
        !self.refused.load(Ordering::Acquire) && self.unheld.load(Ordering::Acquire) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_no_node_has_is_not_acknowledged() {
        let ack = Ack::new();
        let [held, lost] = [(); 2].map(|()| Piece::new(&ack, true));
        held.hold();
        held.hold();
        ack.pay();
        assert!(!ack.paid().await, "two nodes have one of two events");
        lost.hold();
        assert!(ack.paid().await);
        let ack = Ack::new();
        let _to_the_only_node = Piece::new(&ack, false);
        ack.pay();
        assert!(ack.paid().await);
    }
}
