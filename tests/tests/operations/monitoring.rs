//! The files under `deploy/monitoring`: valid, and about metrics that exist.

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use serde_json::Value;
use tests::{
    client::Client,
    cluster::{Cluster, Shape},
};

use super::scrape::Scrape;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// The names of metrics in some PromQL: ours, and the process's.
fn names(promql: &str) -> BTreeSet<String> {
    let word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let words = promql.split(|character| !word(character));
    let ours = |name: &&str| name.starts_with("carillon_") || name.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

/// All queries of the dashboard.
fn queries(dashboard: &Value) -> Vec<String> {
    match dashboard {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(queries)).collect()
        }
        Value::Array(items) => items.iter().flat_map(queries).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

#[tokio::test]
async fn every_metric_of_the_dashboard_and_the_alerts_exists() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut client = cluster.client(0).await;
    client.subscribe("room").await;
    cluster.backend(0).publish_text("room", "e", "x").await;
    // A series with labels is there once it has counted something.
    let unknown = Client::open(cluster.node_address(0), "/app/nobody?protocol=7", None).await;
    drop(unknown);
    let mut exist = BTreeSet::new();
    for address in [
        cluster.operations_address(),
        cluster.gateways[0].running.operations_address,
        cluster.nodes[0].running.operations_address,
    ] {
        exist.extend(Scrape::of(address).await.names);
    }
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() > 30, "{}", queries.len());
    let dashboard: BTreeSet<_> = queries.iter().flat_map(|query| names(query)).collect();
    let alerts = text("alerts.yml");
    let alerts: BTreeSet<_> =
        alerts.lines().filter(|line| line.contains("expr:")).flat_map(names).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    // It has no series before the first event is lost.
    exist.insert("carillon_control_plane_webhook_events_dropped_total".to_owned());
    let absent: Vec<_> = dashboard.union(&alerts).filter(|name| !exist.contains(*name)).collect();
    assert!(absent.is_empty(), "{absent:?} are not in {exist:?}");
}

/// The queries of the dashboard are rules too, as far as promtool is concerned.
#[test]
fn promtool_accepts_them() {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).unwrap();
    let rules = queries(&dashboard).into_iter().enumerate().map(|(number, query)| {
        let query = query.replace("$__rate_interval", "1m");
        serde_json::json!({ "record": format!("dashboard:query{number}"), "expr": query })
    });
    let rules: Vec<_> = rules.collect();
    let groups = serde_json::json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let folder = tempfile::TempDir::new().unwrap();
    // JSON is YAML.
    let dashboard = folder.path().join("dashboard.yml");
    std::fs::write(&dashboard, groups.to_string()).unwrap();
    promtool(&["check", "rules"], &dashboard);
    promtool(&["check", "rules"], &file("alerts.yml"));
    promtool(&["check", "config"], &file("prometheus.yml"));
    promtool(&["test", "rules"], &file("alerts_test.yml"));
}

fn promtool(arguments: &[&str], file: &std::path::Path) {
    let output = Command::new("promtool").args(arguments).arg(file).output();
    let output = output.expect("promtool is installed: ./test does that");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said));
}
