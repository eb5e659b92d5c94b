//! V3: what was acknowledged has come.

use std::collections::HashMap;

use super::{Messages, Verdict};
use crate::chaos::history::{At, History, Key, Message, Socket, Stay};

/// Who leaves may miss what is acknowledged that shortly before.
const UNDER_WAY: At = 1_000_000;

/// How a stay in a channel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// It was there when the run was over: it has everything.
    Over,
    /// It left by itself: it has what was acknowledged a while before that.
    Left(At),
    /// Its connection ended: it has been told, but up to then there is no hole.
    Ended,
}

/// Until when a socket must have what is acknowledged.
#[derive(Debug)]
struct Due {
    until: Until,
    /// When the last event that it has was published.
    latest: At,
}

/// Every acknowledged event has come to every socket that was subscribed before it was published
/// and stayed; but for sockets that were cut off from its publisher.
pub(super) fn judge(history: &History, messages: &Messages) -> Verdict {
    let mut verdict = Verdict::of("V3 reliable");
    let mut acked: HashMap<(u8, u32), Vec<(Key, &Message)>> = HashMap::new();
    for (key, message) in messages.iter().filter(|(_, message)| message.acked.is_some()) {
        acked.entry((message.app, message.channel)).or_default().push((*key, message));
    }
    for socket in &history.sockets {
        for stay in socket.stays() {
            let due = Due::of(socket, &stay, messages);
            let published = acked.get(&(socket.app, stay.channel)).into_iter().flatten();
            for (key, message) in published {
                let mut cuts = history.cuts.iter();
                let is_cut = cuts.any(|cut| cut.excuses((*key, message), socket));
                if !is_cut && due.includes(message, (socket, &stay)) {
                    verdict.check(stay.received.contains(key), || {
                        missing(history, socket, (&stay, due.until), (*key, message))
                    });
                }
            }
        }
    }
    verdict
}

fn missing(
    history: &History,
    socket: &Socket,
    (stay, until): (&Stay, Until),
    event: (Key, &Message),
) -> String {
    let (key, Message { start, acked, channel, .. }) = event;
    let channel = &history.channels[*channel as usize];
    let Socket { number, node, .. } = socket;
    let since = stay.since;
    format!(
        "socket {number} at node {node}, in {channel} since {since} until {until:?}: no {key:?}, \
         published {start} to {acked:?}"
    )
}

impl Due {
    fn of(socket: &Socket, stay: &Stay, messages: &Messages) -> Self {
        let until = match (stay.left, socket.ended) {
            (Some(at), _) => Until::Left(at),
            (None, Some(_)) => Until::Ended,
            (None, None) => Until::Over,
        };
        let published =
            stay.received.iter().map(|key| messages.get(key).map_or(0, |message| message.start));
        Self { until, latest: published.max().unwrap_or_default() }
    }

    fn includes(&self, message: &Message, (socket, stay): (&Socket, &Stay)) -> bool {
        let Some(acked) = message.acked else { return false };
        let in_time = match self.until {
            Until::Over => true,
            Until::Left(at) => acked + UNDER_WAY < at,
            Until::Ended => acked < self.latest,
        };
        in_time && message.start > stay.since && message.excluded != Some(socket.number)
    }
}
