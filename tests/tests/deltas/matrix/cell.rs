//! One cell: its channel, its messages, who publishes and who listens.

use std::{net::SocketAddr, sync::Arc};

use tests::grpc::Events;
use tokio::sync::Barrier;

use super::{
    listener::{Listener, OPEN, SELECTIVE},
    message::Message,
    publisher::publish,
    referees::Samples,
};

/// What makes a cell hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Twist {
    /// Listeners come back to the same node in the middle.
    Reconnect,
    /// Listeners come back to the other node.
    NodeChange,
    /// Some messages forbid compression.
    Unmarked,
    /// Texts beyond ASCII, and data that is no JSON.
    NonAscii,
    /// Numbers that change when they are parsed and printed.
    Floats,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) names: usize,
    pub(super) keyed: bool,
    pub(super) filtered: bool,
    pub(super) algorithm: &'static str,
    pub(super) twist: Twist,
}

impl Cell {
    pub(super) fn all() -> Vec<Self> {
        use Twist::{Floats, NodeChange, NonAscii, Reconnect, Unmarked};
        let mut cells = Vec::new();
        for twist in [Reconnect, NodeChange, Unmarked, NonAscii, Floats] {
            for algorithm in ["fossil", "xdelta3", "compact"] {
                for bits in 0..8 {
                    let [three, keyed, filtered] = [1, 2, 4].map(|bit| bits & bit != 0);
                    let names = if three { 3 } else { 1 };
                    cells.push(Self { names, keyed, filtered, algorithm, twist });
                }
            }
        }
        cells
    }

    pub(super) fn channel(&self) -> String {
        let Self { names, keyed, filtered, algorithm, twist } = self;
        let kind = if *keyed { "keyed" } else { "plain" };
        let filtered = if *filtered { "filtered" } else { "open" };
        format!("{kind}-{names}-{filtered}-{algorithm}-{twist:?}")
    }

    pub(super) fn comes_back(&self) -> bool {
        matches!(self.twist, Twist::Reconnect | Twist::NodeChange)
    }

    /// Returns how many messages all listeners together have received.
    pub(super) async fn run(
        self,
        nodes: [SocketAddr; 2],
        events: Events,
        messages: usize,
        samples: Arc<Samples>,
    ) -> usize {
        let messages: Arc<[Message]> = (0..messages).map(|n| Message::new(&self, n)).collect();
        let filters: &[_] = if self.filtered { &SELECTIVE } else { &OPEN };
        let gate = Arc::new(Barrier::new(filters.len() + 1));
        let listeners = filters.iter().enumerate().map(|(place, interest)| {
            let listener = Listener {
                cell: self,
                interest,
                place,
                nodes,
                gate: Arc::clone(&gate),
                messages: Arc::clone(&messages),
                samples: Arc::clone(&samples),
            };
            tokio::spawn(listener.run())
        });
        let listeners: Vec<_> = listeners.collect();
        // All have subscribed; later: all have come back.
        gate.wait().await;
        let (before, after) = messages.split_at(messages.len() * 3 / 5);
        publish(&events, &self.channel(), before).await;
        gate.wait().await;
        publish(&events, &self.channel(), after).await;
        let mut received = 0;
        for listener in listeners {
            received += listener.await.unwrap_or_else(|_| panic!("that was in {self:?}"));
        }
        received
    }
}
