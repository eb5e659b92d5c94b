//! More than a gateway can have in its hands: the rest is refused at once.

use std::time::Duration;

use futures_util::future::join_all;
use gateway::config::Options;
use tokio::{
    net::TcpListener,
    time::{Instant, sleep},
};

use crate::{
    client::{Client, Response},
    fixture::{Fixture, NOW, sign, start_before},
};

const EVENT: &str = r#"{"name":"e","channel":"c","data":"x"}"#;

/// A gateway, and a control plane that takes connections and says nothing: so does a process that is
/// stopped.
async fn start(options: Options) -> (Fixture, TcpListener) {
    let stopped = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stopped.local_addr().unwrap();
    (start_before(options, || NOW, address).await, stopped)
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
    let options =
        Options { requests_in_flight_max: PLACES, publish_timeout_ms: 2_000, ..Options::default() };
    let (gateway, _stopped) = start(options).await;
    let held = join_all((0..PLACES).map(|_| gateway.publish(EVENT)));
    let rest = async {
        sleep(Duration::from_millis(500)).await;
        let mut slowest = Duration::ZERO;
        for _ in 0..100 {
            let began = Instant::now();
            is_refusal(&gateway.publish(EVENT).await);
            slowest = slowest.max(began.elapsed());
        }
        slowest
    };
    let (held, slowest) = tokio::join!(held, rest);
    assert!(slowest < Duration::from_millis(250), "{slowest:?}");
    assert!(held.iter().all(|response| response.status == 503), "no control plane answered");
    has_refused(&gateway, 100).await;
    // The places are free again: this one waits for the control plane.
    let began = Instant::now();
    assert_eq!(gateway.publish(EVENT).await.status, 503);
    assert!(began.elapsed() > Duration::from_secs(1));
}

#[tokio::test]
async fn bodies_share_their_room() {
    let options = Options {
        body_bytes_in_flight_max: 100_000,
        publish_timeout_ms: 2_000,
        ..Options::default()
    };
    let (gateway, _stopped) = start(options).await;
    let large = format!(r#"{{"name":"e","channel":"c","data":"{}"}}"#, "x".repeat(60_000));
    let first = gateway.publish(&large);
    let rest = async {
        sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        is_refusal(&gateway.publish(&large).await);
        assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
        let began = Instant::now();
        gateway.publish(EVENT).await;
        assert!(began.elapsed() > Duration::from_secs(1), "a small one has room");
    };
    tokio::join!(first, rest);
    has_refused(&gateway, 1).await;
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let (gateway, _stopped) = start(Options::default()).await;
    let target = sign("POST", "/apps/app-1/events", "", EVENT.as_bytes());
    let mut client = Client::connect(gateway.address).await;
    let length = EVENT.len();
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
    client.send(head.as_bytes()).await;
    let began = Instant::now();
    let dripping = async {
        for byte in EVENT.as_bytes() {
            client.send(&[*byte]).await;
            sleep(Duration::from_millis(900)).await;
            if began.elapsed() > Duration::from_secs(11) {
                break;
            }
        }
        client.response().await
    };
    let response = dripping.await;
    assert_eq!(response.status, 400);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
