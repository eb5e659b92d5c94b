//! What a publish is refused for: every row of spec/http.md's tables that concerns it.

use serde_json::{Value, json};
use tests::{
    client::Client,
    cluster::{Cluster, Shape},
    rest::{Answer, Backend},
};

/// A refusal: status, slug, and the field at fault.
fn check(answer: &Answer, status: u16, code: &str, field: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    assert_eq!(body["status"], status, "{body}");
    assert_eq!(body["code"], code, "{body}");
    assert_eq!(body["field"].as_str().unwrap_or_default(), field, "{body}");
    assert!(!body["error"].as_str().unwrap().is_empty(), "{body}");
}

fn event() -> Value {
    json!({ "name": "e", "channel": "room", "data": "x" })
}

/// An event with some fields changed; `null` takes a field away.
fn with(changes: Value) -> Value {
    let mut event = event();
    let fields = event.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => fields.remove(name),
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => fields.insert(name.clone(), value.clone()),
        };
    }
    event
}

async fn refused(backend: &Backend, event: &Value, code: &str, field: &str) -> String {
    let answer = backend.publish(event).await;
    check(&answer, 400, code, field);
    answer.json()["error"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_body_that_is_no_event_is_400() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    for body in [
        "",
        "{",
        "nonsense",
        r#"{"name":"e","channel":"room","data":"x"}}"#,
        "{\"name\":\"\u{0}\"}",
    ] {
        let answer = backend.call(body).send().await;
        let field = answer.json()["field"].as_str().unwrap_or_default().to_owned();
        check(&answer, 400, "invalid_input", &field);
    }
    let answer =
        backend.call(&b"{\"name\":\"e\",\"channel\":\"room\",\"data\":\"\xff\"}"[..]).send().await;
    assert_eq!(answer.status, 400, "{answer:?}");
    for (changes, code, field) in [
        (json!({ "name": null }), "invalid_input", "name"),
        (json!({ "name": "" }), "invalid_input", "name"),
        (json!({ "name": 7 }), "invalid_input", "name"),
        (json!({ "name": "client-typing" }), "invalid_input", "name"),
        (json!({ "name": "pusher:error" }), "invalid_input", "name"),
        (json!({ "name": "pusher_internal:x" }), "invalid_input", "name"),
        (json!({ "data": null }), "invalid_input", "data"),
        (json!({ "channel": null }), "missing_channel_info", "channels"),
        (json!({ "channels": [] }), "missing_channel_info", "channels"),
        (json!({ "channels": "room" }), "invalid_input", "channels"),
        (json!({ "channels": [7] }), "invalid_input", "channels[0]"),
        (json!({ "channel": 7 }), "invalid_input", "channel"),
        (json!({ "channel": "" }), "invalid_input", "channels"),
        (json!({ "socket_id": "abc" }), "invalid_input", "socket_id"),
        (json!({ "socket_id": 1.2 }), "invalid_input", "socket_id"),
        (json!({ "info": ["subscription_count"] }), "invalid_input", "info"),
        (json!({ "tags": { "a": 1 } }), "invalid_input", "tags.a"),
        (json!({ "tags": "a" }), "invalid_input", "tags"),
        (json!({ "delta": "yes" }), "invalid_input", "delta"),
    ] {
        refused(&backend, &with(changes), code, field).await;
    }
}

#[tokio::test]
async fn what_is_unknown_or_null_is_passed_over() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let body =
        r#"{"name":"e","channel":"room","data":"x","socket_id":null,"info":null,"new":{"a":[1]}}"#;
    let answer = backend.call(body).header("content-type", "text/plain").send().await;
    assert_eq!((answer.status, &*answer.text), (200, r#"{"ok":true}"#));
}

#[tokio::test]
async fn names_and_channels_are_counted() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let published = async |changes: Value| backend.publish(&with(changes)).await.status;
    let names = |count: usize| (0..count).map(|n| format!("c-{n}")).collect::<Vec<_>>();

    assert_eq!(published(json!({ "name": "é".repeat(200) })).await, 200);
    let error =
        refused(&backend, &with(json!({ "name": "é".repeat(201) })), "limit_exceeded", "name")
            .await;
    assert!(error.contains("201") && error.contains("200"), "{error}");

    assert_eq!(published(json!({ "channels": names(100) })).await, 200);
    let error =
        refused(&backend, &with(json!({ "channels": names(101) })), "limit_exceeded", "channels")
            .await;
    assert!(error.contains("101") && error.contains("100"), "{error}");

    assert_eq!(published(json!({ "channel": "c".repeat(200) })).await, 200);
    let error = refused(
        &backend,
        &with(json!({ "channel": "c".repeat(201) })),
        "invalid_input",
        "channels",
    )
    .await;
    assert!(error.contains("201") && error.contains("200"), "{error}");
}

#[tokio::test]
async fn limits_are_those_of_the_app() {
    let shape = Shape::default().app(json!({
        "limits": { "event_name_chars_max": 5, "channels_per_event_max": 2, "channel_name_bytes_max": 4 },
    }));
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let at_limit = json!({ "name": "12345", "channels": ["aaaa", "bbbb"], "data": "x" });
    assert_eq!(backend.publish(&at_limit).await.status, 200);
    for (changes, code, field) in [
        (json!({ "name": "123456" }), "limit_exceeded", "name"),
        (json!({ "channels": ["a", "b", "c"] }), "limit_exceeded", "channels"),
        (json!({ "channel": "aaaaa" }), "invalid_input", "channels"),
    ] {
        refused(&backend, &with(changes), code, field).await;
    }
}

#[tokio::test]
async fn one_bad_channel_among_good_ones_stops_all() {
    let cluster = Cluster::start(Shape::default()).await;
    let backend = cluster.backend(0);
    let mut client = cluster.client(0).await;
    client.subscribe("good").await;
    for bad in ["bad name", "", "ä", "#room", "a/b", &"x".repeat(201), "private-encrypted-x"] {
        let event = with(json!({ "channels": ["good", bad] }));
        refused(&backend, &event, "invalid_input", "channels").await;
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn data_over_the_limit_is_413_and_at_the_limit_200() {
    let shape = Shape::default().app(json!({ "limits": { "event_payload_kib_max": 2 } }));
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    // {"a":"…"} has eight bytes besides the text.
    let object = |bytes: usize| json!({ "a": "y".repeat(bytes - 8) });
    for (data, delivered) in
        [(json!("é".repeat(1_024)), "é".repeat(1_024)), (object(2_048), object(2_048).to_string())]
    {
        let answer = backend.publish(&with(json!({ "data": data }))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        client.expect_event("room", "e", &delivered).await;
    }
    for data in [json!("é".repeat(1_024) + "x"), object(2_049)] {
        let answer = backend.publish(&with(json!({ "data": data }))).await;
        check(&answer, 413, "payload_too_large", "data");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("2049") && error.contains("2048"), "{error}");
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_body_over_the_cap_is_413() {
    let shape = Shape::default().gateway("--request-body-bytes-max=4096");
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let body = |bytes: usize| {
        let event = with(json!({ "padding": "" })).to_string();
        let padding = "p".repeat(bytes - event.len());
        with(json!({ "padding": padding })).to_string()
    };
    assert_eq!(backend.call(body(4_096)).send().await.status, 200);
    let answer = backend.call(body(4_097)).send().await;
    check(&answer, 413, "payload_too_large", "");
}

#[tokio::test]
async fn an_unknown_app_is_404_and_a_disabled_one_403() {
    let cluster = Cluster::start(Shape::default().app(json!({ "enabled": false }))).await;
    let backend = cluster.backend(0);
    check(&backend.publish(&event()).await, 403, "forbidden", "");
    let forged = backend.with(|who| who.secret = "guessed".into());
    check(&forged.publish(&event()).await, 401, "auth_failed", "");
    let elsewhere = backend.with(|who| who.app_id = "nowhere".into());
    check(&elsewhere.publish(&event()).await, 404, "app_not_found", "");
}

#[tokio::test]
async fn over_the_apps_rate_is_429_with_all_headers() {
    let shape = Shape::default().app(json!({ "limits": { "backend_events_per_second": 5 } }));
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let five = with(json!({ "channels": ["a", "b", "c", "d", "e"] }));
    let answer = backend.publish(&five).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-ratelimit-limit"), "5");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    assert_eq!(answer.header("x-ratelimit-reset"), "1");
    assert_eq!(answer.header("retry-after"), "");

    let answer = backend.publish(&five).await;
    check(&answer, 429, "rate_limited", "");
    assert_eq!(answer.header("x-ratelimit-limit"), "5");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    assert_eq!(answer.header("x-ratelimit-reset"), "1");
    assert_eq!(answer.header("retry-after"), "1");

    let again = || async { (backend.publish(&five).await.status == 200).then_some(()) };
    tests::eventually("the second is over", again).await;
}

#[tokio::test]
async fn over_the_rate_of_an_address_is_429_even_unsigned() {
    let shape = Shape::default()
        .gateway("--requests-per-address=3 --requests-per-address-window-seconds=60");
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    for remaining in ["2", "1", "0"] {
        let answer = backend.call("{").unsigned().send().await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.header("x-ratelimit-remaining"), remaining);
    }
    let answer = backend.publish(&event()).await;
    check(&answer, 429, "rate_limited", "");
    assert_eq!(answer.header("x-ratelimit-limit"), "3");
    assert_eq!(answer.header("x-ratelimit-remaining"), "0");
    let seconds: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(answer.header("x-ratelimit-reset"), answer.header("retry-after"));
}

#[tokio::test]
async fn every_answer_carries_the_rate_headers() {
    let shape =
        Shape::default().gateway("--requests-per-address=1000 --request-body-bytes-max=200000");
    let cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let nowhere = backend.with(|who| who.app_id = "nowhere".into());
    let answers = [
        (200, backend.publish(&event()).await),
        (400, backend.call("{").send().await),
        (401, backend.call("{").unsigned().send().await),
        (404, nowhere.publish(&event()).await),
        (413, backend.publish(&with(json!({ "data": "x".repeat(102_401) }))).await),
        (413, backend.call("x".repeat(200_001)).send().await),
    ];
    for (place, (status, answer)) in answers.iter().enumerate() {
        assert_eq!(answer.status, *status, "{answer:?}");
        assert_eq!(answer.header("x-ratelimit-limit"), "1000");
        assert_eq!(answer.header("x-ratelimit-remaining"), (999 - place).to_string());
        let reset: u32 = answer.header("x-ratelimit-reset").parse().unwrap();
        assert!((1..=60).contains(&reset), "{reset}");
        assert_eq!(answer.header("retry-after"), "");
    }
}

#[tokio::test]
async fn without_a_control_plane_it_is_503_and_sockets_stay() {
    let shape = Shape::default().gateway("--publish-timeout-ms=300");
    let mut cluster = Cluster::start(shape).await;
    let backend = cluster.backend(0);
    let mut client: Client = cluster.client(0).await;
    client.subscribe("room").await;
    cluster.stop_control_plane().await;
    let answer = backend.publish(&event()).await;
    check(&answer, 503, "service_unavailable", "");
    assert_eq!(answer.header("retry-after"), "1");
    client.expect_nothing().await;

    cluster.start_control_plane().await;
    cluster.ready().await;
    let published = || async { (backend.publish(&event()).await.status == 200).then_some(()) };
    tests::eventually("it is back", published).await;
    client.expect_event("room", "e", "x").await;
}
