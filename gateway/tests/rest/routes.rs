//! The route table, health, and what browsers need.

use std::{sync::Arc, time::Duration};

use crate::{
    client::Response,
    fixture::{Fixture, apps, sign, start},
};

const BODY: &str = r#"{"name":"a","channel":"b","data":"c"}"#;

async fn get(fixture: &Fixture, path: &str) -> Response {
    fixture.request("GET", path, &[], b"").await
}

fn health(response: &Response) -> (u16, &str) {
    assert_eq!(response.header("x-health-check"), Some(&*response.body));
    (response.status, &response.body)
}

#[tokio::test]
async fn what_is_not_there_is_said_in_json() {
    let fixture = start().await;
    for path in ["/", "/apps", "/apps/app-1", "/apps/app-1/events/", "/apps/app-1/Events", "//up"] {
        get(&fixture, path).await.refused(404, "not_found", None);
    }
    let wrong = get(&fixture, "/apps/app-1/events").await;
    wrong.refused(405, "method_not_allowed", None);
    assert_eq!(wrong.header("allow"), Some("POST"));
    assert!(wrong.rate().is_some());
    for (path, allowed) in [
        ("/batch_events", "POST"),
        ("/channels", "GET,HEAD"),
        ("/channels/room", "GET,HEAD"),
        ("/channels/presence-room/users", "GET,HEAD"),
        ("/users/user-42/terminate_connections", "POST"),
    ] {
        let wrong = fixture.request("PUT", &format!("/apps/app-1{path}"), &[], b"").await;
        wrong.refused(405, "method_not_allowed", None);
        assert_eq!(wrong.header("allow"), Some(allowed), "{path}");
        assert!(wrong.rate().is_some());
    }
    for path in ["/channels/", "/users", "/users/u", "/channels/a/b"] {
        get(&fixture, &format!("/apps/app-1{path}")).await.refused(404, "not_found", None);
    }
    let wrong = fixture.request("DELETE", "/up", &[], b"").await;
    wrong.refused(405, "method_not_allowed", None);
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
}

#[tokio::test]
async fn up_tells_the_state() {
    let fixture = start().await;
    assert_eq!(health(&get(&fixture, "/up").await), (200, "OK"));
    assert_eq!(health(&get(&fixture, "/up/app-1").await), (200, "OK"));
    assert_eq!(health(&get(&fixture, "/up/app%2D1").await), (200, "OK"));
    assert_eq!(health(&get(&fixture, "/up/none").await), (404, "NOT_FOUND"));
    assert_eq!(health(&get(&fixture, "/up/off").await), (503, "ERROR"));
    fixture.apps.send_replace(Some(Arc::default()));
    assert_eq!(health(&get(&fixture, "/up").await), (503, "ERROR"));
    fixture.apps.send_replace(Some(apps()));
    fixture.gateway.drain();
    assert_eq!(health(&get(&fixture, "/up").await), (503, "DRAINING"));
    assert_eq!(health(&get(&fixture, "/up/app-1").await), (503, "DRAINING"));
    assert_eq!(fixture.operations.missing(), ["accepting"]);
    assert_eq!(fixture.publish(BODY).await.status, 200);
}

#[tokio::test]
async fn a_gateway_is_ready_when_it_knows_the_apps() {
    let fixture = start().await;
    let (sender, receiver) = tokio::sync::watch::channel(None);
    let gateway = gateway::Gateway::new(
        gateway::config::Options::default(),
        receiver,
        crate::fixture::replicas(&[]),
    );
    let operations = proto::plane::operations::Operations::default();
    gateway.register(&operations);
    assert_eq!(operations.missing(), ["settings"]);
    let waiting = Fixture {
        address: crate::fixture::serve(&gateway).await,
        gateway,
        operations: operations.clone(),
        ..fixture
    };
    assert_eq!(health(&get(&waiting, "/up").await), (503, "ERROR"));
    sender.send_replace(Some(apps()));
    let ready = async {
        while !operations.missing().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), ready).await.unwrap();
    assert_eq!(health(&get(&waiting, "/up").await), (200, "OK"));
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let fixture = start().await;
    let headers = ["Origin: https://x.example", "Access-Control-Request-Method: POST"];
    for path in ["/apps/app-1/events", "/apps/none/nothing"] {
        let response = fixture.request("OPTIONS", path, &headers, b"").await;
        assert_eq!((response.status, &*response.body), (204, ""));
        assert_eq!(response.header("access-control-allow-origin"), Some("*"));
        assert!(response.header("access-control-allow-methods").unwrap().contains("POST"));
        let allowed = response.header("access-control-allow-headers").unwrap();
        assert!(allowed.contains("Authorization") && allowed.contains("X-Idempotency-Key"));
    }
    let response = fixture.publish(BODY).await;
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        response.header("access-control-expose-headers"),
        Some(
            "X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Retry-After, X-Request-Id"
        )
    );
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let fixture = start().await;
    let mut client = fixture.client().await;
    let head = sign("HEAD", "/apps/app-1/channels", "", b"");
    client.send(format!("HEAD {head} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("content-length: 15\r\n"), "{head}");
    let unsigned = client.request("GET", "/apps/app-1/channels", &[], b"").await;
    unsigned.refused(401, "auth_failed", None);
}

#[tokio::test]
async fn connections_are_kept_and_requests_may_wait_in_line() {
    let fixture = start().await;
    let target = sign("POST", "/apps/app-1/events", "", BODY.as_bytes());
    let mut client = fixture.client().await;
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    client.send(request.repeat(20).as_bytes()).await;
    for _ in 0..20 {
        assert_eq!(client.response().await.status, 200);
    }
}

#[tokio::test]
async fn http2_in_clear_text_is_served() {
    use http_body_util::{BodyExt as _, Full};
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};

    let fixture = start().await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let target = sign("POST", "/apps/app-1/events", "", BODY.as_bytes());
    let request = http::Request::post(format!("http://{}{target}", fixture.address));
    let request = request.body(Full::<bytes::Bytes>::from(BODY)).unwrap();
    let response = client.request(request).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), r#"{"ok":true}"#);
}
