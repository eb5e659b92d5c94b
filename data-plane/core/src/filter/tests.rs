use model::Tags;

use super::*;

fn filter(json: &str) -> Filter {
    Filter::parse(json).unwrap_or_else(|invalid| panic!("{json}: {invalid}"))
}

fn matches(filter: &Filter, tags: Option<&Tags>) -> bool {
    filter.matches(&TagList::of(tags))
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A leaf on key `a` against a tag `a`, and against an event that has none.
fn check(members: &str, tag: &str, expected: bool, expected_without: bool) {
    let filter = filter(&format!(r#"{{"key":"a",{members}}}"#));
    assert_eq!(matches(&filter, Some(&tags(&[("a", tag)]))), expected, "{members} of {tag}");
    assert_eq!(matches(&filter, None), expected_without, "{members} without tags");
    let others = tags(&[("A", tag), ("aa", tag), ("", tag)]);
    assert_eq!(matches(&filter, Some(&others)), expected_without, "{members} of other tags");
}

fn check_refused(json: &str, expected: &str) {
    match Filter::parse(json) {
        Ok(filter) => panic!("{json} is accepted as {filter:?}"),
        Err(invalid) => {
            assert_eq!(invalid.to_string(), format!("Invalid tags filter: {expected}"), "{json}");
        }
    }
}

/// Appendix A.2 of the specification, row by row where there are tags.
#[test]
fn the_specification_s_examples() {
    check(r#""cmp":"eq","val":"1""#, "1", true, false);
    check(r#""cmp":"eq","val":"1""#, "1.0", false, false);
    check(r#""cmp":"neq","val":"1""#, "1", false, true);
    check(r#""cmp":"nin","vals":["1","2"]"#, "2", false, true);
    check(r#""cmp":"gte","val":"1""#, "1.0", true, false);
    check(r#""cmp":"gt","val":"9""#, "10", true, false);
    check(r#""cmp":"gt","val":"9""#, "x", false, false);
    let not = filter(r#"{"op":"not","nodes":[{"key":"a","cmp":"gt","val":"9"}]}"#);
    assert!(matches(&not, Some(&tags(&[("a", "x")]))));
    check(r#""cmp":"sw","val":"ab""#, "abc", true, false);
    check(r#""cmp":"ct","val":"B""#, "abc", false, false);
    check(r#""cmp":"eq","val":501"#, "501", true, false);
    check_refused(r#"{"key":"a","cmp":"eq","val":""}"#, "eq operation requires a non-empty val");
    check_refused(
        r#"{"op":"not","nodes":[]}"#,
        "not operation requires exactly one child node, got 0",
    );
}

#[test]
fn comparisons_of_texts() {
    check(r#""cmp":"eq","val":"é""#, "é", true, false);
    check(r#""cmp":"eq","val":"e\u0301""#, "é", false, false);
    check(r#""cmp":"eq","val":"X""#, "x", false, false);
    check(r#""cmp":"neq","val":"1""#, "1.0", true, true);
    check(r#""cmp":"in","vals":["goal","shot",""]"#, "shot", true, false);
    check(r#""cmp":"in","vals":["goal","shot",""]"#, "", true, false);
    check(r#""cmp":"in","vals":["goal","shot"]"#, "sho", false, false);
    check(r#""cmp":"in","vals":["x","x"]"#, "x", true, false);
    check(r#""cmp":"nin","vals":["goal","shot"]"#, "foul", true, true);
    check(r#""cmp":"ex""#, "", true, false);
    check(r#""cmp":"nex""#, "", false, true);
    check(r#""cmp":"sw","val":"b""#, "abc", false, false);
    check(r#""cmp":"ew","val":"bc""#, "abc", true, false);
    check(r#""cmp":"ew","val":"ab""#, "abc", false, false);
    check(r#""cmp":"ct","val":"b""#, "abc", true, false);
    check(r#""cmp":"ct","val":"ac""#, "abc", false, false);
}

#[test]
fn comparisons_of_numbers() {
    for (cmp, less, same, more) in
        [("gt", false, false, true), ("gte", false, true, true), ("lt", true, false, false)]
    {
        let members = format!(r#""cmp":"{cmp}","val":"9.5""#);
        check(&members, "9", less, false);
        check(&members, "9.50", same, false);
        check(&members, "10", more, false);
    }
    check(r#""cmp":"lte","val":9.5"#, "95e-1", true, false);
    check(r#""cmp":"lte","val":9.5"#, "9.51", false, false);
    check(r#""cmp":"lte","val":"inf""#, "+1e308", true, false);
    check(r#""cmp":"gte","val":"-0""#, "0", true, false);
    check(r#""cmp":"lte","val":"x""#, "x", false, false);
    check(r#""cmp":"lte","val":"nan""#, "nan", false, false);
    check(r#""cmp":"lt","val":"9""#, " 8", false, false);
    check(r#""cmp":"lt","val":"9""#, "", false, false);
}

#[test]
fn values_are_the_text_of_scalars() {
    check(r#""cmp":"eq","val":98.6"#, "98.6", true, false);
    check(r#""cmp":"eq","val":1.10"#, "1.10", true, false);
    check(r#""cmp":"eq","val":1e999"#, "1e999", true, false);
    check(r#""cmp":"eq","val":-0"#, "-0", true, false);
    check(r#""cmp":"eq","val":true"#, "true", true, false);
    check(r#""cmp":"in","vals":[1,"two",false]"#, "false", true, false);
    check(r#""cmp":"eq","val":"\u0041\n""#, "A\n", true, false);
}

#[test]
fn branches() {
    let (a, b) = (r#"{"key":"a","cmp":"eq","val":"1"}"#, r#"{"key":"b","cmp":"ex"}"#);
    let both = [tags(&[]), tags(&[("a", "1")]), tags(&[("b", "")]), tags(&[("a", "1"), ("b", "")])];
    let check = |op: &str, nodes: &str, expected: [bool; 4]| {
        let filter = filter(&format!(r#"{{"nodes":[{nodes}],"op":"{op}"}}"#));
        assert_eq!(
            both.each_ref().map(|tags| matches(&filter, Some(tags))),
            expected,
            "{op} {nodes}"
        );
    };
    check("and", &format!("{a},{b}"), [false, false, false, true]);
    check("or", &format!("{a},{b}"), [false, true, true, true]);
    check("and", a, [false, true, false, true]);
    check("not", a, [true, false, true, false]);
    let not = |op| format!(r#"{{"op":"not","nodes":[{{"op":"{op}","nodes":[{a},{b}]}}]}}"#);
    check("or", &format!("{},{a}", not("or")), [true, true, false, true]);
    check("and", &format!("{},{a}", not("and")), [false, true, false, false]);
    check("not", &not("and"), [false, false, false, true]);
}

#[test]
fn filters_that_say_the_same_are_equal() {
    let same = |left: &str, right: &str| assert_eq!(filter(left), filter(right));
    let differ = |left: &str, right: &str| assert_ne!(filter(left), filter(right));
    let (a, b) = (r#"{"key":"a","cmp":"eq","val":"1"}"#, r#"{"key":"b","cmp":"gt","val":"1"}"#);
    same(a, r#" { "val" : 1 , "x":[{}], "cmp":"eq" , "key":"\u0061", "nodes":null } "#);
    same(a, r#"{"key":"a","cmp":"in","vals":["1",1]}"#);
    same(a, r#"{"op":"not","nodes":[{"key":"a","cmp":"neq","val":"1"}]}"#);
    same(a, &format!(r#"{{"op":"or","nodes":[{a},{a}]}}"#));
    same(b, r#"{"key":"b","cmp":"gt","val":1.0}"#);
    same(
        r#"{"key":"a","cmp":"nin","vals":["x","y"]}"#,
        r#"{"op":"not","nodes":[{"key":"a","cmp":"in","vals":["y","x"]}]}"#,
    );
    let and = |x: &str, y: &str| format!(r#"{{"op":"and","nodes":[{x},{y}]}}"#);
    same(&and(a, b), &and(b, a));
    same(&and(a, &and(b, a)), &and(a, b));
    same(
        r#"{"op":"not","nodes":[{"op":"or","nodes":[{"key":"a","cmp":"ex"},{"key":"b","cmp":"ex"}]}]}"#,
        &and(r#"{"key":"b","cmp":"nex"}"#, r#"{"key":"a","cmp":"nex"}"#),
    );
    differ(a, r#"{"key":"a","cmp":"eq","val":"1.0"}"#);
    differ(a, r#"{"key":"a","cmp":"neq","val":"1"}"#);
    differ(a, r#"{"key":"a","cmp":"sw","val":"1"}"#);
    differ(&and(a, b), &and(a, b).replace("and", "or"));
    differ(b, r#"{"key":"b","cmp":"gte","val":"1"}"#);
}

#[test]
fn what_is_wrong_is_told() {
    check_refused("{}", "Leaf node requires a non-empty key");
    check_refused(r#"{"key":"","cmp":"ex"}"#, "Leaf node requires a non-empty key");
    check_refused(r#"{"key":null,"cmp":"ex"}"#, "Leaf node requires a non-empty key");
    check_refused(r#"{"key":"a"}"#, "Leaf node requires a comparison operator");
    check_refused(r#"{"key":"a","cmp":"like"}"#, "unknown comparison operator: like");
    check_refused(r#"{"key":"a","cmp":"EQ","val":"1"}"#, "unknown comparison operator: EQ");
    check_refused(r#"{"key":"a","cmp":"exists"}"#, "unknown comparison operator: exists");
    check_refused(r#"{"op":"xor","nodes":[]}"#, "unknown logical operator: xor");
    check_refused(r#"{"op":"","nodes":[]}"#, "unknown logical operator: ");
    for cmp in ["in", "nin"] {
        for vals in ["", r#","vals":[]"#, r#","vals":null"#, r#","val":"x""#] {
            let text = format!("{cmp} operation requires at least one value in vals");
            check_refused(&format!(r#"{{"key":"a","cmp":"{cmp}"{vals}}}"#), &text);
        }
    }
    for cmp in ["eq", "neq", "sw", "ew", "ct", "gt", "gte", "lt", "lte"] {
        for val in ["", r#","val":"""#, r#","val":null"#, r#","vals":["x"]"#] {
            let text = format!("{cmp} operation requires a non-empty val");
            check_refused(&format!(r#"{{"key":"a","cmp":"{cmp}"{val}}}"#), &text);
        }
    }
    for op in ["and", "or"] {
        for nodes in ["", r#","nodes":[]"#, r#","nodes":null"#] {
            let text = format!("{op} operation requires at least one child node");
            check_refused(&format!(r#"{{"op":"{op}"{nodes}}}"#), &text);
        }
    }
    let leaf = r#"{"key":"a","cmp":"ex"}"#;
    check_refused(
        &format!(r#"{{"op":"not","nodes":[{leaf},{leaf}]}}"#),
        "not operation requires exactly one child node, got 2",
    );
    check_refused(r#"{"op":"not"}"#, "not operation requires exactly one child node, got 0");
}

#[test]
fn what_is_no_filter_is_refused() {
    for none in ["null", "7", "true", r#""{}""#, "[]", r#"[{"key":"a","cmp":"ex"}]"#] {
        check_refused(none, "a node must be a JSON object");
    }
    for none in ["", " ", "{", r#"{"key":"a","cmp":"ex"},"#, r#"{"key":"a","cmp":"ex"}{}"#, "{a:1}"]
    {
        check_refused(none, "not JSON");
    }
    let shape = |members: &str, expected| check_refused(&format!("{{{members}}}"), expected);
    shape(r#""op":1,"nodes":[]"#, "'op' must be a string");
    shape(r#""key":"a","cmp":[]"#, "'cmp' must be a string");
    shape(r#""key":7,"cmp":"ex""#, "'key' must be a string");
    shape(r#""key":"\ud800","cmp":"ex""#, "'key' must be a string");
    shape(r#""op":"and","nodes":{}"#, "'nodes' must be an array");
    shape(r#""key":"a","cmp":"in","vals":"x""#, "'vals' must be an array");
    for value in ["{}", "[]", r#""\ud800""#] {
        let scalar = "a value must be a string, number or boolean";
        shape(&format!(r#""key":"a","cmp":"eq","val":{value}"#), scalar);
        shape(&format!(r#""key":"a","cmp":"in","vals":["x",{value}]"#), scalar);
    }
    shape(r#""key":"a","cmp":"in","vals":[null]"#, "a value must be a string, number or boolean");
    for member in [r#""key":"a""#, r#""cmp":"ex""#, r#""val":"1""#, r#""vals":[]"#] {
        let nodes = r#""op":"and","nodes":[{"key":"a","cmp":"ex"}]"#;
        shape(&format!("{nodes},{member}"), "a node with 'op' has no key, cmp, val or vals");
    }
    shape(r#""key":"a","cmp":"ex","nodes":[]"#, "a node without 'op' has no nodes");
    shape(r#""type":"exists","field":"a""#, "Leaf node requires a non-empty key");
}

#[test]
fn faults_are_told_with_their_place() {
    let like = r#"{"key":"a","cmp":"like"}"#;
    let first = r#"{"key":"a","cmp":"ex"}"#;
    check_refused(
        &format!(r#"{{"op":"and","nodes":[{first},{{"op":"not","nodes":[{like}]}}]}}"#),
        "Child node 1: Child node 0: unknown comparison operator: like",
    );
    check_refused(
        &format!(r#"{{"nodes":[{first},{first},null],"op":"or"}}"#),
        "Child node 2: a node must be a JSON object",
    );
    check_refused(
        &format!(r#"{{"op":"or","nodes":[{{"op":"or","nodes":[{first}]}},{{"op":"and"}}]}}"#),
        "Child node 1: and operation requires at least one child node",
    );
    check_refused(
        &format!(r#"{{"op":"or","nodes":[{{"op":"or","nodes":[{first}]}}],"key":"a"}}"#),
        "a node with 'op' has no key, cmp, val or vals",
    );
    let invalid = Filter::parse(&format!(r#"{{"op":"and","nodes":[{first},{like}]}}"#));
    let fault = FilterFault::UnknownComparison { named: "like".to_owned() };
    assert_eq!(invalid, Err(InvalidFilter { path: vec![1], fault }));
}

/// Accepted at the limit; one more is refused.
fn check_limit(limit: usize, filter: impl Fn(usize) -> String, expected: &str) {
    assert!(Filter::parse(&filter(limit)).is_ok(), "{limit}");
    check_refused(&filter(limit + 1), expected);
}

#[test]
fn limits() {
    let nodes = |nodes: usize| {
        let leaves = vec![r#"{"key":"a","cmp":"ex"}"#; nodes - 1].join(",");
        format!(r#"{{"op":"and","nodes":[{leaves}]}}"#)
    };
    let at = |fault: &str, path: usize| format!("Child node {path}: {fault}");
    check_limit(Filter::NODES_MAX, nodes, &at("a filter has at most 128 nodes", 127));
    let deep = |depth: usize| {
        let (open, close) = (r#"{"op":"not","nodes":["#.repeat(depth - 1), "]}".repeat(depth - 1));
        format!(r#"{open}{{"key":"a","cmp":"ex"}}{close}"#)
    };
    let path = "Child node 0: ".repeat(Filter::DEPTH_MAX);
    let expected = format!("{path}a filter is at most 16 nodes deep");
    check_limit(Filter::DEPTH_MAX, deep, &expected);
    check_refused(&deep(100_000), &expected);
    // Limits are in bytes, not in characters, and of the text, not of its JSON.
    let key = |bytes: usize| {
        format!(r#"{{"key":"\u0061{}{}","cmp":"ex"}}"#, "é".repeat(100), "k".repeat(bytes - 201))
    };
    check_limit(Filter::KEY_BYTES_MAX, key, "the key has 257 bytes, the limit is 256");
    let val = |bytes: usize| format!(r#"{{"key":"a","cmp":"eq","val":"{}"}}"#, "v".repeat(bytes));
    check_limit(Filter::VALUE_BYTES_MAX, val, "a value has 1025 bytes, the limit is 1024");
    let number = |bytes: usize| format!(r#"{{"key":"a","cmp":"eq","val":{}}}"#, "1".repeat(bytes));
    check_limit(Filter::VALUE_BYTES_MAX, number, "a value has 1025 bytes, the limit is 1024");
    let listed =
        |bytes: usize| format!(r#"{{"key":"a","cmp":"in","vals":["x","{}"]}}"#, "v".repeat(bytes));
    check_limit(Filter::VALUE_BYTES_MAX, listed, "a value has 1025 bytes, the limit is 1024");
    let vals =
        |values: usize| format!(r#"{{"key":"a","cmp":"in","vals":{:?}}}"#, vec!["x"; values]);
    check_limit(Filter::VALUES_MAX, vals, "the leaf has 129 values, the limit is 128");
}

#[test]
fn long_names_are_cut_in_errors() {
    let name = "é".repeat(1000);
    let shown = "é".repeat(64);
    check_refused(
        &format!(r#"{{"key":"a","cmp":"{name}"}}"#),
        &format!("unknown comparison operator: {shown}"),
    );
}
