//! The operators of filters and their names on the wire.

use std::fmt;

/// What a leaf asks of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The tag is that value.
    Eq,
    /// It is not, or there is none.
    Neq,
    /// The tag is one of the values.
    In,
    /// It is none of them, or there is none.
    Nin,
    /// There is such a tag.
    Ex,
    /// There is none.
    Nex,
    /// The tag starts with the value.
    Sw,
    /// The tag ends with the value.
    Ew,
    /// The tag contains the value.
    Ct,
    /// Both are numbers, and the tag is greater.
    Gt,
    /// Both are numbers, and the tag is not less.
    Gte,
    /// Both are numbers, and the tag is less.
    Lt,
    /// Both are numbers, and the tag is not greater.
    Lte,
}

/// How a branch combines its children.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// All of them hold.
    And,
    /// At least one of them holds.
    Or,
    /// The only one does not hold.
    Not,
}

impl Comparison {
    const ALL: [Self; 13] = [
        Self::Eq,
        Self::Neq,
        Self::In,
        Self::Nin,
        Self::Ex,
        Self::Nex,
        Self::Sw,
        Self::Ew,
        Self::Ct,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
    ];

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|comparison| comparison.name() == name)
    }

    /// Whether it is the opposite of another one, and so holds where there is no tag.
    pub(super) const fn is_negative(self) -> bool {
        matches!(self, Self::Neq | Self::Nin | Self::Nex)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Neq => "neq",
            Self::In => "in",
            Self::Nin => "nin",
            Self::Ex => "ex",
            Self::Nex => "nex",
            Self::Sw => "sw",
            Self::Ew => "ew",
            Self::Ct => "ct",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
        }
    }
}

impl Logic {
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::And, Self::Or, Self::Not].into_iter().find(|logic| logic.name() == name)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Logic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
