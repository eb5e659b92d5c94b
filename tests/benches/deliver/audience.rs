//! The load client as the driver sees it.

use std::{net::SocketAddr, sync::Arc, thread};

use anyhow::ensure;

use crate::{pace::Pace, part::Part, publish::CHANNEL};

/// Subscribers in a process of their own, who report to a pace.
pub(crate) struct Audience {
    pub(crate) pace: Arc<Pace>,
    pub(crate) sockets: u32,
    _part: Part,
}

impl Audience {
    /// Returns when every socket is subscribed.
    pub(crate) fn open(address: SocketAddr, sockets: u32) -> anyhow::Result<Self> {
        Self::on_terms(address, sockets, (CHANNEL, &[]))
    }

    /// The same on another channel, with further members of the subscriptions that sockets take in
    /// turn.
    pub(crate) fn on_terms(
        address: SocketAddr,
        sockets: u32,
        (channel, terms): (&str, &[String]),
    ) -> anyhow::Result<Self> {
        let mut arguments = vec![
            ("--address", address.to_string()),
            ("--sockets", sockets.to_string()),
            ("--channel", channel.to_owned()),
        ];
        arguments.extend(terms.iter().map(|terms| ("--terms", terms.clone())));
        let (part, mut talk) = Part::role("load", &arguments)?;
        let first = talk.says.next().transpose()?;
        ensure!(first.as_deref() == Some("ready"), "the load client cannot subscribe");
        let pace = Arc::new(Pace::default());
        let reported = Arc::clone(&pace);
        thread::spawn(move || {
            for line in talk.says.map_while(Result::ok) {
                let (events, bytes) =
                    line.split_once(' ').expect("the load client says two numbers");
                let number = |text: &str| text.parse().expect("the load client says numbers");
                reported.received(number(events), number(bytes));
            }
            reported.stop("the load client has ended: its error is above");
        });
        Ok(Self { pace, sockets, _part: part })
    }
}
