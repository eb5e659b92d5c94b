//! V3: what was acknowledged has come.

use std::collections::{HashMap, HashSet};

use super::{Messages, Verdict};
use crate::chaos::history::{At, History, Key, Message, Socket, What};

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

/// One stay of a socket in a channel.
#[derive(Debug)]
struct Stay {
    channel: u32,
    since: At,
    until: Until,
    received: HashSet<Key>,
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
        for stay in stays(socket, messages) {
            let published = acked.get(&(socket.app, stay.channel)).into_iter().flatten();
            for (key, message) in published {
                let mut cuts = history.cuts.iter();
                let is_cut = cuts.any(|cut| cut.excuses((*key, message), socket));
                if !is_cut && stay.must_have(message, socket.number) {
                    verdict.check(stay.received.contains(key), || {
                        missing(history, socket, &stay, (*key, message))
                    });
                }
            }
        }
    }
    verdict
}

fn missing(history: &History, socket: &Socket, stay: &Stay, event: (Key, &Message)) -> String {
    let (key, Message { start, acked, channel, .. }) = event;
    let channel = &history.channels[*channel as usize];
    let Socket { number, node, .. } = socket;
    let Stay { since, until, .. } = stay;
    format!(
        "socket {number} at node {node}, in {channel} since {since} until {until:?}: no {key:?}, \
         published {start} to {acked:?}"
    )
}

impl Stay {
    fn must_have(&self, message: &Message, socket: u32) -> bool {
        let Some(acked) = message.acked else { return false };
        let in_time = match self.until {
            Until::Over => true,
            Until::Left(at) => acked + UNDER_WAY < at,
            Until::Ended => acked < self.latest,
        };
        in_time && message.start > self.since && message.excluded != Some(socket)
    }
}

fn stays(socket: &Socket, messages: &Messages) -> Vec<Stay> {
    let until = if socket.ended.is_some() { Until::Ended } else { Until::Over };
    let (mut present, mut past) = (HashMap::<u32, Stay>::new(), Vec::new());
    for entry in &socket.entries {
        let channel = entry.channel;
        match entry.what {
            What::Subscribed | What::Entered(_) => {
                let received = HashSet::new();
                let stay = Stay { channel, since: entry.at, until, received, latest: 0 };
                past.extend(present.insert(channel, stay));
            }
            What::Event(key) => {
                let Some(stay) = present.get_mut(&channel) else { continue };
                stay.received.insert(key);
                let start = messages.get(&key).map_or(0, |message| message.start);
                stay.latest = stay.latest.max(start);
            }
            What::Leaving => {
                let stay = present.remove(&channel);
                past.extend(stay.map(|stay| Stay { until: Until::Left(entry.at), ..stay }));
            }
            What::Added(_) | What::Removed(_) | What::Left | What::Strange(_) => {}
        }
    }
    past.extend(present.into_values());
    past
}
