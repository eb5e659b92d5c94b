//! More than a gateway can have in its hands: the rest is refused at once.

use std::time::Duration;

use futures_util::future::join_all;
use gateway::config::Options;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, Response},
    control_plane::Says,
    fixture::{Fixture, NOW, sign, sign_as, start_with},
};

const EVENT: &str = r#"{"name":"e","channel":"c","data":"x"}"#;

/// A gateway whose control plane says nothing to the next so many calls.
async fn start(options: Options, unanswered: u32) -> Fixture {
    let options = Options { publish_timeout_ms: 4_000, ..options };
    let gateway = start_with(options, || NOW).await;
    (0..unanswered).for_each(|_| gateway.control_plane.say(Says::Nothing));
    gateway
}

async fn has_refused(gateway: &Fixture, requests: usize) {
    let line = format!("carillon_gateway_overloaded_total {requests}\n");
    let metrics = gateway.metrics().await;
    assert!(metrics.contains(&line), "{metrics}");
}

fn is_refusal(response: &Response) {
    response.refused(503, "service_unavailable", None);
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn a_request_without_a_place_is_refused_in_no_time_and_places_come_back() {
    const PLACES: u32 = 16;
    // One app may have three times what is free.
    const SHARE: u32 = 12;
    let options = Options { requests_in_flight_max: PLACES, ..Options::default() };
    let gateway = start(options, SHARE).await;
    let held = join_all((0..SHARE).map(|_| gateway.publish(EVENT)));
    let rest = async {
        sleep(Duration::from_millis(500)).await;
        let mut took = Vec::new();
        for _ in 0..100 {
            let began = Instant::now();
            is_refusal(&gateway.publish(EVENT).await);
            took.push(began.elapsed());
        }
        let (secret, path) = (("other-key", "other-secret"), "/apps/app-2/events");
        let at = format!("&auth_timestamp={NOW}");
        let target = sign_as(secret, "POST", path, &at, EVENT.as_bytes());
        let other = gateway.request("POST", &target, &[], EVENT.as_bytes()).await;
        assert_eq!(other.status, 200, "another app has its places");
        took.sort_unstable();
        took
    };
    let (held, took) = tokio::join!(held, rest);
    assert!(took[50] < Duration::from_millis(50), "{took:?}");
    assert!(held.iter().all(|response| response.status == 503), "nothing was said to them");
    has_refused(&gateway, 100).await;
    assert_eq!(gateway.publish(EVENT).await.status, 200, "the places are free again");
}

#[tokio::test]
async fn bodies_share_their_room() {
    let options = Options { body_bytes_in_flight_max: 100_000, ..Options::default() };
    let gateway = start(options, 1).await;
    let large = format!(r#"{{"name":"e","channel":"c","data":"{}"}}"#, "x".repeat(60_000));
    let first = gateway.publish(&large);
    let rest = async {
        sleep(Duration::from_millis(500)).await;
        is_refusal(&gateway.publish(&large).await);
        assert_eq!(gateway.publish(EVENT).await.status, 200, "a small one has room");
    };
    let (first, ()) = tokio::join!(first, rest);
    assert_eq!(first.status, 503, "nothing was said to it");
    has_refused(&gateway, 1).await;
    assert_eq!(gateway.publish(&large).await.status, 200, "the room is free again");
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let gateway = start(Options::default(), 0).await;
    let target = sign("POST", "/apps/app-1/events", "", EVENT.as_bytes());
    let mut client = Client::connect(gateway.address).await;
    let length = EVENT.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    client.send(head.as_bytes()).await;
    let began = Instant::now();
    for byte in EVENT.as_bytes() {
        if began.elapsed() > Duration::from_secs(11) {
            break;
        }
        client.send(&[*byte]).await;
        sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(client.response().await.status, 400);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
