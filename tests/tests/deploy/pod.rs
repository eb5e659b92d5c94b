//! One pod: a process in namespaces of its own, started, probed and ended as a kubelet does.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tests::{process, rest::get};
use tokio::{process::Child, time};

use crate::{
    container::{Container, number},
    firewall::Peer,
    image::Image,
    machine::{self, give, within},
    manifests::{items, pod_labels, text},
    secrets::Secrets,
};

/// Who all pods run as; `image` compares it with the manifests.
const IDENTITY: &str = "65532:65532";

/// A pod with its one container.
#[derive(Debug)]
pub(crate) struct Pod {
    /// What policies see of it.
    pub(crate) peer: Peer,
    pub(crate) container: Container<'static>,
    /// Whether Services lead to it.
    pub(crate) in_service: bool,
    child: Child,
    log: PathBuf,
}

/// Where pods keep what they need.
#[derive(Debug)]
pub(crate) struct Storage<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) hosts: &'a Path,
    pub(crate) secrets: &'a Secrets,
}

/// What there is to be known of a pod before it runs.
pub(crate) fn peer(name: &str, address: &str, container: Container<'static>) -> Peer {
    Peer {
        name: name.to_owned(),
        address: address.to_owned(),
        namespace: text(&container.workload["metadata"]["namespace"]).to_owned(),
        labels: pod_labels(container.workload).clone(),
        ports: container.ports(),
    }
}

impl Pod {
    /// Starts the container's command in the network namespace that is there already.
    pub(crate) fn start(peer: Peer, container: Container<'static>, storage: &Storage<'_>) -> Self {
        let own = storage.folder.join("pods").join(&peer.name);
        let root = own.join("root");
        fs::create_dir_all(&root).expect("the test's folder is writable");
        let environment =
            container.environment(&peer.name, |secret, key| storage.secrets.read(secret, key));
        let log = own.join("log");
        let output = File::create(&log).expect("the test's folder is writable");
        let mut command = within(&peer.name, "bash");
        command.arg("-c").arg(include_str!("pod.sh")).arg("pod.sh");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("ROOT", root).env("HOSTS", storage.hosts).env("IDENTITY", IDENTITY);
        command.env("VOLUMES", volumes(&container, &own, storage));
        if container.is_ours() {
            let entry = Image::of(container.image()).entry;
            let program = process::program(entry.trim_start_matches('/'));
            command.env("PROGRAM", format!("{}:{entry}", program.display())).arg(entry);
        }
        command.args(items(&container.container["command"]).map(text));
        command.args(container.arguments(&environment)).envs(environment);
        command.stderr(output.try_clone().expect("a descriptor")).stdout(output);
        let child = tokio::process::Command::from(command).kill_on_drop(true).spawn();
        let child = child.expect("bash can be started");
        Self { peer, container, in_service: false, child, log }
    }

    /// Whether a probe's answer is 200.
    pub(crate) async fn passes(&self, probe: &str) -> bool {
        let (path, port) = self.container.probe(probe);
        get(self.socket(port), path).await.0 == 200
    }

    /// One of its ports.
    pub(crate) fn socket(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.peer.address.parse().expect("an address"), port)
    }

    /// Waits its time, asks it to end, and waits for that; it must end by itself, and well.
    pub(crate) async fn end(&mut self) {
        let stop = &self.container.container["lifecycle"]["preStop"]["sleep"]["seconds"];
        let stop = if stop.is_null() { 0 } else { number(stop) };
        let grace = number(&self.container.pod()["terminationGracePeriodSeconds"]);
        time::sleep(Duration::from_secs(stop.into())).await;
        let pid = self.child.id().expect("it runs").to_string();
        machine::run("kill", &["-TERM", &pid]);
        let patience = Duration::from_secs((grace - stop).into());
        let ended = time::timeout(patience, self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("{} outlives its grace", self.peer.name));
        let status = status.expect("it can be waited for");
        assert!(status.success(), "{} ended with {status}: {}", self.peer.name, self.said());
    }

    /// The end of its log.
    pub(crate) fn said(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// Lines of `folder:path:mode`.
fn volumes(container: &Container<'static>, own: &Path, storage: &Storage<'_>) -> String {
    let lines = container.mounts().map(|(name, path, read_only)| {
        let volume = items(&container.pod()["volumes"]).find(|volume| volume["name"] == name);
        let folder = match volume.map(|volume| &volume["secret"]["secretName"]) {
            Some(Value::String(secret)) => storage.secrets.folder(secret),
            Some(_) => writable(own.join(name)),
            // A claim outlives its pod.
            None => {
                let pod = own.file_name().expect("a pod has a name");
                writable(storage.folder.join("claims").join(pod).join(name))
            }
        };
        let mode = if read_only { "ro" } else { "rw" };
        format!("{}:{path}:{mode}\n", folder.display())
    });
    lines.collect()
}

fn writable(folder: PathBuf) -> PathBuf {
    fs::create_dir_all(&folder).expect("the test's folder is writable");
    give(&folder, IDENTITY);
    folder
}
