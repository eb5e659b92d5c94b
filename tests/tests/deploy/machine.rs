//! The machine that the pods run on: namespaces of this test's own, in which nothing outlives it.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::world;

/// The machine's own address on the network of the pods; probes come from here.
pub(crate) const ADDRESS: &str = "10.244.0.1";

/// Set in the process that runs inside.
const INSIDE: &str = "CARILLON_DEPLOY_INSIDE";

/// Whether this process is inside. If not, runs the test of that name there, and fails as it does.
pub(crate) fn is_inside(test: &str) -> bool {
    if std::env::vars_os().any(|(name, _)| name == INSIDE) {
        prepare();
        return true;
    }
    tests::process::build();
    let own = std::env::current_exe().expect("a test is a program");
    // Root makes namespaces; anybody else asks for it.
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n");
    let mut command = Command::new(if is_root { "unshare" } else { "sudo" });
    if !is_root {
        command.arg("--preserve-env").arg("unshare");
    }
    let status = command
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(own)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "yes")
        .status()
        .expect("unshare is part of util-linux");
    assert!(status.success(), "{test}, in namespaces of its own");
    false
}

/// A bridge for the pods, and a place for their namespaces that nobody else sees.
fn prepare() {
    std::fs::create_dir_all("/run/netns").expect("root may do that");
    run("mount", &["-t", "tmpfs", "pods", "/run/netns"]);
    run("ip", &["link", "set", "lo", "up"]);
    run("ip", &["link", "add", "pods", "type", "bridge"]);
    run("ip", &["address", "add", &format!("{ADDRESS}/16"), "dev", "pods"]);
    run("ip", &["link", "set", "pods", "up"]);
}

/// A network namespace with one address, connected to all others.
pub(crate) fn connect(name: &str, number: u16, address: &str) {
    let outer = format!("pod{number}");
    run("ip", &["netns", "add", name]);
    run("ip", &["link", "add", &outer, "type", "veth", "peer", "name", "eth0", "netns", name]);
    run("ip", &["link", "set", &outer, "master", "pods", "up"]);
    run("ip", &["-n", name, "address", "add", &format!("{address}/16"), "dev", "eth0"]);
    run("ip", &["-n", name, "link", "set", "eth0", "up"]);
    run("ip", &["-n", name, "link", "set", "lo", "up"]);
    world::show_the_way(name);
}

/// Removes it.
pub(crate) fn disconnect(name: &str) {
    run("ip", &["netns", "delete", name]);
}

/// A command in that namespace.
pub(crate) fn within(name: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, program]).stdin(Stdio::null());
    command
}

/// Whether a TCP connection from there can be made.
pub(crate) fn reaches(name: &str, address: &str, port: u16) -> bool {
    let connect = format!("exec 3<>/dev/tcp/{address}/{port}");
    let mut command = within(name, "timeout");
    command.args(["3", "bash", "-c", &connect]).stderr(Stdio::null());
    command.status().expect("bash can be started").success()
}

/// Runs a command that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}");
}

/// Gives a file or a folder to the user and group that pods run as.
pub(crate) fn give(path: &Path, user: &str) {
    run("chown", &["-R", user, &path.display().to_string()]);
}
