//! Filters never panic and mean what the specification says; groups find exactly what matches.
//!
//! A line that begins with a brace is a filter, any other a tag of the event: its key, `=`, its value.

#![no_main]

#[path = "../../data-plane/core/tests/reference/filter.rs"]
mod reference;

use std::collections::BTreeSet;

use data_plane_core::{Filter, FilterGroups, TagList};
use libfuzzer_sys::fuzz_target;
use model::Tags;
use serde_json::Value;

fuzz_target!(|text: &str| {
    let (filters, tags): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('{'));
    let pair = |line: &&str| {
        let (key, value) = line.split_once('=').unwrap_or((*line, ""));
        (key.to_owned(), value.to_owned())
    };
    let tags: Tags = tags.iter().map(pair).collect();
    let filters: Vec<_> = filters.into_iter().filter_map(|json| check(json, &tags)).collect();
    check_groups(&filters, &tags);
});

/// The reference reads JSON into values, which have no repeated members and no odd numbers: so
/// it is asked about the filter as it prints it.
fn check(json: &str, tags: &Tags) -> Option<Filter> {
    let filter = Filter::parse(json);
    if let Ok(value) = serde_json::from_str::<Value>(json) {
        let plain = Filter::parse(&value.to_string());
        assert_eq!(plain.is_ok(), reference::is_valid(&value), "{plain:?}");
        assert!(plain.is_ok() || filter.is_err(), "{filter:?}");
        if let Ok(plain) = plain {
            let expected = reference::evaluate(&value, tags);
            assert_eq!(plain.matches(&TagList::of(Some(tags))), expected, "{plain:?}");
        }
    }
    if let Err(invalid) = &filter {
        assert!(invalid.path.len() <= Filter::DEPTH_MAX);
        assert!(invalid.to_string().len() < 1_000, "{invalid}");
    }
    filter.ok()
}

fn check_groups(filters: &[Filter], tags: &Tags) {
    let tags = TagList::of(Some(tags));
    let mut groups = FilterGroups::<()>::new();
    let mut members: Vec<_> = filters.iter().map(|filter| groups.enter(filter.clone())).collect();
    while let Some(member) = members.pop() {
        let mut visited = Vec::new();
        groups.for_each_match(&tags, |group, _| visited.push(group));
        let distinct: BTreeSet<_> = visited.iter().copied().collect();
        assert_eq!(distinct.len(), visited.len(), "a group is visited once");
        for (group, _) in groups.iter() {
            assert_eq!(distinct.contains(&group), groups.filter(group).matches(&tags));
        }
        assert_eq!(groups.leave(member).is_some(), !members.contains(&member));
    }
    assert!(groups.is_empty());
}
