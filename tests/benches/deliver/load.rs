//! The load client as a process: says when it is ready, and after each wake-up what all sockets have.

use std::io::{Write as _, stdout};

use tests::load::{Plan, Subscribers};

use crate::{options::Load, publish::KEY};

/// Ends when nobody listens any more, or with an error when a socket is closed.
pub(crate) fn run(load: &Load) -> anyhow::Result<()> {
    let mut subscribers = Subscribers::open(&Plan {
        address: load.address,
        key: KEY.to_owned(),
        channel: load.channel.clone(),
        sockets: load.sockets,
        terms: load.terms.clone(),
    })?;
    let mut lines = stdout().lock();
    writeln!(lines, "ready")?;
    let mut said = 0;
    loop {
        let received = subscribers.receive()?;
        if received > said {
            said = received;
            writeln!(lines, "{received} {}", subscribers.bytes())?;
        }
    }
}
