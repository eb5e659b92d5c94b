//! The bytes of one connection, encrypted or not, without blocking.

use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;
use rustls::ServerConnection;

/// A connection that a shard thread owns.
#[derive(Debug)]
pub enum Transport {
    /// Clear text.
    Plain(TcpStream),
    /// TLS, its handshake done.
    Tls(Box<(TcpStream, ServerConnection)>),
}

/// Bytes that the kernel holds for a connection beyond those that are on their way: what a peer does not
/// read stands in its outbox, which is bounded, and not in buffers of the kernel that grow to megabytes.
#[cfg(target_os = "linux")]
const UNSENT_BYTES_MAX: u32 = 128 << 10;
/// Plain bytes that TLS may hold before they are encrypted and written.
const TLS_BUFFER_BYTES: usize = 64 << 10;

impl Transport {
    /// Takes over a socket from the runtime that accepted it.
    pub fn from_parts(
        tcp: tokio::net::TcpStream,
        tls: Option<ServerConnection>,
    ) -> io::Result<Self> {
        let tcp = TcpStream::from_std(tcp.into_std()?);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
        Ok(match tls {
            None => Self::Plain(tcp),
            Some(mut connection) => {
                connection.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                Self::Tls(Box::new((tcp, connection)))
            }
        })
    }

    /// The socket, for registration.
    pub fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.0,
        }
    }

    /// Whether TLS has encrypted bytes that are not written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        matches!(self, Self::Tls(tls) if tls.1.wants_write())
    }

    /// Writes what TLS has encrypted; `Ok` when nothing is left.
    pub fn flush_tls(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            let (tcp, connection) = &mut **tls;
            while connection.wants_write() {
                connection.write_tls(tcp)?;
            }
        }
        Ok(())
    }

    /// Writes the slices in one call; `WouldBlock` when nothing was taken.
    pub fn write_slices(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) if slices.len() == 1 => tcp.write(&slices[0]),
            Self::Plain(tcp) => tcp.write_vectored(slices),
            Self::Tls(_) => {
                self.flush_tls()?;
                let taken = match self {
                    Self::Tls(tls) => tls.1.writer().write_vectored(slices)?,
                    Self::Plain(_) => 0,
                };
                match self.flush_tls() {
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
                    Ok(()) | Err(_) => Ok(taken),
                }
            }
        }
    }

    /// Says that nothing more will be written.
    pub fn shutdown(&mut self) {
        if let Self::Tls(tls) = self {
            tls.1.send_close_notify();
        }
        let _ = self.flush_tls();
        let _ = self.tcp().shutdown(std::net::Shutdown::Write);
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (tcp, connection) = match self {
            Self::Plain(tcp) => return tcp.read(buffer),
            Self::Tls(tls) => (&mut tls.0, &mut tls.1),
        };
        loop {
            match connection.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
            if connection.read_tls(tcp)? == 0 {
                return Ok(0);
            }
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            connection.process_new_packets().map_err(invalid)?;
        }
    }
}
