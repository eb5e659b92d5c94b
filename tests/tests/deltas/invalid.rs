//! Filters that are refused: the client is told where and why, and is not subscribed.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::Reader;

/// Filters and the text behind `Invalid tags filter: `; an empty one: any.
fn invalid() -> Vec<(Value, &'static str)> {
    let good = || json!({ "key": "a", "cmp": "ex" });
    let bad = || json!({ "key": "a", "cmp": "like", "val": "x" });
    let nested = json!({ "op": "or", "nodes": [{ "op": "not", "nodes": [bad()] }] });
    let branch = |op: &str, nodes: Value| json!({ "op": op, "nodes": nodes });
    let mut deep = good();
    for _ in 0..16 {
        deep = branch("not", json!([deep]));
    }
    vec![
        (bad(), "unknown comparison operator: like"),
        (json!({ "cmp": "eq", "val": "x" }), "Leaf node requires a non-empty key"),
        (json!({ "key": "", "cmp": "ex" }), "Leaf node requires a non-empty key"),
        (json!({ "key": "a" }), "Leaf node requires a comparison operator"),
        (json!({ "key": "a", "cmp": "eq", "val": "" }), "eq operation requires a non-empty val"),
        (json!({ "key": "a", "cmp": "gt" }), "gt operation requires a non-empty val"),
        (json!({ "key": "a", "cmp": "in" }), "in operation requires at least one value in vals"),
        (
            json!({ "key": "a", "cmp": "nin", "vals": [] }),
            "nin operation requires at least one value in vals",
        ),
        (branch("xor", json!([good()])), "unknown logical operator: xor"),
        (branch("and", json!([])), "and operation requires at least one child node"),
        (branch("not", json!([])), "not operation requires exactly one child node, got 0"),
        (
            branch("not", json!([good(), good()])),
            "not operation requires exactly one child node, got 2",
        ),
        (branch("and", json!([good(), bad()])), "Child node 1: unknown comparison operator: like"),
        (nested, "Child node 0: Child node 0: unknown comparison operator: like"),
        // Limits, shapes.
        (deep, ""),
        (branch("or", json!(vec![good(); 128])), ""),
        (json!({ "key": "k".repeat(257), "cmp": "ex" }), ""),
        (json!({ "key": "a", "cmp": "eq", "val": "v".repeat(1_025) }), ""),
        (json!({ "key": "a", "cmp": "in", "vals": vec!["v"; 129] }), ""),
        (json!({ "op": "and", "nodes": [good()], "key": "a" }), ""),
        (json!({ "key": "a", "cmp": "ex", "nodes": [] }), ""),
        (json!({ "key": "a", "cmp": "eq", "val": ["x"] }), ""),
        (Value::Null, ""),
        (json!("a = 1"), ""),
        (json!([]), ""),
        (json!({}), ""),
    ]
}

#[tokio::test]
async fn an_invalid_filter_is_no_subscription() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    for (filter, expected) in invalid() {
        for member in ["filter", "tags_filter"] {
            reader.ask("room", &json!({ member: filter, "delta": "fossil" })).await;
            let detail = reader.expect_invalid_filter("room").await;
            assert!(!detail.is_empty() && detail.len() < 300, "{detail}");
            assert!(expected.is_empty() || detail == expected, "{detail} of {filter}");
            let tagged = json!({
                "name": "e", "channel": "room", "data": "x", "tags": { "a": "x" },
            });
            assert_eq!(cluster.backend(0).publish(&tagged).await.status, 200);
            reader.client.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn the_largest_filters_that_are_allowed() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    let leaf = json!({ "key": "k".repeat(256), "cmp": "in", "vals": vec!["v".repeat(32); 128] });
    let mut deep = json!({ "key": "a", "cmp": "eq", "val": "v".repeat(1_024) });
    for _ in 0..15 {
        deep = json!({ "op": "and", "nodes": [deep] });
    }
    let mut wide = vec![json!({ "key": "a", "cmp": "ex" }); 126];
    wide.push(leaf);
    for filter in [deep, json!({ "op": "or", "nodes": wide })] {
        reader.subscribe("room", &json!({ "filter": filter })).await;
        let event = |value: String| json!({ "name": "e", "channel": "room", "data": "x", "tags": { "a": value } });
        let matching = event("v".repeat(1_024));
        assert_eq!(cluster.backend(0).publish(&matching).await.status, 200);
        assert_eq!(reader.client.next_frame().await["tags"], matching["tags"]);
        reader.client.expect_nothing().await;
    }
}

#[tokio::test]
async fn an_invalid_filter_does_not_widen_what_was_asked_for_before() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    let filter = json!({ "key": "a", "cmp": "eq", "val": "1" });
    reader.subscribe("room", &json!({ "filter": filter })).await;
    reader.ask("room", &json!({ "filter": { "key": "a", "cmp": "like" } })).await;
    reader.expect_invalid_filter("room").await;
    cluster.backend(0).publish_text("room", "e", "not for it").await;
    reader.client.expect_nothing().await;
}
