//! Frames of a server: where each begins and ends, and nothing else.

/// The longest header of a frame without a mask.
const HEADER_BYTES_MAX: usize = 10;

/// Pings and answers of the protocol are shorter than any event in a text frame that is measured.
const EVENT_BYTES_MIN: usize = 126;
/// The first byte of a binary message: always an event.
const BINARY: u8 = 0x82;

/// Where a socket's bytes stand between two reads.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// How much of the current payload is still to come, and whether it is an event.
    missing: usize,
    is_event: bool,
    /// The beginning of a header that has not come whole.
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    events: u64,
    event_bytes: u64,
}

impl Frames {
    /// Puts what is kept of a header in front of what will be read; says how many bytes that is.
    pub(super) fn restore(&mut self, buffer: &mut [u8]) -> usize {
        let kept = std::mem::take(&mut self.header_bytes);
        buffer[..kept].copy_from_slice(&self.header[..kept]);
        kept
    }

    /// Takes what was read; says how many events had been complete before, and are now.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> (u64, u64) {
        let before = self.events;
        loop {
            let here = self.missing.min(bytes.len());
            bytes = &bytes[here..];
            self.missing -= here;
            if self.missing > 0 {
                break;
            }
            self.events += u64::from(std::mem::take(&mut self.is_event));
            let Some((header, payload)) = lengths(bytes) else {
                self.header[..bytes.len()].copy_from_slice(bytes);
                self.header_bytes = bytes.len();
                break;
            };
            self.is_event = payload >= EVENT_BYTES_MIN || bytes[0] == BINARY;
            if self.is_event {
                self.event_bytes += (header + payload) as u64;
            }
            bytes = &bytes[header..];
            self.missing = payload;
        }
        (before, self.events)
    }

    /// Bytes of all events so far, headers included.
    pub(super) fn event_bytes(&self) -> u64 {
        self.event_bytes
    }
}

/// Lengths of the header and of the payload, when the header is there.
pub(super) fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let long = |count: usize| {
        let digits = bytes.get(2..2 + count)?;
        let length = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        Some((2 + count, length))
    };
    match *bytes.get(1)? {
        126 => long(2),
        127 => long(8),
        short => Some((2, usize::from(short))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event, a pong, two more events, one of them long, and a short one in binary.
    fn stream() -> Vec<u8> {
        let mut stream = vec![0x81, 126, 0x01, 0x00];
        stream.extend([b'x'; 256]);
        stream.extend([0x81, 3, b'a', b'b', b'c']);
        stream.extend([0x81, 126, 0x00, 126]);
        stream.extend([b'y'; 126]);
        stream.extend([0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        stream.extend([b'z'; 65_536]);
        stream.extend([0x82, 1, b'b']);
        stream
    }

    #[test]
    fn events_are_counted_wherever_reads_end() {
        let stream = stream();
        for step in [1, 2, 3, 7, 130, 259, 65_536, stream.len()] {
            let mut frames = Frames::default();
            let mut buffer = vec![0; HEADER_BYTES_MAX + step];
            let mut counted = 0;
            for bytes in stream.chunks(step) {
                let kept = frames.restore(&mut buffer);
                buffer[kept..kept + bytes.len()].copy_from_slice(bytes);
                let (before, after) = frames.read(&buffer[..kept + bytes.len()]);
                assert_eq!(before, counted);
                counted = after;
            }
            assert_eq!(counted, 4, "in steps of {step}");
            assert_eq!(frames.event_bytes(), 260 + 130 + 65_546 + 3);
        }
    }

    #[test]
    fn an_event_counts_when_its_last_byte_is_there() {
        let mut frames = Frames::default();
        assert_eq!(frames.read(&stream()[..259]), (0, 0));
        assert_eq!(frames.read(b"x"), (0, 1));
    }
}
