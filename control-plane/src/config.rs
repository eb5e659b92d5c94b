//! Options of a control plane.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use proto::plane::internal_tls::{InternalTls, OperationsTls};

/// Options that the all-in-one has too.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Token for the admin API; without one the admin API is off
    #[arg(long, value_name = "TOKEN")]
    pub admin_token: Option<String>,
    /// File with a key of 32 bytes (raw, hex or base64) that encrypts app secrets before they are
    /// stored; the first encrypts, all decrypt
    #[arg(long, value_name = "FILE")]
    pub encryption_key_file: Vec<PathBuf>,
    /// Accept gRPC credentials in clear text from peers that are not loopback
    #[arg(long)]
    pub allow_plaintext_credentials: bool,
    /// Publishes are refused (503) until this many nodes have attached, for at most the warm-up time;
    /// 0: wait for the warm-up time
    #[arg(long, default_value_t = 0, value_name = "NODES")]
    pub expect_nodes: usize,
    /// Longest wait for nodes after a start, in milliseconds
    #[arg(long, default_value_t = 3_000, value_name = "MS")]
    pub warm_up_ms: u64,
    /// Call webhooks at loopback, private and link-local addresses too
    #[arg(long)]
    pub webhooks_private_addresses_allowed: bool,
    /// Webhook calls at once; targets that fail have half of the places
    #[arg(long, default_value_t = 20, value_name = "CALLS")]
    pub webhook_calls_max: usize,
    /// How long the last event of a cache channel is shown to new subscribers, in seconds
    #[arg(long, default_value_t = 3_600, value_name = "SECONDS")]
    pub cache_ttl_seconds: u64,
    /// What the last events of all cache channels may take, in bytes; the oldest go first
    #[arg(long, default_value_t = 268_435_456, value_name = "BYTES")]
    pub cache_bytes_max: usize,
    /// Encryption of the operations listener.
    #[command(flatten)]
    pub operations_tls: OperationsTls,
}

/// Where etcd is, and how it is spoken to.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct Etcd {
    /// etcd, as http://host:port or https://host:port; several, or separated by commas. Without any, apps
    /// are kept under --data
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    pub etcd_endpoints: Vec<String>,
    /// Authorities that etcd's certificates are checked against, PEM; needed for https
    #[arg(long, value_name = "FILE")]
    pub etcd_ca: Option<PathBuf>,
    /// Certificate that etcd is shown, PEM
    #[arg(long, requires = "etcd_key", value_name = "FILE")]
    pub etcd_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, requires = "etcd_certificate", value_name = "FILE")]
    pub etcd_key: Option<PathBuf>,
    /// Name to sign in to etcd with
    #[arg(long, requires = "etcd_password_file", value_name = "NAME")]
    pub etcd_user: Option<String>,
    /// File with the password to sign in to etcd with
    #[arg(long, requires = "etcd_user", value_name = "FILE")]
    pub etcd_password_file: Option<PathBuf>,
}

/// Options of a control plane of its own.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Public gRPC: EventService
    #[arg(long, default_value = "0.0.0.0:6002", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Internal gRPC: gateways and nodes
    #[arg(long, default_value = "127.0.0.1:6003", value_name = "ADDRESS")]
    pub internal_listen: SocketAddr,
    /// Probes, metrics and the admin API
    #[arg(long, default_value = "127.0.0.1:9601", value_name = "ADDRESS")]
    pub operations_listen: SocketAddr,
    /// Where apps are kept.
    #[command(flatten)]
    pub etcd: Etcd,
    /// Folder of the embedded store, or of the copy of what etcd had last
    #[arg(long, default_value = "data", value_name = "FOLDER")]
    pub data: PathBuf,
    /// The name of this control plane among several: it outlives the process, and picks its share of the
    /// channels; made up where absent
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// How others reach the internal listener, as http://host:port; its own address where absent
    #[arg(long, value_name = "URL")]
    pub advertise: Option<String>,
    /// Internal listeners of the other control planes, as http://host:port; several, or separated by
    /// commas. A host name stands for all its addresses, and is looked up every five seconds. One that
    /// is this control plane's own does no harm
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    pub peer: Vec<String>,
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
