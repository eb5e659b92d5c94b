//! What is outside of the cluster, and what must not be reached from inside it.

use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::machine;

/// The name of a host that is no pod.
pub(crate) const NAME: &str = "world";
/// Its address, from the range for documents; a webhook's target might be there.
pub(crate) const ADDRESS: &str = "203.0.113.10";
/// Where clouds keep credentials of their machines.
pub(crate) const METADATA: &str = "169.254.169.254";
/// Where all of them listen.
pub(crate) const PORT: u16 = 443;

/// A host outside, and one within that listens at the same port.
#[derive(Debug)]
pub(crate) struct World {
    _listeners: [Child; 2],
}

impl World {
    /// Gives the host its addresses and starts to listen there and at `stranger`.
    pub(crate) async fn start(stranger: &str) -> Self {
        for address in [ADDRESS, METADATA] {
            let address = format!("{address}/24");
            machine::run("ip", &["-n", NAME, "address", "add", &address, "dev", "eth0"]);
        }
        let listeners = [listen(NAME), listen(stranger)];
        for name in [NAME, stranger] {
            let ready = || async { machine::reaches(name, "127.0.0.1", PORT).then_some(()) };
            tests::eventually("somebody listens", ready).await;
        }
        Self { _listeners: listeners }
    }
}

/// Lets a pod find the way; a policy may shut it.
pub(crate) fn show_the_way(name: &str) {
    for network in ["203.0.113.0/24", "169.254.169.0/24"] {
        machine::run("ip", &["-n", name, "route", "replace", network, "dev", "eth0"]);
    }
}

fn listen(name: &str) -> Child {
    let port = PORT.to_string();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, "python3", "-m", "http.server", &port]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true).spawn().expect("Python is installed (./test installs it)")
}
