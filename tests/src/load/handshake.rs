//! One subscription, step by step and blocking: upgrade, subscribe, confirmation.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{Plan, frames::lengths};

/// Longer than any healthy server takes for one step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens one socket; it is non-blocking and has nothing unread when it is returned.
pub(super) fn subscribe(plan: &Plan, number: usize) -> io::Result<TcpStream> {
    let terms = plan.terms.get(number % plan.terms.len().max(1)).map_or("", String::as_str);
    let stream = TcpStream::connect(plan.address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut steps = Steps { stream, unread: Vec::new() };
    steps.stream.write_all(upgrade(plan).as_bytes())?;
    steps.answer("101 Switching Protocols")?;
    steps.frame("connection_established")?;
    steps.stream.write_all(&subscription(&plan.channel, terms))?;
    steps.frame("subscription_succeeded")?;
    if terms.contains(r#""delta":"#) {
        steps.frame("delta_compression_enabled")?;
    }
    if !steps.unread.is_empty() {
        return Err(unexpected("events before anything was published"));
    }
    steps.stream.set_nonblocking(true)?;
    Ok(steps.stream)
}

fn upgrade(plan: &Plan) -> String {
    format!(
        "GET /app/{}?protocol=7&client=load&version=1 HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        plan.key, plan.address
    )
}

/// A masked text frame; the mask of zeros is as good as any for a server of ours.
fn subscription(channel: &str, terms: &str) -> Vec<u8> {
    let comma = if terms.is_empty() { "" } else { "," };
    let text = format!(
        r#"{{"event":"pusher:subscribe","data":{{"auth":"","channel":"{channel}"{comma}{terms}}}}}"#
    );
    let length = u16::try_from(text.len()).expect("a subscription is short").to_be_bytes();
    let mut frame = vec![0x81, 0x80 | 126, length[0], length[1], 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    frame
}

struct Steps {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Steps {
    /// Waits for the head of an HTTP answer.
    fn answer(&mut self, expected: &str) -> io::Result<()> {
        let end = loop {
            let found = self.unread.windows(4).position(|four| four == b"\r\n\r\n");
            match found {
                Some(end) => break end + 4,
                None => self.more()?,
            }
        };
        let head: Vec<u8> = self.unread.drain(..end).collect();
        contains(&head, expected)
    }

    /// Waits for a frame.
    fn frame(&mut self, expected: &str) -> io::Result<()> {
        let (header, payload) = loop {
            match lengths(&self.unread) {
                Some((header, payload)) if header + payload <= self.unread.len() => {
                    break (header, payload);
                }
                Some(_) | None => self.more()?,
            }
        };
        let frame: Vec<u8> = self.unread.drain(..header + payload).collect();
        contains(&frame[header..], expected)
    }

    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 1_024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            count => {
                self.unread.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}

fn contains(bytes: &[u8], expected: &str) -> io::Result<()> {
    let text = String::from_utf8_lossy(bytes);
    if text.contains(expected) {
        return Ok(());
    }
    Err(unexpected(&format!("no {expected} in {text}")))
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
