//! A node of its own.

use proto::plane::{config, log, shutdown, traces};

/// What one thread allocates another one frees, and a crowd that has left must leave nothing behind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Options of the process.
#[derive(clap::Args, Debug)]
struct Process {
    #[command(flatten)]
    common: config::Common,
    #[command(flatten)]
    config: data_plane::config::Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = clap::Command::new("carillon-data-plane")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carillon's data plane: holds the WebSockets");
    let process: Process = config::read_or_exit(command);
    log::start(&process.common)?;
    let _traces = traces::start(&process.common.traces, "carillon-data-plane")?;
    data_plane::start(process.config, shutdown::on_signal()).await?.wait().await;
    Ok(())
}
