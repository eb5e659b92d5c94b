//! Why a filter is refused, and where in it.

use std::fmt;

use super::{Comparison, Filter, Logic};

/// Why a filter is refused. Prints as clients know it, behind `Invalid message format: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidFilter {
    /// The way from the root to the node at fault: which child it is, from 0, on each level.
    pub path: Vec<usize>,
    /// What is wrong with it.
    pub fault: FilterFault,
}

/// What is wrong with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterFault {
    /// Not JSON.
    NotJson,
    /// No JSON object.
    NotAnObject,
    /// `op` is no string.
    OpNotAString,
    /// `cmp` is no string.
    CmpNotAString,
    /// `key` is no string.
    KeyNotAString,
    /// `nodes` is no array.
    NodesNotAnArray,
    /// `vals` is no array.
    ValsNotAnArray,
    /// A value is neither a string, nor a number, nor a boolean.
    ValueNotAScalar,
    /// A leaf without a key.
    NoKey,
    /// A leaf without a comparison.
    NoComparison,
    /// There is no such comparison.
    UnknownComparison {
        /// The beginning of what the client has named.
        named: String,
    },
    /// There is no such logical operator.
    UnknownLogic {
        /// The beginning of what the client has named.
        named: String,
    },
    /// A comparison with a list, without one.
    NoValues(Comparison),
    /// A comparison with a value, without one.
    NoValue(Comparison),
    /// A branch without children.
    NoChildren(Logic),
    /// `not` with none or with several children.
    NotOneChild {
        /// How many it has.
        children: usize,
    },
    /// A branch with a member of a leaf.
    LeafInBranch,
    /// A leaf with `nodes`.
    BranchInLeaf,
    /// More than [`Filter::NODES_MAX`] nodes.
    TooManyNodes,
    /// Deeper than [`Filter::DEPTH_MAX`].
    TooDeep,
    /// A key longer than [`Filter::KEY_BYTES_MAX`].
    LongKey {
        /// How long it is.
        bytes: usize,
    },
    /// A value longer than [`Filter::VALUE_BYTES_MAX`].
    LongValue {
        /// How long it is.
        bytes: usize,
    },
    /// More than [`Filter::VALUES_MAX`] values in a leaf.
    TooManyValues {
        /// How many it has.
        values: usize,
    },
}

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid tags filter: ")?;
        for child in &self.path {
            write!(f, "Child node {child}: ")?;
        }
        self.fault.fmt(f)
    }
}

impl fmt::Display for FilterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson => f.write_str("not JSON"),
            Self::NotAnObject => f.write_str("a node must be a JSON object"),
            Self::OpNotAString => f.write_str("'op' must be a string"),
            Self::CmpNotAString => f.write_str("'cmp' must be a string"),
            Self::KeyNotAString => f.write_str("'key' must be a string"),
            Self::NodesNotAnArray => f.write_str("'nodes' must be an array"),
            Self::ValsNotAnArray => f.write_str("'vals' must be an array"),
            Self::ValueNotAScalar => f.write_str("a value must be a string, number or boolean"),
            Self::NoKey => f.write_str("Leaf node requires a non-empty key"),
            Self::NoComparison => f.write_str("Leaf node requires a comparison operator"),
            Self::UnknownComparison { named } => {
                write!(f, "unknown comparison operator: {named}")
            }
            Self::UnknownLogic { named } => write!(f, "unknown logical operator: {named}"),
            Self::NoValues(comparison) => {
                write!(f, "{comparison} operation requires at least one value in vals")
            }
            Self::NoValue(comparison) => {
                write!(f, "{comparison} operation requires a non-empty val")
            }
            Self::NoChildren(logic) => {
                write!(f, "{logic} operation requires at least one child node")
            }
            Self::NotOneChild { children } => {
                write!(f, "not operation requires exactly one child node, got {children}")
            }
            Self::LeafInBranch => f.write_str("a node with 'op' has no key, cmp, val or vals"),
            Self::BranchInLeaf => f.write_str("a node without 'op' has no nodes"),
            Self::TooManyNodes => write!(f, "a filter has at most {} nodes", Filter::NODES_MAX),
            Self::TooDeep => write!(f, "a filter is at most {} nodes deep", Filter::DEPTH_MAX),
            Self::LongKey { bytes } => {
                write!(f, "the key has {bytes} bytes, the limit is {}", Filter::KEY_BYTES_MAX)
            }
            Self::LongValue { bytes } => {
                write!(f, "a value has {bytes} bytes, the limit is {}", Filter::VALUE_BYTES_MAX)
            }
            Self::TooManyValues { values } => {
                write!(f, "the leaf has {values} values, the limit is {}", Filter::VALUES_MAX)
            }
        }
    }
}

impl std::error::Error for InvalidFilter {}
