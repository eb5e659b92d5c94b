//! V1: who publishes after an answer is delivered after it.

use std::collections::HashMap;

use super::{Messages, Verdict};
use crate::chaos::history::{History, What};

/// On a socket no event comes behind one that was published only after its own acknowledgement.
pub(super) fn judge(history: &History, messages: &Messages) -> Verdict {
    let mut verdict = Verdict::of("V1 ordered");
    for socket in &history.sockets {
        // For each channel the latest start of what has come.
        let mut latest = HashMap::new();
        for entry in &socket.entries {
            let What::Event(key) = entry.what else { continue };
            let Some(message) = messages.get(&key) else { continue };
            let (start, before) = latest.entry(entry.channel).or_insert((message.start, key));
            let is_ordered = message.acked.is_none_or(|acked| acked >= *start);
            verdict.check(is_ordered, || {
                let channel = &history.channels[entry.channel as usize];
                format!("socket {}, {channel}: {key:?} behind {before:?}", socket.number)
            });
            if message.start > *start {
                (*start, *before) = (message.start, key);
            }
        }
    }
    verdict
}
