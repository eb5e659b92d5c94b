//! Options of a node.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, builder::RangedU64ValueParser, value_parser};
use proto::plane::internal_tls::InternalTls;

/// Options that the all-in-one has too.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Shard threads; 0: one per core, at most 64
    #[arg(long, default_value_t = 0, value_name = "THREADS")]
    pub shard_threads: usize,
    /// WebSockets at most; over it a new one is closed with 4100
    #[arg(long, default_value_t = 1_000_000, value_name = "SOCKETS")]
    pub sockets_max: u32,
    /// New sockets of one address (IPv6: one /64) per window; over it an upgrade is answered with 429.
    /// 0 is no limit, and the default: behind a proxy that is not in --trusted-proxy-hops all clients
    /// have one address, and so has a company or a mobile network
    #[arg(long, default_value_t = 0, value_name = "SOCKETS")]
    pub sockets_per_address: u32,
    /// Seconds of that window; it begins with an address's first socket
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = value_parser!(u32).range(1..=86_400))]
    pub sockets_per_address_window_seconds: u32,
    /// Seconds of silence after which a client is asked whether it lives, and asks the server
    #[arg(long, default_value_t = 120, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub activity_timeout: u64,
    /// Seconds that a client has to answer a ping; then it is closed with 4201
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub pong_timeout: u64,
    /// Bytes of one message from a client; over it the socket is closed with 1009
    #[arg(long, default_value_t = 128 << 10, value_name = "BYTES")]
    pub message_bytes_max: usize,
    /// Frames that wait for one socket; over it the socket is closed with 4100
    #[arg(long, default_value_t = 1_000, value_name = "FRAMES")]
    pub outbox_frames_max: usize,
    /// Bytes that wait for one socket; over it the socket is closed with 4100
    #[arg(long, default_value_t = 1 << 20, value_name = "BYTES")]
    pub outbox_bytes_max: usize,
    /// Seconds over which a shutdown closes all sockets
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub drain_seconds: u64,
}

/// Options of a node of its own.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// WebSockets
    #[arg(long, default_value = "0.0.0.0:6001", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Probes and metrics
    #[arg(long, default_value = "127.0.0.1:9601", value_name = "ADDRESS")]
    pub operations_listen: SocketAddr,
    /// Internal listeners of control planes, as https://host:port, or http:// in clear text; several, or
    /// separated by commas. A host name stands for all its addresses; further ones are learnt from those
    /// that answer
    #[arg(
        long,
        default_value = "http://127.0.0.1:6003",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub control_plane: Vec<String>,
    /// This node's name; made up where absent
    #[arg(long, value_name = "NAME")]
    pub node_id: Option<String>,
    /// File that keeps the last good app settings, so that a restart needs no control plane
    #[arg(long, value_name = "FILE")]
    pub last_known_good: Option<PathBuf>,
    /// Proxies in front that append the address they saw to X-Forwarded-For. 1 takes the last
    /// address there, 2 the one before; 0 ignores X-Forwarded-For and X-Real-IP
    #[arg(long, default_value_t = 0, value_name = "HOPS",
          value_parser = RangedU64ValueParser::<usize>::new().range(0..=16))]
    pub trusted_proxy_hops: usize,
    /// Certificate of the public listener, PEM
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, requires = "tls_certificate", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// What is measured.
    #[command(flatten)]
    pub metrics: proto::plane::metrics::Options,
    /// Security between planes.
    #[command(flatten)]
    pub internal_tls: InternalTls,
    /// Tuning.
    #[command(flatten)]
    pub options: Options,
}
