//! Options of a gateway.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, builder::RangedU64ValueParser, value_parser};
use proto::plane::internal_tls::InternalTls;

const BODY_BYTES_MAX: u32 = 10 << 20;
const REQUESTS_PER_ADDRESS: u32 = 6_000_000;
const WINDOW_SECONDS: u32 = 60;
const PUBLISH_TIMEOUT_MS: u64 = 5_000;
const REQUESTS_IN_FLIGHT: u32 = 1_024;
const BODY_BYTES_IN_FLIGHT: u32 = 64 << 20;

/// Options that the all-in-one has too.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// Bytes a request body may have; a larger one is answered with 413. Must be more than the
    /// largest event_payload_kib_max of any app
    #[arg(long, default_value_t = BODY_BYTES_MAX, value_name = "BYTES",
          value_parser = value_parser!(u32).range(1_024..=1 << 30))]
    pub request_body_bytes_max: u32,
    /// Path under which the API is mounted as well, such as /ws; requests may be signed with or
    /// without it
    #[arg(long, value_name = "PATH", value_parser = path_prefix)]
    pub path_prefix: Option<String>,
    /// Requests of one address (IPv6: one /64) per window, all apps together, signed or not; more are
    /// answered with 429. Far above what one backend needs, for backends share addresses; 0 is no
    /// limit
    #[arg(long, default_value_t = REQUESTS_PER_ADDRESS, value_name = "REQUESTS")]
    pub requests_per_address: u32,
    /// Seconds of that window; it begins with an address's first request
    #[arg(long, default_value_t = WINDOW_SECONDS, value_name = "SECONDS",
          value_parser = value_parser!(u32).range(1..=86_400))]
    pub requests_per_address_window_seconds: u32,
    /// Proxies in front that append the address they saw to X-Forwarded-For. 1 takes the last
    /// address there, 2 the one before; 0 ignores X-Forwarded-For and X-Real-IP
    #[arg(long, default_value_t = 0, value_name = "HOPS",
          value_parser = RangedU64ValueParser::<usize>::new().range(0..=16))]
    pub trusted_proxy_hops: usize,
    /// Milliseconds in which some control plane must have answered a call, publishes and others; then
    /// 503. At once where none has been reachable for a second
    #[arg(long, default_value_t = PUBLISH_TIMEOUT_MS, value_name = "MS",
          value_parser = value_parser!(u64).range(1..=60_000))]
    pub publish_timeout_ms: u64,
    /// Requests in this process's hands at once; more are answered with 503
    #[arg(long, default_value_t = REQUESTS_IN_FLIGHT, value_name = "REQUESTS",
          value_parser = value_parser!(u32).range(1..=1 << 20))]
    pub requests_in_flight_max: u32,
    /// Bytes of bodies in this process's hands at once; a request that needs more is answered with 503
    #[arg(long, default_value_t = BODY_BYTES_IN_FLIGHT, value_name = "BYTES",
          value_parser = value_parser!(u32).range(1_024..))]
    pub body_bytes_in_flight_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            request_body_bytes_max: BODY_BYTES_MAX,
            path_prefix: None,
            requests_per_address: REQUESTS_PER_ADDRESS,
            requests_per_address_window_seconds: WINDOW_SECONDS,
            trusted_proxy_hops: 0,
            publish_timeout_ms: PUBLISH_TIMEOUT_MS,
            requests_in_flight_max: REQUESTS_IN_FLIGHT,
            body_bytes_in_flight_max: BODY_BYTES_IN_FLIGHT,
        }
    }
}

/// Options of a gateway of its own.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Config {
    /// Public REST
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
    /// File that keeps the apps for a start without a control plane. It holds secrets
    #[arg(long, value_name = "FILE")]
    pub last_known_good: Option<PathBuf>,
    /// Certificate of the public listener, PEM
    #[arg(long, requires = "tls_key", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,
    /// Key of the certificate, PEM
    #[arg(long, requires = "tls_certificate", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
    /// Security between planes.
    #[command(flatten)]
    pub internal_tls: InternalTls,
    /// Milliseconds between not being ready any more and accepting no more connections at shutdown:
    /// what a load balancer needs to look elsewhere
    #[arg(long, default_value_t = 2_000, value_name = "MS")]
    pub drain_delay_ms: u64,
    /// What is measured.
    #[command(flatten)]
    pub metrics: proto::plane::metrics::Options,
    /// Tuning.
    #[command(flatten)]
    pub options: Options,
}

/// A path that starts with a slash and does not end with one; plain characters only, for it becomes
/// part of the route table.
fn path_prefix(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    if !text.starts_with('/') || text.ends_with('/') || text.contains("//") {
        return Err("a path prefix starts with / and does not end with it, such as /ws".into());
    }
    if !text.bytes().all(plain) {
        return Err("a path prefix has the characters A-Z a-z 0-9 / - _ . ~ only".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches as _};

    fn parse(arguments: &[&str]) -> Result<Config, clap::Error> {
        let command = Config::augment_args(Command::new("gateway").no_binary_name(true));
        Config::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn defaults_agree_with_the_command_line() {
        let parsed = parse(&[]).unwrap();
        assert_eq!(format!("{:?}", parsed.options), format!("{:?}", Options::default()));
        assert_eq!(parsed.control_plane, ["http://127.0.0.1:6003"]);
        assert_eq!(parsed.listen.port(), 6001);
    }

    #[test]
    fn mistakes_are_refused() {
        for good in ["--path-prefix=/ws", "--path-prefix=/a/b_c", "--control-plane=a,b"] {
            assert!(parse(&[good]).is_ok(), "{good}");
        }
        for bad in [
            "--path-prefix=ws",
            "--path-prefix=/ws/",
            "--path-prefix=/",
            "--path-prefix=/{x}",
            "--publish-timeout-ms=0",
            "--request-body-bytes-max=0",
            "--tls-key=/x",
        ] {
            assert!(parse(&[bad]).is_err(), "{bad}");
        }
    }
}
