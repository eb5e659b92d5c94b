//! Which parts of a text stand in an earlier one: what both formats are written from.

/// Bytes that are compared in one step, and the shortest text that is looked up.
const WORD: usize = 8;
/// Bytes compared at once where two texts are likely to be the same.
const BLOCK: usize = 32;
/// Shorter matches cost more than the bytes they replace.
const COPIED_MIN: usize = 8;
/// Every so manieth word of the base is indexed, as long as the index has room.
const STRIDE_MIN: usize = 4;
const INDEXED_MAX: usize = 16_384;
/// Bytes without a match after which the index is asked: most changes are shorter, and behind them
/// the texts run on in step.
const PATIENCE: usize = 4;

/// Bytes of the target that stand in the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Copy {
    /// Where in the base.
    pub(super) base: usize,
    /// Where in the target.
    pub(super) target: usize,
    pub(super) bytes: usize,
}

/// Finds matches; its memory is used again from one search to the next.
#[derive(Debug, Default)]
pub(super) struct Matcher {
    copies: Vec<Copy>,
    index: Index,
}

impl Matcher {
    /// The matches in the order of the target, none overlapping another there.
    pub(super) fn run(&mut self, base: &[u8], target: &[u8]) -> &[Copy] {
        self.copies.clear();
        let prefix = common_prefix(base, target);
        let suffix = common_suffix(&base[prefix..], &target[prefix..]);
        self.push(Copy { base: 0, target: 0, bytes: prefix });
        let until = target.len() - suffix;
        if until - prefix >= COPIED_MIN && base.len() >= COPIED_MIN {
            self.search(base, target, prefix, until);
        }
        self.push(Copy { base: base.len() - suffix, target: until, bytes: suffix });
        &self.copies
    }

    /// Finds the matches between what both texts begin and end with.
    fn search(&mut self, base: &[u8], target: &[u8], from: usize, until: usize) {
        // How far the base is ahead of the target: before a change and behind the last one.
        let mut ahead = 0;
        let ahead_at_end = base.len().wrapping_sub(target.len());
        let (mut at, mut literal, mut indexed) = (from, from, false);
        while let Some(word) = word(&target[..until], at) {
            let same = |place: &usize| self::word(base, *place) == Some(word);
            let waited = at - literal;
            let in_step = [at.wrapping_add(ahead), at.wrapping_add(ahead_at_end)];
            let mut found = in_step.into_iter().find(same);
            if found.is_none() && waited >= PATIENCE {
                if !indexed {
                    self.index.fill(base);
                    indexed = true;
                }
                found = self.index.get(word).filter(same);
            }
            let Some(place) = found else {
                // The longer nothing fits, the larger the steps: two texts that have nothing in
                // common must not cost much.
                at += 1 + waited / 64;
                continue;
            };
            let before = common_suffix(&base[..place], &target[literal..at]);
            let behind = common_prefix(&base[place + WORD..], &target[at + WORD..until]);
            let copy =
                Copy { base: place - before, target: at - before, bytes: before + WORD + behind };
            self.push(copy);
            ahead = copy.base.wrapping_sub(copy.target);
            at = copy.target + copy.bytes;
            literal = at;
        }
    }

    /// A match that continues the last one is part of it; one that is not worth it is left out.
    fn push(&mut self, copy: Copy) {
        if let Some(last) = self.copies.last_mut()
            && last.base + last.bytes == copy.base
            && last.target + last.bytes == copy.target
        {
            last.bytes += copy.bytes;
        } else if copy.bytes >= COPIED_MIN {
            self.copies.push(copy);
        }
    }
}

/// Words of the base by a hash over them: the last one of those with the same hash.
#[derive(Debug, Default)]
struct Index {
    /// Places in the base, one more than that; 0: none.
    places: Vec<u32>,
    shift: u32,
}

impl Index {
    fn fill(&mut self, base: &[u8]) {
        let stride = STRIDE_MIN.max(base.len().div_ceil(INDEXED_MAX));
        let size = (base.len() / stride * 2).next_power_of_two().max(64);
        self.places.clear();
        self.places.resize(size, 0);
        self.shift = u64::BITS - size.trailing_zeros();
        let words = base.windows(WORD).step_by(stride).filter_map(<[u8]>::first_chunk);
        for (count, word) in words.enumerate() {
            let slot = self.slot(u64::from_le_bytes(*word));
            self.places[slot] = (count * stride) as u32 + 1;
        }
    }

    fn get(&self, word: u64) -> Option<usize> {
        (self.places[self.slot(word)] as usize).checked_sub(1)
    }

    fn slot(&self, word: u64) -> usize {
        (word.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize
    }
}

/// The eight bytes at a place; `None` where there are not as many.
fn word(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// How many bytes two texts begin with in common.
fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    let blocks = left.as_chunks::<BLOCK>().0.iter().zip(right.as_chunks::<BLOCK>().0);
    let mut same = blocks.take_while(|(left, right)| left == right).count() * BLOCK;
    while let (Some(one), Some(other)) = (word(left, same), word(right, same)) {
        let difference = one ^ other;
        if difference != 0 {
            return same + (difference.trailing_zeros() / 8) as usize;
        }
        same += WORD;
    }
    let rest = left[same..].iter().zip(&right[same..]);
    same + rest.take_while(|(left, right)| left == right).count()
}

/// How many bytes two texts end with in common.
fn common_suffix(left: &[u8], right: &[u8]) -> usize {
    let blocks = left.as_rchunks::<BLOCK>().1.iter().rev();
    let blocks = blocks.zip(right.as_rchunks::<BLOCK>().1.iter().rev());
    let mut same = blocks.take_while(|(left, right)| left == right).count() * BLOCK;
    let (left, right) = (&left[..left.len() - same], &right[..right.len() - same]);
    let mut words = 0;
    for (one, other) in left.as_rchunks().1.iter().rev().zip(right.as_rchunks().1.iter().rev()) {
        let difference = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return same + words + (difference.leading_zeros() / 8) as usize;
        }
        words += WORD;
    }
    same += words;
    let rest = left[..left.len() - words].iter().rev();
    let rest = rest.zip(right[..right.len() - words].iter().rev());
    same + rest.take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, target: &str, expected: &[(usize, usize, usize)]) {
        let mut matcher = Matcher::default();
        let copies = matcher.run(base.as_bytes(), target.as_bytes());
        let found: Vec<_> =
            copies.iter().map(|copy| (copy.base, copy.target, copy.bytes)).collect();
        assert_eq!(found, expected);
        for copy in copies {
            let (base, target) = (&base.as_bytes()[copy.base..], &target.as_bytes()[copy.target..]);
            assert_eq!(base[..copy.bytes], target[..copy.bytes]);
        }
    }

    #[test]
    fn matches() {
        check("", "", &[]);
        check("", "abcdefghij", &[]);
        check("abcdefghij", "", &[]);
        check("abcdefghij", "abcdefghij", &[(0, 0, 10)]);
        check("abcdefghij-klmnopqrst", "abcdefghij+klmnopqrst", &[(0, 0, 10), (11, 11, 10)]);
        check("abcdefghij", "abcdefghijXXXX", &[(0, 0, 10)]);
        check("XXXXabcdefghij", "abcdefghij", &[(4, 0, 10)]);
        // Short matches are not worth it.
        check("abcdefg-", "abcdefg+", &[]);
    }

    #[test]
    fn a_match_out_of_step_is_found() {
        let base = "a=1.5;first-name=x;second-name=y;third-name=z;end";
        let target = "a=12.75;first-name=xx;second-name=yyy;third-name=zzzz!end";
        check(base, target, &[(4, 6, 14), (17, 20, 15), (31, 36, 14)]);
    }

    #[test]
    fn texts_are_compared_to_the_byte() {
        for length in 0..100 {
            let left = vec![b'a'; length];
            assert_eq!(
                (common_prefix(&left, &left), common_suffix(&left, &left)),
                (length, length)
            );
            for place in 0..length {
                let mut right = left.clone();
                right[place] = b'b';
                assert_eq!(common_prefix(&left, &right), place);
                assert_eq!(common_suffix(&left, &right), length - place - 1);
                assert_eq!(common_suffix(&left, &right[place..]), length - place - 1);
            }
        }
    }
}
