//! A real etcd on free loopback ports, to be killed and started again.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{eventually, process::free_port, rest::get};

/// One member with files of its own.
#[derive(Debug)]
pub struct Etcd {
    child: Child,
    folder: TempDir,
    clients: u16,
    peers: u16,
}

impl Etcd {
    /// Starts it and waits until it answers.
    pub async fn start() -> Self {
        let folder = TempDir::new_in(fast_disk()).expect("a folder for etcd");
        let (clients, peers) = (free_port(), free_port());
        let child = spawn(folder.path(), clients, peers);
        let etcd = Self { child, folder, clients, peers };
        etcd.answers().await;
        etcd
    }

    /// The address that a control plane is given.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.clients)
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("etcd can be killed");
    }

    /// Starts it again with its files.
    pub async fn start_again(&mut self) {
        self.child = spawn(self.folder.path(), self.clients, self.peers);
        self.answers().await;
    }

    /// Forgets what was before this revision.
    pub async fn compact(&self, revision: u64) {
        self.call(&["compact", &revision.to_string()]).await;
    }

    /// Deletes everything at once.
    pub async fn wipe(&self) {
        self.call(&["del", "", "--from-key"]).await;
    }

    async fn call(&self, arguments: &[&str]) {
        let mut client = Command::new("etcdctl");
        client.arg(format!("--endpoints={}", self.endpoint())).args(arguments);
        client.env("ETCDCTL_API", "3").stdout(Stdio::null());
        let done = client.status().await.expect("etcdctl is installed (./test installs it)");
        assert!(done.success(), "etcdctl {arguments:?}");
    }

    async fn answers(&self) {
        let address = ([127, 0, 0, 1], self.clients).into();
        let healthy = || async move {
            let (status, body) = get(address, "/health").await;
            (status == 200 && body.contains("true")).then_some(())
        };
        eventually("etcd answers", healthy).await;
    }
}

fn spawn(folder: &Path, clients: u16, peers: u16) -> Child {
    let (clients, peers) =
        (format!("http://127.0.0.1:{clients}"), format!("http://127.0.0.1:{peers}"));
    Command::new("etcd")
        .args(["--name", "test", "--log-level", "error"])
        .arg("--data-dir")
        .arg(folder.join("etcd"))
        .args(["--listen-client-urls", &clients])
        .args(["--advertise-client-urls", &clients])
        .args(["--listen-peer-urls", &peers])
        .args(["--initial-advertise-peer-urls", &peers])
        .args(["--initial-cluster", &format!("test={peers}")])
        .args(["--heartbeat-interval", "10", "--election-timeout", "100"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("etcd is installed (./test installs it)")
}

/// Memory where the system has some to mount: etcd waits for its disk on every write.
pub(crate) fn fast_disk() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
