//! Filters: which events of a channel a subscriber wants, by their tags (spec/websocket.md 7).
//!
//! A [`Filter`] is parsed once, with bounds on everything, into a normal form: filters that say the
//! same in other words are mostly equal. From then on it is only matched, which allocates nothing
//! and cannot fail. Subscribers with equal filters are one group of [`FilterGroups`], which
//! finds the groups that an event concerns without looking at the others.
//!
//! ```
//! use data_plane_core::{Filter, FilterGroups, TagList};
//! use model::Tags;
//!
//! let goals = Filter::parse(r#"{"key":"type","cmp":"eq","val":"goal"}"#)?;
//! let tags = Tags::from([("type".to_owned(), "goal".to_owned())]);
//! let tags = TagList::of(Some(&tags));
//! assert!(goals.matches(&tags));
//!
//! let mut groups: FilterGroups<Vec<u32>> = FilterGroups::new();
//! let group = groups.enter(goals);
//! groups.get_mut(group).push(7);
//! groups.for_each_match(&tags, |_, subscribers| assert_eq!(subscribers, &[7]));
//! assert_eq!(groups.leave(group), Some(vec![7]));
//! # Ok::<(), data_plane_core::InvalidFilter>(())
//! ```

mod invalid;
mod operator;
mod parse;

mod number;
mod tags;
mod tree;
mod word;

mod anchors;
mod groups;

use std::sync::Arc;

use self::tree::Node;
pub use self::{
    groups::{FilterGroups, GroupId},
    invalid::{FilterFault, InvalidFilter},
    operator::{Comparison, Logic},
    tags::TagList,
};

/// A condition on the tags of an event. Cheap to clone: the tree is shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Filter(Arc<Node>);

impl Filter {
    /// Most nodes in a filter, the root and the leaves included.
    pub const NODES_MAX: usize = 128;
    /// Most nodes from the root to a leaf, both included.
    pub const DEPTH_MAX: usize = 16;
    /// Longest key.
    pub const KEY_BYTES_MAX: usize = 256;
    /// Longest value.
    pub const VALUE_BYTES_MAX: usize = 1024;
    /// Most values of one leaf.
    pub const VALUES_MAX: usize = 128;

    /// Reads the JSON that a client sends. What is not understood is refused, never ignored.
    pub fn parse(json: &str) -> Result<Self, InvalidFilter> {
        parse::parse(json).map(|root| Self(Arc::new(root)))
    }

    /// Whether an event with these tags is wanted.
    #[must_use]
    pub fn matches(&self, tags: &TagList<'_>) -> bool {
        self.0.matches(tags)
    }
}

#[cfg(test)]
mod tests;
