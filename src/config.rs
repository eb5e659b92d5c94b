//! Options of the all-in-one.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

/// Everything the command line may say when all planes run in one process.
#[derive(Args, Clone, Debug)]
pub(crate) struct Config {
    /// REST, WebSockets and gRPC for backends, all on one port
    #[arg(long, default_value = "0.0.0.0:6001", value_name = "ADDRESS")]
    pub(crate) listen: SocketAddr,
    /// Probes, metrics and the admin API
    #[arg(long, default_value = "127.0.0.1:9601", value_name = "ADDRESS")]
    pub(crate) operations_listen: SocketAddr,
    /// Folder of the embedded store
    #[arg(long, default_value = "data", value_name = "FOLDER")]
    pub(crate) data: PathBuf,
    /// Certificate of the public listener, PEM
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, requires = "tls_certificate", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// What is measured.
    #[command(flatten)]
    pub(crate) metrics: proto::plane::metrics::Options,
    /// The gateway's.
    #[command(flatten)]
    pub(crate) gateway: gateway::config::Options,
    /// The control plane's.
    #[command(flatten)]
    pub(crate) control_plane: control_plane::config::Options,
    /// The node's.
    #[command(flatten)]
    pub(crate) data_plane: data_plane::config::Options,
}
