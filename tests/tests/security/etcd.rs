//! etcd that asks for certificates and a password: who has them is served, nobody else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use proto::{
    plane::identity::Role,
    v1::{App, GetAppRequest},
};
use tempfile::TempDir;
use tests::{
    eventually,
    grpc::Admin,
    process::{Process, free_port, program},
    rest::get,
};
use tokio::process::{Child, Command};
use tonic::Code;

use crate::authority::Authority;

const TOKEN: &str = "only-in-tests";

/// An etcd that speaks TLS alone, with client certificates, and knows its users.
struct Guarded {
    folder: TempDir,
    clients: u16,
    _child: Child,
}

impl Guarded {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = folder.path().join("certificates");
        let made = Command::new(program("carillon"))
            .args(["certificates", "--name", "127.0.0.1", "--out"])
            .arg(&certificates)
            .stdout(Stdio::null())
            .status();
        assert!(made.await.unwrap().success());
        let [clients, peers, metrics] = [(); 3].map(|()| free_port());
        let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
        let child = Command::new("etcd")
            .args(["--name", "test", "--log-level", "error"])
            .arg("--data-dir")
            .arg(folder.path().join("etcd"))
            .args(["--listen-client-urls", &url("https", clients)])
            .args(["--advertise-client-urls", &url("https", clients)])
            .args(["--listen-peer-urls", &url("http", peers)])
            .args(["--initial-advertise-peer-urls", &url("http", peers)])
            .args(["--initial-cluster", &format!("test={}", url("http", peers))])
            .args(["--listen-metrics-urls", &url("http", metrics)])
            .arg("--client-cert-auth")
            .arg("--trusted-ca-file")
            .arg(certificates.join("ca.pem"))
            .arg("--cert-file")
            .arg(certificates.join("control.pem"))
            .arg("--key-file")
            .arg(certificates.join("control-key.pem"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("etcd is installed (./test installs it)");
        let address = ([127, 0, 0, 1], metrics).into();
        let healthy = || async move { (get(address, "/health").await.0 == 200).then_some(()) };
        eventually("etcd answers", healthy).await;
        let etcd = Self { folder, clients, _child: child };
        for command in [
            "user add root:of-root",
            "user grant-role root root",
            "user add carillon:of-carillon",
            "role add carillon",
            "role grant-permission carillon readwrite --prefix=true /carillon/",
            "user grant-role carillon carillon",
            "auth enable",
        ] {
            etcd.control(command).await;
        }
        etcd
    }

    fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join("certificates").join(name)
    }

    /// What etcd's own tool answers.
    async fn control(&self, command: &str) -> String {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &format!("https://127.0.0.1:{}", self.clients)])
            .arg("--cacert")
            .arg(self.certificate("ca.pem"))
            .arg("--cert")
            .arg(self.certificate("admin.pem"))
            .arg("--key")
            .arg(self.certificate("admin-key.pem"))
            .args(command.split(' '))
            .output();
        let output = output.await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A control plane that comes with these files.
    fn control_plane(&self, name: &str, given: &Given<'_>) -> (Process, u16) {
        let operations = free_port();
        let password = self.folder.path().join(format!("{name}.password"));
        // With the line break that editors leave.
        fs::write(&password, format!("{}\n", given.password)).unwrap();
        let mut arguments = vec![
            format!("--listen=127.0.0.1:{}", free_port()),
            format!("--internal-listen=127.0.0.1:{}", free_port()),
            format!("--operations-listen=127.0.0.1:{operations}"),
            format!("--data={}", self.folder.path().join(name).display()),
            format!("--admin-token={TOKEN}"),
            format!("--etcd-endpoints=https://127.0.0.1:{}", self.clients),
            format!("--etcd-ca={}", given.authority.display()),
            "--etcd-user=carillon".to_owned(),
            format!("--etcd-password-file={}", password.display()),
        ];
        if let Some(role) = given.role {
            let file = |ending: &str| self.certificate(&format!("{role}{ending}.pem"));
            arguments.push(format!("--etcd-certificate={}", file("").display()));
            arguments.push(format!("--etcd-key={}", file("-key").display()));
        }
        (Process::start("carillon-control-plane", &arguments), operations)
    }
}

/// What a control plane has to show to etcd.
struct Given<'a> {
    authority: &'a Path,
    role: Option<&'a str>,
    password: &'a str,
}

/// What the admin API says to a question that needs the settings.
async fn asked(operations: u16) -> Code {
    let mut admin = Admin::new(([127, 0, 0, 1], operations).into(), TOKEN);
    let request = admin.request(GetAppRequest { app_id: "nobody".into() });
    admin.client.get_app(request).await.unwrap_err().code()
}

#[tokio::test]
async fn etcd_is_spoken_to_with_certificates_and_a_password() {
    let etcd = Guarded::start().await;
    let authority = etcd.certificate("ca.pem");
    let right = || Given { authority: &authority, role: Some("control"), password: "of-carillon" };
    let other = etcd.folder.path().join("other");
    let other = Authority::new().write(&other, Role::Control).authority;
    let wrong = [
        ("authority", Given { authority: &other, ..right() }),
        ("nameless", Given { role: None, ..right() }),
        ("password", Given { password: "of-somebody", ..right() }),
    ];
    let refused: Vec<_> =
        wrong.iter().map(|(name, given)| (name, etcd.control_plane(name, given))).collect();
    let (_served, operations) = etcd.control_plane("served", &right());
    let served = || async { (asked(operations).await == Code::NotFound).then_some(()) };
    eventually("the control plane has its settings", served).await;
    let app = App { app_id: "shop".into(), key: "shop-key".into(), ..App::default() };
    Admin::new(([127, 0, 0, 1], operations).into(), TOKEN).create(app, "secret").await;
    let stored = etcd.control("--user root:of-root get --keys-only /carillon/v1/apps/shop").await;
    assert_eq!(stored.trim(), "/carillon/v1/apps/shop");
    tokio::time::sleep(Duration::from_secs(2)).await;
    for (name, (_process, operations)) in refused {
        assert_eq!(asked(operations).await, Code::Unavailable, "{name}: it has no settings");
    }
}
