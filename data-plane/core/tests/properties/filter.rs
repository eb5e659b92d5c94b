//! Filters against a naive reading of the specification; groups of subscribers against a list.

#[path = "../reference/filter.rs"]
mod reference;

use std::collections::BTreeSet;

use data_plane_core::{Filter, FilterGroups, GroupId, TagList};
use model::Tags;
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

/// Few keys and few texts, so that filters and tags meet; some differ in the middle only.
const KEYS: [&str; 5] = ["a", "b", "é", "the-key-with-a-1-in-it", "the-key-with-a-2-in-it"];
const TEXTS: [&str; 18] = [
    "",
    "1",
    "1.0",
    "2",
    "10",
    "-0",
    "0",
    "x",
    "xy",
    "yx",
    "X",
    "inf",
    "NaN",
    "1e1",
    " 1",
    "ü",
    "this text has 1 number",
    "this text has 2 number",
];

fn tags() -> impl Strategy<Value = Option<Tags>> {
    let pair = (select(&KEYS), select(&TEXTS));
    let pairs = prop::collection::vec(pair, 0..5).prop_map(|pairs| {
        pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    });
    prop::option::weighted(0.9, pairs)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => select(&TEXTS[1..]).prop_map(Value::from),
        1 => Just(json!(1)),
        1 => Just(json!(1.5)),
        1 => any::<bool>().prop_map(Value::from),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    const WITH_VALUE: [&str; 9] = ["eq", "neq", "sw", "ew", "ct", "gt", "gte", "lt", "lte"];
    prop_oneof![
        4 => (select(&KEYS), select(&WITH_VALUE), scalar())
            .prop_map(|(key, cmp, val)| json!({ "key": key, "cmp": cmp, "val": val })),
        3 => (select(&KEYS), scalar())
            .prop_map(|(key, val)| json!({ "key": key, "cmp": "eq", "val": val })),
        2 => (select(&KEYS), select(&["in", "nin"]), prop::collection::vec(scalar(), 1..4))
            .prop_map(|(key, cmp, vals)| json!({ "key": key, "cmp": cmp, "vals": vals })),
        1 => (select(&KEYS), select(&["ex", "nex"]))
            .prop_map(|(key, cmp)| json!({ "key": key, "cmp": cmp })),
    ]
}

/// A filter that is valid, unless it happens to be too deep or too large.
fn filter() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(18, 140, 6, |node| {
        prop_oneof![
            2 => (select(&["and", "or"]), prop::collection::vec(node.clone(), 1..6))
                .prop_map(|(op, nodes)| json!({ "op": op, "nodes": nodes })),
            1 => node.prop_map(|node| json!({ "op": "not", "nodes": [node] })),
        ]
    })
}

/// What a mistaken client may put where something else belongs.
fn mistake() -> impl Strategy<Value = Value> {
    const MEMBERS: [&str; 7] = ["op", "nodes", "key", "cmp", "val", "vals", "other"];
    const NAMES: [&str; 8] = ["and", "not", "xor", "eq", "in", "ex", "like", "EQ"];
    let shapes = vec![json!(null), json!(7), json!([]), json!({}), json!([{}]), json!([null])];
    let value = prop_oneof![
        select(shapes),
        select(&NAMES).prop_map(Value::from),
        prop::collection::vec(scalar(), 126..132).prop_map(Value::from),
        (1020..1030_usize).prop_map(|bytes| "v".repeat(bytes).into()),
        (250..260_usize).prop_map(|bytes| "é".repeat(bytes / 2).into()),
        leaf(),
        prop::collection::vec(leaf(), 0..3).prop_map(Value::from),
    ];
    (select(&MEMBERS), value).prop_map(|(member, value)| json!({ member: value }))
}

/// Puts mistakes at the nodes that the numbers name.
fn spoil(node: &mut Value, mistakes: &[(usize, Value)], number: &mut usize) {
    *number += 1;
    let children = node.get_mut("nodes").and_then(Value::as_array_mut);
    children.into_iter().flatten().for_each(|child| spoil(child, mistakes, number));
    for (_, mistake) in mistakes.iter().filter(|(place, _)| place == number) {
        let members = mistake.as_object().cloned().unwrap_or_default();
        node.as_object_mut().expect("a node is an object").extend(members);
    }
}

fn mistaken_filter() -> impl Strategy<Value = Value> {
    let mistakes = prop::collection::vec((1..8_usize, mistake()), 1..4);
    (filter(), mistakes).prop_map(|(mut filter, mistakes)| {
        spoil(&mut filter, &mistakes, &mut 0);
        filter
    })
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Value),
    /// The member that stands there in the list of members, modulo its length.
    Leave(usize),
    Event(Option<Tags>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => leaf().prop_map(Step::Enter),
        2 => filter().prop_map(Step::Enter),
        4 => any::<usize>().prop_map(Step::Leave),
        2 => tags().prop_map(Step::Event),
    ];
    prop::collection::vec(step, 0..120)
}

/// Everybody who has entered, with the group that was said.
type Members = Vec<(Value, GroupId)>;

fn run(
    groups: &mut FilterGroups<u32>,
    members: &mut Members,
    step: Step,
) -> Result<(), TestCaseError> {
    match step {
        Step::Enter(json) => {
            let Ok(filter) = Filter::parse(&json.to_string()) else {
                return Ok(());
            };
            let known = members.iter().any(|(_, group)| groups.filter(*group) == &filter);
            let before = groups.len();
            let group = groups.enter(filter.clone());
            prop_assert_eq!(groups.len(), before + usize::from(!known));
            prop_assert_eq!(groups.filter(group), &filter);
            *groups.get_mut(group) += 1;
            members.push((json, group));
        }
        Step::Leave(_) if members.is_empty() => {}
        Step::Leave(place) => {
            let (_, group) = members.swap_remove(place % members.len());
            *groups.get_mut(group) -= 1;
            let remains = members.iter().any(|(_, other)| *other == group);
            prop_assert_eq!(groups.leave(group), (!remains).then_some(0));
        }
        Step::Event(tags) => {
            let mut visited = Vec::new();
            groups.for_each_match(&TagList::of(tags.as_ref()), |group, kept| {
                visited.push((group, *kept))
            });
            let tags = tags.unwrap_or_default();
            let expected: BTreeSet<GroupId> = members
                .iter()
                .filter(|(json, _)| reference::evaluate(json, &tags))
                .map(|(_, group)| *group)
                .collect();
            prop_assert_eq!(visited.len(), expected.len());
            for (group, kept) in visited {
                prop_assert!(expected.contains(&group));
                let of_group = members.iter().filter(|(_, other)| *other == group);
                prop_assert_eq!(kept as usize, of_group.count());
            }
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_filter_means_what_the_specification_says(
        json in filter(),
        all_tags in prop::collection::vec(tags(), 1..6),
    ) {
        let filter = Filter::parse(&json.to_string());
        prop_assert_eq!(filter.is_ok(), reference::is_valid(&json), "{:?}", filter);
        if let Ok(filter) = filter {
            for tags in all_tags {
                let matches = filter.matches(&TagList::of(tags.as_ref()));
                let tags = tags.unwrap_or_default();
                prop_assert_eq!(matches, reference::evaluate(&json, &tags), "{:?}", tags);
            }
        }
    }

    #[test]
    fn a_filter_is_refused_when_the_specification_says_so(json in mistaken_filter(), tags in tags()) {
        let filter = Filter::parse(&json.to_string());
        prop_assert_eq!(filter.is_ok(), reference::is_valid(&json), "{:?}", filter);
        if let Ok(filter) = filter {
            let matches = filter.matches(&TagList::of(tags.as_ref()));
            prop_assert_eq!(matches, reference::evaluate(&json, &tags.unwrap_or_default()));
        }
    }

    #[test]
    fn groups_do_what_a_list_does(steps in steps()) {
        let (mut groups, mut members) = (FilterGroups::new(), Members::new());
        for step in steps {
            run(&mut groups, &mut members, step)?;
        }
        let named: BTreeSet<GroupId> = members.iter().map(|(_, group)| *group).collect();
        prop_assert_eq!(groups.iter().map(|(group, _)| group).collect::<BTreeSet<_>>(), named);
        while !members.is_empty() {
            run(&mut groups, &mut members, Step::Leave(0))?;
        }
        prop_assert!(groups.is_empty());
        groups.for_each_match(&TagList::default(), |group, _| panic!("{group:?} is gone"));
    }
}
