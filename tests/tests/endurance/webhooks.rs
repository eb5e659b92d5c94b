//! A webhook's receiver is away for a while: it misses nothing, and nobody waits for it.

use std::time::Duration;

use serde_json::json;
use tests::{
    eventually,
    fleet::{Fleet, Order},
    rest::Credentials,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::size::{say, size};
use latency::Probe;
use receiver::Receiver;
use talk::Talk;

mod latency;
mod receiver;
mod talk;

/// What was true before is true during the outage, within this factor and what a clock tick makes.
const SLOWER_MAX: f64 = 1.5;
const NOISE: Duration = Duration::from_millis(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_was_away_misses_nothing_and_nobody_waits_for_it() {
    let away = Duration::from_secs(size(6, 30));
    let mut receiver = Receiver::start(Credentials::default()).await;
    let fleet = Fleet::start(order(&receiver)).await;
    let ended = CancellationToken::new();
    let talk = Talk::start(&fleet.node_addresses(), &ended).await;
    let mut probe = Probe::start(&fleet, &ended).await;
    sleep(Duration::from_secs(1)).await;
    probe.restart();
    sleep(away.min(Duration::from_secs(10))).await;
    let before = probe.restart();
    let taken = receiver.events();
    assert!(taken > 100, "{taken}");

    receiver.leave().await;
    sleep(away).await;
    let meanwhile = probe.restart();
    assert!(receiver.events() < taken + 100, "it was away");
    receiver.come_back().await;
    sleep(Duration::from_secs(1)).await;
    ended.cancel();

    let said = talk.ended().await;
    let all = said.events();
    let told = || async { (receiver.events() >= all).then_some(()) };
    let waited = tokio::time::timeout(Duration::from_secs(8), eventually("news", told)).await;
    let (calls, repeated) = receiver.calls();
    say(&format!("{all} events in {calls} calls, {repeated} repeated; {before:?}, {meanwhile:?}"));
    assert!(waited.is_ok(), "{} of {all} events came", receiver.events());
    said.check(&receiver.news());
    let most = before.mul_f64(SLOWER_MAX) + NOISE;
    assert!(meanwhile <= most, "delivered in {before:?} before, in {meanwhile:?} meanwhile");
}

/// An app whose members and whose clients' events are told at two paths of the receiver.
fn order(receiver: &Receiver) -> Order {
    let retry = json!({ "initial_backoff_ms": 200, "backoff_ms_max": 1000 });
    let target = |path: &str, kinds: &[&str]| {
        let url = format!("{}{path}", receiver.url());
        json!({ "url": url, "event_types": kinds, "retry": retry })
    };
    let app = json!({
        "limits": { "presence_members_max": 1000 },
        "features": { "client_events": true },
        "webhooks": [
            target("/clients", &["client_event"]),
            target("/members", &["member_added", "member_removed"]),
        ],
    });
    Order {
        gateways: 1,
        nodes: 2,
        app: serde_json::from_value(app).unwrap(),
        alone: true,
        control_plane: vec!["--webhooks-private-addresses-allowed".to_owned()],
        ..Order::default()
    }
}
