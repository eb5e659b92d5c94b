//! What a shard thread says of itself, once per turn or only where it has changed.

use data_plane_core::{SocketKey, Tally};

use super::{Shard, clock};
use crate::{node::Node, socket::Socket};

impl Shard {
    /// A turn has ended: filters, subscriptions and bases are told, and how long the oldest command had taken
    /// until everything was written.
    pub(super) fn measure(&mut self) {
        let metrics = &self.node.metrics;
        let tally = self.hub.take_tally();
        if tally != Tally::default() {
            metrics.filters_tried.inc_by(tally.filters_tried);
            metrics.filtered_out.inc_by(tally.filtered_out);
        }
        let subscriptions = self.hub.all_subscriptions() as i64;
        let before = std::mem::replace(&mut self.subscriptions_told, subscriptions);
        if subscriptions != before {
            metrics.subscriptions.inc_by(subscriptions - before);
        }
        let bases = self.hub.bases_bytes() as i64;
        let before = std::mem::replace(&mut self.bases_told, bases);
        if bases != before {
            metrics.delta_bases.inc_by(bases - before);
        }
        if self.dirty.is_empty()
            && let Some(oldest) = self.oldest.take()
        {
            let took = clock().saturating_duration_since(oldest);
            metrics.turn_duration.observe(took.as_secs_f64());
        }
    }

    /// A socket has been flushed.
    pub(super) fn measure_outbox(&mut self, key: SocketKey) {
        let Some(socket) = self.sockets.get_mut(key.index as usize) else {
            return;
        };
        if socket.generation == key.generation {
            count(&self.node, socket, socket.waiting());
        }
    }

    /// A socket is about to be gone.
    pub(super) fn forget_outbox(&self, socket: &mut Socket) {
        count(&self.node, socket, (0, 0));
    }
}

/// The sums over all sockets change by what this one differs from what it was counted with.
fn count(node: &Node, socket: &mut Socket, waiting: (i64, i64)) {
    let before = std::mem::replace(&mut socket.counted, waiting);
    if waiting == before {
        return;
    }
    node.metrics.outbox_frames.inc_by(waiting.0 - before.0);
    node.metrics.outbox_bytes.inc_by(waiting.1 - before.1);
    let blocked = |(frames, _): (i64, i64)| i64::from(frames > 0);
    node.metrics.sockets_blocked.inc_by(blocked(waiting) - blocked(before));
}
