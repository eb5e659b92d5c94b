//! Memory of a socket that is subscribed and does nothing.

use std::{thread, time::Duration};

use crate::{audience::Audience, node::Node, options::Options};

/// Sockets opened first, so that what a server sets up once is not counted.
const FIRST: u32 = 100;

/// For allocations of the handshakes to come to rest.
const REST: Duration = Duration::from_secs(2);

/// KiB of resident memory per socket.
pub(crate) fn run(options: &Options) -> anyhow::Result<f64> {
    let node = Node::start(options)?;
    let _first = Audience::open(node.address, FIRST)?;
    thread::sleep(REST);
    let before = node.resident_kib();
    let audience = Audience::open(node.address, options.idle_sockets)?;
    thread::sleep(REST);
    let grown = node.resident_kib().saturating_sub(before);
    Ok(grown as f64 / f64::from(audience.sockets))
}
