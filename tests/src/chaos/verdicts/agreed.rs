//! V4: all sockets see the events of a channel in one order.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{Messages, Verdict};
use crate::chaos::history::{History, Key, Socket, What};

/// Events that stand farther apart are not looked at when a contradiction is to be shown.
const NEAR: usize = 50;

/// For each channel there is an order of its events of which every socket has seen a part. While some
/// are cut off from others, each side has its own.
pub(super) fn judge(history: &History, messages: &Messages) -> Verdict {
    let mut verdict = Verdict::of("V4 agreed");
    let mut orders: BTreeMap<(u8, u32), Vec<Seen<'_>>> = BTreeMap::new();
    for socket in &history.sockets {
        for (channel, mut order) in seen(socket) {
            order.retain(|key| {
                let message = messages.get(key);
                let is_cut = |message| history.cuts.iter().any(|cut| cut.touches(message));
                !message.is_some_and(is_cut)
            });
            orders.entry((socket.app, channel)).or_default().push(Seen { socket, order });
        }
    }
    for ((_, channel), orders) in orders {
        let in_circles = circles(&orders);
        verdict.check(in_circles.is_empty(), || {
            let (channel, count) = (&history.channels[channel as usize], in_circles.len());
            let told = contradiction(&orders, &in_circles);
            format!("{channel}: no order fits all sockets, because of {count} events; {told}")
        });
    }
    verdict
}

/// The events of a channel as a socket has seen them, each once.
struct Seen<'a> {
    socket: &'a Socket,
    order: Vec<Key>,
}

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

/// The events that are before and behind each other: what is left when again and again an event is
/// taken that none of the others comes before, and then one that none comes behind.
fn circles(orders: &[Seen<'_>]) -> HashSet<Key> {
    let pairs = || orders.iter().flat_map(|seen| seen.order.windows(2));
    let forth: Vec<_> = pairs().map(|pair| (pair[0], pair[1])).collect();
    let all = orders.iter().flat_map(|seen| seen.order.iter().copied()).collect();
    let left = without_beginnings(all, &forth);
    let back: Vec<_> = forth.iter().map(|(first, second)| (*second, *first)).collect();
    without_beginnings(left, &back)
}

fn without_beginnings(mut left: HashSet<Key>, pairs: &[(Key, Key)]) -> HashSet<Key> {
    let (mut before, mut behind) = (HashMap::<Key, usize>::new(), HashMap::<Key, Vec<Key>>::new());
    for (first, second) in pairs {
        if left.contains(first) && left.contains(second) {
            behind.entry(*first).or_default().push(*second);
            *before.entry(*second).or_default() += 1;
        }
    }
    let mut free: Vec<_> = left.iter().filter(|key| !before.contains_key(key)).copied().collect();
    while let Some(key) = free.pop() {
        left.remove(&key);
        for next in behind.remove(&key).into_iter().flatten() {
            let Some(count) = before.get_mut(&next) else { continue };
            *count -= 1;
            if *count == 0 {
                free.push(next);
            }
        }
    }
    left
}

/// Two sockets that have seen two events in two orders.
fn contradiction(orders: &[Seen<'_>], in_circles: &HashSet<Key>) -> String {
    let mut known: HashMap<(Key, Key), u32> = HashMap::new();
    for Seen { socket, order } in orders {
        let order: Vec<_> = order.iter().filter(|key| in_circles.contains(key)).collect();
        for (place, first) in order.iter().enumerate() {
            for second in order.iter().skip(place + 1).take(NEAR) {
                if let Some(other) = known.get(&(**second, **first)) {
                    let number = socket.number;
                    return format!(
                        "socket {number} has {first:?} before {second:?}, socket {other} has not"
                    );
                }
                known.insert((**first, **second), socket.number);
            }
        }
    }
    format!("no two sockets contradict each other: {in_circles:?}")
}
