//! Texts that are compared quickly.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

/// A text with its ends as numbers. With the length they alone decide about texts of up to 16 bytes,
/// which are almost all keys and values there are, and about nearly all longer ones.
///
/// The order is total, but not that of the alphabet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Word<T> {
    ends: [u64; 2],
    pub(super) text: T,
}

/// Longer texts have bytes that are at none of their ends.
const ENDS_BYTES: usize = 16;

impl<T: AsRef<str>> Word<T> {
    pub(super) fn new(text: T) -> Self {
        Self { ends: ends(text.as_ref().as_bytes()), text }
    }

    pub(super) fn is<U: AsRef<str>>(&self, other: &Word<U>) -> bool {
        let (own, others) = (self.text.as_ref(), other.text.as_ref());
        own.len() == others.len()
            && self.ends == other.ends
            && (own.len() <= ENDS_BYTES || own == others)
    }

    pub(super) fn order<U: AsRef<str>>(&self, other: &Word<U>) -> Ordering {
        let (own, others) = (self.text.as_ref(), other.text.as_ref());
        own.len()
            .cmp(&others.len())
            .then(self.ends.cmp(&other.ends))
            .then_with(|| if own.len() <= ENDS_BYTES { Ordering::Equal } else { own.cmp(others) })
    }
}

/// The ends may overlap, so they cover any text that is not longer than both.
fn ends(text: &[u8]) -> [u64; 2] {
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last)];
    }
    if let (Some(first), Some(last)) = (text.first_chunk(), text.last_chunk()) {
        return [u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into()];
    }
    [text.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)), 0]
}

impl<T: AsRef<str>> PartialEq for Word<T> {
    fn eq(&self, other: &Self) -> bool {
        self.is(other)
    }
}

impl<T: AsRef<str>> Eq for Word<T> {}

impl<T: AsRef<str>> PartialOrd for Word<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: AsRef<str>> Ord for Word<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl<T: AsRef<str>> Hash for Word<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.as_ref().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All texts of up to 40 bytes with at most one byte that differs from the others.
    #[test]
    fn words_are_equal_exactly_if_their_texts_are() {
        let mut texts = vec![String::new()];
        for bytes in 1..=40 {
            texts.push("a".repeat(bytes));
            for place in 0..bytes {
                let mut text = "a".repeat(bytes);
                text.replace_range(place..=place, "\0");
                texts.push(text);
            }
        }
        let words: Vec<_> = texts.iter().map(Word::new).collect();
        for (at, left) in words.iter().enumerate() {
            for (other_at, right) in words.iter().enumerate() {
                assert_eq!(left.is(right), at == other_at, "{:?} {:?}", left.text, right.text);
                assert_eq!(left.cmp(right).is_eq(), at == other_at);
                assert_eq!(left.cmp(right), right.cmp(left).reverse());
            }
        }
    }
}
