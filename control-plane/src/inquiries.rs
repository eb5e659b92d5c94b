//! What operators ask nodes, and the answers on their way back.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use proto::internal::{ListSockets, Sockets};
use tokio::{sync::oneshot, time::timeout};

use crate::node::Node;

/// Questions to nodes under way; nobody asks more at once.
const ASKED_MAX: usize = 64;
/// How long a node has for its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// All questions under way.
#[derive(Debug, Default)]
pub struct Inquiries(Mutex<Asked>);

#[derive(Debug, Default)]
struct Asked {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Sockets>>,
}

/// A question is over with this, answered or not.
struct Place<'a> {
    inquiries: &'a Inquiries,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.inquiries.asked().waiting.remove(&self.id);
    }
}

impl Inquiries {
    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.lock().expect("no holder panics")
    }

    /// The newest sockets of a node; `None` where it does not answer in time or there are too many
    /// questions.
    pub async fn sockets(&self, node: &Node, wanted: ListSockets) -> Option<Sockets> {
        let (answer, answered) = oneshot::channel();
        let place = self.enter(answer)?;
        if !node.ask(ListSockets { id: place.id, ..wanted }) {
            return None;
        }
        timeout(PATIENCE, answered).await.ok()?.ok()
    }

    fn enter(&self, answer: oneshot::Sender<Sockets>) -> Option<Place<'_>> {
        let mut asked = self.asked();
        if asked.waiting.len() >= ASKED_MAX {
            return None;
        }
        asked.last += 1;
        let id = asked.last;
        asked.waiting.insert(id, answer);
        Some(Place { inquiries: self, id })
    }

    /// A node answers; nobody may be waiting any more.
    pub fn answered(&self, sockets: Sockets) {
        let waiting = self.asked().waiting.remove(&sockets.id);
        if let Some(waiting) = waiting {
            // Who asked may have gone in this moment.
            let _ = waiting.send(sockets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{BootId, NodeId};
    use tokio::time::Instant;

    #[tokio::test]
    async fn a_node_that_is_not_there_is_not_waited_for_and_nothing_is_kept() {
        let node = Node::new(NodeId("n".into()), BootId(1), Instant::now().into_std());
        let inquiries = Inquiries::default();
        let began = Instant::now();
        assert_eq!(inquiries.sockets(&node, ListSockets::default()).await, None);
        assert!(began.elapsed() < PATIENCE / 2);
        assert!(inquiries.asked().waiting.is_empty());
    }

    #[test]
    fn questions_are_bounded() {
        let inquiries = Inquiries::default();
        let places: Vec<_> =
            (0..ASKED_MAX).map(|_| inquiries.enter(oneshot::channel().0).unwrap()).collect();
        assert!(inquiries.enter(oneshot::channel().0).is_none());
        drop(places);
        assert!(inquiries.enter(oneshot::channel().0).is_some());
    }
}
