//! VCDIFF (RFC 3284) as `@ably/vcdiff-decoder` reads it (spec/websocket.md 8.11): one window, the
//! default code table, no checksum.

use super::matches::Copy;

const MAGIC: [u8; 5] = [0xD6, 0xC3, 0xC4, 0, 0];
const SOURCE: u8 = 1;
const NO_SOURCE: u8 = 0;
/// Instructions of the default code table with the size behind them, and the sizes that have
/// instructions of their own.
const ADD: u8 = 1;
const ADDED_SHORT_MAX: usize = 17;
const COPY: u8 = 19;
const COPIED_SHORT: std::ops::RangeInclusive<usize> = 4..=18;
const COPY_CODES: u8 = 16;
/// Addresses: as they are, or as the distance from one of the last four.
const MODE_SELF: u8 = 0;
const MODE_NEAR: u8 = 2;
const NEAR: usize = 4;
/// What one byte can hold.
const BYTE_MAX: usize = 127;

/// The three sections of a window; their memory is used again.
#[derive(Debug, Default)]
pub(super) struct Sections {
    data: Vec<u8>,
    instructions: Vec<u8>,
    addresses: Vec<u8>,
    near: [usize; NEAR],
    next: usize,
}

impl Sections {
    /// Appends the delta whose matches are given.
    pub(super) fn write(
        &mut self,
        out: &mut Vec<u8>,
        copies: &[Copy],
        base_bytes: usize,
        target: &[u8],
    ) {
        self.fill(copies, target);
        out.extend_from_slice(&MAGIC);
        if base_bytes == 0 {
            out.push(NO_SOURCE);
        } else {
            out.push(SOURCE);
            integer(out, base_bytes);
            integer(out, 0);
        }
        let sections = [&self.data, &self.instructions, &self.addresses];
        let lengths = sections.iter().map(|section| integer_bytes(section.len())).sum::<usize>();
        let bytes = sections.iter().map(|section| section.len()).sum::<usize>();
        integer(out, integer_bytes(target.len()) + 1 + lengths + bytes);
        integer(out, target.len());
        out.push(0);
        sections.iter().for_each(|section| integer(out, section.len()));
        sections.iter().for_each(|section| out.extend_from_slice(section));
    }

    fn fill(&mut self, copies: &[Copy], target: &[u8]) {
        self.data.clear();
        self.instructions.clear();
        self.addresses.clear();
        (self.near, self.next) = ([0; NEAR], 0);
        let mut written = 0;
        for copy in copies {
            self.add(&target[written..copy.target]);
            self.copy(copy);
            written = copy.target + copy.bytes;
        }
        self.add(&target[written..]);
    }

    fn add(&mut self, literal: &[u8]) {
        match literal.len() {
            0 => return,
            short @ 1..=ADDED_SHORT_MAX => self.instructions.push(ADD + short as u8),
            long => {
                self.instructions.push(ADD);
                integer(&mut self.instructions, long);
            }
        }
        self.data.extend_from_slice(literal);
    }

    fn copy(&mut self, copy: &Copy) {
        let (mode, address) = self.address(copy.base);
        let code = COPY + COPY_CODES * mode;
        if COPIED_SHORT.contains(&copy.bytes) {
            self.instructions.push(code + (copy.bytes - COPIED_SHORT.start() + 1) as u8);
        } else {
            self.instructions.push(code);
            integer(&mut self.instructions, copy.bytes);
        }
        integer(&mut self.addresses, address);
    }

    /// The shorter of both ways to write an address.
    fn address(&mut self, base: usize) -> (u8, usize) {
        let from = |near: &usize| base.checked_sub(*near).filter(|distance| *distance <= BYTE_MAX);
        let near = self.near.iter().map(from).zip(MODE_NEAR..);
        let near = near.filter_map(|(distance, mode)| Some((mode, distance?))).next();
        self.near[self.next] = base;
        self.next = (self.next + 1) % NEAR;
        near.filter(|_| base > BYTE_MAX).unwrap_or((MODE_SELF, base))
    }
}

/// Base 128, most significant digit first; all but the last have their top bit set.
fn integer(out: &mut Vec<u8>, value: usize) {
    for digit in (1..integer_bytes(value)).rev() {
        out.push((value >> (7 * digit)) as u8 | 0x80);
    }
    out.push(value as u8 & 0x7F);
}

fn integer_bytes(value: usize) -> usize {
    (usize::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::matches::Matcher;

    fn delta(base: &str, target: &str) -> Vec<u8> {
        let (mut out, mut matcher) = (Vec::new(), Matcher::default());
        let copies = matcher.run(base.as_bytes(), target.as_bytes());
        Sections::default().write(&mut out, copies, base.len(), target.as_bytes());
        out
    }

    #[test]
    fn the_example_of_the_spec() {
        let base = r#"{"event":"price","channel":"market","data":"{\"asset\":\"BTC\",\"price\":50000.10,\"volume\":1234,\"exchange\":\"coinbase\",\"ts\":1700000001}"}"#;
        let target = r#"{"event":"price","channel":"market","data":"{\"asset\":\"BTC\",\"price\":50010.25,\"volume\":1234,\"exchange\":\"coinbase\",\"ts\":1700000002}"}"#;
        let expected = b"\xD6\xC3\xC4\0\0\x01\x81\x10\0\x17\x81\x10\0\x09\x06\x0210.252}\"}\x13\x4C\x06\x13\x3B\x05\0\x51";
        assert_eq!(delta(base, target), expected);
    }

    #[test]
    fn no_base() {
        assert_eq!(delta("", "ab"), b"\xD6\xC3\xC4\0\0\0\x08\x02\0\x02\x01\0ab\x03");
    }

    #[test]
    fn integers() {
        let bytes = |value| {
            let mut out = Vec::new();
            integer(&mut out, value);
            out
        };
        assert_eq!(bytes(0), [0]);
        assert_eq!(bytes(127), [127]);
        assert_eq!(bytes(128), [0x81, 0]);
        assert_eq!(bytes(123_456_789), [0xBA, 0xEF, 0x9A, 0x15]);
    }
}
