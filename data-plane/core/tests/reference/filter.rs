//! What the specification says about filters (spec/websocket.md 7.2 and 7.3), as literally as it
//! can be written: the measure for the real parser and matcher.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether the filter may be subscribed with.
pub(crate) fn is_valid(filter: &Value) -> bool {
    depth(filter) <= 16 && nodes(filter) <= 128 && is_valid_node(filter)
}

fn is_valid_node(node: &Value) -> bool {
    let Value::Object(_) = node else {
        return false;
    };
    let has = |name: &str| !node[name].is_null();
    if has("op") {
        let children = children(node);
        let right_number = match node["op"].as_str() {
            Some("and" | "or") => !children.is_empty(),
            Some("not") => children.len() == 1,
            _ => false,
        };
        let leaf = ["key", "cmp", "val", "vals"].into_iter().any(has);
        return right_number && !leaf && children.iter().all(is_valid_node);
    }
    let value = |value: &Value| text(value).is_some_and(|text| text.len() <= 1024);
    let vals = |vals: &Value| {
        vals.as_array().is_some_and(|vals| vals.len() <= 128 && vals.iter().all(value))
    };
    let operand = match node["cmp"].as_str() {
        Some("ex" | "nex") => true,
        Some("in" | "nin") => node["vals"].as_array().is_some_and(|vals| !vals.is_empty()),
        Some("eq" | "neq" | "sw" | "ew" | "ct" | "gt" | "gte" | "lt" | "lte") => {
            text(&node["val"]).is_some_and(|val| !val.is_empty())
        }
        _ => false,
    };
    operand
        && !has("nodes")
        && node["key"].as_str().is_some_and(|key| (1..=256).contains(&key.len()))
        && (!has("val") || value(&node["val"]))
        && (!has("vals") || vals(&node["vals"]))
}

/// Whether an event with these tags passes a valid filter.
pub(crate) fn evaluate(node: &Value, tags: &BTreeMap<String, String>) -> bool {
    let mut nodes = children(node).iter();
    match node["op"].as_str() {
        Some("and") => return nodes.all(|node| evaluate(node, tags)),
        Some("or") => return nodes.any(|node| evaluate(node, tags)),
        Some(_) => return !evaluate(&node["nodes"][0], tags),
        None => {}
    }
    let tag = tags.get(node["key"].as_str().expect("a leaf has a key"));
    let val = text(&node["val"]).unwrap_or_default();
    let vals: Vec<String> =
        node["vals"].as_array().into_iter().flatten().filter_map(text).collect();
    let numbers = || Some((tag?.parse::<f64>().ok()?, val.parse::<f64>().ok()?));
    match node["cmp"].as_str().expect("a leaf has a comparison") {
        "eq" => tag == Some(&val),
        "neq" => tag != Some(&val),
        "in" => tag.is_some_and(|tag| vals.contains(tag)),
        "nin" => !tag.is_some_and(|tag| vals.contains(tag)),
        "ex" => tag.is_some(),
        "nex" => tag.is_none(),
        "sw" => tag.is_some_and(|tag| tag.starts_with(&val)),
        "ew" => tag.is_some_and(|tag| tag.ends_with(&val)),
        "ct" => tag.is_some_and(|tag| tag.contains(&val)),
        "gt" => numbers().is_some_and(|(tag, val)| tag > val),
        "gte" => numbers().is_some_and(|(tag, val)| tag >= val),
        "lt" => numbers().is_some_and(|(tag, val)| tag < val),
        "lte" => numbers().is_some_and(|(tag, val)| tag <= val),
        other => panic!("a valid filter has no comparison {other}"),
    }
}

fn children(node: &Value) -> &[Value] {
    node["nodes"].as_array().map_or(&[], Vec::as_slice)
}

fn depth(node: &Value) -> usize {
    1 + children(node).iter().map(depth).max().unwrap_or(0)
}

fn nodes(node: &Value) -> usize {
    1 + children(node).iter().map(nodes).sum::<usize>()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
