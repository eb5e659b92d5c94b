//! V3 where links between nodes and control planes break: what was acknowledged has come, or the
//! subscriber is told.
//!
//! The rule of the chaos harness leaves out whoever was cut off. Here it is known when the link was
//! there again, so nobody is left out who stays: soon after that every hole is told, by a close.

use std::collections::BTreeMap;

use proto::stamp::UNSTABLE_MAX;
use tests::chaos::history::{At, COME_BACK, End, History, Key, Message, Socket, Stay};

/// Who leaves may miss what is acknowledged that shortly before.
const UNDER_WAY: At = 1_000_000;
/// That soon after a link is there again, who has a hole has been told.
const TOLD_WITHIN: At = 5_000_000;
/// So long after a link is there again its node may be without a stream.
const UNATTACHED: At = 2_000_000;
/// As long as an event lives on nodes for the next owner of its shard.
const KEPT: At = UNSTABLE_MAX.as_micros() as At;
const EXAMPLES_MAX: usize = 20;

/// A time in which a node and a control plane could not hear each other well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Severed {
    pub node: usize,
    pub from: At,
    pub until: At,
}

/// What happened to whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Harm {
    /// When nodes could not hear control planes well.
    pub severed: Vec<Severed>,
    /// When the threads of nodes stood still: nothing that happens there is seen before that is over.
    pub stalled: Vec<Severed>,
    /// When a node was killed, and which.
    pub nodes_killed: Vec<(At, usize)>,
    /// When control planes were killed.
    pub owners_killed: Vec<At>,
    /// When there was none.
    pub ownerless: Vec<(At, At)>,
}

/// What has not come and was not told.
pub(crate) fn judge(history: &History, harm: &Harm) -> Vec<String> {
    let mut acked: BTreeMap<u32, Vec<(Key, Message)>> = BTreeMap::new();
    for (key, message) in history.messages() {
        if message.acked.is_some() {
            acked.entry(message.channel).or_default().push((key, message));
        }
    }
    let (mut missing, mut checked) = (Vec::new(), 0_u64);
    for socket in &history.sockets {
        for stay in socket.stays() {
            let gone = stay.left.or(socket.ended.map(|(at, _)| at));
            for (key, message) in acked.get(&stay.channel).into_iter().flatten() {
                if must_have(&stay, gone, message) {
                    checked += 1;
                    if !stay.received.contains(key)
                        && !is_told((socket, gone), message, harm)
                        && !harm.is_beyond_promise(socket.node, message)
                    {
                        missing.push((message.start, socket.number, socket.node, *key, gone));
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

fn must_have(stay: &Stay, gone: Option<At>, message: &Message) -> bool {
    let Some(acked) = message.acked else { return false };
    message.start > stay.since && gone.is_none_or(|gone| acked + UNDER_WAY < gone)
}

/// Whether the socket was closed soon for what it missed; or its node was cut off when the event was
/// published, and the socket was gone soon after the link was there again.
fn is_told((socket, gone): (&Socket, Option<At>), message: &Message, harm: &Harm) -> bool {
    let acked = message.acked.unwrap_or(message.start);
    if let Some((at, End::Closed(COME_BACK))) = socket.ended
        && at <= acked + TOLD_WITHIN
    {
        return true;
    }
    let here = |list: &[Severed]| {
        let mut here: Vec<_> = list.iter().filter(|one| one.node == socket.node).copied().collect();
        here.sort_unstable_by_key(|one| one.from);
        here
    };
    let stalled = here(&harm.stalled);
    // Who is lost with a thread that stood still has lost what was in its inbox.
    if let Some((at, End::Lost)) = socket.ended
        && stalled.iter().any(|stall| stall.from <= acked && at <= stall.until + TOLD_WITHIN)
    {
        return true;
    }
    let severed = here(&harm.severed);
    let on_way = |cut: &&Severed| message.start < cut.until + TOLD_WITHIN && acked >= cut.from;
    let until = severed.iter().filter(on_way).map(|cut| cut.until + TOLD_WITHIN).max();
    // Where a cut follows the other, or the thread stands still, that is waited for too.
    let until = until.map(|until| {
        let mut rest: Vec<_> = severed.iter().chain(&stalled).collect();
        rest.sort_unstable_by_key(|one| one.from);
        let longer = |until: At, one: &Severed| match one.from <= until {
            true => until.max(one.until + TOLD_WITHIN),
            false => until,
        };
        rest.into_iter().fold(until, longer)
    });
    until.zip(gone).is_some_and(|(until, gone)| gone <= until)
}

impl Harm {
    /// Whether this node lagged when the event was acknowledged without it, and before it had caught up the
    /// owner died with its queue; and those others that had the event died too, or there was no control plane
    /// for as long as they kept it.
    fn is_beyond_promise(&self, node: usize, message: &Message) -> bool {
        let acked = message.acked.unwrap_or(message.start);
        let lags = |one: &&Severed| {
            one.node == node && one.from < acked && message.start < one.until + UNATTACHED
        };
        let soon = |at: At| (message.start..acked + KEPT).contains(&at);
        let died = |(at, killed): &(At, usize)| *killed != node && soon(*at);
        let forgot =
            |(from, until): &(At, At)| soon(*from) && *until + UNATTACHED > message.start + KEPT;
        self.severed.iter().chain(&self.stalled).any(|one| lags(&one))
            && self.owners_killed.iter().any(|at| soon(*at))
            && (self.nodes_killed.iter().any(died) || self.ownerless.iter().any(forgot))
    }
}
