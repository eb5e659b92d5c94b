//! What a stranger can make large or frequent.

use gateway::config::Options;

use crate::fixture::{Fixture, NOW, sign, start, start_with};

const PATH: &str = "/apps/app-1/events";

async fn small() -> Fixture {
    let options = Options { request_body_bytes_max: 2_000, ..Options::default() };
    start_with(options, || NOW).await
}

fn body(bytes: usize) -> String {
    let frame = r#"{"name":"a","channel":"b","data":""}"#;
    frame.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - frame.len())))
}

#[tokio::test]
async fn the_cap_is_inclusive() {
    let fixture = small().await;
    assert_eq!(fixture.publish(&body(2_000)).await.status, 200);
    let text = fixture.publish(&body(2_001)).await.refused(413, "payload_too_large", None);
    assert!(text.contains("2000"), "{text}");
    assert_eq!(fixture.control_plane.published().len(), 1);
    assert!(fixture.metrics().await.contains("carillon_gateway_bodies_over_cap_total 1"));
}

#[tokio::test]
async fn chunks_count_as_they_come() {
    let fixture = small().await;
    for (length, status) in [(1_999, 200), (2_000, 200), (2_001, 413)] {
        let body = body(length);
        let target = sign("POST", PATH, "", body.as_bytes());
        let mut client = fixture.client().await;
        let head =
            format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head.as_bytes()).await;
        for chunk in body.as_bytes().chunks(700) {
            let size = format!("{:x}\r\n", chunk.len());
            client.send(&[size.as_bytes(), chunk, b"\r\n"].concat()).await;
        }
        client.send(b"0\r\n\r\n").await;
        assert_eq!(client.response().await.status, status);
    }
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let fixture = small().await;
    let target = sign("POST", PATH, "", b"x");
    let mut client = fixture.client().await;
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(head.as_bytes()).await;
    let chunk = [b"3e8\r\n".as_slice(), &[b'x'; 1_000], b"\r\n"].concat();
    for _ in 0..10 {
        client.send(&chunk).await;
    }
    client.response().await.refused(413, "payload_too_large", None);
    assert!(client.ended().await);
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_body_that_never_comes() {
    let fixture = small().await;
    let mut client = fixture.client().await;
    let began = tokio::time::Instant::now();
    client
        .send(format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n").as_bytes())
        .await;
    client.response().await.refused(401, "auth_failed", None);
    assert!(began.elapsed() < std::time::Duration::from_secs(1));
    assert!(client.ended().await);
}

/// The head alone decides: the client has sent nothing of the body yet, and has its answer.
#[tokio::test]
async fn a_request_is_refused_before_its_body() {
    let fixture = small().await;
    let signed = sign("POST", PATH, "", b"x");
    let unsigned_body = sign("POST", PATH, "", b"");
    for (target, length, status) in [
        (signed.replace("auth_signature=", "auth_signature=0"), 1_000, 401),
        (signed.replace("1.0", "2.0"), 1_000, 401),
        (PATH.to_owned(), 1_000, 401),
        (unsigned_body, 1_000, 401),
        ("/apps/none/events".to_owned(), 1_000, 404),
        (signed, 2_001, 413),
    ] {
        let mut client = fixture.client().await;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\
             Expect: 100-continue\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        assert_eq!(client.response().await.status, status, "{target}");
    }
}

#[tokio::test]
async fn a_refused_body_runs_off_so_that_the_answer_is_read() {
    let fixture = small().await;
    let body = "x".repeat(3_900);
    let mut client = fixture.client().await;
    for _ in 0..3 {
        let response = client.request("POST", PATH, &[], body.as_bytes()).await;
        response.refused(401, "auth_failed", None);
    }
}

#[tokio::test]
async fn a_client_that_expects_leave_gets_it() {
    let fixture = start().await;
    let body = body(2_000);
    let target = sign("POST", PATH, "", body.as_bytes());
    let mut client = fixture.client().await;
    let length = body.len();
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n"
    );
    client.send(head.as_bytes()).await;
    assert_eq!(client.response().await.status, 100);
    client.send(body.as_bytes()).await;
    assert_eq!(client.response().await.status, 200);
}

#[tokio::test]
async fn encoded_bodies_are_refused_by_name() {
    let fixture = start().await;
    let body = body(100);
    let target = sign("POST", PATH, "", body.as_bytes());
    for (encoding, status) in [("gzip", 400), ("identity", 200)] {
        let line = format!("Content-Encoding: {encoding}");
        let response = fixture.request("POST", &target, &[&line], body.as_bytes()).await;
        assert_eq!(response.status, status);
        if status == 400 {
            response.refused(400, "invalid_input", Some("Content-Encoding"));
        }
    }
}

#[tokio::test]
async fn an_address_has_so_many_requests_signed_or_not() {
    let options = Options { requests_per_address: 6, ..Options::default() };
    let fixture = start_with(options, || NOW).await;
    let good = body(100);
    let mut client = fixture.client().await;
    let mut left = Vec::new();
    for (path, status) in [
        (sign("POST", PATH, "", good.as_bytes()), 200),
        (sign("POST", PATH, "", b"other"), 401),
        ("/apps/none/events".to_owned(), 404),
        ("/apps/app-1/nothing".to_owned(), 404),
        (sign("POST", "/apps/off/events", "", good.as_bytes()), 403),
        (PATH.to_owned(), 401),
        (sign("POST", PATH, "", good.as_bytes()), 429),
        ("/apps/app-1/nothing".to_owned(), 429),
    ] {
        let response = client.request("POST", &path, &[], good.as_bytes()).await;
        assert_eq!(response.status, status, "{path}");
        let [limit, remaining, reset] = response.rate().unwrap();
        assert!(limit == 6 && (1..=60).contains(&reset));
        let after = response.header("retry-after").map(|text| text.parse().unwrap());
        assert_eq!(after, (status == 429).then_some(reset));
        left.push(remaining);
    }
    assert_eq!(left, [5, 4, 3, 2, 1, 0, 0, 0]);
    assert_eq!(client.request("GET", "/up", &[], b"").await.status, 200);
    assert_eq!(fixture.control_plane.published().len(), 1);
    let metrics = fixture.metrics().await;
    for line in [
        "carillon_gateway_address_limit_refused_total 2",
        r#"carillon_gateway_requests_total{class="2xx"} 1"#,
        r#"carillon_gateway_requests_total{class="4xx"} 7"#,
        r#"carillon_gateway_requests_total{class="5xx"} 0"#,
        "carillon_gateway_publish_duration_seconds_count 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn the_limit_can_be_off_and_proxies_can_be_trusted() {
    let off = Options { requests_per_address: 0, ..Options::default() };
    let fixture = start_with(off, || NOW).await;
    assert_eq!(fixture.publish(&body(100)).await.rate(), None);
    let one = |hops: usize| Options {
        requests_per_address: 1,
        trusted_proxy_hops: hops,
        ..Options::default()
    };
    for (hops, status) in [(0, 429), (1, 404)] {
        let fixture = start_with(one(hops), || NOW).await;
        for (address, status) in [("10.0.0.1", 404), ("10.0.0.2", status)] {
            let line = format!("X-Forwarded-For: 10.0.0.9, {address}");
            let mut client = fixture.client().await;
            let response = client.request("POST", "/apps/none/events", &[&line], b"").await;
            assert_eq!(response.status, status, "{hops} {address}");
        }
    }
}
