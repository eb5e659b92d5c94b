//! The load client as the driver sees it.

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::ensure;

use crate::{pace::Pace, part::Part};

/// Subscribers in a process of their own, who report to a pace.
pub(crate) struct Audience {
    pub(crate) pace: Arc<Pace>,
    pub(crate) sockets: u32,
    _part: Part,
}

impl Audience {
    /// Returns when every socket is subscribed.
    pub(crate) fn open(address: SocketAddr, sockets: u32) -> anyhow::Result<Self> {
        let arguments = [("--address", address.to_string()), ("--sockets", sockets.to_string())];
        let (part, mut talk) = Part::role("load", &arguments)?;
        let first = talk.says.next().transpose()?;
        ensure!(first.as_deref() == Some("ready"), "the load client cannot subscribe");
        let pace = Arc::new(Pace::default());
        let reported = Arc::clone(&pace);
        thread::spawn(move || {
            for line in talk.says.map_while(Result::ok) {
                reported.received(line.parse().expect("the load client says numbers"));
            }
            reported.stop("the load client has ended: its error is above");
        });
        Ok(Self { pace, sockets, _part: part })
    }
}
