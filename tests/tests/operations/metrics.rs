//! What is measured, and that no stranger makes a series.

use std::{collections::BTreeSet, net::SocketAddr};

use proto::v1::App;
use serde_json::json;
use tests::{
    chaos::lane::say,
    client::Client,
    cluster::{Cluster, Shape},
    eventually,
    rest::{Credentials, get},
};

use super::scrape::Scrape;

fn operations(cluster: &Cluster) -> [SocketAddr; 3] {
    [
        cluster.operations_address(),
        cluster.gateways[0].running.operations_address,
        cluster.nodes[0].running.operations_address,
    ]
}

/// All series of all planes.
pub(crate) async fn all_series(cluster: &Cluster) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for address in operations(cluster) {
        all.extend(Scrape::of(address).await.series.into_keys());
    }
    all
}

/// What anybody may do, under names that nobody has used before.
async fn strange(cluster: &Cluster, round: u32) {
    let backend = cluster.backend(0);
    for number in 0..20 {
        let name = format!("r{round}-{number}");
        let event = json!({ "name": name, "channel": format!("c-{name}"), "data": "x" });
        assert_eq!(backend.publish(&event).await.status, 200);
        let unknown = backend.with(|own| own.app_id = format!("app-{name}"));
        assert_eq!(unknown.publish(&event).await.status, 404);
        let forged = backend.with(|own| own.key = format!("key-{name}"));
        assert_eq!(forged.publish(&event).await.status, 401);
        let gateway = cluster.gateways[0].running.address;
        assert_eq!(get(gateway, &format!("/{name}/{name}")).await.0, 404);
        get(cluster.operations_address(), &format!("/{name}.Service/{name}")).await;
        let mut client = cluster.client(0).await;
        client.subscribe(&format!("s-{name}")).await;
        let path = format!("/app/key-{name}?protocol=7&client={name}");
        Client::open(cluster.node_address(0), &path, Some(&format!("https://{name}"))).await;
    }
    let reading = backend.get("channels").set("filter_by_prefix", format!("p{round}"));
    assert_eq!(reading.send().await.status, 200);
}

#[tokio::test]
async fn strangers_make_no_series() {
    let shape = Shape::default().gateway("--metrics-apps-max=3").node("--metrics-apps-max=3");
    let cluster = Cluster::start(shape.control_plane("--metrics-apps-max=3")).await;
    strange(&cluster, 0).await;
    // What an app has of its own is there soon after its first socket.
    let own = ["app_deliveries_total{app=", "app_sockets{app="];
    let first = eventually("the series of the app", async || {
        let all = all_series(&cluster).await;
        let has = |name: &str| all.iter().any(|series| series.contains(name));
        own.into_iter().all(has).then_some(all)
    })
    .await;
    for round in 1..4 {
        strange(&cluster, round).await;
    }
    let later = all_series(&cluster).await;
    let grown: Vec<_> = later.difference(&first).collect();
    assert!(grown.is_empty(), "{grown:?}");
    say(&format!("{} series on three planes", later.len()));
    let made_up = |series: &&String| series.contains("r1-") || series.contains("r0-");
    assert_eq!(later.iter().find(made_up), None);
}

#[tokio::test]
async fn apps_beyond_the_number_that_operators_allow_are_counted_together() {
    let cluster = Cluster::start(Shape::default().gateway("--metrics-apps-max=3")).await;
    let admin = cluster.admin();
    for number in 0..10 {
        let id = format!("shop-{number}");
        let app = App { app_id: id.clone(), key: format!("key-{number}"), ..App::default() };
        admin.create(app, "secret").await;
        let credentials = Credentials {
            app_id: id.clone(),
            key: format!("key-{number}"),
            secret: "secret".to_owned(),
        };
        let backend = cluster.backend(0).with(|own| *own = credentials);
        let event = json!({ "name": "e", "channel": "room", "data": "x" });
        let known = || async { (backend.publish(&event).await.status == 200).then_some(()) };
        eventually("the gateway knows the app", known).await;
    }
    let scrape = Scrape::of(cluster.gateways[0].running.operations_address).await;
    let counted = |app: &str| {
        scrape.series.get(&format!("carillon_gateway_app_requests_total{{app={app:?}}}"))
    };
    assert_eq!(counted("shop-0"), Some(&1.0));
    assert_eq!(counted("shop-2"), Some(&1.0));
    assert_eq!((counted("shop-3"), counted("other")), (None, Some(&7.0)));
}

#[tokio::test]
async fn work_shows() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut plain = cluster.client(0).await;
    plain.subscribe("room").await;
    let mut filtered = cluster.client(0).await;
    let filter = json!({ "op": "and", "nodes": [{ "key": "kind", "cmp": "eq", "val": "goal" }] });
    let data = json!({ "channel": "match", "filter": filter, "delta": true });
    filtered.send(&json!({ "event": "pusher:subscribe", "data": data })).await;
    filtered.expect_subscribed("match").await;
    let backend = cluster.backend(0);
    let text = "a goal in the last minute of the match, ".repeat(20);
    for number in 0..5 {
        for kind in ["goal", "miss"] {
            let data = format!("{text}{number}");
            let event = json!({ "name": "shot", "channel": "match", "data": data, "tags": { "kind": kind } });
            assert_eq!(backend.publish(&event).await.status, 200);
        }
    }
    backend.publish_text("room", "e", "x").await;
    plain.expect_event("room", "e", "x").await;
    let [control_plane, gateway, node] = operations(&cluster);
    let gateway = Scrape::of(gateway).await;
    assert_eq!(gateway.sum("carillon_gateway_publish_duration_seconds_count"), 11.0);
    assert_eq!(gateway.sum("carillon_gateway_app_requests_total"), 11.0);
    assert_eq!(gateway.sum("carillon_gateway_requests_in_flight"), 0.0);
    let node = Scrape::of(node).await;
    assert_eq!(node.sum("carillon_data_plane_deliveries_total"), 6.0);
    assert_eq!(node.sum("carillon_data_plane_app_deliveries_total"), 6.0);
    assert_eq!(node.sum("carillon_data_plane_filtered_out_total"), 5.0);
    assert!(node.sum("carillon_data_plane_filter_evaluations_total") >= 5.0);
    // The first is whole; so is the second, whose base nobody had asked to be kept behind the miss.
    assert_eq!(node.sum("carillon_data_plane_delta_deliveries_total"), 3.0);
    assert!(node.sum("carillon_data_plane_delta_saved_bytes_total") > 3.0 * 600.0);
    assert!(node.sum("carillon_data_plane_delta_bases_bytes") > 600.0);
    assert_eq!(node.sum("carillon_data_plane_subscriptions"), 2.0);
    assert_eq!(node.sum("carillon_data_plane_outbox_bytes"), 0.0);
    assert!(node.sum("carillon_data_plane_turn_duration_seconds_count") > 6.0);
    let control_plane = Scrape::of(control_plane).await;
    assert_eq!(control_plane.sum("carillon_dispatch_app_events_total"), 11.0);
    assert!(control_plane.sum("carillon_control_plane_rpcs_total") >= 11.0);
    for (scrape, plane) in
        [(&gateway, "gateway"), (&control_plane, "control_plane"), (&node, "data_plane")]
    {
        let age = scrape.series[&format!("carillon_{plane}_config_age_seconds")];
        assert!((0.0..30.0).contains(&age), "{plane}: {age}");
        assert_eq!(scrape.sum(&format!("carillon_{plane}_config_apps")), 1.0);
        assert_eq!(scrape.sum("carillon_build_info"), 1.0);
    }
}
