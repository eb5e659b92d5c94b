//! The bytes of a request's body: never more than the cap in memory.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use model::{Reason, Rejection};
use tokio::time::Instant;

use crate::in_flight::Room;

/// A signed body must have arrived after this long, and the time that its bytes take at the lowest rate.
const ARRIVAL_MAX: Duration = Duration::from_secs(10);
const BYTES_PER_SECOND_MIN: u32 = 64 << 10;
/// A refused body is read, and forgotten, for this long at most.
const DISCARD_MAX: Duration = Duration::from_secs(2);

/// Reads a body of at most `bytes_max`, for which there is room. One that came in one piece is not
/// copied.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    (bytes_max, room): (usize, &mut Room),
) -> Result<Bytes, Rejection> {
    check_encoding(headers)?;
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(over(bytes_max));
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    let began = Instant::now();
    loop {
        let arrived = (first.len() + whole.len()) as u64;
        let for_bytes = Duration::from_millis(arrived * 1_000 / u64::from(BYTES_PER_SECOND_MIN));
        let next = tokio::time::timeout_at(began + ARRIVAL_MAX + for_bytes, body.frame());
        let Some(frame) = next.await.map_err(|_| late(arrived))? else {
            break;
        };
        let broken = |_| Rejection::new(Reason::InvalidInput, "the body ended before its end");
        let Ok(data) = frame.map_err(broken)?.into_data() else {
            continue;
        };
        if first.len() + whole.len() + data.len() > bytes_max {
            return Err(over(bytes_max));
        }
        room.take(data.len())?;
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Lets the rest of a refused body run off behind the answer, so that the client reads the answer and
/// not a reset connection. Not for a client that waits for leave to send; and not for long or for
/// much: then the connection is closed.
pub(crate) fn discard(headers: &HeaderMap, mut body: Body, bytes_max: usize) {
    if body.is_end_stream() || headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = bytes_max.saturating_mul(2);
    let run_off = async move {
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                return;
            }
        }
    };
    drop(tokio::spawn(tokio::time::timeout(DISCARD_MAX, run_off)));
}

fn check_encoding(headers: &HeaderMap) -> Result<(), Rejection> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Rejection::field(
            Reason::InvalidInput,
            "Content-Encoding",
            "Content-Encoding is not supported: send the body as it is",
        )),
        Some(_) | None => Ok(()),
    }
}

fn late(arrived: u64) -> Rejection {
    let message = format!("the body arrives too slowly: {arrived} bytes so far");
    Rejection::new(Reason::InvalidInput, message)
}

fn over(bytes_max: usize) -> Rejection {
    let message = format!("the body has more than {bytes_max} bytes (request_body_bytes_max)");
    Rejection::new(Reason::PayloadTooLarge, message)
}
