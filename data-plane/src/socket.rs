//! One socket of a shard thread: frames in through tungstenite, frames out through the outbox.

use std::{
    io::{self, IoSlice, Read, Write},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use data_plane_core::{CloseCode, Session, frame};
use model::{App, SocketId};
use tokio_tungstenite::tungstenite::{
    Error, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{Role, WebSocketConfig, WebSocketContext},
};

use crate::{
    outbox::{Frame, Full, Outbox, OutboxLimits, WRITE_FRAMES_MAX},
    shard::Lane,
    transport::Transport,
    wire,
};

/// A connection on its way to a shard thread: the upgrade is answered.
#[derive(Debug)]
pub struct Incoming {
    /// Its bytes.
    pub transport: Transport,
    /// Bytes that came in behind the upgrade request.
    pub read_already: Bytes,
    /// Its name.
    pub id: SocketId,
    /// Whose it is, or why it is closed at once.
    pub app: Result<Arc<App>, CloseCode>,
}

/// One connection.
#[derive(Debug)]
pub struct Socket {
    /// Tells this socket from earlier ones at the same place.
    pub generation: u32,
    /// Its bytes.
    pub transport: Transport,
    /// The protocol's state; `None` for a connection that is refused.
    pub session: Option<Session>,
    /// Its state is on the list of sockets to be flushed.
    pub dirty: bool,
    /// The list that it is on then: its app's.
    pub lane: Lane,
    /// A close frame is under way: the socket is dropped at this time, or when its peer has gone.
    pub closing: Option<Instant>,
    /// Since when it is open.
    pub opened: Instant,
    /// The session's next timeout. Timers that were set for another time mean nothing.
    pub wake_at: Instant,
    /// The frames and bytes of its outbox that the node's sums contain.
    pub counted: (i64, i64),
    protocol: WebSocketContext,
    outbox: Outbox,
}

/// What came in.
#[derive(Debug)]
pub enum Received {
    /// A text message.
    Text(Utf8Bytes),
    /// A binary message.
    Binary(Bytes),
    /// A control frame.
    Alive,
    /// Nothing more for now.
    Nothing,
    /// The peer is gone.
    Ended,
    /// The peer said goodbye; the answer is in the outbox.
    Goodbye,
    /// The peer broke a rule of the WebSocket protocol.
    Broken(CloseCode),
}

/// How a flush went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left to write.
    Empty,
    /// The socket takes no more for now.
    Blocked,
    /// The peer is gone.
    Broken,
}

/// Limits of what a client may send, and of what waits for it.
#[derive(Clone, Copy, Debug)]
pub struct SocketLimits {
    /// Bytes of one message.
    pub message_bytes_max: usize,
    /// What may wait for it.
    pub outbox: OutboxLimits,
    /// Bytes of frames that may wait for all sockets of one thread.
    pub thread_bytes_max: usize,
}

impl Socket {
    /// A socket whose session begins.
    #[must_use]
    pub fn new(
        generation: u32,
        transport: Transport,
        read_already: &Bytes,
        limits: SocketLimits,
        now: Instant,
    ) -> Self {
        // The library's defaults are made for few sockets: 128 KiB read buffer each, no bounds.
        let config = WebSocketConfig::default()
            .read_buffer_size(1 << 10)
            .write_buffer_size(0)
            .max_write_buffer_size(1 << 10)
            .max_message_size(Some(limits.message_bytes_max))
            .max_frame_size(Some(limits.message_bytes_max));
        let read_already = read_already.to_vec();
        let protocol =
            WebSocketContext::from_partially_read(read_already, Role::Server, Some(config));
        Self {
            generation,
            transport,
            session: None,
            dirty: false,
            lane: Lane::default(),
            closing: None,
            opened: now,
            wake_at: now,
            counted: (0, 0),
            protocol,
            outbox: Outbox::default(),
        }
    }

    /// Reads one message, or part of one.
    pub fn receive(&mut self, limits: SocketLimits) -> Received {
        let mut replies = Replies { transport: &mut self.transport, bytes: Vec::new() };
        let received = match self.protocol.read(&mut replies) {
            Ok(Message::Text(text)) => Received::Text(text),
            Ok(Message::Binary(bytes)) => Received::Binary(bytes),
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => Received::Alive,
            Ok(Message::Close(_)) => {
                let _ = self.protocol.flush(&mut replies);
                Received::Goodbye
            }
            Err(error) => broken(&error),
        };
        let replies = replies.bytes;
        if !replies.is_empty()
            && self.closing.is_none()
            && self.push(replies.into(), limits).is_err()
        {
            return Received::Broken(CloseCode::SlowConsumer);
        }
        received
    }

    /// Reads what comes in behind the end of the conversation, and drops it.
    pub fn discard(&mut self) -> Received {
        let mut bytes = [0; 4_096];
        match self.transport.read(&mut bytes) {
            Ok(0) => Received::Ended,
            Ok(_) => Received::Alive,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Received::Alive,
            Err(_) => Received::Ended,
        }
    }

    /// Puts a frame behind those that wait.
    pub fn push(&mut self, frame: Frame, limits: SocketLimits) -> Result<(), Full> {
        self.outbox.push(frame, limits.outbox)
    }

    /// Whether much waits for it.
    #[must_use]
    pub fn is_pressed(&self, limits: SocketLimits) -> bool {
        self.outbox.is_pressed(limits.outbox)
    }

    /// Says why, then goodbye; drops what waits where the peer does not keep up with it.
    pub fn close(&mut self, code: CloseCode, until: Instant) {
        if code == CloseCode::SlowConsumer {
            self.outbox.clear();
        }
        let unbounded = OutboxLimits { frames: usize::MAX, bytes: usize::MAX };
        if code.number() >= 4_000 {
            let error = wire::text(&frame::error(code.number(), code.text()));
            let _ = self.outbox.push(error.into(), unbounded);
        }
        let _ = self.outbox.push(wire::close(code).into(), unbounded);
        self.closing = Some(until);
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.outbox.is_empty() || self.transport.wants_write()
    }

    /// Frames and bytes that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> (i64, i64) {
        let (frames, bytes) = self.outbox.waiting();
        (frames as i64, bytes as i64)
    }

    /// Bytes that wait in the outbox.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.bytes()
    }

    /// Writes what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> Flushed {
        loop {
            if self.outbox.is_empty() {
                return match self.transport.flush_tls() {
                    Ok(()) => Flushed::Empty,
                    Err(error) => blocked_or_broken(&error),
                };
            }
            let mut slices = [IoSlice::new(&[]); WRITE_FRAMES_MAX];
            let count = self.outbox.slices(&mut slices);
            match self.transport.write_slices(&slices[..count]) {
                Ok(0) => return Flushed::Broken,
                Ok(written) => self.outbox.advance(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return blocked_or_broken(&error),
            }
        }
    }
}

fn blocked_or_broken(error: &io::Error) -> Flushed {
    if error.kind() == io::ErrorKind::WouldBlock { Flushed::Blocked } else { Flushed::Broken }
}

/// What an error of the WebSocket library means (RFC 6455, section 7.4.1).
fn broken(error: &Error) -> Received {
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => Received::Nothing,
        Error::Io(_)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Received::Ended,
        Error::Capacity(_) => Received::Broken(CloseCode::TooLarge),
        Error::Utf8(_) => Received::Broken(CloseCode::InvalidUtf8),
        Error::WriteBufferFull(_) => Received::Broken(CloseCode::SlowConsumer),
        Error::Protocol(_)
        | Error::Tls(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_) => Received::Broken(CloseCode::Protocol),
    }
}

/// Reads from the transport; what the library answers by itself (pongs, close) is collected, so that
/// all bytes of a socket go through its outbox.
struct Replies<'a> {
    transport: &'a mut Transport,
    bytes: Vec<u8>,
}

impl Read for Replies<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.transport.read(buffer)
    }
}

impl Write for Replies<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
