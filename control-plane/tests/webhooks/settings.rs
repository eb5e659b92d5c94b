//! What changes while calls are made: settings, and the end of the process.

use super::*;

#[tokio::test]
async fn a_new_secret_signs_the_next_call() {
    let sink = Sink::start(&[Answer::Status(500)]).await;
    let mut rig = Rig::start(vec![webhook(sink.url())]);
    rig.number(1);
    sink.calls(1).await;
    rig.change(|app| app.secrets = Secrets::one(AppSecret::new("newer")));
    let calls = sink.calls(2).await;
    assert!(calls[0].is_signed_with("app-secret") && calls[1].is_signed_with("newer"));
    assert_eq!(calls[0].body, calls[1].body);
    rig.stop().await;
}

#[tokio::test]
async fn a_removed_webhook_is_called_no_more_and_the_others_go_on() {
    let dead = Sink::start(&vec![Answer::Status(503); 1_000]).await;
    let (sink, new) = (Sink::start(&[]).await, Sink::start(&[]).await);
    let mut rig = Rig::start(vec![webhook(dead.url()), webhook(sink.url())]);
    rig.number(1);
    dead.calls(3).await;
    rig.change(|app| {
        app.webhooks.remove(0);
        app.webhooks.push(webhook(new.url()));
    });
    rig.number(2);
    assert_eq!(numbers(&sink.events(2).await), [1, 2]);
    assert_eq!(numbers(&new.events(1).await), [2]);
    let calls = dead.received().len();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(dead.received().len(), calls);
    assert_eq!(rig.metrics.dropped("removed"), 1);
    rig.change(|app| app.webhooks.clear());
    rig.number(3);
    rig.stop().await;
    assert_eq!(numbers(&sink.events(2).await), [1, 2]);
}

#[tokio::test]
async fn the_end_tells_what_waits_within_its_time() {
    let sink = Sink::start(&[Answer::Status(500)]).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    rig.number(1);
    rig.tell("room", Happening::Vacated);
    let started = Instant::now();
    rig.stop().await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(sink.events(4).await.len(), 4, "both, twice");

    let dead = Sink::start(&vec![Answer::Status(500); 1_000]).await;
    let rig = Rig::start(vec![webhook(dead.url())]);
    rig.number(1);
    let (metrics, started) = (rig.metrics.clone(), Instant::now());
    rig.webhooks.stop(Duration::from_millis(500)).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(metrics.dropped("stopped"), 1);
    rig.number(2);
    assert_eq!(metrics.dropped("overflow"), 1, "nobody takes it any more");
}
