//! The tags of one event, as filters look at them.

use std::{cell::OnceCell, fmt};

use model::Tags;
use smallvec::SmallVec;

use super::{number::Number, word::Word};

/// As many tags as an event may have, so that the list is not on the heap.
const TAGS_TYPICALLY_MAX: usize = 32;

/// The tags of one event, laid out for matching. Made once per event, however many filters
/// there are; an event without tags has none of them.
#[derive(Clone, Default)]
pub struct TagList<'t>(SmallVec<[Tag<'t>; TAGS_TYPICALLY_MAX]>);

#[derive(Clone)]
pub(super) struct Tag<'t> {
    pub(super) key: Word<&'t str>,
    pub(super) value: &'t str,
    number: OnceCell<Number>,
}

impl<'t> TagList<'t> {
    /// The list for an event with these tags.
    #[inline]
    #[must_use]
    pub fn of(tags: Option<&'t Tags>) -> Self {
        let mut list = Self::default();
        for (key, value) in tags.into_iter().flatten() {
            list.0.push(Tag { key: Word::new(key), value, number: OnceCell::new() });
        }
        list
    }

    /// There are few tags: to look at each is quicker than to search.
    pub(super) fn get<T: AsRef<str>>(&self, key: &Word<T>) -> Option<&Tag<'t>> {
        self.0.iter().find(|tag| tag.key.is(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tag<'t>> {
        self.0.iter()
    }
}

impl Tag<'_> {
    /// The value as a number: read when the first filter asks for it.
    pub(super) fn number(&self) -> Number {
        *self.number.get_or_init(|| Number::parse(self.value))
    }
}

impl fmt::Debug for TagList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|tag| (tag.key.text, tag.value))).finish()
    }
}
