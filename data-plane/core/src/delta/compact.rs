//! The deltas of a compact frame: what of a base is replaced by what. For those who read them
//! `clients/js/README.md` describes the same.
//!
//! The payload of the binary frame, in this order:
//!
//! | bytes | meaning |
//! |---|---|
//! | 1-4 | by how much the event's number is larger than its base's, as a length |
//! | as many, at least 2 | the last bytes of the base's number, the least significant one first |
//! | 2 | the sum of the result's 32-bit words, as Fossil has it, its halves combined by exclusive or |
//! | the rest | edits |
//!
//! The base is the last one that came with a number that ends like that, on whichever channel: a name
//! is longer than the distance, so no later one has the same name.
//!
//! An edit: so many bytes that are copied from the base; one byte with two lengths; the bytes that are
//! put in. The upper half of that byte is how many are put in, the lower half how many more (`2 n`) or
//! fewer (`2 n - 1`) bytes of the base they replace; 15 says that the length, less 15,
//! follows. What the last edit leaves of the base is copied. So bytes that are replaced by as many
//! others, which is what most changes are, cost two or three bytes beside themselves.
//!
//! Lengths have seven bits per byte, the least significant ones first, and a high bit where more follow.

use super::{Sequence, fossil, matches::Copy};

/// Bases are not named over a larger distance.
const DISTANCE_END: u64 = 1 << 28;
/// A name has at least so many bytes.
const NAME_BYTES_MIN: usize = 2;
/// A length from here on does not fit into its half byte.
const LONG: usize = 15;

/// Whether the base can be named: it is earlier, and not by much.
pub(super) fn can_name(base: Sequence, sequence: Sequence) -> bool {
    sequence.0.checked_sub(base.0).is_some_and(|distance| distance < DISTANCE_END)
}

/// Appends the payload of the frame whose matches are given.
pub(super) fn write(
    out: &mut Vec<u8>,
    (base, sequence): (Sequence, Sequence),
    copies: &[Copy],
    (base_bytes, target): (usize, &[u8]),
) {
    let from = out.len();
    length(out, (sequence.0 - base.0) as usize);
    let name_bytes = (out.len() - from).max(NAME_BYTES_MIN);
    out.extend_from_slice(&base.0.to_le_bytes()[..name_bytes]);
    out.extend_from_slice(&check(target).to_le_bytes());
    edits(out, copies, base_bytes, target);
}

/// The sum that tells whether a result is the right one.
fn check(target: &[u8]) -> u16 {
    let sum = fossil::checksum(target);
    (sum >> 16) as u16 ^ sum as u16
}

/// Each copy is written with what follows it, up to the next one.
fn edits(out: &mut Vec<u8>, copies: &[Copy], base_bytes: usize, target: &[u8]) {
    let (mut at, mut written) = (0, 0);
    let mut copied = 0;
    for copy in copies {
        if copy.base != at || copy.target != written {
            edit(out, copied, (at, copy.base), &target[written..copy.target]);
            copied = 0;
        }
        copied += copy.bytes;
        (at, written) = (copy.base + copy.bytes, copy.target + copy.bytes);
    }
    if at != base_bytes || written != target.len() {
        edit(out, copied, (at, base_bytes), &target[written..]);
    }
}

/// So many bytes are copied up to `at`; it goes on at `next`, with other bytes between.
fn edit(out: &mut Vec<u8>, copied: usize, (at, next): (usize, usize), put_in: &[u8]) {
    length(out, copied);
    let replaced = next.wrapping_sub(at) as isize;
    let more = replaced - put_in.len() as isize;
    let more = if more < 0 { more.unsigned_abs() * 2 - 1 } else { more.unsigned_abs() * 2 };
    let halves = [put_in.len().min(LONG), more.min(LONG)];
    out.push((halves[0] << 4 | halves[1]) as u8);
    for long in [put_in.len(), more].into_iter().filter(|bytes| *bytes >= LONG) {
        length(out, long - LONG);
    }
    out.extend_from_slice(put_in);
}

fn length(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::matches::Matcher;

    fn edits_of(base: &str, target: &str) -> Vec<u8> {
        let (mut out, mut matcher) = (Vec::new(), Matcher::default());
        let copies = matcher.run(base.as_bytes(), target.as_bytes());
        edits(&mut out, copies, base.len(), target.as_bytes());
        out
    }

    #[test]
    fn what_a_frame_is_made_of() {
        let mut out = Vec::new();
        let mut payload = |base: u64, sequence: u64| {
            out.clear();
            write(&mut out, (Sequence(base), Sequence(sequence)), &[], (0, b"ab"));
            out.clone()
        };
        assert_eq!(payload(0x1234_5678, 0x1234_5679), b"\x01\x78\x56\x62\x61\0\x23ab");
        assert_eq!(payload(0x1234_5678, 0x1234_7678), b"\x80\x40\x78\x56\x62\x61\0\x23ab");
        let far = b"\x80\x80\x01\x78\x56\x34\x62\x61\0\x23ab";
        assert_eq!(payload(0x1234_5678, 0x1234_9678), far);
    }

    #[test]
    fn the_example_of_the_client_s_readme() {
        let (base, target) = (br#"{"price":1.10}"#, br#"{"price":1.25}"#);
        let mut encoder = crate::delta::Encoder::default();
        let numbers = (Sequence(7_000_001), Sequence(7_000_002));
        let payload = encoder.encode_compact(numbers, base, target);
        assert_eq!(payload, b"\x01\xC1\xCF\xF2\x57\x0B\x3025}");
    }

    #[test]
    fn edits_say_what_is_replaced() {
        assert_eq!(edits_of("the same text", "the same text"), b"");
        assert_eq!(edits_of("price: 1.10 EUR per kg", "price: 1.25 EUR per kg"), b"\x09\x2025");
        assert_eq!(edits_of("temperature: 9 degrees", "temperature: 10 degrees"), b"\x0D\x2110");
        assert_eq!(edits_of("temperature: 10 degrees", "temperature: 9 degrees"), b"\x0D\x129");
        assert_eq!(edits_of("", "ab"), b"\0\x23ab");
        assert_eq!(edits_of("ab", ""), b"\0\x04");
        let long = "x".repeat(200);
        let expected = [&b"\0\xFF\xB9\x01\x80\x03"[..], long.as_bytes()].concat();
        assert_eq!(edits_of("", &long), expected);
    }

    #[test]
    fn bases_that_are_too_far_away_are_not_named() {
        let name = |base, sequence| can_name(Sequence(base), Sequence(sequence));
        assert!(name(1, 2) && name(1, 1 << 28));
        assert!(!name(1, (1 << 28) + 1) && !name(2, 1));
    }
}
