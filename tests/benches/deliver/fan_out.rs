//! Deliveries to many sockets of one channel: floor and node in turn.

use std::{io::Write as _, net::SocketAddr};

use anyhow::Context as _;

use crate::{
    audience::Audience,
    measure::{Cost, median},
    node::Node,
    options::Options,
    part::{Part, Talk},
    publish,
};

/// Medians, per event.
pub(crate) struct FanOut {
    pub(crate) floor_single: Cost,
    pub(crate) node_single: Cost,
    pub(crate) floor_coalesced: Cost,
    pub(crate) node_in_flight: Cost,
}

/// A floor with its audience.
struct Floor {
    /// Goes first when this is dropped: it does not like to be left.
    audience: Audience,
    talk: Talk,
    part: Part,
}

/// Alternates, so that what disturbs the machine disturbs both.
pub(crate) fn run(options: &Options) -> anyhow::Result<FanOut> {
    let mut floor = Floor::start(options)?;
    let node = Node::start(options)?;
    let audience = Audience::open(node.address, options.sockets)?;
    let bytes = options.payload_bytes;
    let mut costs: [Vec<Cost>; 4] = Default::default();
    // The first round warms up.
    for round in 0..=options.rounds {
        let measured = [
            floor.measure(1, options.events)?,
            publish::measure(&node, &audience, options.events, (1, bytes))?,
            floor.measure(options.in_flight, options.events)?,
            publish::measure(&node, &audience, options.events, (options.in_flight, bytes))?,
        ];
        if round > 0 {
            for (all, cost) in costs.iter_mut().zip(measured) {
                all.push(cost);
            }
        }
    }
    let [floor_single, node_single, floor_coalesced, node_in_flight] = costs.map(median);
    Ok(FanOut { floor_single, node_single, floor_coalesced, node_in_flight })
}

impl Floor {
    fn start(options: &Options) -> anyhow::Result<Self> {
        let arguments = [
            ("--sockets", options.sockets.to_string()),
            ("--payload-bytes", options.payload_bytes.to_string()),
        ];
        let (part, mut talk) = Part::role("floor", &arguments)?;
        let address = talk.says.next().transpose()?;
        let address: SocketAddr = address.context("the floor listens")?.parse()?;
        let audience = Audience::open(address, options.sockets)?;
        Ok(Self { part, talk, audience })
    }

    /// `frames` events at a time; the next ones when every socket has them.
    fn measure(&mut self, frames: u32, events: u64) -> anyhow::Result<Cost> {
        let pace = &self.audience.pace;
        let writes = events / u64::from(frames);
        Cost::of(&[self.part.pid()], writes * u64::from(frames), || {
            for _ in 0..writes {
                pace.plan(frames.into());
                writeln!(self.talk.hears, "{frames}")?;
                pace.finish();
            }
            Ok(())
        })
    }
}
