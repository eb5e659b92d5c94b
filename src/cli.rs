//! The command line: what a developer or operator does against planes that run here or elsewhere.

mod apps;
mod call;
mod certificates;
mod channels;
mod connect;
mod sign;
mod subscribe;
mod trigger;

use clap::{Args, Parser, Subcommand};

pub(crate) use sign::signed_path;

/// Carillon's command line.
#[derive(Debug, Parser)]
#[command(name = "carillon", version, about)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
enum Command {
    /// Publish one event over REST
    Trigger(trigger::Trigger),
    /// Print the events of a channel as they arrive
    Subscribe(subscribe::Subscribe),
    /// List the occupied channels, or read one channel
    Channels(channels::Channels),
    /// List the users of a presence channel
    Users(channels::Users),
    /// Close every connection that is signed in as a user
    Terminate(channels::Terminate),
    /// Print a signed URL for a REST call
    Sign(sign::Sign),
    /// Create, read, change and delete apps
    Apps(apps::Apps),
    /// Make a certificate authority and a certificate per role, for development
    Certificates(certificates::Certificates),
}

/// The names under which the commands are called; anything else starts the server.
pub(crate) const COMMANDS: [&str; 8] =
    ["trigger", "subscribe", "channels", "users", "terminate", "sign", "apps", "certificates"];

/// Which app, and where it is served.
#[derive(Args, Clone, Debug)]
pub(crate) struct Target {
    /// Where REST and WebSockets are served
    #[arg(long, default_value = "http://127.0.0.1:6001", value_name = "URL")]
    pub(crate) url: String,
    /// The app's id
    #[arg(long, default_value = "app-id", value_name = "ID")]
    pub(crate) app_id: String,
    /// The app's key
    #[arg(long, default_value = "app-key", value_name = "KEY")]
    pub(crate) key: String,
    /// The app's secret
    #[arg(long, default_value = "app-secret", value_name = "SECRET")]
    pub(crate) secret: String,
    /// Certificate authority of an https URL, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_certificate: Option<std::path::PathBuf>,
}

/// Runs the command that the process was called with.
pub(crate) async fn run() -> anyhow::Result<()> {
    match Line::parse().command {
        Command::Trigger(trigger) => trigger.run().await,
        Command::Subscribe(subscribe) => subscribe.run().await,
        Command::Channels(channels) => channels.run().await,
        Command::Users(users) => users.run().await,
        Command::Terminate(terminate) => terminate.run().await,
        Command::Sign(sign) => sign.run(),
        Command::Apps(apps) => apps.run().await,
        Command::Certificates(certificates) => certificates.run(),
    }
}

/// Unix seconds, for signatures.
pub(crate) fn unix_seconds() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
