//! WebSocket frames as bytes (RFC 6455, section 5): encoded once, for every socket.

use bytes::Bytes;
use data_plane_core::{CloseCode, delta::Payload};

const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;
const FINAL_CLOSE: u8 = 0x88;
const HEADER_BYTES_MAX: usize = 10;

/// A text message in one frame, not masked.
#[must_use]
pub fn text(payload: &str) -> Vec<u8> {
    frame(FINAL_TEXT, payload.as_bytes())
}

/// A text message whose payload `fill` appends: it is written once, and its header put before it.
#[must_use]
pub fn text_with(fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut buffer = vec![0; HEADER_BYTES_MAX];
    fill(&mut buffer);
    let (header, bytes) = header(FINAL_TEXT, buffer.len() - HEADER_BYTES_MAX);
    let start = HEADER_BYTES_MAX - bytes;
    buffer[start..HEADER_BYTES_MAX].copy_from_slice(&header[..bytes]);
    Bytes::from(buffer).slice(start..)
}

/// Appends the header of a message of this many bytes.
pub fn write_header(frame: &mut Vec<u8>, kind: Payload, payload_bytes: usize) {
    let first = match kind {
        Payload::Text => FINAL_TEXT,
        Payload::Binary => FINAL_BINARY,
    };
    let (header, bytes) = header(first, payload_bytes);
    frame.extend_from_slice(&header[..bytes]);
}

/// The payload of a frame that was made here: its bytes are shared.
#[must_use]
pub fn payload(frame: &Bytes) -> Bytes {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => HEADER_BYTES_MAX,
        Some(_) | None => 2,
    };
    frame.slice(header.min(frame.len())..)
}

/// A close frame with number and reason.
#[must_use]
pub fn close(code: CloseCode) -> Vec<u8> {
    let mut payload = code.number().to_be_bytes().to_vec();
    payload.extend_from_slice(code.text().as_bytes());
    frame(FINAL_CLOSE, &payload)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (header, bytes) = header(first, payload.len());
    [&header[..bytes], payload].concat()
}

/// The header of a frame that is not masked, and how many of its bytes count.
fn header(first: u8, payload_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header[0] = first;
    let length = (payload_bytes as u64).to_be_bytes();
    match payload_bytes {
        0..126 => {
            header[1] = length[7];
            (header, 2)
        }
        126..65_536 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&length[6..]);
            (header, 4)
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&length);
            (header, 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_three_forms() {
        assert_eq!(text("hi"), b"\x81\x02hi");
        assert_eq!(text(&"x".repeat(125))[..2], [0x81, 125]);
        assert_eq!(text(&"x".repeat(126))[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(&"x".repeat(65_535))[..4], [0x81, 126, 255, 255]);
        assert_eq!(text(&"x".repeat(65_536))[..10], [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_payload_written_in_place_is_the_same_frame() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = "x".repeat(length);
            let framed = text_with(|buffer| buffer.extend_from_slice(payload.as_bytes()));
            assert_eq!(framed, text(&payload), "{length}");
            assert_eq!(super::payload(&framed), payload, "{length}");
            let mut header = Vec::new();
            write_header(&mut header, Payload::Text, length);
            assert_eq!([&header, payload.as_bytes()].concat(), framed, "{length}");
            write_header(&mut header, Payload::Binary, 0);
            assert_eq!(header[header.len() - 2..], [0x82, 0]);
        }
    }

    #[test]
    fn close_has_number_and_reason() {
        let frame = close(CloseCode::Drain);
        assert_eq!((frame[0], u16::from_be_bytes([frame[2], frame[3]])), (0x88, 4_200));
        assert!(frame.len() <= 127);
    }
}
