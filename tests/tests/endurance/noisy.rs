//! One app takes all that it can get; its neighbour on the same planes does not notice.

mod noise;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use proto::v1::{App, AppLimits};
use tests::{
    client::Client,
    fleet::{Fleet, Order},
    rest::{Backend, Credentials},
    soon,
};
use tokio::{
    sync::Barrier,
    time::{Instant, interval},
};

use self::noise::{Noise, Said};
use crate::size::{is_full, say, size};

/// The neighbour's sockets, and what is published to all of them.
const SOCKETS: usize = 50;
const PER_SECOND: u32 = 20;

/// Row 18 of the design's figures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_at_ten_times_its_limit_is_refused_and_its_neighbour_does_not_notice() {
    let (per_second, run) = size((20, Duration::from_secs(4)), (100, Duration::from_secs(20)));
    let limits = AppLimits { backend_events_per_second: Some(per_second), ..AppLimits::default() };
    let (fleet, noisy) = start(limits).await;
    let base = traffic(&fleet, run).await;

    let noise = Noise::start(noisy, size(200, 1_000), Said::Paced(10 * per_second)).await;
    let beside = traffic(&fleet, run).await;
    let heard = noise.stop().await;
    say(&format!(
        "beside {} noisy publishes/s (limit {per_second}), {} admitted, {} refused: p99 {:?}, \
         without {:?}",
        10 * per_second,
        heard.admitted,
        heard.refused,
        beside.p99,
        base.p99
    ));
    assert!(heard.refused > 2 * heard.admitted, "it is at ten times its limit");
    // In the everyday run the programs are not optimised and others use the machine: there it counts
    // that the neighbour has had every event.
    let bound = base.p99.mul_f64(2.0) + Duration::from_millis(5);
    assert!(!is_full() || beside.p99 < bound, "{:?} with, {:?} without", beside.p99, base.p99);
}

/// No limit keeps it, so the queue to the node is never empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fills_the_queue_to_a_node_waits_behind_itself() {
    let (sockets, run) = size((500, Duration::from_secs(5)), (2_000, Duration::from_secs(20)));
    let (fleet, noisy) = start(AppLimits::default()).await;
    let base = traffic(&fleet, run).await;

    let noise = Noise::start(noisy, sockets, Said::AsFastAsPossible).await;
    let beside = traffic(&fleet, run).await;
    let heard = noise.stop().await;
    say(&format!(
        "{sockets} noisy sockets, {} events admitted, {} refused, under way for {:?} (median): \
         the neighbour's p50 {:?}, p99 {:?}, without them {:?} and {:?}",
        heard.admitted, heard.refused, heard.median, beside.p50, beside.p99, base.p50, base.p99
    ));
    assert!(heard.median > Duration::from_millis(200), "there is no queue: {:?}", heard.median);
    assert!(beside.p99 < heard.median / 2, "{:?}, noise {:?}", beside.p99, heard.median);
}

/// A node with two apps; one of them may make noise.
async fn start(limits: AppLimits) -> (Fleet, (SocketAddr, Backend)) {
    let order = Order {
        gateways: 1,
        nodes: 1,
        node: vec!["--outbox-frames-max=100000".into(), "--outbox-bytes-max=268435456".into()],
        alone: true,
        ..Order::default()
    };
    let fleet = Fleet::start(order).await;
    let noisy = Credentials { app_id: "noisy".into(), key: "noisy-key".into(), secret: "x".into() };
    let Credentials { app_id, key, .. } = noisy.clone();
    let app = App { app_id, key, limits: Some(limits), ..App::default() };
    fleet.admin().create(app, &noisy.secret).await;
    let backend = fleet.backend(0).with(|credentials| *credentials = noisy);
    let node = fleet.node_addresses()[0];
    (fleet, (node, backend))
}

/// From a publish to its receipt.
struct Latency {
    p50: Duration,
    p99: Duration,
}

/// Publishes at a fixed pace; every publish is answered with 200 and every socket has all, in order.
async fn traffic(fleet: &Fleet, run: Duration) -> Latency {
    let origin = Instant::now();
    let events = u64::from(PER_SECOND) * run.as_secs();
    let all_are_there = Arc::new(Barrier::new(SOCKETS + 1));
    let node = fleet.node_addresses()[0];
    let readers = (0..SOCKETS).map(|_| {
        let there = Arc::clone(&all_are_there);
        tokio::spawn(read(node, (events, origin), there))
    });
    let readers: Vec<_> = readers.collect();
    soon("all are there", all_are_there.wait()).await;
    let (backend, mut pace) = (fleet.backend(0), interval(Duration::from_secs(1) / PER_SECOND));
    let mut publishes = Vec::new();
    for _ in 0..events {
        pace.tick().await;
        let (backend, sent) = (backend.clone(), origin.elapsed());
        publishes.push(tokio::spawn(async move {
            backend.publish_text("room", "e", &sent.as_micros().to_string()).await;
        }));
    }
    join_all(publishes).await.into_iter().for_each(|published| published.unwrap());
    let latencies = join_all(readers).await;
    let mut latencies: Vec<_> = latencies.into_iter().flat_map(Result::unwrap).collect();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    Latency { p50: at(0.5), p99: at(0.99) }
}

/// How long each event was under way.
async fn read(
    node: SocketAddr,
    (expected, origin): (u64, Instant),
    all_are_there: Arc<Barrier>,
) -> Vec<Duration> {
    let mut client = Client::connect(node, &Credentials::default()).await;
    client.subscribe("room").await;
    all_are_there.wait().await;
    let (mut latencies, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for _ in 0..expected {
        let sent = noise::sent(&client.next_frame().await);
        assert!(seen.insert(sent), "an event has come twice");
        latencies.push(origin.elapsed().saturating_sub(sent));
    }
    latencies
}
