//! What the operations ports of running pods say.

use std::{collections::BTreeSet, fs};

use tests::rest::get;

use crate::{
    manifests::{Manifests, root},
    workload::Cluster,
};

/// Every probe of every pod passes.
pub(crate) async fn all_answer(cluster: &Cluster) {
    for pod in cluster.pods().await {
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            assert!(cluster.passes(&pod.name, probe).await, "{}: {probe}", pod.name);
        }
    }
}

/// What the operations guide and the autoscalers speak of is told by some plane.
pub(crate) async fn metrics_are_those_of_the_documents(cluster: &Cluster) {
    let mut told = BTreeSet::new();
    for plane in ["gateway", "control-plane", "data-plane"] {
        let pod = cluster.pods_of(plane).await.remove(0);
        let address = format!("{}:9601", pod.address).parse().expect("an address");
        let (status, text) = get(address, "/metrics").await;
        assert_eq!(status, 200, "{plane}");
        let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        told.extend(families.filter_map(|line| line.split(' ').next()).map(str::to_owned));
    }
    let guide = fs::read_to_string(root().join("docs/operations.md")).expect("it is there");
    let words = guide.split(|one: char| !one.is_ascii_alphanumeric() && one != '_');
    let mut named: BTreeSet<_> = words.filter(|word| word.starts_with("carillon_")).collect();
    let scalers = Manifests::of("production").of_kind("HorizontalPodAutoscaler");
    let metrics = scalers.map(|scaler| &scaler["spec"]["metrics"][0]["pods"]["metric"]["name"]);
    named.extend(metrics.filter_map(|metric| metric.as_str()));
    let family =
        |name: &str| name.trim_end_matches("_per_second").trim_end_matches("_total").to_owned();
    let absent: Vec<_> = named.iter().filter(|name| !told.contains(&family(name))).collect();
    assert!(named.len() > 15 && absent.is_empty(), "no plane tells {absent:?}");
}
