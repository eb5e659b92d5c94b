//! WebSocket frames as bytes (RFC 6455, section 5): encoded once, for every socket.

use data_plane_core::CloseCode;

const FINAL_TEXT: u8 = 0x81;
const FINAL_CLOSE: u8 = 0x88;

/// A text message in one frame, not masked.
#[must_use]
pub fn text(payload: &str) -> Vec<u8> {
    frame(FINAL_TEXT, payload.as_bytes())
}

/// A close frame with number and reason.
#[must_use]
pub fn close(code: CloseCode) -> Vec<u8> {
    let mut payload = code.number().to_be_bytes().to_vec();
    payload.extend_from_slice(code.text().as_bytes());
    frame(FINAL_CLOSE, &payload)
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    frame.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => frame.push(short),
        (_, Ok(medium)) => {
            frame.push(126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
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
    fn close_has_number_and_reason() {
        let frame = close(CloseCode::Drain);
        assert_eq!((frame[0], u16::from_be_bytes([frame[2], frame[3]])), (0x88, 4_200));
        assert!(frame.len() <= 127);
    }
}
