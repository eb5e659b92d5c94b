//! A gateway at five times what it can take: what it takes it serves as before, the rest hears so at once.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tests::{quiet::Place, rest::Backend};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Server, quantile};
use crate::size::{say, size};

/// A body follows its head after this long: places are what is scarce, and not the cores that the
/// callers share with the gateway.
const PAUSE: Duration = Duration::from_millis(100);
const TIMES: u32 = 5;
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// Row 15 of the design's figures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_five_times_its_capacity_a_gateway_does_as_much_as_before_and_refuses_the_rest_at_once()
{
    let (places, run) = size((16, Duration::from_secs(4)), (64, Duration::from_secs(10)));
    let _place = Place::take(true).await;
    let server = Server::start(&[&format!("--requests-in-flight-max={places}")], None).await;
    // What one app may have of them.
    let callers = places * 3 / 4;
    let peak = peak(&server.backend(), callers, run).await;

    let before = server.process.resident_kib();
    let (goodput, mut refusals) = overload(&server.backend(), peak * f64::from(TIMES), run).await;
    let ended = Instant::now();
    let grown = server.process.resident_kib().saturating_sub(before);
    while !all_are_served(&server.backend(), callers).await {
        assert!(ended.elapsed() < BACK_WITHIN, "it has not recovered");
    }
    let (back, refused) = (ended.elapsed(), refusals.len());
    let p99 = quantile(&mut refusals, 0.99);
    say(&format!(
        "{peak:.0} publishes/s at most; at {TIMES} times that {goodput:.0}/s, {refused} refused, \
         p99 {p99:?}, +{grown} KiB; all are served {back:?} later"
    ));
    assert!(goodput >= 0.8 * peak, "{goodput:.0} of {peak:.0} per second");
    assert!(refused as f64 > goodput * run.as_secs_f64(), "that was no overload");
    assert!(p99 < Duration::from_millis(size(500, 50)), "{p99:?}");
    assert!(grown < 64 << 10, "{grown} KiB");
    assert!(back < BACK_WITHIN, "{back:?}");
    assert!(server.metric("carillon_gateway_overloaded_total").await >= refused as u64);
}

/// Publishes; returns whether it was admitted, or refused because of the overload.
async fn publish(backend: Backend) -> bool {
    let event = json!({ "name": "e", "channel": "room", "data": "x" });
    let answer = backend.call(event.to_string()).dawdle(PAUSE).send().await;
    assert!(answer.status == 200 || answer.status == 503, "{answer:?}");
    assert!(answer.status == 200 || answer.header("retry-after") == "1", "{answer:?}");
    answer.status == 200
}

/// Publishes per second where each caller waits for its answers.
async fn peak(backend: &Backend, callers: u32, run: Duration) -> f64 {
    let end = Instant::now() + run;
    let caller = |_| {
        let backend = backend.clone();
        tokio::spawn(async move {
            let mut served = 0;
            while Instant::now() < end {
                assert!(publish(backend.clone()).await, "there is a place for each");
                served += 1;
            }
            served
        })
    };
    let served = join_all((0..callers).map(caller).collect::<Vec<_>>()).await;
    served.into_iter().map(Result::unwrap).sum::<u32>() as f64 / run.as_secs_f64()
}

/// Publishes at a rate, whatever is answered. Returns publishes per second that were served, and how long
/// each refusal took.
async fn overload(backend: &Backend, per_second: f64, run: Duration) -> (f64, Vec<Duration>) {
    let began = Instant::now();
    let mut pace = interval(Duration::from_secs_f64(1.0 / per_second));
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut calls = Vec::new();
    while began.elapsed() < run {
        pace.tick().await;
        let backend = backend.clone();
        calls.push(tokio::spawn(async move {
            let called = Instant::now();
            (publish(backend).await, called.elapsed())
        }));
    }
    let answers: Vec<_> = join_all(calls).await.into_iter().map(Result::unwrap).collect();
    let served = answers.iter().filter(|(served, _)| *served).count() as f64;
    let refused = answers.iter().filter(|(served, _)| !served).map(|(_, took)| *took);
    (served / run.as_secs_f64(), refused.collect())
}

/// Whether as many as before find a place each.
async fn all_are_served(backend: &Backend, callers: u32) -> bool {
    sleep(Duration::from_millis(10)).await;
    let calls = (0..callers).map(|_| publish(backend.clone()));
    join_all(calls).await.into_iter().all(|served| served)
}
