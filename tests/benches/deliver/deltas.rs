//! Deliveries as deltas beside deliveries of full frames of the same size, one of each in turn.

use crate::{
    audience::Audience,
    measure::{Cost, median, median_ratio},
    node::Node,
    options::Options,
    publish::{Body, EVENT, Publisher, payload},
    series,
};

/// How an audience reads deltas, and in how many different states it is when it gets one.
pub(crate) const CASES: [Case; 4] = [
    Case { format: "fossil", states: 1 },
    Case { format: "fossil", states: 8 },
    Case { format: "xdelta3", states: 1 },
    Case { format: "compact", states: 1 },
];

/// Events from which sizes are taken.
const PROBES: usize = 50;
/// Shorter text frames are not counted as events.
const FULL_BYTES_MIN: usize = 130;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) format: &'static str,
    pub(crate) states: usize,
}

/// Medians of one case over all its events to all: what disturbs a few of them does not count.
pub(crate) struct Deltas {
    pub(crate) case: Case,
    pub(crate) delta: Side,
    pub(crate) full: Side,
    /// CPU time of an event as deltas, for one of the full event next to it: what the machine does
    /// meanwhile is the same for both.
    pub(crate) ratio: f64,
}

pub(crate) struct Side {
    pub(crate) cost: Cost,
    /// Of a frame, header included.
    pub(crate) bytes: f64,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<Vec<Deltas>> {
    let node = Node::start(options)?;
    CASES.into_iter().map(|case| measure(&node, options, case)).collect()
}

fn measure(node: &Node, options: &Options, case: Case) -> anyhow::Result<Deltas> {
    let Case { format, states } = case;
    let delta = format!(r#""delta":"{format}","#);
    let mut deltas =
        Stream::open(node, options, (&format!("deltas-{format}-{states}"), states, &delta))?;
    let mut full = Stream::open(node, options, (&format!("full-{format}-{states}"), states, ""))?;
    let telemetry = series::ALL[2].payloads(1_000);
    let mut telemetry = telemetry.iter().cycle();
    let first = telemetry.next().map_or("", String::as_str);
    deltas.publish(first, node)?;
    deltas.begin();
    for data in telemetry.by_ref().take(PROBES) {
        deltas.publish(data, node)?;
    }
    full.publish(&payload(FULL_BYTES_MIN), node)?;
    let around = full.bytes_each() - FULL_BYTES_MIN as f64;
    let bytes = (deltas.bytes_each() - around).round().max(FULL_BYTES_MIN as f64 - around);
    let same = payload(bytes as usize);
    full.body_bytes = deltas.body(&escaped(first), "all").bytes();
    for round in 0..=options.rounds {
        // The first round warms up.
        if round <= 1 {
            deltas.begin();
            full.begin();
        }
        for data in telemetry.by_ref().take(options.events as usize) {
            deltas.publish(data, node)?;
            full.publish(&same, node)?;
        }
    }
    let ratio = median_ratio(&deltas.costs, &full.costs);
    let side = |stream: Stream| Side { bytes: stream.bytes_each(), cost: median(stream.costs) };
    Ok(Deltas { case, delta: side(deltas), full: side(full), ratio })
}

/// A channel with its audience, and what events to all of it have cost.
struct Stream {
    channel: String,
    audience: Audience,
    states: usize,
    publisher: Publisher,
    costs: Vec<Cost>,
    bytes: u64,
    /// Bodies are filled up to so many bytes with what nobody reads: what a publish costs beyond its
    /// deliveries shall be the same.
    body_bytes: usize,
}

impl Stream {
    /// With several states sockets are in as many groups: all get what has the tag `all`, and one
    /// group what has its own.
    fn open(
        node: &Node,
        options: &Options,
        (channel, states, terms): (&str, usize, &str),
    ) -> anyhow::Result<Self> {
        let group = |group: usize| {
            let filter = format!(r#"{{"key":"for","cmp":"in","vals":["all","{group}"]}}"#);
            format!(r#"{terms}"tags_filter":{filter}"#)
        };
        let groups: Vec<_> = (0..states).map(group).collect();
        let audience = Audience::on_terms(node.address, options.sockets, (channel, &groups))?;
        Ok(Self {
            channel: channel.to_owned(),
            audience,
            states,
            publisher: Publisher::connect(node.address)?,
            costs: Vec::new(),
            bytes: 0,
            body_bytes: 0,
        })
    }

    /// An event to all, which is measured; before it one to each group, where there are several:
    /// so each group has received another one last.
    fn publish(&mut self, data: &str, node: &Node) -> anyhow::Result<()> {
        let data = escaped(data);
        if self.states > 1 {
            self.audience.pace.plan(1);
            for group in 0..self.states {
                // Another text for each, of the same kind.
                let body = self.body(
                    &data.replacen("running", &format!("running-{group}"), 1),
                    &group.to_string(),
                );
                self.publisher.publish(&body)?;
            }
            self.audience.pace.finish();
        }
        let body = self.body(&data, "all");
        let before = self.audience.pace.bytes();
        self.audience.pace.plan(1);
        let cost = Cost::of(&node.pids, 1, || {
            self.publisher.publish(&body)?;
            self.audience.pace.finish();
            Ok(())
        })?;
        self.costs.push(cost);
        self.bytes += self.audience.pace.bytes() - before;
        Ok(())
    }

    fn body(&self, data: &str, tag: &str) -> Body {
        let channel = &self.channel;
        let body = |filling: &str| {
            format!(
                r#"{{"name":"{EVENT}","channel":"{channel}","data":"{data}","tags":{{"for":"{tag}"}},"filling":"{filling}"}}"#
            )
        };
        let missing = self.body_bytes.saturating_sub(body("").len());
        Body::new(body(&payload(missing)))
    }

    /// From here on it counts.
    fn begin(&mut self) {
        self.costs.clear();
        self.bytes = 0;
    }

    fn bytes_each(&self) -> f64 {
        self.bytes as f64 / self.costs.len() as f64 / f64::from(self.audience.sockets)
    }
}

/// As the inside of a JSON string.
fn escaped(data: &str) -> String {
    data.replace('\\', r"\\").replace('"', r#"\""#)
}
