//! Where a process says what it does: structured lines on standard error.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt};

use super::config::Common;

/// Starts logging; a second call in one process changes nothing.
pub fn start(common: &Common) -> anyhow::Result<()> {
    // Whatever the level, who changed which app is logged; a filter that names `audit` has its way.
    let filter = EnvFilter::try_new(format!("audit=info,{}", common.log_level))?;
    let json = match common.log_format.as_str() {
        "json" => true,
        "text" => false,
        _ => !std::io::stderr().is_terminal(),
    };
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json { lines.json().try_init() } else { lines.try_init() };
    drop(started);
    Ok(())
}
