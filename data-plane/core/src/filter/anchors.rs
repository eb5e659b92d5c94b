//! Tags of which an event has at least one if a filter matches: where the filter is found.

use std::sync::Arc;

use super::{
    tree::{Junction, Leaf, Node, Test},
    word::Word,
};

/// A filter with more anchors is not worth its place in the index.
pub(super) const ANCHORS_MAX: usize = 256;

/// A tag, as key and value.
pub(super) type Anchor = (Arc<str>, Arc<str>);

#[derive(Debug)]
pub(super) struct Anchors {
    /// Sorted and distinct.
    pub(super) tags: Box<[Anchor]>,
    /// Any of the tags makes the filter match: there is no more to it.
    pub(super) sufficient: bool,
}

impl Anchors {
    /// `None` for a filter that may match without certain tags. `crowd` says how many filters
    /// are found at a tag already: where there is a choice, the least crowded place is taken.
    pub(super) fn of(root: &Node, crowd: &impl Fn(&Anchor) -> usize) -> Option<Self> {
        let Found { mut tags, sufficient, .. } = Found::at(root, crowd)?;
        tags.sort_unstable();
        tags.dedup();
        (tags.len() <= ANCHORS_MAX).then(|| Self { tags: tags.into(), sufficient })
    }
}

struct Found {
    tags: Vec<Anchor>,
    sufficient: bool,
    /// How many filters, this one included, are looked at for one event per tag.
    cost: usize,
}

impl Found {
    fn at(node: &Node, crowd: &impl Fn(&Anchor) -> usize) -> Option<Self> {
        match node {
            Node::Leaf(leaf) => Self::at_leaf(leaf, crowd),
            Node::Branch(Junction::All, children) => {
                let found = children.iter().filter_map(|child| Self::at(child, crowd));
                let best = found.min_by_key(|found| found.cost)?;
                Some(Self { sufficient: false, ..best })
            }
            Node::Branch(Junction::Any, children) => {
                let mut all = Self { tags: Vec::new(), sufficient: true, cost: 0 };
                for child in children {
                    let found = Self::at(child, crowd)?;
                    all.tags.extend(found.tags);
                    all.sufficient &= found.sufficient;
                    all.cost += found.cost;
                }
                Some(all)
            }
        }
    }

    fn at_leaf(leaf: &Leaf, crowd: &impl Fn(&Anchor) -> usize) -> Option<Self> {
        let values = match &leaf.test {
            Test::Is(value) => std::slice::from_ref(value),
            Test::OneOf(values) => values,
            Test::Present
            | Test::StartsWith(_)
            | Test::EndsWith(_)
            | Test::Relates(..)
            | Test::Contains(_) => return None,
        };
        if leaf.negated {
            return None;
        }
        let tag = |value: &Word<_>| (Arc::clone(&leaf.key.text), Arc::clone(&value.text));
        let tags: Vec<Anchor> = values.iter().map(tag).collect();
        let cost = tags.iter().map(|tag| crowd(tag) + 1).sum();
        Some(Self { tags, sufficient: true, cost })
    }
}
