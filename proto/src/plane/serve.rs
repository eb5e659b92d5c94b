//! One accept loop for every listener: TLS or plain, HTTP/1.1 and HTTP/2, deadlines, a cap, a drain.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, extract::Request};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tower::ServiceExt as _;
use tracing::{debug, warn};

use super::{
    complaints::Complaints,
    descriptors::Reserve,
    failure,
    handshakes::{Handshake, Handshakes},
    identity::Identity,
    operations::Operations,
    tls::Tls,
};

/// A client has this long to send the head of each request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// After this long the process ends although requests are in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the process has no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// So many pauses in a row are given connections that end to make room; then some are turned away.
const EXHAUSTED_PAUSES_MAX: u32 = 20;

/// What came in: the bytes of a connection, encrypted or not.
#[derive(Debug)]
pub enum Stream {
    /// Clear text.
    Plain(TcpStream),
    /// TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Who is at the other end; an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The address of the socket.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// A bound listener with what it serves.
#[derive(Debug)]
pub struct Listener {
    /// Bound already, so that tests choose port 0 and read the address.
    pub tcp: TcpListener,
    /// Encryption, if any.
    pub tls: Option<Tls>,
    /// What answers.
    pub router: Router,
    /// Connections served at once; over it a new one waits in the kernel's backlog.
    pub connections_max: usize,
}

/// What a listener counts.
#[derive(Clone, Debug, Default)]
pub struct ListenerMetrics {
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections that ended before their first request: no TLS hello in time, not HTTP.
    pub failed: Counter,
    /// Times the process had no file descriptor for a new connection.
    pub exhausted: Counter,
    /// Connections that gave their place up before their first request, because others waited.
    pub evicted: Counter,
}

impl ListenerMetrics {
    /// Names them, under `carillon_<plane>_listener_`.
    pub fn register(&self, operations: &Operations, plane: &str) {
        operations.register(&format!("{plane}_listener"), |registry| {
            registry.register("accepted", "Connections accepted", self.accepted.clone());
            let failed = self.failed.clone();
            registry.register("failed", "Connections that ended early", failed);
            let exhausted = self.exhausted.clone();
            registry.register("exhausted", "Times no file descriptor was left", exhausted);
            let evicted = self.evicted.clone();
            registry.register("evicted", "Connections without a request that made room", evicted);
        });
    }
}

impl Listener {
    /// Accepts and serves until `shutdown`; then finishes what is in flight, for at most ten seconds.
    pub async fn serve(self, metrics: ListenerMetrics, shutdown: impl Future<Output = ()>) {
        let servers = Arc::new(Servers::new());
        let complaints = Arc::new(Complaints::default());
        let handshakes = Handshakes::new(metrics.evicted.clone());
        let (mut reserve, mut pauses) = (Reserve::take(), 0);
        let drain = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.connections_max));
        tokio::pin!(shutdown);
        loop {
            let place = tokio::select! {
                () = &mut shutdown => break,
                place = Arc::clone(&places).acquire_owned() => place,
            };
            let handshake = tokio::select! {
                () = &mut shutdown => break,
                handshake = handshakes.begin() => handshake,
            };
            let accepted = tokio::select! {
                () = &mut shutdown => break,
                accepted = self.tcp.accept() => accepted,
            };
            let (tcp, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pauses += pause_after(&error, &metrics).await;
                    if pauses >= EXHAUSTED_PAUSES_MAX {
                        reserve.spend(&self.tcp);
                    }
                    continue;
                }
            };
            pauses = 0;
            metrics.accepted.inc();
            let connection = Accepted {
                tcp,
                address,
                acceptor: self.tls.as_ref().map(Tls::acceptor),
                router: self.router.clone(),
                watcher: drain.watcher(),
                handshake: Arc::new(handshake),
            };
            let (servers, failed) = (Arc::clone(&servers), metrics.failed.clone());
            let mutual = self.tls.as_ref().is_some_and(Tls::is_mutual);
            let complaints = mutual.then(|| Arc::clone(&complaints));
            tokio::spawn(async move {
                if let Err(error) = connection.serve(&servers).await {
                    failed.inc();
                    tell_failure(&error, address, complaints.as_deref());
                }
                drop(place);
            });
        }
        drop(self.tcp);
        if tokio::time::timeout(DRAIN_TIMEOUT, drain.shutdown()).await.is_err() {
            warn!("requests were still in flight when the drain ended");
        }
    }
}

/// Strangers fail all the time on a public listener; among planes it is a mistake somebody wants to see.
fn tell_failure(error: &str, address: SocketAddr, complaints: Option<&Complaints>) {
    let complaint = || format!("{} {error}", address.ip());
    let now = tokio::time::Instant::now().into_std();
    if complaints.is_some_and(|complaints| complaints.is_new(&complaint(), now)) {
        warn!(error, %address, "a connection between planes failed");
    } else {
        debug!(error, %address, "connection ended early");
    }
}

/// An accept that failed: a pause where the process is out of descriptors, else nothing. Tells how many
/// pauses that were.
async fn pause_after(error: &io::Error, metrics: &ListenerMetrics) -> u32 {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    if matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) {
        metrics.exhausted.inc();
        warn!(%error, "no file descriptor for a new connection");
        tokio::time::sleep(EXHAUSTED_PAUSE).await;
        return 1;
    }
    debug!(%error, "accept failed");
    0
}

/// One server per version of HTTP: which one is decided here, under a deadline.
struct Servers {
    http1: auto::Builder<TokioExecutor>,
    http2: auto::Builder<TokioExecutor>,
}

impl Servers {
    fn new() -> Self {
        let mut http1 = auto::Builder::new(TokioExecutor::new()).http1_only();
        http1
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(32 << 10)
            .keep_alive(true);
        let mut http2 = auto::Builder::new(TokioExecutor::new()).http2_only();
        http2
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(1_024)
            .max_header_list_size(16 << 10)
            .max_local_error_reset_streams(Some(1_024))
            // h2 ends a connection (ENHANCE_YOUR_CALM) that has many small frames unread; how many
            // follows from the connection's window. One stream full of the smallest publishes must
            // be held up by its own window before that.
            .initial_stream_window_size(Some(128 << 10))
            .initial_connection_window_size(Some(6 << 20))
            .keep_alive_interval(Some(Duration::from_secs(20)))
            .keep_alive_timeout(Duration::from_secs(10));
        Self { http1, http2 }
    }
}

/// Looks at the first bytes without taking them: HTTP/2 begins with a fixed preface.
async fn speaks_http2(tcp: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const LOOK_AGAIN: Duration = Duration::from_millis(10);
    let mut first = [0; PREFACE.len()];
    loop {
        let seen = tcp.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != PREFACE[..seen] {
            return Ok(false);
        }
        if seen == PREFACE.len() {
            return Ok(true);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

struct Accepted {
    tcp: TcpStream,
    address: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
    handshake: Arc<Handshake>,
}

impl Accepted {
    async fn serve(self, servers: &Servers) -> Result<(), String> {
        let handshake = Arc::clone(&self.handshake);
        tokio::select! {
            served = self.to_the_end(servers) => served,
            () = handshake.lost() => Err("no request in time".to_owned()),
        }
    }

    async fn to_the_end(self, servers: &Servers) -> Result<(), String> {
        // A small event must not wait for more to come.
        let _ = self.tcp.set_nodelay(true);
        let peer = Peer { address: self.address, encrypted: self.acceptor.is_some() };
        let mut identity = None;
        let (stream, http2) = match self.acceptor {
            None => {
                let http2 = speaks_http2(&self.tcp).await.map_err(|error| error.to_string())?;
                (Stream::Plain(self.tcp), http2)
            }
            Some(acceptor) => {
                let encrypted = acceptor.accept(self.tcp).await;
                let encrypted = encrypted.map_err(|error| failure::explained(&error))?;
                let session = encrypted.get_ref().1;
                let http2 = session.alpn_protocol() == Some(b"h2");
                let shown = session.peer_certificates().and_then(<[_]>::first);
                identity = shown.map(|certificate| Arc::new(Identity::of(certificate)));
                (Stream::Tls(Box::new(encrypted)), http2)
            }
        };
        let server = if http2 { &servers.http2 } else { &servers.http1 };
        let (router, handshake) = (self.router, self.handshake);
        if http2 {
            // A client of HTTP/2 connects before it has anything to ask, and keeps the connection.
            handshake.finish();
        }
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            handshake.finish();
            request.extensions_mut().insert(peer);
            if let Some(identity) = &identity {
                request.extensions_mut().insert(Arc::clone(identity));
            }
            router.clone().oneshot(request)
        });
        let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
        self.watcher.watch(connection).await.map_err(|error| error.to_string())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(context, slices),
            Self::Tls(tls) => Pin::new(tls).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(tcp) => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
