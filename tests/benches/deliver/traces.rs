//! What tracing costs a publish where it is off, and where there is a collector but nothing is sampled.

use std::{hint::black_box, time::Duration};

use proto::plane::traces::Span;

use crate::{
    audience::Audience,
    measure::{Cost, median, now},
    node::Node,
    options::Options,
    publish,
};

/// A collector that nobody is: with a share of 0 there is nothing to send.
const COLLECTOR: [&str; 2] = ["--otlp-endpoint=http://127.0.0.1:9", "--trace-sample-ratio=0"];
const SPANS: u32 = 10_000_000;

/// Medians, per publish.
pub(crate) struct Traces {
    /// As it comes.
    pub(crate) off: Cost,
    /// Another server of the same kind: what differs is chance.
    pub(crate) off_again: Cost,
    /// With a collector and a share of 0.
    pub(crate) unsampled: Cost,
    /// What all spans of one publish take where tracing is off.
    pub(crate) spans: Duration,
}

/// In turn, so that all have the same weather.
pub(crate) fn run(options: &Options) -> anyhow::Result<Traces> {
    let collector = COLLECTOR.map(str::to_owned);
    let node_argument = [&options.node_argument[..], &collector].concat();
    let mut traced = options.clone();
    traced.node_argument = node_argument;
    let mut sides = Vec::new();
    for options in [options, options, &traced] {
        let node = Node::start(options)?;
        let audience = Audience::open(node.address, 1)?;
        sides.push((audience, node, Vec::new()));
    }
    let shape = (options.in_flight, options.payload_bytes);
    // The first measurement of each warms up.
    for round in 0..=options.rounds {
        for (audience, node, costs) in &mut sides {
            let cost = publish::measure(node, audience, options.publishes, shape)?;
            if round > 0 {
                costs.push(cost);
            }
        }
    }
    let mut medians = sides.into_iter().map(|(_, _, costs)| median(costs));
    let mut next = || medians.next().expect("there are three");
    Ok(Traces { off: next(), off_again: next(), unsampled: next(), spans: spans() })
}

/// The spans of a publish, as the three planes make them.
fn spans() -> Duration {
    let began = now();
    for _ in 0..SPANS {
        let mut root = Span::root("gateway request", black_box(None));
        root.set("http.route", || "/apps/{app_id}/events");
        let parent = black_box(root.traceparent());
        let publish = Span::child("control plane publish", black_box(&parent));
        let parent = black_box(publish.traceparent());
        black_box(Span::child("node deliver", black_box(&parent)));
    }
    (now() - began) / SPANS
}
