//! `batch_events`: the whole batch or nothing, answered by place.

use model::{Quota, Reason, Rejection};
use proto::{
    internal::{PublishBatchRequest, PublishBatchResponse},
    v1::{ChannelInfo, EventInfo, RateLimit, TriggerEventBatchResponse, TriggerEventBatchResult},
};

use crate::{
    client::Response,
    control_plane::Says,
    fixture::{Fixture, start},
};

const BATCH: &str = r#"{"batch":[
    {"channel":"room-1","name":"a","data":"1"},
    {"channels":["presence-room","room-2"],"name":"b","data":{ "x" : 2 },"socket_id":"123.456",
     "info":"user_count","tags":{"k":"v"},"delta":true,"idempotency_key":"own"}
]}"#;

async fn post(fixture: &Fixture, body: &str) -> Response {
    fixture.post("/batch_events", &[], body).await
}

fn counted(subscriptions: u32) -> TriggerEventBatchResult {
    let info = |channel: &str, count| ChannelInfo {
        channel: channel.into(),
        subscription_count: Some(count),
        user_count: None,
    };
    TriggerEventBatchResult { channels: vec![info("z", subscriptions), info("a", 9)] }
}

#[tokio::test]
async fn events_arrive_in_their_order() {
    let fixture = start().await;
    assert_eq!(post(&fixture, BATCH).await.status, 200);
    let mut batches = fixture.control_plane.asked::<PublishBatchRequest>();
    let batch = batches.remove(0);
    assert!(batches.is_empty());
    assert_eq!(
        (&*batch.app_id, batch.message_id.len(), &*batch.idempotency_key),
        ("app-1", 16, "")
    );
    let [first, second] = &batch.events[..] else { panic!("{batch:?}") };
    assert_eq!((&*first.name, first.data.as_deref()), ("a", Some("1")));
    assert_eq!((&first.channels[..], first.info), (&["room-1".to_owned()][..], None));
    assert_eq!((&*second.name, second.data.as_deref()), ("b", Some(r#"{"x":2}"#)));
    assert_eq!(second.channels, ["presence-room", "room-2"]);
    let info = EventInfo { subscription_count: false, user_count: true };
    assert_eq!((second.info, &*second.socket_id), (Some(info), "123.456"));
    assert_eq!((second.delta, &*second.idempotency_key), (Some(true), "own"));
    assert_eq!(second.tags.as_ref().unwrap().pairs["k"], "v");
}

#[tokio::test]
async fn the_answer_has_an_object_for_each_event() {
    let fixture = start().await;
    let check = async |body: &str, results, expected: &str| {
        let rate_limit = Some(RateLimit { limit: 10, remaining: 4, reset_ms: 350 });
        let answer = Some(TriggerEventBatchResponse { results, rate_limit });
        fixture.control_plane.say(Says::answer(PublishBatchResponse { answer }));
        let response = post(&fixture, body).await;
        assert_eq!((response.status, &*response.body), (200, expected), "{body}");
        assert_eq!(response.rate(), Some([10, 4, 1]));
        response.json();
    };
    let nothing = TriggerEventBatchResult::default;
    check(r#"{"batch":[]}"#, vec![], "{}").await;
    let plain = r#"{"name":"a","channel":"b","data":"c"}"#;
    check(&format!(r#"{{"batch":[{plain},{plain}]}}"#), vec![nothing(), nothing()], "{}").await;
    let results = vec![nothing(), counted(3)];
    check(BATCH, results, r#"{"batch":[{},{"subscription_count":3}]}"#).await;
    let empty_info = plain.replace("\"name\"", r#""info":"","name""#);
    check(&format!(r#"{{"batch":[{empty_info}]}}"#), vec![nothing()], r#"{"batch":[{}]}"#).await;
}

#[tokio::test]
async fn a_bad_batch_is_refused_by_place_and_field() {
    let fixture = start().await;
    let check = async |body: &str, field: Option<&str>| {
        post(&fixture, body).await.refused(400, "invalid_input", field)
    };
    check("", None).await;
    check("[]", None).await;
    check(r#"{"batch":[{"name":"a"}]"#, None).await;
    for missing in ["{}", r#"{"batch":null}"#, r#"{"events":[]}"#] {
        assert!(check(missing, Some("batch")).await.contains("required"));
    }
    for mistyped in [r#"{"batch":{}}"#, r#"{"batch":"[]"}"#, r#"{"batch":1}"#] {
        assert!(check(mistyped, Some("batch")).await.contains("an array of events"));
    }
    check(r#"{"batch":[],"batch":[]}"#, Some("batch")).await;
    check(r#"{"batch":[{},7]}"#, Some("batch[1]")).await;
    check(r#"{"batch":[null]}"#, Some("batch[0]")).await;
    check(r#"{"batch":[{"name":"a"},{"name":1}]}"#, Some("batch[1].name")).await;
    check(r#"{"batch":[{"tags":{"k":1}}]}"#, Some("batch[0].tags.k")).await;
    check(r#"{"batch":[{"channels":["a",2]}]}"#, Some("batch[0].channels[1]")).await;
    check(r#"{"batch":[{"name":"a","name":"b"}]}"#, Some("batch[0].name")).await;
    let many = format!(r#"{{"batch":[{}]}}"#, vec!["{}"; 10_001].join(","));
    post(&fixture, &many).await.refused(400, "limit_exceeded", Some("batch"));
    assert!(fixture.control_plane.asked::<PublishBatchRequest>().is_empty());
}

#[tokio::test]
async fn refusals_of_the_control_plane_keep_their_words() {
    let fixture = start().await;
    let check = async |reason: Reason, status: u16, code: &str| {
        let quota = Some(Quota { limit: 10, remaining: 0, reset_ms: 2_001 });
        let rejection = Rejection { quota, ..Rejection::field(reason, "batch[1].data", "no") };
        fixture.control_plane.say(Says::Rejection(rejection));
        let response = post(&fixture, BATCH).await;
        assert_eq!(response.refused(status, code, Some("batch[1].data")), "no");
        assert_eq!(response.rate(), Some([10, 0, 3]));
        assert_eq!(response.header("retry-after"), (status == 429).then_some("3"));
    };
    check(Reason::InvalidInput, 400, "invalid_input").await;
    check(Reason::LimitExceeded, 400, "limit_exceeded").await;
    check(Reason::PayloadTooLarge, 413, "payload_too_large").await;
    check(Reason::Conflict, 409, "conflict").await;
    check(Reason::RateLimited, 429, "rate_limited").await;
}

#[tokio::test]
async fn the_header_names_the_whole_batch_in_every_retry() {
    let fixture = start().await;
    for _ in 0..2 {
        let busy = Rejection::new(Reason::Unavailable, "a queue is full");
        fixture.control_plane.say(Says::Rejection(busy));
    }
    let headers = ["X-Idempotency-Key: whole"];
    assert_eq!(fixture.post("/batch_events", &headers, BATCH).await.status, 200);
    let asked = fixture.control_plane.asked::<PublishBatchRequest>();
    assert_eq!((asked.len(), &*asked[0].idempotency_key), (3, "whole"));
    assert_eq!(asked[0].events[0].idempotency_key, "");
    assert_eq!(asked[0].events[1].idempotency_key, "own");
    assert!(asked.iter().all(|one| *one == asked[0]));
    let empty = fixture.post("/batch_events", &["X-Idempotency-Key:"], BATCH).await;
    empty.refused(400, "invalid_input", Some("X-Idempotency-Key"));
}
