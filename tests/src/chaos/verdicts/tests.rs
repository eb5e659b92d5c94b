//! Broken histories: each rule finds its fault, and no other rule speaks.

use super::{Verdict, judge};
use crate::chaos::history::{
    At, Attempt, Cut, End, Entry, Figure, History, Intrusion, Key, Probe, RestView, Socket, Step,
    What,
};

const ROOM: u32 = 0;
const CLUB: u32 = 1;

fn key(sequence: u32) -> Key {
    Key { publisher: 0, sequence }
}

fn attempt(sequence: u32, start: At, end: At) -> Attempt {
    Attempt { key: key(sequence), app: 0, channel: ROOM, start, end, status: 200, excluded: None }
}

fn entry(at: At, what: What) -> Entry {
    Entry { at, channel: ROOM, what }
}

fn in_club(at: At, what: What) -> Entry {
    Entry { at, channel: CLUB, what }
}

fn event(at: At, sequence: u32) -> Entry {
    entry(at, What::Event(key(sequence)))
}

fn socket(number: u32, entries: Vec<Entry>) -> Socket {
    Socket { number, app: 0, node: 0, user: Some(number), opened: 0, ended: None, entries }
}

fn view(channel: u32, users: Option<Vec<u32>>, counts: (Option<u64>, Option<u64>)) -> RestView {
    let (user_count, subscription_count) = counts;
    RestView { app: 0, gateway: 0, channel, users, user_count, subscription_count }
}

/// Two users in a room and a club, three events, and nothing wrong.
fn good() -> History {
    let seen = || vec![entry(10, What::Subscribed), event(110, 0), event(210, 1), event(310, 2)];
    let mut first = seen();
    first.push(in_club(20, What::Entered([1].into())));
    first.push(in_club(30, What::Added(2)));
    let mut second = seen();
    second.push(in_club(30, What::Entered([1, 2].into())));
    History {
        channels: vec!["room".into(), "presence-club".into()],
        attempts: vec![attempt(0, 100, 120), attempt(1, 200, 220), attempt(2, 300, 320)],
        sockets: vec![socket(1, first), socket(2, second)],
        intrusions: vec![Intrusion { what: "a guess", accepted: false }],
        views: vec![
            view(ROOM, None, (None, Some(2))),
            view(CLUB, Some(vec![2, 1]), (Some(2), Some(2))),
        ],
        probes: vec![Probe { what: "a publish".into(), took: Some(1_000) }],
        bounds: vec![Figure { what: "KiB".into(), value: 5.0, least: None, most: Some(6.0) }],
        targets: vec![Figure { what: "ms".into(), value: 5.0, least: None, most: Some(5.0) }],
        floors: vec![Figure { what: "events".into(), value: 3.0, least: Some(3.0), most: None }],
        plan: vec![Step { what: "kill".into(), began: 1, done: Some(2) }],
        cuts: Vec::new(),
    }
}

/// The rules that find something wrong.
fn guilty(history: &History) -> Vec<&'static str> {
    let verdicts = judge(history).into_iter();
    let guilty = verdicts.filter(|verdict| verdict.faults > 0);
    guilty
        .inspect(|Verdict { examples, .. }| assert!(!examples.is_empty()))
        .map(|v| v.rule)
        .collect()
}

/// What is wrong when the good history is changed like that.
fn broken(change: impl FnOnce(&mut History)) -> Vec<&'static str> {
    let mut history = good();
    change(&mut history);
    guilty(&history)
}

#[test]
fn a_good_history_is_looked_at_by_every_rule_and_found_good() {
    let verdicts = judge(&good());
    for verdict in &verdicts {
        assert!(verdict.checked > 0 && verdict.faults == 0, "{verdict:?}");
    }
    assert_eq!(verdicts.len(), 13);
}

#[test]
fn an_event_behind_one_that_was_published_later_is_out_of_order() {
    let swap = |history: &mut History| {
        for socket in &mut history.sockets {
            socket.entries.swap(1, 2);
            socket.entries.iter_mut().for_each(|entry| entry.at += 500);
        }
    };
    assert_eq!(broken(swap), ["V1 ordered"]);
    // Where both were under way together, any order is right.
    let together = |history: &mut History| {
        swap(history);
        history.attempts[0].end = 250;
    };
    assert!(broken(together).is_empty());
}

#[test]
fn an_event_that_comes_again_is_not_unique() {
    let again = |history: &mut History| {
        history.attempts[1].end = 900;
        history.sockets[0].entries.push(event(400, 1));
    };
    assert_eq!(broken(again), ["V2 unique"]);
}

#[test]
fn an_acknowledged_event_that_does_not_come_is_lost() {
    let lost = |history: &mut History| _ = history.sockets[0].entries.remove(2);
    assert_eq!(broken(lost), ["V3 reliable"]);
    let last = |history: &mut History| _ = history.sockets[0].entries.remove(3);
    assert_eq!(broken(last), ["V3 reliable"]);
    let refused = |history: &mut History| {
        lost(history);
        history.attempts[1].status = 503;
    };
    assert!(broken(refused).is_empty());
    let excluded = |history: &mut History| {
        lost(history);
        history.attempts[1].excluded = Some(1);
    };
    assert!(broken(excluded).is_empty());
    let subscribed_later = |history: &mut History| {
        lost(history);
        history.sockets[0].entries.remove(1);
        history.sockets[0].entries[0].at = 205;
    };
    assert!(broken(subscribed_later).is_empty());
}

/// The first socket is closed, and those who count know it.
fn closed(history: &mut History) {
    history.sockets[0].ended = Some((500, End::Closed(4200)));
    history.sockets[1].entries.push(in_club(500, What::Removed(1)));
    history.views =
        vec![view(ROOM, None, (None, Some(1))), view(CLUB, Some(vec![2]), (Some(1), Some(1)))];
}

#[test]
fn a_socket_that_is_closed_may_lack_the_end_but_has_no_hole() {
    let end = |history: &mut History| {
        closed(history);
        history.sockets[0].entries.remove(3);
    };
    assert!(broken(end).is_empty());
    let hole = |history: &mut History| {
        closed(history);
        history.sockets[0].entries.remove(2);
    };
    assert_eq!(broken(hole), ["V3 reliable"]);
}

#[test]
fn who_leaves_has_what_was_acknowledged_long_before() {
    let leave = |history: &mut History, at| {
        history.sockets[0].entries.remove(3);
        history.sockets[0].entries.push(entry(at, What::Leaving));
        history.sockets[0].entries.push(entry(at + 10, What::Left));
        history.views[0].subscription_count = Some(1);
    };
    assert!(broken(|history| leave(history, 1_000)).is_empty());
    assert_eq!(broken(|history| leave(history, 2_000_000)), ["V3 reliable"]);
}

#[test]
fn sockets_that_see_two_orders_do_not_agree() {
    // All three are under way together, so either order alone is right.
    let swap = |history: &mut History| {
        history.attempts.iter_mut().for_each(|attempt| (attempt.start, attempt.end) = (100, 900));
        history.sockets[0].entries.swap(1, 3);
    };
    assert_eq!(broken(swap), ["V4 agreed"]);
    // Three sockets, no two of which contradict each other.
    let circle = |history: &mut History| {
        history
            .attempts
            .iter_mut()
            .for_each(|attempt| (attempt.start, attempt.status) = (100, 503));
        let pairs = [(0, 1), (1, 2), (2, 0)];
        let pair = |(number, (first, second)): (u32, (u32, u32))| {
            let seen = vec![entry(10, What::Subscribed), event(200, first), event(300, second)];
            Socket { ended: Some((900, End::Lost)), ..socket(3 + number, seen) }
        };
        history.sockets.iter_mut().for_each(|socket| {
            socket.entries.retain(|entry| !matches!(entry.what, What::Event(_)));
        });
        history.sockets.extend((0..).zip(pairs).map(pair));
    };
    assert_eq!(broken(circle), ["V4 agreed"]);
}

#[test]
fn who_is_cut_off_lacks_events_of_the_other_side_and_no_others() {
    let cut = |publishers, nodes, until| {
        move |history: &mut History| {
            history.sockets[0].entries.remove(2);
            history.cuts.push(Cut { from: 150, until, publishers, nodes });
        }
    };
    assert!(broken(cut(vec![0], vec![0], 290)).is_empty());
    assert_eq!(broken(cut(vec![1], vec![0], 290)), ["V3 reliable"]);
    assert_eq!(broken(cut(vec![0], vec![1], 290)), ["V3 reliable"]);
    assert_eq!(broken(cut(vec![0], vec![0], 190)), ["V3 reliable"]);
    let told = |code, until| {
        move |history: &mut History| {
            let seen = vec![entry(10, What::Subscribed), event(110, 0), event(310, 2)];
            let ended = Some((500, End::Closed(code)));
            history.sockets.push(Socket { user: None, ended, ..socket(3, seen) });
            history.cuts.push(Cut { from: 150, until, publishers: vec![], nodes: vec![] });
        }
    };
    assert!(broken(told(4200, 600)).is_empty(), "it knows that it has missed something");
    assert_eq!(broken(told(4201, 600)), ["V3 reliable"]);
    assert_eq!(broken(told(4200, 500)), ["V3 reliable"], "that is too late");
    let order = |until| {
        move |history: &mut History| {
            history
                .attempts
                .iter_mut()
                .for_each(|attempt| (attempt.start, attempt.end) = (100, 900));
            history.sockets[0].entries.swap(1, 3);
            history.cuts.push(Cut { from: 50, until, publishers: Vec::new(), nodes: Vec::new() });
        }
    };
    assert!(broken(order(950)).is_empty());
    assert_eq!(broken(order(90)), ["V4 agreed"]);
}

#[test]
fn what_was_not_meant_for_a_socket_is_not_contained() {
    let changes: [&dyn Fn(&mut History); 6] = [
        &|history| history.sockets[0].entries.push(event(400, 7)),
        &|history| {
            history.attempts.push(Attempt { status: 503, ..attempt(3, 330, 350) });
            history.sockets[0].entries.push(in_club(400, What::Event(key(3))));
        },
        &|history| history.attempts[1].excluded = Some(1),
        &|history| history.attempts.iter_mut().for_each(|attempt| attempt.app = 1),
        &|history| history.sockets[0].entries.push(entry(400, What::Strange("?".into()))),
        &|history| history.sockets[0].entries[1].at = 99,
    ];
    for change in changes {
        assert_eq!(broken(change), ["V5 contained"]);
    }
    let left = |history: &mut History| {
        history.attempts.push(attempt(3, 900, 950));
        history.sockets[0].entries.push(entry(400, What::Leaving));
        history.sockets[0].entries.push(entry(500, What::Left));
        history.sockets.iter_mut().for_each(|socket| socket.entries.push(event(940, 3)));
        history.views[0].subscription_count = Some(1);
    };
    assert_eq!(broken(left), ["V5 contained"]);
}

#[test]
fn members_who_come_twice_or_go_without_having_come_do_not_alternate() {
    let changes: [&dyn Fn(&mut History); 4] = [
        &|history| history.sockets[0].entries.push(in_club(40, What::Added(2))),
        &|history| history.sockets[0].entries.push(in_club(40, What::Removed(9))),
        &|history| history.sockets[0].entries.push(in_club(40, What::Removed(2))),
        &|history| history.views[1].users = Some(vec![1]),
    ];
    for change in changes {
        assert_eq!(broken(change), ["V6 alternating"]);
    }
}

#[test]
fn wrong_counts_are_found() {
    assert_eq!(broken(|history| history.views[0].subscription_count = Some(3)), ["V7 counted"]);
    assert_eq!(broken(|history| history.views[1].user_count = Some(3)), ["V7 counted"]);
    assert_eq!(broken(|history| history.views[1].subscription_count = Some(1)), ["V7 counted"]);
}

#[test]
fn figures_out_of_bounds_are_found() {
    assert_eq!(broken(|history| history.probes[0].took = None), ["V8 live"]);
    assert_eq!(broken(|history| history.probes[0].took = Some(6_000_000)), ["V8 live"]);
    assert_eq!(broken(|history| history.bounds[0].value = 7.0), ["V9 bounded"]);
    assert_eq!(broken(|history| history.intrusions[0].accepted = true), ["V10 closed"]);
    let slow = broken(|history| history.targets[0].value = 5.1);
    assert_eq!(slow, ["the figures are reached"]);
    let idle = broken(|history| history.floors[0].value = 2.0);
    assert_eq!(idle, ["the workload really ran"]);
    let unfinished = broken(|history| history.plan[0].done = None);
    assert_eq!(unfinished, ["the fault plan was completed"]);
}
