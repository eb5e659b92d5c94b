//! Fossil's delta format (spec/websocket.md 8.10): text with a checksum over the result.

use super::matches::Copy;

/// Words that are summed before a 16-bit lane could overflow.
const SUMMED: usize = 128;

/// Appends the delta whose matches are given.
pub(super) fn write(out: &mut Vec<u8>, copies: &[Copy], target: &[u8]) {
    integer(out, target.len() as u32);
    out.push(b'\n');
    let mut written = 0;
    for copy in copies {
        insert(out, &target[written..copy.target]);
        integer(out, copy.bytes as u32);
        out.push(b'@');
        integer(out, copy.base as u32);
        out.push(b',');
        written = copy.target + copy.bytes;
    }
    insert(out, &target[written..]);
    integer(out, checksum(target));
    out.push(b';');
}

fn insert(out: &mut Vec<u8>, literal: &[u8]) {
    if !literal.is_empty() {
        integer(out, literal.len() as u32);
        out.push(b':');
        out.extend_from_slice(literal);
    }
}

/// Base 64, most significant digit first, in Fossil's own digits.
fn integer(out: &mut Vec<u8>, value: u32) {
    const DIGITS: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~";
    let mut text = [0; 6];
    let mut from = text.len();
    let mut rest = value as usize;
    loop {
        from -= 1;
        text[from] = DIGITS[rest % 64];
        rest /= 64;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[from..]);
}

/// The sum of all big-endian words, the last one filled up with zeros.
///
/// The bytes of each place in a word are summed in a lane of their own, two words at a time, so that
/// the compiler can do more of them at once.
pub(super) fn checksum(text: &[u8]) -> u32 {
    const EVEN: u64 = 0x00FF_00FF_00FF_00FF;
    let (words, rest) = text.as_chunks();
    let mut sum = 0_u32;
    for words in words.chunks(SUMMED) {
        let (mut even, mut odd) = (0_u64, 0_u64);
        for word in words {
            let word = u64::from_le_bytes(*word);
            even += word & EVEN;
            odd += (word >> 8) & EVEN;
        }
        let lane = |sums: u64, lane: u32| (sums >> (16 * lane)) as u32 & 0xFFFF;
        for half in [0, 2] {
            sum = sum
                .wrapping_add(lane(even, half) << 24)
                .wrapping_add(lane(odd, half) << 16)
                .wrapping_add(lane(even, half + 1) << 8)
                .wrapping_add(lane(odd, half + 1));
        }
    }
    for word in rest.chunks(4) {
        let mut filled = [0; 4];
        filled[..word.len()].copy_from_slice(word);
        sum = sum.wrapping_add(u32::from_be_bytes(filled));
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::matches::Matcher;

    fn delta(base: &str, target: &str) -> String {
        let mut out = Vec::new();
        let mut matcher = Matcher::default();
        write(&mut out, matcher.run(base.as_bytes(), target.as_bytes()), target.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn checksums_of_the_spec() {
        for (text, sum) in [
            ("", 0),
            ("a", 1_627_389_952),
            ("abcd", 1_633_837_924),
            ("abcde", 3_328_336_740),
            ("hello", 3_613_748_332),
        ] {
            assert_eq!(checksum(text.as_bytes()), sum, "{text}");
        }
    }

    #[test]
    fn checksums_of_all_lengths() {
        let text: Vec<u8> = (0..5_000_u32).map(|n| (255 - n % 7) as u8).collect();
        for length in 0..text.len() {
            let words = text[..length].chunks(4).map(|word| {
                let mut filled = [0; 4];
                filled[..word.len()].copy_from_slice(word);
                u32::from_be_bytes(filled)
            });
            assert_eq!(checksum(&text[..length]), words.fold(0, u32::wrapping_add), "{length}");
        }
    }

    #[test]
    fn integers() {
        let text = |value| {
            let mut out = Vec::new();
            integer(&mut out, value);
            String::from_utf8(out).unwrap()
        };
        assert_eq!([0, 63, 64, 144].map(text), ["0", "~", "10", "2G"]);
        assert_eq!(text(u32::MAX), "3~~~~~");
    }

    #[test]
    fn the_example_of_the_spec() {
        let base = r#"{"event":"price","channel":"market","data":"{\"asset\":\"BTC\",\"price\":50000.10,\"volume\":1234,\"exchange\":\"coinbase\",\"ts\":1700000001}"}"#;
        let target = r#"{"event":"price","channel":"market","data":"{\"asset\":\"BTC\",\"price\":50010.25,\"volume\":1234,\"exchange\":\"coinbase\",\"ts\":1700000002}"}"#;
        assert_eq!(delta(base, target), "2G\n1C@0,5:10.25w@1H,4:2}\"}21OoV5;");
        assert_eq!(delta("abc", "abcd"), "4\n4:abcd1XObD_;");
        assert_eq!(delta("x", ""), "0\n0;");
    }
}
