use super::*;

fn names() -> (AppId, ChannelName) {
    (AppId::parse("a").unwrap(), ChannelName::trusted("c"))
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Interest with one stream whose snapshot, of nothing, is complete.
fn attached(threads: usize) -> Interest {
    let mut interest = Interest::new(threads);
    interest.attach(0);
    interest.end_snapshot(0, 0);
    interest
}

fn set(interest: &mut Interest, thread: usize, count: u32, now: Instant) -> bool {
    let (app, channel) = names();
    interest.set_subscriptions(thread, (&app, &channel), count, (now, count > 0))
}

#[test]
fn the_first_subscriber_waits_for_the_acknowledgement() {
    let now = start();
    let mut interest = attached(2);
    assert!(!set(&mut interest, 0, 1, now));
    assert!(!set(&mut interest, 1, 1, now));
    let report = interest.report(0).unwrap();
    assert_eq!((report.channels.len(), report.channels[0].subscriptions), (1, 2));
    let confirmed = interest.acknowledge(0, report.sequence, start());
    assert_eq!(confirmed, [Confirmed { channel: names(), threads: 0b11 }]);
    assert!(set(&mut interest, 1, 2, now), "later ones are certain at once");
    assert_eq!(interest.report(report.sequence).unwrap().channels[0].subscriptions, 3);
    assert_eq!(interest.threads("a", "c"), 0b11);
}

#[test]
fn interest_lingers_then_ends_then_is_forgotten() {
    let now = start();
    let mut interest = attached(1);
    set(&mut interest, 0, 1, now);
    interest.acknowledge(0, interest.version, start());
    set(&mut interest, 0, 0, now);
    let report = interest.report(0).unwrap();
    assert!(report.channels[0].linger && report.channels[0].subscriptions == 0);
    assert!(set(&mut interest, 0, 1, now), "a quick return is certain at once");
    set(&mut interest, 0, 0, now);
    let (ended, _) = interest.expire(now + LINGER);
    assert_eq!(ended, [names()]);
    let end = interest.report(0).unwrap();
    assert!(!end.channels[0].linger && end.channels[0].subscriptions == 0);
    assert!(!set(&mut interest, 0, 1, now), "after the end it must be acknowledged anew");
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER * 2);
    interest.acknowledge(0, interest.version, start());
    assert!(interest.is_empty() && interest.changes.is_empty() && interest.ended.is_empty());
}

#[test]
fn waiting_ends_by_itself() {
    let now = start();
    let mut interest = attached(1);
    set(&mut interest, 0, 1, now);
    assert!(interest.expire(now + CONFIRM_TIMEOUT / 2).1.is_empty());
    assert_eq!(interest.expire(now + CONFIRM_TIMEOUT).1.len(), 1);
    assert!(interest.acknowledge(0, interest.version, start()).is_empty());
}

#[test]
fn a_new_control_plane_is_told_everything_in_chunks() {
    let now = start();
    let mut interest = attached(1);
    let app = names().0;
    for number in 0..2_500 {
        let channel = ChannelName::trusted(&format!("c{number}"));
        interest.set_subscriptions(0, (&app, &channel), 1, (now, true));
    }
    let (mut reported, mut sizes) = (0, Vec::new());
    while let Some(report) = interest.report(reported) {
        reported = report.sequence;
        sizes.push(report.channels.len());
    }
    assert_eq!(sizes, [1_000, 1_000, 500]);
}

#[test]
fn connections_are_limited_over_all_nodes() {
    let mut interest = attached(1);
    let app = names().0;
    let others = |connections| [AppConnections { app_id: "a".into(), connections }];
    interest.set_others(0, &others(3));
    assert!(interest.connect(&app, Some(5)) && interest.connect(&app, Some(5)));
    assert!(!interest.connect(&app, Some(5)));
    interest.set_others(0, &others(1));
    assert!(interest.connect(&app, Some(5)));
    interest.disconnect(&app);
    assert_eq!(interest.report(0).unwrap().connections[0].connections, 2);
}

#[test]
fn a_member_is_reported_while_it_is_there_and_once_when_it_has_left() {
    let mut interest = attached(1);
    let (app, channel) = names();
    let ann = UserId::trusted("ann");
    interest.set_member((&app, &channel), &ann, Some("{}".into()));
    let first = interest.report(0).unwrap();
    assert!(first.members[0].present && first.members[0].user_info == "{}");
    interest.set_member((&app, &channel), &ann, None);
    let second = interest.report(first.sequence).unwrap();
    assert!(!second.members[0].present, "{second:?}");
    interest.set_member((&app, &channel), &ann, Some("{}".into()));
    interest.acknowledge(0, second.sequence, start());
    let third = interest.report(second.sequence).unwrap();
    assert!(third.members[0].present, "who came back is not forgotten");
    interest.set_member((&app, &channel), &ann, None);
    interest.acknowledge(0, interest.version, start());
    assert!(interest.members.is_empty() && interest.changes.is_empty());
}

#[test]
fn watching_is_no_interest_in_events() {
    let now = start();
    let mut interest = attached(2);
    let (app, channel) = names();
    assert!(!interest.set_watchers(1, (&app, &channel), 1));
    let report = interest.report(0).unwrap();
    assert!(report.channels[0].watched && report.channels[0].subscriptions == 0);
    interest.acknowledge(0, report.sequence, start());
    assert_eq!((interest.threads("a", "c"), interest.watching_threads("a", "c")), (0, 0b10));
    assert!(!set(&mut interest, 0, 1, now), "its events do not arrive yet");
    interest.acknowledge(0, interest.version, start());
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER);
    interest.acknowledge(0, interest.version, start());
    assert!(!interest.is_empty(), "it is still watched");
    assert!(interest.set_watchers(1, (&app, &channel), 0));
    interest.acknowledge(0, interest.version, start());
    assert!(interest.is_empty() && interest.changes.is_empty() && interest.ended.is_empty());
}

#[test]
fn after_a_gap_states_are_asked_for_anew() {
    let now = start();
    let mut interest = attached(1);
    let app = names().0;
    for channel in ["plain", "presence-room"] {
        let channel = ChannelName::trusted(channel);
        interest.set_subscriptions(0, (&app, &channel), 1, (now, false));
    }
    let before = interest.report(0).unwrap();
    interest.renew();
    let after = interest.report(before.sequence).unwrap();
    assert_eq!(after.channels.len(), 1);
    assert_eq!(after.channels[0].channel, "presence-room");
    assert!(after.channels[0].since > before.channels[1].since);
}

#[test]
fn the_first_subscriber_waits_for_every_control_plane_that_answers() {
    let now = start();
    let mut interest = attached(1);
    interest.attach(1);
    assert!(!set(&mut interest, 0, 1, now));
    let confirmed = [Confirmed { channel: names(), threads: 1 }];
    assert_eq!(
        interest.acknowledge(0, interest.version, start()),
        confirmed,
        "the new one sends everything"
    );
    interest.end_snapshot(1, interest.version);
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER);
    assert!(!set(&mut interest, 0, 1, now));
    assert!(interest.acknowledge(0, interest.version, start()).is_empty());
    assert_eq!(interest.acknowledge(1, interest.version, start()), confirmed);
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER);
    let unattach = |interest: &mut Interest| interest.unattach(1, start());
    let silent = |interest: &mut Interest| interest.set_answers(1, false, start());
    for released in [unattach, silent] {
        interest.attach(1);
        interest.end_snapshot(1, 0);
        assert!(!set(&mut interest, 0, 1, now));
        assert!(interest.acknowledge(0, interest.version, start()).is_empty());
        assert_eq!(released(&mut interest), confirmed, "nobody waits for it any more");
        set(&mut interest, 0, 0, now);
        interest.expire(now + LINGER);
    }
    interest.unattach(0, start());
    assert!(!set(&mut interest, 0, 1, now));
    assert!(interest.unattach(1, start()).is_empty(), "with none left nothing is certain");
}

#[test]
fn an_end_is_kept_until_every_control_plane_knows_it() {
    let now = start();
    let mut interest = attached(1);
    interest.attach(1);
    set(&mut interest, 0, 1, now);
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER);
    interest.acknowledge(0, interest.version, start());
    assert!(!interest.is_empty());
    interest.unattach(1, start());
    assert!(interest.is_empty() && interest.changes.is_empty());
    interest.unattach(0, start());
    set(&mut interest, 0, 1, now);
    set(&mut interest, 0, 0, now);
    interest.expire(now + LINGER);
    assert!(interest.is_empty(), "with nobody attached nothing is kept");
}

#[test]
fn the_smallest_total_counts() {
    let mut interest = attached(1);
    interest.attach(1);
    let app = names().0;
    let others = |connections| [AppConnections { app_id: "a".into(), connections }];
    interest.set_others(0, &others(9));
    assert!(!interest.connect(&app, Some(5)));
    interest.set_others(1, &others(2));
    assert!(interest.connect(&app, Some(5)), "the other one counts too much");
    interest.unattach(1, start());
    assert!(!interest.connect(&app, Some(5)));
    interest.unattach(0, start());
    assert!(interest.connect(&app, Some(5)), "nobody says anything");
}

#[test]
fn who_came_while_a_control_plane_was_out_of_reach_is_known() {
    let now = start();
    let after = |milliseconds| now + Duration::from_millis(milliseconds);
    let (app, channel) = names();
    let mut interest = attached(2);
    interest.set_subscriptions(0, (&app, &channel), 1, (now, true));
    interest.acknowledge(0, interest.version, start());
    let known = interest.acknowledged_by(0);
    interest.unattach(0, start());
    let late = ChannelName::trusted("late");
    interest.set_subscriptions(1, (&app, &late), 1, (after(10), true));
    let dispatched = |at| vec![Some(at); 1_024];
    let missed = |interest: &Interest, at, known| -> Vec<String> {
        let missed = interest.begun_before(&dispatched(at), known).into_iter();
        missed.map(|one| format!("{} {}", one.channel.1, one.threads)).collect()
    };
    assert!(missed(&interest, after(5), known).is_empty(), "nobody was there then");
    assert_eq!(missed(&interest, after(20), known), ["late 2"], "the other's events wait there");
    assert_eq!(missed(&interest, after(20), 0), ["c 1", "late 2"], "nothing waits");
    assert!(interest.begun_before(&vec![None; 1_024], 0).is_empty());
    interest.set_subscriptions(1, (&app, &late), 0, (after(30), true));
    assert!(missed(&interest, after(40), known).is_empty(), "nobody is there any more");
}

#[test]
fn who_was_let_in_before_a_control_plane_took_note_is_told_what_it_missed() {
    let now = start();
    let after = |milliseconds| now + Duration::from_millis(milliseconds);
    let dispatched = |at: Instant| vec![Some(at); 1_024];
    let confirmed = [Confirmed { channel: names(), threads: 1 }];
    let late = || {
        let mut interest = attached(1);
        interest.attach(1);
        interest.end_snapshot(1, 0);
        set(&mut interest, 0, 1, now);
        interest.acknowledge(0, interest.version, after(1));
        assert_eq!(interest.expire(after(300)).1, confirmed);
        interest
    };
    let missed = |interest: &Interest, slot, at| {
        interest.missed(slot, interest.version, &dispatched(after(at)))
    };
    let mut interest = late();
    assert!(missed(&interest, 1, 299).is_empty(), "nobody was in yet");
    assert_eq!(missed(&interest, 1, 300), confirmed);
    assert!(missed(&interest, 0, 300).is_empty(), "that one knew");
    assert!(interest.missed(1, interest.version, &[]).is_empty(), "nothing was dispatched");
    interest.acknowledge(1, interest.version, after(400));
    assert!(missed(&interest, 1, 500).is_empty() && interest.overdue.is_empty());

    let mut interest = late();
    interest.acknowledge(1, 0, after(350));
    assert_eq!(missed(&interest, 1, 360), confirmed, "an older acknowledgement settles nothing");
    set(&mut interest, 0, 0, now);
    assert!(missed(&interest, 1, 360).is_empty(), "nobody is in any more");
    interest.unattach(1, after(370));
    assert!(interest.overdue.is_empty(), "the next stream is told everything");

    let mut interest = attached(1);
    set(&mut interest, 0, 1, now);
    interest.acknowledge(0, interest.version, after(1));
    assert!(interest.overdue.is_empty(), "who was waited for has nothing to tell");
    interest.attach(1);
    interest.end_snapshot(1, 0);
    interest.set_answers(1, false, after(2));
    let other = ChannelName::trusted("other");
    let app = names().0;
    interest.set_subscriptions(0, (&app, &other), 1, (after(3), true));
    interest.acknowledge(0, interest.version, after(4));
    let missed = interest.missed(1, interest.version, &dispatched(after(5)));
    assert_eq!(missed, [Confirmed { channel: (app, other), threads: 1 }], "nobody waited for it");
}
