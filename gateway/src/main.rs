//! A gateway of its own.

use proto::plane::{config, log, shutdown, traces};

/// Options of the process.
#[derive(clap::Args, Debug)]
struct Process {
    #[command(flatten)]
    common: config::Common,
    #[command(flatten)]
    config: gateway::config::Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = clap::Command::new("carillon-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carillon's gateway: REST in, gRPC out");
    let process: Process = config::read_or_exit(command);
    log::start(&process.common)?;
    let _traces = traces::start(&process.common.traces, "carillon-gateway")?;
    gateway::start(process.config, shutdown::on_signal()).await?.wait().await
}
