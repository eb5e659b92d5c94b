//! A TCP proxy between two planes, to be frozen and cut.

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp},
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// How the proxy treats what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Passes it on.
    Open,
    /// Keeps it, in both directions, with the connections open.
    Frozen,
    /// Has closed all connections and accepts none.
    Cut,
}

/// A proxy with a listener of its own.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect instead of the target.
    pub address: SocketAddr,
    mode: Arc<watch::Sender<Mode>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Starts to pass on. The target may be named later, by [`watch`]'s value.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port for the proxy");
        let address = listener.local_addr().expect("it has an address");
        let mode = Arc::new(watch::Sender::new(Mode::Open));
        let accepting = tokio::spawn(accept(listener, target, mode.subscribe()));
        Self { address, mode, _accepting: AbortOnDropHandle::new(accepting) }
    }

    /// Nothing passes any more; connections stay open, as when a machine stands still.
    pub fn freeze(&self) {
        self.mode.send_replace(Mode::Frozen);
    }

    /// All connections are closed and new ones are, too.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Everything passes again.
    pub fn heal(&self) {
        self.mode.send_replace(Mode::Open);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mode: watch::Receiver<Mode>) {
    while let Ok((inner, _)) = listener.accept().await {
        if *mode.borrow() == Mode::Cut {
            continue;
        }
        let mode = mode.clone();
        tokio::spawn(async move {
            if let Ok(outer) = TcpStream::connect(target).await {
                pass(inner, outer, mode).await;
            }
        });
    }
}

/// Passes on in both directions until one ends or the proxy is cut.
async fn pass(inner: TcpStream, outer: TcpStream, mut mode: watch::Receiver<Mode>) {
    let _ = (inner.set_nodelay(true), outer.set_nodelay(true));
    let (inner_read, inner_write) = inner.into_split();
    let (outer_read, outer_write) = outer.into_split();
    let there = copy(inner_read, outer_write, mode.clone());
    let back = copy(outer_read, inner_write, mode.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

async fn copy(
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if mode.wait_for(|mode| *mode == Mode::Open).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
