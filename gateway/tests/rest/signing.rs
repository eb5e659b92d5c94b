//! Who may publish: the vectors of spec/http.md and its status table (1.5) over a socket.

use crate::{
    client::Response,
    fixture::{Fixture, NOW, sign, sign_as, start, start_with},
};
use gateway::config::Options;

#[derive(serde::Deserialize)]
struct Vector {
    id: String,
    path: String,
    method: String,
    query: String,
    body: Option<String>,
    signature: String,
}

/// The vectors of `/events`, or all the others.
fn vectors(events: bool) -> Vec<Vector> {
    let lines = include_str!("../../src/signed/vectors.jsonl").lines();
    let vectors = lines.map(|line| serde_json::from_str::<Vector>(line).unwrap());
    vectors.filter(|vector| vector.path.ends_with("/events") == events).collect()
}

fn v2() -> Vector {
    vectors(true).into_iter().find(|vector| vector.id == "V2").unwrap()
}

async fn send(fixture: &Fixture, vector: &Vector, query: &str, headers: &[&str]) -> Response {
    let body = vector.body.as_deref().unwrap_or_default().as_bytes();
    let target = format!("{}?{query}", vector.path);
    fixture.request(&vector.method, &target, headers, body).await
}

#[tokio::test]
async fn vectors_publish() {
    let mut ids = Vec::new();
    for vector in vectors(true) {
        let clock = match &*vector.id {
            "V1" => || 1_353_088_179,
            "V12" => || 1_234_567_890,
            _ => || NOW,
        };
        let fixture = start_with(Options::default(), clock).await;
        let query = format!("{}&auth_signature={}", vector.query, vector.signature);
        let response = send(&fixture, &vector, &query, &[]).await;
        assert_eq!(response.status, 200, "{} {response:?}", vector.id);
        assert_eq!(fixture.control_plane.published().len(), 1);
        ids.push(vector.id);
    }
    assert_eq!(ids, ["V1", "V2", "V2b", "V12", "V13", "V14"]);
}

#[tokio::test]
async fn vectors_ask() {
    let options = Options { path_prefix: Some("/ws".into()), ..Options::default() };
    let fixture = start_with(options, || NOW).await;
    let mut answers = Vec::new();
    for vector in vectors(false) {
        let query = format!("{}&auth_signature={}", vector.query, vector.signature);
        let answer = send(&fixture, &vector, &query, &[]).await;
        if vector.id == "V11" {
            answer.refused(400, "invalid_input", Some("info"));
        } else {
            assert_eq!(answer.status, 200, "{} {answer:?}", vector.id);
        }
        answers.push((vector.id, answer.body));
    }
    let answers: Vec<_> = answers.iter().map(|(id, body)| (&**id, &**body)).collect();
    let (list, unoccupied) = (r#"{"channels":{}}"#, r#"{"occupied":false}"#);
    let (users, ok) = (r#"{"users":[]}"#, r#"{"ok":true}"#);
    let (_, v11) = answers.iter().find(|(id, _)| *id == "V11").unwrap();
    let expected = [
        ("V3", list),
        ("V3b", list),
        ("V3c", list),
        ("V4", list),
        ("V5a", ok),
        ("V5b", ok),
        ("V5c", ok),
        ("V6", r#"{"batch":[]}"#),
        ("V7", users),
        ("V7b", users),
        ("V8a", unoccupied),
        ("V8b", unoccupied),
        ("V9a", list),
        ("V9b", list),
        ("V10", list),
        ("V11", v11),
        ("V15", unoccupied),
    ];
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn negative_vectors_do_not() {
    let fixture = start().await;
    let v2 = v2();
    let signed = format!("{}&auth_signature={}", v2.query, v2.signature);
    let changed = Vector { body: v2.body.as_ref().map(|b| b.replace("room-1", "room-2")), ..v2 };
    send(&fixture, &changed, &signed, &[]).await.refused(401, "auth_failed", None);
    let v2 = self::v2();
    let body = v2.body.clone().unwrap();
    let unsigned_body = sign("POST", &v2.path, "", b"");
    let response = fixture.request("POST", &unsigned_body, &[], body.as_bytes());
    response.await.refused(401, "auth_failed", None);
    for signature in [&*v2.signature.to_uppercase(), &v2.signature[..63], ""] {
        let query = format!("{}&auth_signature={signature}", v2.query);
        send(&fixture, &v2, &query, &[]).await.refused(401, "auth_failed", None);
    }
    send(&fixture, &v2, &v2.query, &[]).await.refused(401, "auth_failed", None);
    let other_app = Vector { path: "/apps/app-2/events".into(), ..v2 };
    send(&fixture, &other_app, &signed, &[]).await.refused(401, "auth_failed", None);
    assert!(fixture.control_plane.published().is_empty());
}

#[tokio::test]
async fn clocks_may_differ_by_ten_minutes() {
    let v2 = v2();
    let query = format!("{}&auth_signature={}", v2.query, v2.signature);
    let clocks: [(gateway::Clock, u16); 4] =
        [(|| NOW + 600, 200), (|| NOW - 600, 200), (|| NOW + 601, 401), (|| NOW - 601, 401)];
    for (clock, status) in clocks {
        let fixture = start_with(Options::default(), clock).await;
        let response = send(&fixture, &v2, &query, &[]).await;
        assert_eq!(response.status, status, "{response:?}");
        if status == 401 {
            let text = response.refused(401, "auth_failed", None);
            assert!(text.contains("1700000000") && text.contains(&clock().to_string()), "{text}");
        }
    }
}

#[tokio::test]
async fn the_header_form_signs_too() {
    let fixture = start().await;
    let v2 = v2();
    let query = v2.query.replace("auth_key=app-key&", "");
    let header = format!("Authorization: app-key:{}", v2.signature);
    assert_eq!(send(&fixture, &v2, &query, &[&header]).await.status, 200);
    let wrong = format!("Authorization: app-key:{}", "0".repeat(64));
    send(&fixture, &v2, &query, &[&wrong]).await.refused(401, "auth_failed", None);
    let bearer = "Authorization: Bearer x";
    send(&fixture, &v2, &query, &[bearer]).await.refused(401, "auth_failed", None);
    let signed = format!("{}&auth_signature={}", v2.query, v2.signature);
    assert_eq!(send(&fixture, &v2, &signed, &[bearer]).await.status, 200);
}

#[tokio::test]
async fn the_status_table() {
    let fixture = start().await;
    let body = br#"{"name":"a","channel":"b","data":"c"}"#;
    let request = async |target: &str| fixture.request("POST", target, &[], body).await;
    let path = "/apps/app-1/events";
    request(path).await.refused(401, "auth_failed", None);
    request("/apps/none/events").await.refused(404, "app_not_found", None);
    let unknown = sign("POST", "/apps/none/events", "", body);
    request(&unknown).await.refused(404, "app_not_found", None);
    let timestamp = format!("&auth_timestamp={NOW}");
    for pair in [("no-key", "app-secret"), ("other-key", "other-secret"), ("app-key", "bad")] {
        let target = sign_as(pair, "POST", path, &timestamp, body);
        request(&target).await.refused(401, "auth_failed", None);
    }
    for more in ["", "&auth_timestamp=", "&auth_timestamp=soon", "&auth_timestamp=-1700000000"] {
        let target = sign_as(("app-key", "app-secret"), "POST", path, more, body);
        request(&target).await.refused(401, "auth_failed", None);
    }
    let off = sign("POST", "/apps/off/events", "", body);
    request(&off).await.refused(403, "forbidden", None);
    let off_unsigned = off.replace("auth_signature=", "auth_signature=0");
    request(&off_unsigned).await.refused(401, "auth_failed", None);
    let twice = format!("{}&auth_key=app-key", sign("POST", path, "", body));
    request(&twice).await.refused(400, "invalid_input", Some("auth_key"));
    assert!(fixture.control_plane.published().is_empty());
    assert_eq!(request(&sign("POST", path, "&x=1&y=a,b@c;d", body)).await.status, 200);
}

#[tokio::test]
async fn a_mounted_gateway_answers_with_and_without_its_prefix() {
    let options = Options { path_prefix: Some("/ws".into()), ..Options::default() };
    let fixture = start_with(options, || NOW).await;
    let body = br#"{"name":"a","channel":"b","data":"c"}"#;
    let plain = sign("POST", "/apps/app-1/events", "", body);
    let full = sign("POST", "/ws/apps/app-1/events", "", body);
    for target in [plain.clone(), full, format!("/ws{plain}")] {
        let response = fixture.request("POST", &target, &[], body).await;
        assert_eq!(response.status, 200, "{target} {response:?}");
    }
    assert_eq!(fixture.request("GET", "/ws/up", &[], b"").await.status, 200);
}

#[tokio::test]
async fn a_changed_app_counts_from_the_next_request_on() {
    let fixture = start().await;
    let body = r#"{"name":"a","channel":"b","data":"c"}"#;
    assert_eq!(fixture.publish(body).await.status, 200);
    fixture.apps.send_replace(Some(std::sync::Arc::default()));
    fixture.publish(body).await.refused(404, "app_not_found", None);
    fixture.apps.send_replace(None);
    let unknown = fixture.publish(body).await;
    unknown.refused(503, "service_unavailable", None);
    assert_eq!(unknown.header("retry-after"), Some("1"));
}
