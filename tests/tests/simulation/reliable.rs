//! V3 where links between nodes and control planes break: what was acknowledged has come, or the
//! subscriber is told.
//!
//! The rule of the chaos harness leaves out whoever was cut off. Here it is known when the link was
//! there again, so nobody is left out who stays: soon after that every hole is told, by a close.

use std::collections::{BTreeMap, BTreeSet};

use tests::chaos::history::{At, End, History, Key, Message, Socket, What};

/// Who leaves may miss what is acknowledged that shortly before.
const UNDER_WAY: At = 1_000_000;
/// That soon after a link is there again, who has a hole has been told.
const TOLD_WITHIN: At = 5_000_000;
const EXAMPLES_MAX: usize = 20;

/// A time in which a node and a control plane could not hear each other well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Severed {
    pub node: usize,
    pub from: At,
    pub until: At,
}

/// One stay of a socket in a channel.
#[derive(Debug)]
struct Stay {
    channel: u32,
    since: At,
    /// When it left or ended; `None`: it was there when all was over.
    gone: Option<At>,
    received: BTreeSet<Key>,
}

/// What has not come and was not told.
pub(crate) fn judge(history: &History, severed: &[Severed]) -> Vec<String> {
    let mut acked: BTreeMap<u32, Vec<(Key, Message)>> = BTreeMap::new();
    for (key, message) in history.messages() {
        if message.acked.is_some() {
            acked.entry(message.channel).or_default().push((key, message));
        }
    }
    let (mut missing, mut checked) = (Vec::new(), 0_u64);
    for socket in &history.sockets {
        for stay in stays(socket) {
            for (key, message) in acked.get(&stay.channel).into_iter().flatten() {
                if stay.must_have(message) {
                    checked += 1;
                    if !stay.received.contains(key) && !is_told(socket, &stay, message, severed) {
                        missing.push((message.start, socket.number, socket.node, *key, stay.gone));
                    }
                }
            }
        }
    }
    missing.sort_unstable_by_key(|(start, socket, ..)| (*start, *socket));
    let count = missing.len();
    let examples = missing.into_iter().take(EXAMPLES_MAX);
    let told = examples.map(|(start, socket, node, key, gone)| {
        format!(
            "V3 reliable, {count} of {checked}: socket {socket} at node {node} lacks {key:?}, \
             published at {start}; gone {gone:?}"
        )
    });
    told.collect()
}

impl Stay {
    fn must_have(&self, message: &Message) -> bool {
        let Some(acked) = message.acked else { return false };
        message.start > self.since && self.gone.is_none_or(|gone| acked + UNDER_WAY < gone)
    }
}

/// Whether the socket was closed soon for what it missed; or its node was cut off when the event was
/// published, and the socket was gone soon after the link was there again.
fn is_told(socket: &Socket, stay: &Stay, message: &Message, severed: &[Severed]) -> bool {
    let acked = message.acked.unwrap_or(message.start);
    if let Some((at, End::Closed(4200))) = socket.ended
        && at <= acked + TOLD_WITHIN
    {
        return true;
    }
    let on_way = severed.iter().filter(|cut| {
        cut.node == socket.node && message.start < cut.until + TOLD_WITHIN && acked >= cut.from
    });
    let until = on_way.map(|cut| cut.until + TOLD_WITHIN).max();
    until.zip(stay.gone).is_some_and(|(until, gone)| gone <= until)
}

fn stays(socket: &Socket) -> Vec<Stay> {
    let (mut present, mut past) = (BTreeMap::<u32, Stay>::new(), Vec::new());
    let gone = socket.ended.map(|(at, _)| at);
    for entry in &socket.entries {
        let channel = entry.channel;
        match entry.what {
            What::Subscribed | What::Entered(_) => {
                let stay = Stay { channel, since: entry.at, gone, received: BTreeSet::new() };
                past.extend(present.insert(channel, stay));
            }
            What::Event(key) => {
                if let Some(stay) = present.get_mut(&channel) {
                    stay.received.insert(key);
                }
            }
            What::Leaving => {
                let stay = present.remove(&channel);
                past.extend(stay.map(|stay| Stay { gone: Some(entry.at), ..stay }));
            }
            What::Added(_) | What::Removed(_) | What::Left | What::Strange(_) => {}
        }
    }
    past.extend(present.into_values());
    past
}
