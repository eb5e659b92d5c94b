//! Writing JSON strings: the one part of encoding whose speed counts.

/// Bytes looked at in one step, and copied in one store.
const STEP: usize = 8;

/// Bytes whose hits are counted in one byte.
const COUNTED: usize = 128;

/// Appends to a buffer whose room is taken once, at the start.
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
}

impl<'a> Writer<'a> {
    /// `bytes_max` is what will be written at most, see [`escaped_max`].
    pub(crate) fn new(out: &'a mut Vec<u8>, bytes_max: usize) -> Self {
        let at = out.len();
        // The last step may store more than it keeps.
        out.resize(at + bytes_max + STEP, 0);
        Self { out, at }
    }

    /// Text that is JSON already.
    pub(crate) fn plain(&mut self, text: &str) {
        self.out[self.at..self.at + text.len()].copy_from_slice(text.as_bytes());
        self.at += text.len();
    }

    /// Text as the inside of a JSON string.
    pub(crate) fn escaped(&mut self, text: &str) {
        let mut rest = text.as_bytes();
        while let Some(step) = rest.first_chunk() {
            let clean = clean_bytes(*step);
            self.store(*step, clean);
            rest = &rest[clean..];
            if clean < STEP {
                self.escape(rest[0]);
                rest = &rest[1..];
            }
        }
        for byte in rest {
            if is_clean(*byte) {
                self.store([*byte, 0, 0, 0, 0, 0, 0, 0], 1);
            } else {
                self.escape(*byte);
            }
        }
    }

    /// Gives back the room that was not needed.
    pub(crate) fn finish(self) {
        self.out.truncate(self.at);
    }

    /// Always stores a whole step, which is one instruction, and keeps the first `kept` bytes.
    fn store(&mut self, step: [u8; STEP], kept: usize) {
        self.out[self.at..self.at + STEP].copy_from_slice(&step);
        self.at += kept;
    }

    fn escape(&mut self, byte: u8) {
        const HEX: [u8; 16] = *b"0123456789abcdef";
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                self.store([b'\\', b'u', b'0', b'0', high, low, 0, 0], 6);
                return;
            }
        };
        self.store([b'\\', letter, 0, 0, 0, 0, 0, 0], 2);
    }
}

/// At most how many bytes `text` takes inside a JSON string; exact where no byte is below a blank.
pub(crate) fn escaped_max(text: &str) -> usize {
    // Counted in single bytes, so that the compiler can count sixteen at a time.
    let count = |block: &[u8], hit: fn(&u8) -> bool| {
        usize::from(block.iter().map(|byte| u8::from(hit(byte))).sum::<u8>())
    };
    let more = |block: &[u8]| {
        count(block, |byte| matches!(byte, b'"' | b'\\')) + 5 * count(block, |byte| *byte < b' ')
    };
    text.len() + text.as_bytes().chunks(COUNTED).map(more).sum::<usize>()
}

fn is_clean(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// How many bytes at the start of `step` stand for themselves inside a JSON string.
///
/// All eight are tested at once: subtracting borrows into the top bit of a byte that was below the
/// subtrahend. A borrow may disturb the bytes behind the first hit, but only the first one counts.
fn clean_bytes(step: [u8; STEP]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const TOPS: u64 = ONES << 7;
    let word = u64::from_le_bytes(step);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let hits = (below(word, b' ') | equal(b'"') | equal(b'\\')) & TOPS;
    hits.trailing_zeros() as usize / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = b"before".to_vec();
        let mut writer = Writer::new(&mut out, escaped_max(text));
        writer.escaped(text);
        writer.finish();
        assert!(out.len() <= b"before".len() + escaped_max(text), "{text:?}");
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(escaped(text), expected);
        assert_eq!(format!("\"{expected}\""), serde_json::to_string(text).unwrap());
    }

    #[test]
    fn escapes() {
        check("", "");
        check("plain", "plain");
        check(r#"{"a":"b\n"}"#, r#"{\"a\":\"b\\n\"}"#);
        check("\u{0}\u{1f}\u{7f}\n\r\t\u{8}\u{c}", "\\u0000\\u001f\u{7f}\\n\\r\\t\\b\\f");
        check("Zoë \u{2028} 🎉\"", "Zoë \u{2028} 🎉\\\"");
    }

    #[test]
    fn every_pair_of_bytes_in_every_place_of_a_step() {
        for place in 0..10 {
            for first in '\0'..'\u{100}' {
                for second in ['x', '"', '\\', '\n', '\0', '!', '#', ']', '[', '\u{80}', 'ÿ'] {
                    let text = format!("{}{first}{second}............", "-".repeat(place));
                    let expected = serde_json::to_string(&text).unwrap();
                    assert_eq!(format!("\"{}\"", escaped(&text)), expected);
                }
            }
        }
    }
}
