//! The server that is measured: started here, or one that runs already.

use std::{
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{bail, ensure};
use tests::process::free_port;

use crate::{options::Options, part::Part};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A server with the development app.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) pids: Vec<u32>,
    _started: Option<(Part, tempfile::TempDir)>,
}

/// Builds the all-in-one as its users build it.
pub(crate) fn build() -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--package", "carillon"])
        .current_dir(ROOT)
        .status()?;
    ensure!(status.success(), "the server cannot be built");
    Ok(())
}

impl Node {
    /// A fresh one with an empty store, unless one that runs already was named.
    pub(crate) fn start(options: &Options) -> anyhow::Result<Self> {
        if let Some(address) = options.address {
            let pids = options.pid.clone();
            return Ok(Self { address, pids, _started: None });
        }
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let data = tempfile::tempdir()?;
        let mut command = Command::new(program(options));
        command
            .args(["--listen", &address.to_string()])
            .args(["--operations-listen", &format!("127.0.0.1:{}", free_port())])
            .args(["--log-level", "warn", "--data"])
            .arg(data.path())
            .args(&options.node_argument);
        let part = Part::program(command)?;
        await_listener(address)?;
        Ok(Self { address, pids: vec![part.pid()], _started: Some((part, data)) })
    }

    /// Resident memory of all its processes, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let resident = |pid: &u32| tests::process::resident_kib(&pid.to_string());
        self.pids.iter().map(resident).sum()
    }
}

fn program(options: &Options) -> PathBuf {
    let built = || Path::new(ROOT).join("target/release/carillon");
    options.node.clone().unwrap_or_else(built)
}

fn await_listener(address: SocketAddr) -> anyhow::Result<()> {
    for _ in 0..1_000 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    bail!("the server does not listen on {address}")
}
