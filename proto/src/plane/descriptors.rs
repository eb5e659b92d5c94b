//! File descriptors: how many a process may have, and one in reserve for when there are none left.

use std::fs::File;

use futures_util::FutureExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;

/// Raises the limit as far as a process may do that for itself; tells how many it may have then.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

/// A descriptor that is given up to accept one connection and close it: a client then looks elsewhere
/// at once, where it would wait in the backlog for nothing.
#[derive(Debug)]
pub(super) struct Reserve(Option<File>);

impl Reserve {
    pub(super) fn take() -> Self {
        Self(File::open("/dev/null").ok())
    }

    /// Turns away who has waited longest.
    pub(super) fn spend(&mut self, tcp: &TcpListener) {
        self.0 = None;
        drop(tcp.accept().now_or_never());
        *self = Self::take();
    }
}
