//! What a publish costs with one subscriber, over all planes: by REST and by a gRPC stream.

use crate::{
    audience::Audience,
    measure::{Cost, median},
    node::Node,
    options::Options,
    publish, stream,
};

/// Requests of a gRPC stream that are under way at a time.
const STREAM_WINDOW: usize = 64;

/// Medians, per publish, each with what it is.
pub(crate) struct Publishing(pub(crate) Vec<(String, Cost)>);

pub(crate) fn run(options: &Options) -> anyhow::Result<Publishing> {
    let node = Node::start(options)?;
    let audience = Audience::open(node.address, 1)?;
    let mut costs = Vec::new();
    for publishers in [1, options.in_flight] {
        let shape = (publishers, options.payload_bytes);
        let measure = || publish::measure(&node, &audience, options.publishes, shape);
        let title = format!("REST, {publishers} in flight");
        costs.push((title, several(options.rounds, measure)?));
    }
    let measure = || by_stream(&node, &audience, options);
    let title = format!("gRPC stream, {STREAM_WINDOW} in flight");
    costs.push((title, several(options.rounds, measure)?));
    Ok(Publishing(costs))
}

/// The first measurement warms up.
fn several(rounds: usize, measure: impl Fn() -> anyhow::Result<Cost>) -> anyhow::Result<Cost> {
    measure()?;
    let costs: anyhow::Result<Vec<Cost>> = (0..rounds).map(|_| measure()).collect();
    costs.map(median)
}

fn by_stream(node: &Node, audience: &Audience, options: &Options) -> anyhow::Result<Cost> {
    audience.pace.plan(options.publishes);
    Cost::of(&node.pids, options.publishes, || {
        let shape = (STREAM_WINDOW, options.payload_bytes);
        stream::publish(node.address, options.publishes, shape)?;
        audience.pace.finish();
        Ok(())
    })
}
