//! A cheap load client: many subscriptions in one thread that counts events and hardly looks at them.
//!
//! It shares its cores with the server it loads, so it does as little as a client can: one read per
//! wake-up of a socket, and of a frame only the length.

mod frames;
mod handshake;
mod tally;

use std::{
    io::{self, Read},
    net::SocketAddr,
};

use mio::{Events, Interest, Poll, Token, net::TcpStream};

use frames::Frames;
use tally::Tally;

/// What to subscribe to, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the node listens.
    pub address: SocketAddr,
    /// The app's key.
    pub key: String,
    /// A public channel.
    pub channel: String,
    /// Further members of the subscriptions, as JSON without braces; sockets take them in turn. None:
    /// plain subscriptions.
    pub terms: Vec<String>,
    /// Sockets, each with one subscription.
    pub sockets: u32,
}

/// Subscriptions that have been confirmed.
#[derive(Debug)]
pub struct Subscribers {
    poll: Poll,
    ready: Events,
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
    tally: Tally,
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    frames: Frames,
}

const READ_BYTES: usize = 64 << 10;
const WAKE_UPS: usize = 1_024;

impl Subscribers {
    /// Opens the sockets one after the other and waits for every confirmation.
    pub fn open(plan: &Plan) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut sockets = Vec::with_capacity(plan.sockets as usize);
        for number in 0..plan.sockets as usize {
            let mut stream = TcpStream::from_std(handshake::subscribe(plan, number)?);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            let frames = Frames::default();
            sockets.push(Socket { stream, frames });
        }
        Ok(Self {
            poll,
            ready: Events::with_capacity(WAKE_UPS),
            sockets,
            buffer: vec![0; READ_BYTES],
            tally: Tally::of(plan.sockets),
        })
    }

    /// Bytes of all events that have arrived, headers included.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sockets.iter().map(|socket| socket.frames.event_bytes()).sum()
    }

    /// Waits for something to arrive; says how many events every socket has by then.
    ///
    /// A socket that the server closes is an error: nobody measures with sockets missing.
    pub fn receive(&mut self) -> io::Result<u64> {
        self.poll.poll(&mut self.ready, None)?;
        for event in &self.ready {
            self.sockets[event.token().0].receive(&mut self.buffer, &mut self.tally)?;
        }
        Ok(self.tally.complete())
    }
}

impl Socket {
    /// A read that leaves room in the buffer has emptied the socket: the next bytes wake it again.
    fn receive(&mut self, buffer: &mut [u8], tally: &mut Tally) -> io::Result<()> {
        loop {
            let kept = self.frames.restore(buffer);
            let count = match self.stream.read(&mut buffer[kept..]) {
                Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let (before, after) = self.frames.read(&buffer[..kept + count]);
            (before..after).for_each(|nth| tally.received(nth));
            if kept + count < buffer.len() {
                return Ok(());
            }
        }
    }
}
