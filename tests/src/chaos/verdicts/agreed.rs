//! V4: all sockets see the events of a channel in one order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::Verdict;
use crate::chaos::history::{History, Key, Socket, What};

/// For each channel there is an order of its events of which every socket has seen a part.
pub(super) fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V4 agreed");
    let mut orders: BTreeMap<(u8, u32), Vec<Vec<Key>>> = BTreeMap::new();
    for socket in &history.sockets {
        for (channel, order) in seen(socket) {
            orders.entry((socket.app, channel)).or_default().push(order);
        }
    }
    for ((_, channel), orders) in orders {
        let in_circles = circles(&orders);
        verdict.check(in_circles.is_empty(), || {
            let some: Vec<_> = in_circles.iter().take(6).collect();
            let (channel, count) = (&history.channels[channel as usize], in_circles.len());
            format!("{channel}: no order fits all sockets; {count} events, such as {some:?}")
        });
    }
    verdict
}

/// The events of each channel as a socket has seen them, each once.
fn seen(socket: &Socket) -> BTreeMap<u32, Vec<Key>> {
    let (mut orders, mut known) = (BTreeMap::<_, Vec<_>>::new(), HashSet::new());
    for entry in &socket.entries {
        if let What::Event(key) = entry.what
            && known.insert((entry.channel, key))
        {
            orders.entry(entry.channel).or_default().push(key);
        }
    }
    orders
}

/// What is left when again and again an event is taken that none of the others comes before: those
/// that are before and behind each other.
fn circles(orders: &[Vec<Key>]) -> Vec<Key> {
    let (mut before, mut behind) = (HashMap::<Key, usize>::new(), HashMap::<Key, Vec<Key>>::new());
    for order in orders {
        order.iter().for_each(|key| _ = before.entry(*key).or_default());
        for pair in order.windows(2) {
            behind.entry(pair[0]).or_default().push(pair[1]);
            *before.entry(pair[1]).or_default() += 1;
        }
    }
    let mut free: Vec<_> =
        before.iter().filter(|(_, count)| **count == 0).map(|(key, _)| *key).collect();
    while let Some(key) = free.pop() {
        before.remove(&key);
        for next in behind.remove(&key).into_iter().flatten() {
            let Some(count) = before.get_mut(&next) else { continue };
            *count -= 1;
            if *count == 0 {
                free.push(next);
            }
        }
    }
    let mut left: Vec<_> = before.into_keys().collect();
    left.sort_unstable();
    left
}
