//! One call: signed, repeated as it was, never redirected, never to a private address.

use model::{SocketId, UserId};
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_call_is_signed_and_carries_what_happened_in_order() {
    let sink = Sink::start(&[]).await;
    let headers = vec![("X-Team".to_owned(), "a".to_owned())];
    let rig = Rig::start(vec![Webhook { headers, ..webhook(sink.url()) }]);
    rig.tell("presence-a", Happening::Occupied);
    rig.tell("presence-a", Happening::MemberAdded(UserId::trusted("ann")));
    let client_event = Happening::ClientEvent {
        name: "client-x".into(),
        data: Some(bytes::Bytes::from_static(b"{\"a\":1}")),
        socket: SocketId { left: 1, right: 2 },
        user: Some(UserId::trusted("ann")),
    };
    rig.tell("presence-a", client_event);
    rig.tell("presence-a", Happening::SubscriptionCount(3));
    rig.tell("#server-to-user-ann", Happening::Occupied);
    rig.tell("cache-a", Happening::CacheMiss);
    let calls = sink.calls(1).await;
    let call = &calls[0];
    assert!(call.is_signed_with("app-secret"));
    let header = |name| call.header(name);
    assert_eq!((header("content-type"), header("x-pusher-key")), ("application/json", "app-key"));
    assert_eq!((header("x-team"), header("host")), ("a", &*sink.address.to_string()));
    assert_eq!(header("x-carillon-webhook-id").len(), 32);
    let expected = [
        json!({"name": "channel_occupied", "channel": "presence-a"}),
        json!({"name": "member_added", "channel": "presence-a", "user_id": "ann"}),
        json!({"name": "client_event", "channel": "presence-a", "event": "client-x",
            "data": "{\"a\":1}", "socket_id": "1.2", "user_id": "ann"}),
        json!({"name": "cache_miss", "channel": "cache-a"}),
    ];
    assert_eq!(call.events(), expected);
    rig.stop().await;
    assert_eq!(sink.received().len(), 1, "one batch");
}

#[tokio::test]
async fn a_failed_call_is_repeated_as_it_was() {
    let script = [500, 429, 408, 409, 425].map(Answer::Status);
    let sink = Sink::start(&script).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    rig.number(1);
    let calls = sink.calls(6).await;
    for call in &calls {
        assert_eq!(call.body, calls[0].body, "time_ms is the first one's");
        assert_eq!(call.headers, calls[0].headers, "id and signature are the same");
    }
    rig.number(2);
    let calls = sink.calls(7).await;
    assert_ne!(calls[6].header("x-carillon-webhook-id"), calls[0].header("x-carillon-webhook-id"));
    let metrics = rig.metrics.clone();
    rig.stop().await;
    assert_eq!((metrics.sent.get(), metrics.failed.get(), metrics.retried.get()), (2, 5, 5));
    assert_eq!((metrics.events_sent.get(), metrics.queued.get()), (2, 0));
    assert_eq!(sink.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn what_hangs_is_tried_again() {
    let sink = Sink::start(&[Answer::Hang]).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    rig.number(1);
    let calls = sink.calls(2).await;
    assert_eq!(calls[0].body, calls[1].body);
    rig.stop().await;
}

#[tokio::test]
async fn a_redirect_and_a_refusal_are_final() {
    let other = Sink::start(&[]).await;
    let script = [Answer::Redirect(other.url()), Answer::Status(404)];
    let sink = Sink::start(&script).await;
    let rig = Rig::start(vec![webhook(sink.url())]);
    for number in 1..=3 {
        rig.number(number);
        sink.calls(number as usize).await;
    }
    let metrics = rig.metrics.clone();
    rig.stop().await;
    assert_eq!(numbers(&sink.events(3).await), [1, 2, 3], "none was repeated");
    assert_eq!(other.received().len(), 0);
    assert_eq!((metrics.failed.get(), metrics.retried.get(), metrics.sent.get()), (2, 0, 1));
    assert_eq!(metrics.dropped("declined"), 2);
}

#[tokio::test]
async fn attempts_are_limited_and_can_be_off() {
    let script = vec![Answer::Status(500); 3];
    let sink = Sink::start(&script).await;
    let limited = webhook(sink.url());
    let retry = limited.retry.map(|retry| WebhookRetry { attempts_max: Some(2), ..retry });
    let mut rig = Rig::start(vec![Webhook { retry, ..limited }]);
    rig.number(1);
    sink.calls(2).await;
    rig.change(|app| app.webhooks[0].retry = None);
    rig.number(2);
    sink.calls(3).await;
    rig.number(3);
    assert_eq!(numbers(&sink.events(4).await), [1, 1, 2, 3]);
    assert_eq!(rig.metrics.dropped("unwell"), 2);
    rig.stop().await;
}

#[tokio::test]
async fn private_addresses_are_refused_however_they_are_written() {
    let sink = Sink::start(&[]).await;
    let port = sink.address.port();
    let hosts = [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
    ];
    let url = |host: &str| webhook(format!("http://{host}:{port}/hook"));
    let rig = Rig::start_with(hosts.map(url).to_vec(), false);
    rig.number(1);
    let (metrics, started) = (rig.metrics.clone(), Instant::now());
    while metrics.failed.get() < hosts.len() as u64 {
        assert!(started.elapsed() < Duration::from_secs(10), "{} failed", metrics.failed.get());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.stop().await;
    assert_eq!((metrics.refused.get(), metrics.retried.get()), (hosts.len() as u64, 0));
    assert_eq!(metrics.dropped("refused"), hosts.len() as u64);
    assert_eq!(sink.connections(), 0);
}
