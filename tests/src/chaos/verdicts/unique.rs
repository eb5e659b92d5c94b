//! V2: nothing comes twice.

use std::collections::HashSet;

use super::Verdict;
use crate::chaos::history::{History, What};

/// No event comes twice on a socket.
pub(super) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V2 unique");
    for socket in &history.sockets {
        let mut seen = HashSet::new();
        for entry in &socket.entries {
            let What::Event(key) = entry.what else { continue };
            verdict.check(seen.insert(key), || {
                let (number, at) = (socket.number, entry.at);
                format!("socket {number}: {key:?} again at {at}")
            });
        }
    }
    verdict
}
