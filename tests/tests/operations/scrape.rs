//! What one look at the metrics says, and what it costs.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use tests::{
    chaos::lane::say,
    fleet::{Fleet, Order},
    load::{Plan, Subscribers},
    rest::{Credentials, get},
};
use tokio::time::Instant;

/// One answer of `/metrics`.
#[derive(Debug)]
pub(crate) struct Scrape {
    /// By series: the name with its labels.
    pub(crate) series: BTreeMap<String, f64>,
    /// Series names as PromQL knows them, without labels.
    pub(crate) names: BTreeSet<String>,
}

impl Scrape {
    pub(crate) async fn of(operations: SocketAddr) -> Self {
        let (status, text) = get(operations, "/metrics").await;
        assert_eq!(status, 200, "{text}");
        assert!(text.ends_with("# EOF\n"), "OpenMetrics ends so");
        let mut series = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let twice = series.insert(name.to_owned(), value.parse().unwrap());
            assert_eq!(twice, None, "{name} stands there twice");
        }
        let bare = |series: &String| series.split('{').next().unwrap_or_default().to_owned();
        let names = series.keys().map(bare).collect();
        Self { series, names }
    }

    /// The sum over all series of a name.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        let named = |series: &str| series.split('{').next() == Some(name);
        self.series
            .iter()
            .filter(|(series, _)| named(series))
            .fold(0.0, |sum, (_, value)| sum + value)
    }
}

/// Looks often enough for the clock of processor time, and less often than one could notice.
const LOOKS: u32 = 100;
const LOOKS_EVERY: Duration = Duration::from_secs(15);
const SOCKETS: u32 = 10_000;

/// 10,000 sockets in a process of its own: a look takes less than 50 ms, and looks every 15 seconds
/// take less than half a percent of a core.
#[tokio::test]
async fn a_look_at_ten_thousand_sockets_costs_next_to_nothing() {
    let order = Order { nodes: 1, gateways: 1, alone: true, ..Order::default() };
    let fleet = Fleet::start(order).await;
    let plan = Plan {
        address: fleet.node_addresses()[0],
        key: Credentials::default().key,
        channel: "market".to_owned(),
        terms: Vec::new(),
        sockets: SOCKETS,
    };
    let subscribers = tokio::task::spawn_blocking(move || Subscribers::open(&plan)).await;
    let _subscribers = subscribers.unwrap().unwrap();
    for operations in fleet.operations_addresses() {
        let (cpu_before, mut times) = (cpu(operations).await, Vec::new());
        for _ in 0..LOOKS {
            let began = Instant::now();
            let (status, _) = get(operations, "/metrics").await;
            times.push(began.elapsed());
            assert_eq!(status, 200);
        }
        let after = Scrape::of(operations).await;
        let spent = (after.sum("process_cpu_seconds_total") - cpu_before) / f64::from(LOOKS);
        times.sort_unstable();
        let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
        let share = 100.0 * spent / LOOKS_EVERY.as_secs_f64();
        let sockets = after.sum("carillon_data_plane_sockets");
        say(&format!(
            "{} series, {sockets} sockets: median {median:?}, slowest {slowest:?}, {:.2} ms of CPU a look, \
             {share:.4} % of a core at one in 15 s",
            after.series.len(),
            spent * 1e3
        ));
        assert!(median < Duration::from_millis(50), "{median:?}");
        assert!(share < 0.5, "{share} %");
    }
    let node = Scrape::of(fleet.operations_addresses()[2]).await;
    assert_eq!(node.sum("carillon_data_plane_sockets"), f64::from(SOCKETS));
    assert_eq!(node.sum("carillon_data_plane_subscriptions"), f64::from(SOCKETS));
    let of_app = r#"carillon_data_plane_app_sockets{app="app-id"}"#;
    assert_eq!(node.series[of_app], f64::from(SOCKETS));
}

async fn cpu(operations: SocketAddr) -> f64 {
    Scrape::of(operations).await.sum("process_cpu_seconds_total")
}
