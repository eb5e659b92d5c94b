//! What can be changed about a run, and the roles that this program plays for itself.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures a node against its floor.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Sockets that subscribe to the one channel
    #[arg(long, default_value_t = 1_000)]
    pub(crate) sockets: u32,
    /// Events of one measurement
    #[arg(long, default_value_t = 1_000)]
    pub(crate) events: u64,
    /// Bytes of "data" of each event
    #[arg(long, default_value_t = 256)]
    pub(crate) payload_bytes: usize,
    /// Publishers that each wait for their answer, and frames per write of the coalesced floor
    #[arg(long, default_value_t = 8)]
    pub(crate) in_flight: u32,
    /// Measurements of floor and node in turn; the median is printed
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Publishes of one measurement of what a publish costs
    #[arg(long, default_value_t = 20_000)]
    pub(crate) publishes: u64,
    /// Sockets that do nothing, for the memory of one
    #[arg(long, default_value_t = 10_000)]
    pub(crate) idle_sockets: u32,
    /// Only this
    #[arg(long)]
    pub(crate) only: Option<Scenario>,
    /// The server to start; default: the all-in-one, built from here
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) node: Option<PathBuf>,
    /// A further argument of the server
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub(crate) node_argument: Vec<String>,
    /// Measure a server that runs already: its public address
    #[arg(long, requires = "pid", value_name = "ADDRESS")]
    pub(crate) address: Option<SocketAddr>,
    /// Processes of the server that runs already
    #[arg(long, requires = "address", value_delimiter = ',', value_name = "PID,…")]
    pub(crate) pid: Vec<u32>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// Parts of the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Deliveries to many sockets
    FanOut,
    /// Publishes with one subscriber
    Publish,
    /// Memory of sockets that do nothing
    Idle,
    /// Publishes with tracing off, and with a collector that nothing is told
    Traces,
    /// Deltas beside full frames of the same size
    Deltas,
}

/// What a process that this program starts of itself does.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// The load client
    #[command(hide = true)]
    Load(Load),
    /// The floor
    #[command(hide = true)]
    Floor(Floor),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    #[arg(long)]
    pub(crate) address: SocketAddr,
    #[arg(long)]
    pub(crate) sockets: u32,
    #[arg(long)]
    pub(crate) channel: String,
    #[arg(long)]
    pub(crate) terms: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Floor {
    #[arg(long)]
    pub(crate) sockets: u32,
    #[arg(long)]
    pub(crate) payload_bytes: usize,
}
