//! What happens because time passes: nodes lag and go, channels are told what is owed to them.

use std::time::Duration;

use proto::plane::operations::Condition;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{info, warn};

use super::Dispatcher;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(50);
/// Gauges are set once in so many ticks.
const MEASURED: u32 = 20;

impl Dispatcher {
    /// Looks at the clock until the process ends. `warm` holds once `expected` nodes are ready or
    /// `patience` is over.
    pub async fn tick(self, warm: Condition, expected: usize, patience: Duration) {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0_u32;
        loop {
            ticks.tick().await;
            let now = Instant::now();
            // First: it finds out whether this process stood still itself.
            self.replicas.look(now.into_std());
            self.look_at_nodes(now.into_std());
            let ready = self.nodes.ready();
            let wanted = expected.max(self.replicas.nodes_elsewhere());
            let all_known = ready >= wanted && self.replicas.have_been_asked();
            if !warm.holds() && is_warm(all_known, now - started >= patience) {
                info!(nodes = ready, "the nodes have reported");
                self.replicas.warm_up(now.into_std());
                warm.set(true);
            }
            self.flush_relays();
            self.publisher.share_limits();
            self.shards.tick(now.into_std(), &mut |happened| self.tell(happened));
            round = round.wrapping_add(1);
            if round.is_multiple_of(MEASURED) {
                self.measure(ready);
            }
        }
    }

    fn look_at_nodes(&self, now: std::time::Instant) {
        let found = self.nodes.tick(now);
        self.metrics.overdue.inc_by(found.overdue as u64);
        for node in &found.lagging {
            self.metrics.lagging.inc();
            warn!(node = %node.id, "node is silent; publishers do not wait for it");
        }
        for node in &found.gone {
            self.metrics.nodes_gone.inc();
            warn!(node = %node.id, "node is gone; its channels and counts are dropped");
            self.forget(node, None, now);
        }
    }

    fn measure(&self, ready: usize) {
        let (events, bytes) = self.nodes.depth();
        self.metrics.nodes.set(ready as i64);
        self.metrics.channels.set(self.shards.channels() as i64);
        self.metrics.cache_bytes.set(self.shards.cache_bytes() as i64);
        self.metrics.queued_events.set(events as i64);
        self.metrics.queued_bytes.set(bytes as i64);
        self.publisher.retain_apps();
    }
}

/// The expected nodes have reported, and those that peers know; or it has been waited long enough.
/// Whoever may own shards has been asked first: what is another's is not claimed.
fn is_warm(all_known: bool, is_late: bool) -> bool {
    all_known || is_late || cfg!(feature = "bug-cold-start")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_just_started_waits_for_what_it_must_know_but_not_for_ever() {
        assert!(!is_warm(false, false));
        assert!(is_warm(true, false) && is_warm(false, true));
    }
}
