//! What a delivery costs: the node against its floor, in one run on one machine.
//!
//! `cargo bench -p tests --bench deliver` builds the all-in-one, starts it, a floor and a load client
//! for each as processes of their own, and prints a table. `-- --help` lists what can be changed.
//!
//! The floor is what no server can do without: one thread that writes the same bytes to the same number
//! of TCP sockets, for the same client and at the same pace. Figures are CPU times of the measured
//! process as the scheduler counts them; the client and this driver are not in them.

mod options;

#[allow(dead_code, reason = "the core's bench needs more of it")]
#[path = "../../../data-plane/core/benches/delta/series.rs"]
mod series;

mod floor;
mod load;

mod audience;
mod measure;
mod node;
mod pace;
mod part;
mod publish;
mod stream;

mod deltas;
mod fan_out;
mod idle;
mod publishing;
mod table;
mod traces;

use clap::Parser;

use options::{Options, Role, Scenario};

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.role {
        Some(Role::Load(plan)) => load::run(plan),
        Some(Role::Floor(plan)) => floor::run(plan),
        None => drive(&options),
    }
}

fn drive(options: &Options) -> anyhow::Result<()> {
    if options.node.is_none() {
        node::build()?;
    }
    let wanted = |scenario| options.only.is_none_or(|only| only == scenario);
    if wanted(Scenario::FanOut) {
        table::fan_out(options, &fan_out::run(options)?);
    }
    if wanted(Scenario::Publish) {
        table::publishing(&publishing::run(options)?);
    }
    if wanted(Scenario::Idle) {
        table::idle(options, idle::run(options)?);
    }
    if wanted(Scenario::Traces) {
        table::traces(&traces::run(options)?);
    }
    if wanted(Scenario::Deltas) {
        table::deltas(options, &deltas::run(options)?);
    }
    Ok(())
}
