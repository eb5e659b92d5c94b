//! ARCHITECTURE.md's table of bounds: what it says is counted is counted.

use std::collections::BTreeSet;

use tests::cluster::{Cluster, Shape};

use super::scrape::Scrape;

/// Series with labels, which are there once they have counted something.
const LABELLED: [&str; 2] = ["closes", "webhook_events_dropped"];

/// The section on bounds.
fn section() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ARCHITECTURE.md");
    let text = std::fs::read_to_string(path).unwrap();
    let section = text.split("\n## ").find(|section| section.starts_with("Bounds\n"));
    section.expect("ARCHITECTURE.md has the section").to_owned()
}

/// What stands in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[tokio::test]
async fn every_counter_and_every_depth_of_the_table_of_bounds_exists() {
    let limits = "--sockets-per-address=1000";
    let cluster = Cluster::start(Shape::default().node(limits)).await;
    let mut names = BTreeSet::new();
    for address in [
        cluster.operations_address(),
        cluster.gateways[0].running.operations_address,
        cluster.nodes[0].running.operations_address,
    ] {
        names.extend(Scrape::of(address).await.names);
    }
    let section = section();
    let (depths, table) = section.split_once("\n|").expect("a table follows the text");
    let depths = quoted(depths.split_once('(').expect("depths stand in parentheses").1);
    let rows = table.lines().skip(2);
    let counters: BTreeSet<_> =
        rows.filter_map(|row| row.split('|').nth(4)).flat_map(quoted).collect();
    assert!(counters.len() > 20, "{counters:?}");
    let counted = counters.into_iter().filter(|name| !LABELLED.contains(name));
    let exists = |wanted: &&str| {
        let (gauge, counter) = (format!("_{wanted}"), format!("_{wanted}_total"));
        names.iter().any(|name| name.ends_with(&gauge) || name.ends_with(&counter))
    };
    let absent: Vec<_> = counted.chain(depths).filter(|wanted| !exists(wanted)).collect();
    assert!(absent.is_empty(), "{absent:?} are not in {names:?}");
}
