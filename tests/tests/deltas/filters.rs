//! What filters mean, from the subscribe to who receives what.

use serde_json::{Value, json};
use tests::cluster::{Cluster, Shape};

use crate::reader::Reader;

/// A filter, an event's tags, and whether they match: spec/websocket.md 7.2 and A.2.
fn table() -> Vec<(Value, Value, bool)> {
    let leaf = |cmp: &str, val: &str| json!({ "key": "a", "cmp": cmp, "val": val });
    let list = |cmp: &str| json!({ "key": "a", "cmp": cmp, "vals": ["1", 2, true] });
    let bare = |cmp: &str| json!({ "key": "a", "cmp": cmp });
    let branch = |op: &str, nodes: &[Value]| json!({ "op": op, "nodes": nodes });
    let a = |value: &str| json!({ "a": value });
    let none = Value::Null;
    let mut table = vec![
        (leaf("eq", "1"), a("1"), true),
        (leaf("eq", "1"), a("1.0"), false),
        (leaf("neq", "1"), a("1"), false),
        (leaf("neq", "1"), a("2"), true),
        (list("in"), a("2"), true),
        (list("in"), a("true"), true),
        (list("in"), a("3"), false),
        (list("nin"), a("2"), false),
        (list("nin"), a("3"), true),
        (bare("ex"), a(""), true),
        (bare("nex"), a(""), false),
        (leaf("sw", "ab"), a("abc"), true),
        (leaf("ew", "bc"), a("abc"), true),
        (leaf("ct", "B"), a("abc"), false),
        (leaf("ct", "b"), a("abc"), true),
        (leaf("gte", "1"), a("1.0"), true),
        (leaf("gt", "9"), a("10"), true),
        (leaf("gt", "9"), a("x"), false),
        (leaf("lt", "9"), a("-1e3"), true),
        (leaf("lte", "9"), a("9.0"), true),
        (branch("not", &[leaf("gt", "9")]), a("x"), true),
        (branch("not", &[leaf("eq", "1")]), none.clone(), true),
        (branch("and", &[leaf("ct", "b"), leaf("sw", "a")]), a("abc"), true),
        (branch("and", &[leaf("ct", "b"), leaf("sw", "b")]), a("abc"), false),
        (branch("or", &[leaf("ct", "x"), leaf("sw", "a")]), a("abc"), true),
        (branch("or", &[leaf("ct", "x"), leaf("sw", "x")]), a("abc"), false),
        (json!({ "key": "a", "cmp": "eq", "val": 501 }), a("501"), true),
        (json!({ "key": "a", "cmp": "eq", "val": 98.6 }), a("98.6"), true),
        (leaf("eq", "Zoë \u{1F389}"), a("Zoë \u{1F389}"), true),
    ];
    let absent = [("neq", true), ("nex", true), ("nin", true), ("eq", false), ("in", false)];
    let further = [("ex", false), ("sw", false), ("ew", false), ("ct", false), ("gt", false)];
    for (cmp, expected) in absent.into_iter().chain(further) {
        let filter = match cmp {
            "ex" | "nex" => bare(cmp),
            "in" | "nin" => list(cmp),
            _ => leaf(cmp, "1"),
        };
        table.push((filter.clone(), none.clone(), expected));
        table.push((filter, json!({ "b": "1" }), expected));
    }
    table
}

#[tokio::test]
async fn the_table_of_comparisons() {
    let cluster = Cluster::start(Shape::default()).await;
    let [mut plain, mut deltas] = [Reader::of(&cluster, 0).await, Reader::of(&cluster, 0).await];
    let table = table();
    for (row, (filter, _, _)) in table.iter().enumerate() {
        let channel = format!("row-{row}");
        plain.subscribe(&channel, &json!({ "tags_filter": filter })).await;
        let terms = json!({ "filter": filter, "delta": "fossil" });
        deltas.subscribe_to_deltas(&channel, &terms, "fossil").await;
    }
    for (row, (_, tags, _)) in table.iter().enumerate() {
        let mut event = json!({ "name": "e", "channel": format!("row-{row}"), "data": "x" });
        if !tags.is_null() {
            event["tags"] = tags.clone();
        }
        assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
    }
    for reader in [&mut plain, &mut deltas] {
        for (row, (filter, tags, _)) in table.iter().enumerate().filter(|(_, (_, _, is))| *is) {
            let (_, event) = reader.next().await;
            assert_eq!(event["channel"], format!("row-{row}"), "{filter} of {tags}");
        }
        reader.client.expect_nothing().await;
    }
}

#[tokio::test]
async fn a_filter_is_replaced_by_subscribing_again() {
    let cluster = Cluster::start(Shape::default()).await;
    let wants = |value: &str| json!({ "key": "to", "cmp": "eq", "val": value });
    let steps = [
        (json!({ "filter": wants("a") }), "a"),
        (json!({ "tags_filter": wants("b") }), "b"),
        // The server reads `filter` first.
        (json!({ "filter": wants("c"), "tags_filter": wants("a") }), "c"),
        (json!({ "filter": wants("b") }), "b"),
        // Without one it wants everything.
        (json!({}), "abc"),
        (json!({ "filter": wants("a") }), "a"),
    ];
    for delta in [json!(false), json!("xdelta3")] {
        let mut reader = Reader::of(&cluster, 0).await;
        for (terms, wanted) in &steps {
            let mut terms = terms.clone();
            terms["delta"] = delta.clone();
            match delta.as_str() {
                Some(algorithm) => reader.subscribe_to_deltas("room", &terms, algorithm).await,
                None => reader.subscribe("room", &terms).await,
            }
            for to in ["a", "b", "c"] {
                let event = json!({
                    "name": "e", "channel": "room", "data": "x", "tags": { "to": to },
                });
                assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
            }
            for to in wanted.chars() {
                assert_eq!(reader.next().await.1["tags"], json!({ "to": to.to_string() }));
            }
            reader.client.expect_nothing().await;
        }
    }
}

#[tokio::test]
async fn every_kind_of_channel_can_be_filtered() {
    let cluster = Cluster::start(Shape { nodes: 2, ..Shape::default() }).await;
    let filter = json!({ "key": "to", "cmp": "in", "vals": ["me", "all"] });
    for channel in ["room", "private-room", "private-encrypted-room"] {
        let [mut some, mut all] = [Reader::of(&cluster, 0).await, Reader::of(&cluster, 1).await];
        some.subscribe(channel, &json!({ "filter": filter })).await;
        all.subscribe(channel, &json!({})).await;
        for (n, to) in ["me", "you", "all", "nobody", "me"].into_iter().enumerate() {
            let event = json!({
                "name": "e", "channel": channel, "data": n.to_string(), "tags": { "to": to },
            });
            assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
            let frame = json!({
                "event": "e", "channel": channel, "data": n.to_string(), "tags": { "to": to },
            });
            all.client.expect(&frame).await;
            if ["me", "all"].contains(&to) {
                some.client.expect(&frame).await;
            }
        }
        some.client.expect_nothing().await;
    }
}

#[tokio::test]
async fn who_is_excluded_gets_nothing_however_well_it_matches() {
    let cluster = Cluster::start(Shape::default()).await;
    let mut reader = Reader::of(&cluster, 0).await;
    let filter = json!({ "key": "to", "cmp": "eq", "val": "me" });
    reader.subscribe("room", &json!({ "filter": filter })).await;
    let event = json!({
        "name": "e", "channel": "room", "data": "x", "tags": { "to": "me" },
        "socket_id": reader.client.socket_id,
    });
    assert_eq!(cluster.backend(0).publish(&event).await.status, 200);
    reader.client.expect_nothing().await;
}

#[tokio::test]
async fn an_app_without_filters_checks_them_and_delivers_everything() {
    let app = json!({ "features": { "tag_filtering": false } });
    let cluster = Cluster::start(Shape::default().app(app)).await;
    let mut reader = Reader::of(&cluster, 0).await;
    reader.ask("room", &json!({ "filter": { "key": "a", "cmp": "like" } })).await;
    reader.expect_invalid_filter("room").await;
    let filter = json!({ "key": "a", "cmp": "eq", "val": "1" });
    reader.subscribe("room", &json!({ "filter": filter })).await;
    cluster.backend(0).publish_text("room", "e", "x").await;
    reader.client.expect_event("room", "e", "x").await;
}
