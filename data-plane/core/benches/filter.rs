//! What filters cost. Run with `cargo bench -p data-plane-core --bench filter`.

use std::{hint::black_box, time::Instant};

use data_plane_core::{Filter, FilterGroups, TagList};
use model::Tags;

fn main() {
    leaves();
    trees();
    parse();
    groups();
    enter_and_leave();
}

fn leaves() {
    let tags = tags(&[("league", "serie-a"), ("minute", "67"), ("type", "goal"), ("xg", "0.85")]);
    let eq = filter(r#"{"key":"type","cmp":"eq","val":"goal"}"#);
    measure("list 4 tags and match eq", || {
        black_box(&eq).matches(&TagList::of(black_box(Some(&tags))))
    });
    let tags = TagList::of(Some(&tags));
    for (name, members) in [
        ("eq, true", r#""key":"type","cmp":"eq","val":"goal""#),
        ("eq, false", r#""key":"type","cmp":"eq","val":"shot""#),
        ("eq, no such tag", r#""key":"team","cmp":"eq","val":"home""#),
        ("in, 4 values", r#""key":"type","cmp":"in","vals":["card","corner","goal","shot"]"#),
        ("sw", r#""key":"league","cmp":"sw","val":"serie""#),
        ("ct", r#""key":"league","cmp":"ct","val":"ie-""#),
        ("gte", r#""key":"xg","cmp":"gte","val":"0.8""#),
    ] {
        let filter = filter(&format!("{{{members}}}"));
        measure(&format!("match {name}"), || black_box(&filter).matches(black_box(&tags)));
    }
}

/// Trees in which every leaf has to be looked at.
fn trees() {
    let keys = ["asset", "country", "desk", "kind", "market", "side", "size", "venue"];
    let tags: Tags = keys.iter().map(|key| ((*key).to_owned(), "12.5".to_owned())).collect();
    let eq = filter(r#"{"key":"venue","cmp":"eq","val":"12.5"}"#);
    measure("list 8 tags and match eq", || {
        black_box(&eq).matches(&TagList::of(black_box(Some(&tags))))
    });
    let tags = TagList::of(Some(&tags));
    let tree = |op: &str, leaf: &dyn Fn(&str) -> String| {
        let leaves: Vec<_> = keys.iter().map(|key| leaf(key)).collect();
        filter(&format!(r#"{{"op":"{op}","nodes":[{}]}}"#, leaves.join(",")))
    };
    let eq = |key: &str| format!(r#"{{"key":"{key}","cmp":"eq","val":"12.5"}}"#);
    let neq = |key: &str| format!(r#"{{"key":"{key}","cmp":"neq","val":"12.5"}}"#);
    let gte = |key: &str| format!(r#"{{"key":"{key}","cmp":"gte","val":"10.5"}}"#);
    let mixed = |key: &str| if key < "kind" { gte(key) } else { eq(key) };
    for (name, filter) in [
        ("and of 8 eq, true", tree("and", &eq)),
        ("or of 8 neq, false", tree("or", &neq)),
        ("and of 5 eq and 3 gte", tree("and", &mixed)),
        ("and of 8 gte", tree("and", &gte)),
    ] {
        measure(&format!("match {name}"), || black_box(&filter).matches(black_box(&tags)));
    }
}

fn parse() {
    let leaf = r#"{"key":"type","cmp":"eq","val":"goal"}"#;
    measure("parse eq", || Filter::parse(black_box(leaf)));
    let leaves = vec![r#"{"key":"minute","cmp":"gte","val":"67"}"#; 127].join(",");
    let tree = format!(r#"{{"op":"and","nodes":[{leaves}]}}"#);
    measure("parse 128 nodes", || Filter::parse(black_box(&tree)));
    let vals = "1,".repeat(30_000);
    let hostile = format!(r#"{{"key":"a","cmp":"in","vals":[{vals}1]}}"#);
    measure("refuse 60 kB of values", || Filter::parse(black_box(&hostile)));
    let (open, close) = (r#"{"op":"not","nodes":["#, "]}");
    let text = format!(r#"{{"key":"a","cmp":"eq","val":"{}"}}"#, "v".repeat(60_000));
    let hostile = format!("{}{text}{}", open.repeat(15), close.repeat(15));
    measure("refuse 60 kB, 16 deep", || Filter::parse(black_box(&hostile)));
}

/// Writes the filter with that number.
type Text = fn(usize) -> String;

/// 10,000 different filters on 10 keys, of which an event matches 10, 1 or none.
fn groups() {
    let ten = (0..10).map(|group| (key(group), format!("v{group}"))).collect::<Tags>();
    let one = Tags::from([(key(3), "v3".to_owned())]);
    let none = Tags::from([(key(3), "v4".to_owned())]);
    let kinds: [(&str, Text); 3] = [("eq", eq), ("in", listed), ("and with eq", and)];
    for (kind, text) in kinds {
        let mut groups = entered(10_000, text);
        for (matching, tags) in [(10, &ten), (1, &one), (0, &none)] {
            let mut found = 0;
            groups.for_each_match(&TagList::of(Some(tags)), |_, _| found += 1);
            assert_eq!(found, matching);
            measure(&format!("event, {matching} of 10000 filters {kind}"), || {
                groups.for_each_match(&TagList::of(black_box(Some(tags))), |_, count| *count += 1);
            });
        }
    }
    let mut groups = entered(100, |group| format!(r#"{{"key":"price","cmp":"gt","val":{group}}}"#));
    let price = tags(&[("price", "50")]);
    measure("event, 50 of 100 filters gt, not indexed", || {
        groups.for_each_match(&TagList::of(black_box(Some(&price))), |_, count| *count += 1);
    });
}

fn key(group: usize) -> String {
    format!("k{}", group % 10)
}

fn eq(group: usize) -> String {
    format!(r#"{{"key":"{}","cmp":"eq","val":"v{group}"}}"#, key(group))
}

fn listed(group: usize) -> String {
    format!(r#"{{"key":"{}","cmp":"in","vals":["v{group}","w{group}"]}}"#, key(group))
}

fn and(group: usize) -> String {
    let exists = format!(r#"{{"key":"{}","cmp":"ex"}}"#, key(group));
    format!(r#"{{"op":"and","nodes":[{exists},{}]}}"#, eq(group))
}

fn enter_and_leave() {
    let mut groups = entered(10_000, eq);
    let (known, new) = (filter(&eq(5_000)), filter(&eq(10_000)));
    for (name, filter) in [("a group of 10000", known), ("a new group, 10000 others", new)] {
        measure(&format!("enter and leave {name}"), || {
            let group = groups.enter(filter.clone());
            groups.leave(group)
        });
    }
}

fn entered(count: usize, text: Text) -> FilterGroups<u64> {
    let mut groups = FilterGroups::new();
    for group in 0..count {
        groups.enter(filter(&text(group)));
    }
    assert_eq!(groups.len(), count);
    groups
}

fn filter(json: &str) -> Filter {
    Filter::parse(json).expect("a valid filter")
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Prints the best of several rounds: what the code costs when nothing disturbs it.
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench reads the clock and reports on standard output"
)]
fn measure<T>(name: &str, mut work: impl FnMut() -> T) {
    const ROUND_NANOS: u128 = 1_000_000;
    let started = Instant::now();
    let mut probes = 0_u128;
    while started.elapsed().as_nanos() < ROUND_NANOS {
        black_box(work());
        probes += 1;
    }
    let best = (0..200)
        .map(|_| {
            let started = Instant::now();
            (0..probes).for_each(|_| drop(black_box(work())));
            started.elapsed().as_nanos() as f64 / probes as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<48} {best:>12.1} ns");
}
