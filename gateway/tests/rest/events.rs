//! What a publish becomes on its way to the control plane, and what is answered.

use std::{collections::HashSet, time::Duration};

use gateway::{Gateway, config::Options};
use model::{Quota, Reason, Rejection};
use proto::{
    internal::PublishResponse,
    link,
    replicas::{Replicas, Seeds},
    v1::{ChannelInfo, Event, EventInfo, RateLimit},
};

use crate::{
    control_plane::{ControlPlane, Says},
    fixture::{Fixture, NOW, replicas, serve, sign, start, start_with},
};

const BODY: &str = r#"{"name":"a","channel":"b","data":"c"}"#;

async fn published(fixture: &Fixture, body: &str) -> Event {
    let response = fixture.publish(body).await;
    assert_eq!((response.status, &*response.body), (200, r#"{"ok":true}"#), "{body}");
    let mut published = fixture.control_plane.published();
    assert_eq!(published.len(), 1);
    published.remove(0).event.unwrap()
}

#[tokio::test]
async fn an_event_arrives_as_it_was_sent() {
    let fixture = start().await;
    let expected = Event {
        name: "a".into(),
        data: Some("c".into()),
        channels: vec!["b".into()],
        ..Event::default()
    };
    assert_eq!(published(&fixture, BODY).await, expected);
    let body = r#"{"name":"a","channel":"b","data":{ "z" : 1.10, "é": "\u00e9" }}"#;
    let event = published(&fixture, body).await;
    assert_eq!(event.data.as_deref(), Some(r#"{"z":1.10,"é":"\u00e9"}"#));
    let event = published(&fixture, r#"{"name":"a","channel":"b","data":null}"#).await;
    assert_eq!(event.data.as_deref(), Some("null"));
}

#[tokio::test]
async fn the_content_type_does_not_matter() {
    let fixture = start().await;
    let target = sign("POST", "/apps/app-1/events", "", BODY.as_bytes());
    for content_type in ["application/x-www-form-urlencoded", "text/plain; charset=utf-16", ""] {
        let line = format!("Content-Type: {content_type}");
        let mut client = fixture.client().await;
        let response = client.request("POST", &target, &[&line], BODY.as_bytes()).await;
        assert_eq!(response.status, 200, "{content_type}");
    }
}

#[tokio::test]
async fn bad_bodies_are_named() {
    let fixture = start().await;
    fixture.publish("{").await.refused(400, "invalid_input", None);
    fixture.publish("[]").await.refused(400, "invalid_input", None);
    let twice = fixture.publish(r#"{"data":"1","name":"a","data":"2"}"#).await;
    twice.refused(400, "invalid_input", Some("data"));
    let text = fixture.publish(r#"{"info":["user_count"]}"#).await;
    assert!(text.refused(400, "invalid_input", Some("info")).contains("an array"));
    let tags = fixture.publish(r#"{"tags":{"a":1}}"#).await;
    tags.refused(400, "invalid_input", Some("tags.a"));
    let target = sign("POST", "/apps/app-1/events", "", b"\"\xff\"");
    let response = fixture.request("POST", &target, &[], b"\"\xff\"").await;
    response.refused(400, "invalid_input", None);
    let empty = sign("POST", "/apps/app-1/events", "", b"");
    let response = fixture.request("POST", &empty, &[], b"").await;
    response.refused(400, "invalid_input", None);
    assert!(fixture.control_plane.published().is_empty());
}

#[tokio::test]
async fn info_is_answered_by_channel() {
    let fixture = start().await;
    let info = |channel: &str, subscription_count: Option<u32>, user_count: Option<u32>| {
        ChannelInfo { channel: channel.into(), subscription_count, user_count }
    };
    let channels = vec![info("z", Some(3), None), info("presence-a", Some(5), Some(2))];
    fixture
        .control_plane
        .say(Says::answer(PublishResponse { channels, ..PublishResponse::default() }));
    let body = BODY.replace("\"name\"", r#""info":"subscription_count,user_count","name""#);
    let response = fixture.publish(&body).await;
    assert_eq!(
        response.body,
        r#"{"channels":{"z":{"subscription_count":3},"presence-a":{"subscription_count":5,"user_count":2}}}"#
    );
    let published = fixture.control_plane.published();
    let wanted = EventInfo { subscription_count: true, user_count: true };
    assert_eq!(published[0].event.as_ref().unwrap().info, Some(wanted));

    let channels = vec![info("b", None, None)];
    fixture
        .control_plane
        .say(Says::answer(PublishResponse { channels, ..PublishResponse::default() }));
    let response = fixture.publish(&BODY.replace("\"name\"", r#""info":"","name""#)).await;
    assert_eq!(response.body, r#"{"channels":{"b":{}}}"#);
}

#[tokio::test]
async fn the_idempotency_key_of_the_body_wins() {
    let fixture = start().await;
    let with_key = BODY.replace("\"name\"", r#""idempotency_key":"body","name""#);
    for (body, header, expected) in [
        (BODY, "X-Idempotency-Key: header", "header"),
        (&with_key, "X-Idempotency-Key: header", "body"),
        (&with_key, "X-Other: 1", "body"),
    ] {
        let target = sign("POST", "/apps/app-1/events", "", body.as_bytes());
        let mut client = fixture.client().await;
        assert_eq!(client.request("POST", &target, &[header], body.as_bytes()).await.status, 200);
        let event = fixture.control_plane.published().remove(0).event.unwrap();
        assert_eq!(event.idempotency_key, expected);
    }
    let target = sign("POST", "/apps/app-1/events", "", BODY.as_bytes());
    let mut client = fixture.client().await;
    let empty = client.request("POST", &target, &["X-Idempotency-Key:"], BODY.as_bytes()).await;
    empty.refused(400, "invalid_input", Some("X-Idempotency-Key"));
}

#[tokio::test]
async fn refusals_of_the_control_plane_become_statuses() {
    let fixture = start().await;
    let check = async |reason: Reason, status: u16, code: &str| {
        let rejection = Rejection::field(reason, "channels", "no");
        fixture.control_plane.say(Says::Rejection(rejection));
        let response = fixture.publish(BODY).await;
        assert_eq!(response.refused(status, code, Some("channels")), "no");
        assert_eq!(response.header("retry-after").is_some(), status == 429);
    };
    check(Reason::InvalidInput, 400, "invalid_input").await;
    check(Reason::MissingChannel, 400, "missing_channel_info").await;
    check(Reason::LimitExceeded, 400, "limit_exceeded").await;
    check(Reason::PayloadTooLarge, 413, "payload_too_large").await;
    check(Reason::Conflict, 409, "conflict").await;
    check(Reason::Forbidden, 403, "forbidden").await;
    check(Reason::AppNotFound, 404, "app_not_found").await;
    check(Reason::RateLimited, 429, "rate_limited").await;
    check(Reason::Internal, 500, "internal_error").await;
}

#[tokio::test]
async fn the_headers_describe_the_tightest_limiter() {
    let fixture = start().await;
    let rate_limit = Some(RateLimit { limit: 10, remaining: 4, reset_ms: 350 });
    let response = PublishResponse { rate_limit, ..PublishResponse::default() };
    fixture.control_plane.say(Says::answer(response));
    let response = fixture.publish(BODY).await;
    assert_eq!((response.status, response.rate()), (200, Some([10, 4, 1])));
    let quota = Some(Quota { limit: 10, remaining: 0, reset_ms: 2_001 });
    let rejection = Rejection { quota, ..Rejection::new(Reason::RateLimited, "slow down") };
    fixture.control_plane.say(Says::Rejection(rejection));
    let response = fixture.publish(BODY).await;
    response.refused(429, "rate_limited", None);
    assert_eq!((response.rate(), response.header("retry-after")), (Some([10, 0, 3]), Some("3")));
    let [limit, remaining, reset] = fixture.publish(BODY).await.rate().unwrap();
    assert_eq!((limit, remaining), (6_000_000, 5_999_997));
    assert!((1..=60).contains(&reset));
}

#[tokio::test]
async fn a_publish_is_tried_again_under_its_name() {
    let fixture = start().await;
    for _ in 0..2 {
        let busy = Rejection::new(Reason::Unavailable, "a queue is full");
        fixture.control_plane.say(Says::Rejection(busy));
    }
    assert_eq!(fixture.publish(BODY).await.status, 200);
    let published = fixture.control_plane.published();
    assert_eq!(published.len(), 3);
    assert!(published.iter().all(|one| *one == published[0] && one.message_id.len() == 16));
    assert!(fixture.metrics().await.contains("carillon_gateway_retries_total 2"));
    let mut ids = HashSet::from([published[0].message_id.clone()]);
    for _ in 0..10 {
        assert_eq!(fixture.publish(BODY).await.status, 200);
        ids.insert(fixture.control_plane.published()[0].message_id.clone());
    }
    assert_eq!(ids.len(), 11);
}

#[tokio::test]
async fn another_control_plane_takes_over() {
    let (alive, fixture) = (ControlPlane::default(), start().await);
    // A port that nobody listens on any more.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let both = replicas(&[gone, alive.listen().await]);
    let options = Options { publish_timeout_ms: 2_000, ..Options::default() };
    let apps = fixture.apps.subscribe();
    let gateway = Gateway::with_clock(options, apps, both, || NOW);
    let both = Fixture { address: serve(&gateway).await, gateway, ..fixture };
    for _ in 0..5 {
        assert_eq!(both.publish(BODY).await.status, 200);
    }
    assert_eq!(alive.published().len(), 5);
}

#[tokio::test]
async fn silence_and_absence_end_in_503() {
    let options = || Options { publish_timeout_ms: 200, ..Options::default() };
    let fixture = start_with(options(), || NOW).await;
    fixture.control_plane.say(Says::Nothing);
    let began = tokio::time::Instant::now();
    let response = fixture.publish(BODY).await;
    assert!(response.refused(503, "service_unavailable", None).contains("200 ms"));
    assert_eq!(response.header("retry-after"), Some("1"));
    let busy = Rejection::new(Reason::Unavailable, "a queue is full");
    for _ in 0..100 {
        fixture.control_plane.say(Says::Rejection(busy.clone()));
    }
    let text = fixture.publish(BODY).await.refused(503, "service_unavailable", None);
    assert_eq!(text, "a queue is full");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_event_in_this_process_needs_no_socket() {
    use proto::internal::dispatch_service_server::DispatchServiceServer;

    let (local, fixture) = (ControlPlane::default(), start().await);
    let routes = tonic::service::Routes::new(DispatchServiceServer::new(local.clone()));
    let replicas = Replicas::start(Seeds::local(link::local(routes)), gateway::caller());
    let apps = fixture.apps.subscribe();
    let gateway = Gateway::with_clock(Options::default(), apps, replicas, || NOW);
    let fixture = Fixture { address: serve(&gateway).await, gateway, ..fixture };
    assert_eq!(fixture.publish(BODY).await.status, 200);
    let busy = Rejection::field(Reason::PayloadTooLarge, "data", "too large");
    local.say(Says::Rejection(busy));
    fixture.publish(BODY).await.refused(413, "payload_too_large", Some("data"));
    assert_eq!(local.published().len(), 2);
}
