//! Carillon: all planes in one process, and the command line.

mod all_in_one;
mod cli;
mod config;
mod welcome;

use proto::plane::{self, log, shutdown, traces};

/// An event makes some sixty short-lived allocations on its way, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Everything that the command line of the server may say.
#[derive(clap::Args, Debug)]
struct Program {
    #[command(flatten)]
    common: plane::config::Common,
    #[command(flatten)]
    config: config::Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let first = std::env::args().nth(1).unwrap_or_default();
    if cli::COMMANDS.contains(&&*first) {
        return cli::run().await;
    }
    let command = clap::Command::new("carillon")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carillon: a realtime pub/sub server that speaks the Pusher protocol")
        .after_help(format!("Commands: carillon {} (each with --help)", cli::COMMANDS.join(" | ")));
    let program: Program = plane::config::read_or_exit(command);
    log::start(&program.common)?;
    let _traces = traces::start(&program.common.traces, "carillon")?;
    all_in_one::start(program.config, shutdown::on_signal()).await?.wait().await
}
