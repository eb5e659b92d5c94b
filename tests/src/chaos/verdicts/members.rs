//! V6 and V7: who is there, and how many.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Verdict;
use crate::chaos::history::{History, Socket, What};

/// On a socket a user comes only who is away and goes only who is there; in the end all agree on who
/// is there, and it is true.
pub(super) fn alternating(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V6 alternating");
    let mut rosters = Vec::new();
    for socket in &history.sockets {
        let own = follow(history, socket, &mut verdict);
        if socket.ended.is_none() {
            rosters.extend(own.into_iter().map(|(channel, roster)| (socket, channel, roster)));
        }
    }
    if history.views.is_empty() {
        return verdict;
    }
    let truth = users(history);
    let is_true = |app, channel, roster: &BTreeSet<u32>| match truth.get(&(app, channel)) {
        Some(truth) => roster == truth,
        None => roster.is_empty(),
    };
    for (socket, channel, roster) in rosters {
        let is_right = is_true(socket.app, channel, &roster);
        let none = BTreeSet::new();
        verdict.check(is_right, || {
            let truth = truth.get(&(socket.app, channel)).unwrap_or(&none);
            let wrong: Vec<_> = roster.symmetric_difference(truth).take(10).collect();
            let (number, node) = (socket.number, socket.node);
            format!("socket {number} at node {node} is told wrong of {wrong:?}")
        });
    }
    for view in &history.views {
        let Some(listed) = &view.users else { continue };
        let roster: BTreeSet<_> = listed.iter().copied().collect();
        let is_right = roster.len() == listed.len() && is_true(view.app, view.channel, &roster);
        verdict.check(is_right, || {
            let channel = &history.channels[view.channel as usize];
            format!("gateway {} lists {} users of {channel}", view.gateway, listed.len())
        });
    }
    verdict
}

/// The rosters that a socket ends with; what contradicts itself on the way is a fault.
fn follow(
    history: &History,
    socket: &Socket,
    verdict: &mut Verdict,
) -> HashMap<u32, BTreeSet<u32>> {
    let mut rosters: HashMap<u32, BTreeSet<u32>> = HashMap::new();
    for entry in &socket.entries {
        let roster = rosters.get_mut(&entry.channel);
        let is_right = match (&entry.what, roster) {
            (What::Entered(users), None) => {
                let users: BTreeSet<_> = users.iter().copied().collect();
                let has_itself = socket.user.is_some_and(|user| users.contains(&user));
                rosters.insert(entry.channel, users);
                has_itself
            }
            (What::Entered(_), Some(_)) => false,
            (What::Added(user), Some(roster)) => roster.insert(*user),
            (What::Removed(user), Some(roster)) => {
                roster.remove(user) && Some(*user) != socket.user
            }
            // Until the server has read that it leaves, it is told.
            (What::Leaving, _) => {
                rosters.remove(&entry.channel);
                continue;
            }
            (What::Added(_) | What::Removed(_), None) => continue,
            (What::Subscribed | What::Event(_) | What::Left | What::Strange(_), _) => continue,
        };
        verdict.check(is_right, || {
            let channel = &history.channels[entry.channel as usize];
            let (number, node, at) = (socket.number, socket.node, entry.at);
            format!("socket {number} at node {node}, {channel}, {at}: {:?}", entry.what)
        });
    }
    rosters
}

/// Who is in each presence channel at the end.
fn users(history: &History) -> BTreeMap<(u8, u32), BTreeSet<u32>> {
    let audience = history.audience().into_iter();
    let audience = audience.filter(|((_, channel), _)| history.is_presence(*channel));
    let users = |sockets: Vec<&Socket>| sockets.iter().filter_map(|socket| socket.user).collect();
    audience.map(|(place, sockets)| (place, users(sockets))).collect()
}

/// What REST counts is true.
pub(super) fn counted(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V7 counted");
    let (audience, users) = (history.audience(), users(history));
    for view in &history.views {
        let place = (view.app, view.channel);
        let sockets = audience.get(&place).map_or(0, Vec::len) as u64;
        let members = users.get(&place).map_or(0, BTreeSet::len) as u64;
        let pairs = [
            ("subscriptions", view.subscription_count, sockets),
            ("users", view.user_count, members),
        ];
        for (what, told, truth) in pairs {
            let Some(told) = told else { continue };
            verdict.check(told == truth, || {
                let channel = &history.channels[view.channel as usize];
                format!("gateway {}, {channel}: {told} {what} for {truth}", view.gateway)
            });
        }
    }
    verdict
}
