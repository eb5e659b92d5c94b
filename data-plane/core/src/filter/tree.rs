//! The tree of a filter in its normal form, and how it matches.
//!
//! Only leaves are negated; a branch has two children at least and none of its own kind; children
//! are sorted and distinct.

use std::sync::Arc;

use super::{
    number::{Number, Relation},
    tags::{Tag, TagList},
    word::Word,
};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Node {
    Leaf(Leaf),
    Branch(Junction, Box<[Self]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Junction {
    All,
    Any,
}

/// A test of one tag. Without the tag it fails, and a negated leaf holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Leaf {
    pub(super) test: Test,
    pub(super) key: Word<Arc<str>>,
    pub(super) negated: bool,
}

/// What a tag must be. Cheap tests are sorted, and so made, before dear ones.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Test {
    Present,
    Is(Word<Arc<str>>),
    /// Two values at least, sorted and distinct.
    OneOf(Box<[Word<Arc<str>>]>),
    StartsWith(Arc<str>),
    EndsWith(Arc<str>),
    Relates(Relation, Number),
    Contains(Arc<str>),
}

impl Node {
    /// A branch of nodes that are in normal form.
    pub(super) fn branch(junction: Junction, nodes: Vec<Self>) -> Self {
        let mut children = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Self::Branch(inner, grandchildren) if inner == junction => {
                    children.extend(grandchildren);
                }
                Self::Leaf(_) | Self::Branch(..) => children.push(node),
            }
        }
        children.sort_unstable();
        children.dedup();
        if children.len() == 1 {
            return children.remove(0);
        }
        Self::Branch(junction, children.into())
    }

    /// The opposite, in normal form: by De Morgan's laws the negation sinks into the leaves.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Leaf(leaf) => Self::Leaf(Leaf { negated: !leaf.negated, ..leaf }),
            Self::Branch(junction, children) => {
                let children = children.into_iter().map(Self::negated).collect();
                Self::branch(junction.opposite(), children)
            }
        }
    }

    pub(super) fn matches(&self, tags: &TagList<'_>) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.matches(tags),
            Self::Branch(Junction::All, children) => children.iter().all(|node| node.matches(tags)),
            Self::Branch(Junction::Any, children) => children.iter().any(|node| node.matches(tags)),
        }
    }
}

impl Junction {
    fn opposite(self) -> Self {
        match self {
            Self::All => Self::Any,
            Self::Any => Self::All,
        }
    }
}

impl Leaf {
    fn matches(&self, tags: &TagList<'_>) -> bool {
        tags.get(&self.key).is_some_and(|tag| self.test.holds(tag)) != self.negated
    }
}

impl Test {
    pub(super) fn one_of(values: Vec<Arc<str>>) -> Self {
        let mut values: Vec<_> = values.into_iter().map(Word::new).collect();
        values.sort_unstable();
        values.dedup();
        if values.len() == 1 { Self::Is(values.remove(0)) } else { Self::OneOf(values.into()) }
    }

    fn holds(&self, tag: &Tag<'_>) -> bool {
        match self {
            Self::Present => true,
            Self::Is(value) => value.is(&Word::new(tag.value)),
            Self::OneOf(values) => {
                let tag = Word::new(tag.value);
                values.binary_search_by(|value| value.order(&tag)).is_ok()
            }
            Self::StartsWith(value) => tag.value.starts_with(&**value),
            Self::EndsWith(value) => tag.value.ends_with(&**value),
            Self::Relates(relation, bound) => relation.holds(tag.number(), *bound),
            Self::Contains(value) => tag.value.contains(&**value),
        }
    }
}
