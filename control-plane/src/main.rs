//! The control plane as a program.

use proto::plane::{config, log, shutdown, traces};

/// Everything the command line may say.
#[derive(clap::Args, Debug)]
struct Program {
    #[command(flatten)]
    common: config::Common,
    #[command(flatten)]
    config: control_plane::config::Config,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let command = clap::Command::new("carillon-control-plane")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Carillon's control plane: settings, admission, dispatch");
    let program: Program = config::read_or_exit(command);
    log::start(&program.common)?;
    let _traces = traces::start(&program.common.traces, "carillon-control-plane")?;
    control_plane::start(program.config, shutdown::on_signal()).await?.wait().await
}
