use model::Tags;

use super::*;

fn filter(json: &str) -> Filter {
    Filter::parse(json).unwrap_or_else(|invalid| panic!("{json}: {invalid}"))
}

fn eq(key: &str, value: &str) -> String {
    format!(r#"{{"key":"{key}","cmp":"eq","val":"{value}"}}"#)
}

fn matching(groups: &mut FilterGroups<u32>, pairs: &[(&str, &str)]) -> Vec<GroupId> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let tags: Tags = pairs.iter().map(pair).collect();
    let mut matching = Vec::new();
    groups.for_each_match(&TagList::of(Some(&tags)), |group, _| matching.push(group));
    matching
}

#[test]
fn groups_last_as_long_as_they_have_members() {
    let mut groups = FilterGroups::new();
    let a = groups.enter(filter(&eq("a", "1")));
    assert_eq!(groups.enter(filter(r#"{"key":"a","cmp":"in","vals":[1]}"#)), a);
    let b = groups.enter(filter(r#"{"key":"b","cmp":"ex"}"#));
    *groups.get_mut(a) = 5;
    assert_eq!(groups.iter().collect::<Vec<_>>(), [(a, &5), (b, &0)]);
    assert_eq!(groups.leave(a), None);
    assert_eq!(matching(&mut groups, &[("a", "1"), ("b", "")]), [b, a]);
    assert_eq!(groups.leave(a), Some(5));
    assert!(groups.by_tag.is_empty(), "nothing remains of a group that is gone");
    assert_eq!(matching(&mut groups, &[("a", "1"), ("b", "")]), [b]);
    assert_eq!(groups.enter(filter(&eq("c", "1"))), a, "numbers are used again");
    assert_eq!(groups.filter(a), &filter(&eq("c", "1")));
    assert_eq!((groups.leave(b), groups.leave(a)), (Some(0), Some(0)));
    assert!(groups.is_empty());
}

#[test]
fn a_group_with_several_anchors_is_visited_once() {
    let mut groups = FilterGroups::new();
    let either = format!(r#"{{"op":"or","nodes":[{},{}]}}"#, eq("a", "1"), eq("b", "1"));
    let either = groups.enter(filter(&either));
    for _ in 0..2 {
        assert_eq!(matching(&mut groups, &[("a", "1"), ("b", "1")]), [either]);
    }
    assert_eq!(matching(&mut groups, &[("a", "2"), ("b", "1")]), [either]);
    assert_eq!(matching(&mut groups, &[("a", "2"), ("b", "2")]), []);
}

#[test]
fn the_order_of_visits_does_not_depend_on_hashes_or_on_the_past() {
    let visits = |ghosts: u32| {
        let mut groups = FilterGroups::new();
        let ghosts: Vec<_> = (0..ghosts)
            .map(|ghost| groups.enter(filter(&eq("ghost", &ghost.to_string()))))
            .collect();
        ghosts.into_iter().rev().for_each(|ghost| assert!(groups.leave(ghost).is_some()));
        for value in 0..20 {
            groups.enter(filter(&format!(r#"{{"key":"a","cmp":"in","vals":[1,"{value}x"]}}"#)));
            groups.enter(filter(&format!(r#"{{"key":"b","cmp":"lt","val":"{value}"}}"#)));
        }
        matching(&mut groups, &[("a", "1"), ("b", "5")])
    };
    let expected = visits(0);
    assert_eq!(expected.len(), 20 + 14);
    assert_eq!(visits(0), expected);
    assert_eq!(visits(50), expected);
}

/// Where the groups stand is seen from outside only as time, which no test should measure.
#[test]
fn a_group_stands_where_it_is_least_crowded() {
    let mut groups = FilterGroups::<u32>::new();
    for coin in 0..10 {
        let (asset, common) = (eq("asset", &format!("coin-{coin}")), eq("m", "1"));
        groups.enter(filter(&format!(r#"{{"op":"and","nodes":[{common},{asset}]}}"#)));
    }
    assert!(groups.anywhere.is_empty());
    let longest = groups.by_tag.values().flat_map(HashMap::values).map(BTreeSet::len).max();
    assert_eq!(longest, Some(1));
}

#[test]
fn where_groups_stand() {
    let check = |json: &str, expected: &str| {
        let anchors = Anchors::of(&filter(json).0, &|_| 0);
        let found = anchors.map_or_else(
            || "anywhere".to_owned(),
            |Anchors { tags, sufficient }| {
                let tag = |(key, value): &Anchor| format!("{key}={value} ");
                let tags: String = tags.iter().map(tag).collect();
                tags + if sufficient { "sufficient" } else { "necessary" }
            },
        );
        assert_eq!(found, expected, "{json}");
    };
    let branch =
        |op: &str, nodes: &[&str]| format!(r#"{{"op":"{op}","nodes":[{}]}}"#, nodes.join(","));
    let (a, b) = (eq("a", "1"), r#"{"key":"b","cmp":"in","vals":["2","1"]}"#);
    let (not, more) = (branch("not", &[&a]), r#"{"key":"a","cmp":"gt","val":"1"}"#);
    check(&a, "a=1 sufficient");
    check(b, "b=1 b=2 sufficient");
    check(&not, "anywhere");
    check(more, "anywhere");
    check(&branch("and", &[b, &a, more]), "a=1 necessary");
    check(&branch("and", &[b, &not]), "b=1 b=2 necessary");
    check(&branch("and", &[more, &not]), "anywhere");
    check(&branch("or", &[b, &a]), "a=1 b=1 b=2 sufficient");
    check(&branch("or", &[b, more]), "anywhere");
    check(&branch("or", &[b, &branch("and", &[&a, more])]), "a=1 b=1 b=2 necessary");
    let listed = |from: usize, values: usize| {
        let values: Vec<_> = (from..from + values).map(|value| value.to_string()).collect();
        format!(r#"{{"key":"a","cmp":"in","vals":{values:?}}}"#)
    };
    let many = |values| branch("or", &[&listed(0, 128), &listed(128, 127), &listed(255, values)]);
    let anchors = |values| Anchors::of(&filter(&many(values)).0, &|_| 0);
    assert_eq!(anchors(1).map(|anchors| anchors.tags.len()), Some(256));
    assert!(anchors(2).is_none());
}
