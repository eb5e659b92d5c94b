//! Several targets, and several calls: order, grace, nothing lost, nobody held up.

use model::UserId;

use super::*;

#[tokio::test]
async fn a_receiver_that_was_dead_hears_all_in_order() {
    let mut sink = Sink::start(&[]).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    let mut told = 0;
    let mut tell = |count| {
        for _ in 0..count {
            rig.number(told);
            told += 1;
        }
    };
    tell(10);
    sink.events(10).await;
    sink.kill().await;
    let mut telling = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        tell(50);
        telling += began.elapsed();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(telling < Duration::from_secs(1), "telling never waits, but took {telling:?}");
    assert!(rig.metrics.queued.get() > 800);
    sink.revive().await;
    tell(10);
    let events = numbers(&sink.events(1_020).await);
    assert_eq!(events, (0..1_020).collect::<Vec<_>>(), "each once: none was taken unanswered");
    assert!(sink.received().len() < 40, "what waited goes a hundred at a time");
    rig.stop().await;
}

#[tokio::test]
async fn targets_that_hang_hold_up_nobody() {
    let dead = Sink::start(&vec![Answer::Hang; 1_000]).await;
    let sink = Sink::start(&[]).await;
    // More than there are places for calls.
    let mut targets = vec![webhook(dead.url()); 40];
    targets.push(webhook(sink.url()));
    let rig = Rig::start(targets);
    rig.number(0);
    sink.events(1).await;
    dead.calls(40).await;
    for number in 1..10 {
        let started = Instant::now();
        rig.number(number);
        sink.events(number as usize + 1).await;
        assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
    }
    assert_eq!(numbers(&sink.events(10).await), (0..10).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_webhooks_with_one_url_are_two_targets() {
    let sink = Sink::start(&[]).await;
    let of = |prefix: &str, kind| Webhook {
        kinds: vec![kind],
        filter: WebhookFilter { prefix: prefix.into(), ..WebhookFilter::default() },
        ..webhook(sink.url())
    };
    let targets = vec![of("a", WebhookKind::ChannelOccupied), of("b", WebhookKind::CacheMiss)];
    let rig = Rig::start(targets);
    for channel in ["a1", "b1", "c1"] {
        rig.tell(channel, Happening::Occupied);
        rig.tell(channel, Happening::CacheMiss);
    }
    let calls = sink.calls(2).await;
    rig.stop().await;
    assert_eq!(sink.received().len(), 2);
    let mut got: Vec<_> = calls
        .iter()
        .map(|call| {
            assert!(call.is_signed_with("app-secret"), "each signs what it gets");
            let events = call.events();
            assert_eq!(events.len(), 1);
            (events[0]["name"].to_string(), events[0]["channel"].to_string())
        })
        .collect();
    got.sort();
    let text = |text: &str| format!("{text:?}");
    let expected = [(text("cache_miss"), text("b1")), (text("channel_occupied"), text("a1"))];
    assert_eq!(got, expected);
}

#[tokio::test]
async fn a_return_within_the_grace_is_told_to_nobody() {
    let sink = Sink::start(&[]).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    let (ann, bob) = (UserId::trusted("ann"), UserId::trusted("bob"));
    let started = Instant::now();
    rig.tell("presence-a", Happening::MemberRemoved(ann.clone()));
    rig.tell("presence-a", Happening::MemberRemoved(bob));
    rig.tell("room", Happening::Vacated);
    rig.tell("hall", Happening::Vacated);
    tokio::time::sleep(Duration::from_millis(500)).await;
    rig.tell("presence-a", Happening::MemberAdded(ann));
    rig.tell("hall", Happening::Occupied);
    let events = sink.events(2).await;
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}", started.elapsed());
    let names = |event: &serde_json::Value| (event["name"].clone(), event["channel"].clone());
    let names: Vec<_> = events.iter().map(names).collect();
    let pair = |name: &str, channel: &str| (name.into(), channel.into());
    assert_eq!(names, [pair("member_removed", "presence-a"), pair("channel_vacated", "room")]);
    assert_eq!(events[0]["user_id"], "bob");
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(sink.received().len(), 1);
}
