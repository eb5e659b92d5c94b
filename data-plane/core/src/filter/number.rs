//! Numbers in filters and tags.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

/// A 64-bit float with one zero and one NaN. A text that is no number is NaN, to which nothing
/// relates; yet as a part of a filter NaN is equal to itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(f64);

/// How a tag relates to the bound of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Relation {
    Above,
    AtLeast,
    Below,
    AtMost,
}

impl Number {
    pub(super) fn parse(text: &str) -> Self {
        match text.parse::<f64>() {
            // -0.0 + 0.0 is 0.0.
            Ok(number) if !number.is_nan() => Self(number + 0.0),
            Ok(_) | Err(_) => Self(f64::NAN),
        }
    }
}

impl Relation {
    pub(super) fn holds(self, tag: Number, bound: Number) -> bool {
        match self {
            Self::Above => tag.0 > bound.0,
            Self::AtLeast => tag.0 >= bound.0,
            Self::Below => tag.0 < bound.0,
            Self::AtMost => tag.0 <= bound.0,
        }
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Hash for Number {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_what_rust_reads_as_floats() {
        let same = |left, right| {
            assert_eq!(Number::parse(left), Number::parse(right));
            assert!(Relation::AtLeast.holds(Number::parse(left), Number::parse(right)));
            assert!(!Relation::Above.holds(Number::parse(left), Number::parse(right)));
        };
        same("1.0", "1");
        same("-0", "0");
        same("+1e3", "1000");
        same("1e999", "inf");
        assert!(Relation::Above.holds(Number::parse("10"), Number::parse("9")));
        assert!(Relation::Below.holds(Number::parse("-inf"), Number::parse("-1e308")));
    }

    #[test]
    fn nothing_relates_to_what_is_no_number() {
        use Relation::{Above, AtLeast, AtMost, Below};
        let (one, nan) = (Number::parse("1"), Number::parse("nan"));
        for none in ["", "x", " 1", "1 ", "NaN", "-nan", "0x10", "1_000", "1,5"] {
            let none = Number::parse(none);
            assert_eq!(none, nan);
            for relation in [Above, AtLeast, Below, AtMost] {
                assert!(!relation.holds(none, one) && !relation.holds(one, none));
                assert!(!relation.holds(none, none));
            }
        }
    }
}
