//! The programs as an operator starts them, with the certificates that `carillon certificates` made.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use proto::{
    link,
    plane::{
        identity::Role,
        mtls::{Mtls, MtlsFiles},
        tls::TlsFiles,
    },
};
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::is_ready,
    process::{Process, free_port},
    quiet::Place,
    rest::{Backend, Credentials},
};

use crate::planes::{READ, call};

pub(crate) const TOKEN: &str = "a-token-that-nobody-may-see";

/// The three programs, with mutual TLS on every link and on the operations listener.
pub(crate) struct Programs {
    pub folder: TempDir,
    pub admin: Admin,
    rest: u16,
    sockets: u16,
    internal: u16,
    _processes: [Process; 3],
    _place: Place,
}

impl Programs {
    pub(crate) async fn start() -> Self {
        let place = Place::take(false).await;
        let folder = tempfile::tempdir().unwrap();
        make_certificates(&folder).await;
        let [rest, sockets, public, internal, operations] = [(); 5].map(|()| free_port());
        let own = |name: &str, port: u16| format!("--{name}=127.0.0.1:{port}");
        let control_plane = |role| {
            let mut given = internal_tls(&folder, role);
            given.push(format!("--control-plane=https://localhost:{internal}"));
            given
        };
        let mut given = internal_tls(&folder, "control");
        given.extend([
            own("listen", public),
            own("internal-listen", internal),
            own("operations-listen", operations),
            format!("--data={}", folder.path().join("data").display()),
            format!("--operations-certificate={}", file(&folder, "control.pem").display()),
            format!("--operations-key={}", file(&folder, "control-key.pem").display()),
            format!("--operations-ca={}", file(&folder, "ca.pem").display()),
            format!("--admin-token={TOKEN}"),
            "--expect-nodes=1".to_owned(),
            "--log-level=error".to_owned(),
            "--log-format=json".to_owned(),
        ]);
        let log = File::create(file(&folder, "control.log")).unwrap();
        let first = Process::start_with_log("carillon-control-plane", &given, log);
        let admin = Admin { folder: folder.path().join("certificates"), operations };
        admin.create_app().await;
        let (gateway_operations, node_operations) = (free_port(), free_port());
        let mut given = control_plane("gateway");
        given.extend([own("listen", rest), own("operations-listen", gateway_operations)]);
        let second = Process::start("carillon-gateway", &given);
        let mut given = control_plane("node");
        given.extend([own("listen", sockets), own("operations-listen", node_operations)]);
        let third = Process::start("carillon-data-plane", &given);
        for port in [gateway_operations, node_operations] {
            is_ready(([127, 0, 0, 1], port).into()).await;
        }
        let processes = [first, second, third];
        Self { folder, admin, rest, sockets, internal, _processes: processes, _place: place }
    }

    pub(crate) fn files(&self, role: Role) -> MtlsFiles {
        MtlsFiles {
            own: TlsFiles {
                certificate: file(&self.folder, &format!("{role}.pem")),
                key: file(&self.folder, &format!("{role}-key.pem")),
            },
            authority: file(&self.folder, "ca.pem"),
        }
    }
}

/// The command line of somebody who has all certificates.
pub(crate) struct Admin {
    folder: PathBuf,
    operations: u16,
}

impl Admin {
    /// `carillon apps`, as whoever has the certificate of `role`.
    pub(crate) async fn apps(&self, role: &str, arguments: &[&str]) -> Result<String, String> {
        let path = |name: &str| self.folder.join(name).display().to_string();
        let common = [
            format!("--admin={}", self.url()),
            format!("--admin-token={TOKEN}"),
            format!("--admin-certificate={}", path(&format!("{role}.pem"))),
            format!("--admin-key={}", path(&format!("{role}-key.pem"))),
            format!("--admin-ca={}", path("ca.pem")),
        ];
        let common = common.iter().map(String::as_str);
        let all: Vec<_> = ["apps"].iter().chain(arguments).copied().chain(common).collect();
        Process::try_output("carillon", &all).await
    }

    /// Creates the app of [`Credentials::default`] once the control plane is there.
    async fn create_app(&self) {
        let create = ["create", "app-id", "--key", "app-key", "--secret", "app-secret"];
        tests::soon("an app", async { while self.apps("admin", &create).await.is_err() {} }).await;
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.operations)
    }
}

fn file(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join("certificates").join(name)
}

async fn make_certificates(folder: &TempDir) {
    let out = folder.path().join("certificates").display().to_string();
    Process::output("carillon", &["certificates", "--out", &out, "--name", "cp.example"]).await;
}

fn internal_tls(folder: &TempDir, role: &str) -> Vec<String> {
    vec![
        format!("--internal-certificate={}", file(folder, &format!("{role}.pem")).display()),
        format!("--internal-key={}", file(folder, &format!("{role}-key.pem")).display()),
        format!("--internal-ca={}", file(folder, "ca.pem").display()),
    ]
}

async fn an_event_arrives(programs: &Programs, data: &str) {
    let address = |port| ([127, 0, 0, 1], port).into();
    let mut client = Client::connect(address(programs.sockets), &Credentials::default()).await;
    client.subscribe("news").await;
    let backend = Backend::new(address(programs.rest), Credentials::default());
    backend.publish_text("news", "flash", data).await;
    client.expect_event("news", "flash", data).await;
}

#[tokio::test]
async fn an_event_goes_from_rest_to_a_socket_and_new_certificates_are_taken_up() {
    let programs = Programs::start().await;
    an_event_arrives(&programs, "1").await;

    // Whoever copied the first certificates is shut out once the authority has been exchanged.
    let kept = tempfile::tempdir().unwrap();
    for name in ["ca.pem", "gateway.pem", "gateway-key.pem"] {
        fs::copy(file(&programs.folder, name), kept.path().join(name)).unwrap();
    }
    let url = format!("https://127.0.0.1:{}", programs.internal);
    let old = MtlsFiles {
        own: TlsFiles {
            certificate: kept.path().join("gateway.pem"),
            key: kept.path().join("gateway-key.pem"),
        },
        authority: kept.path().join("ca.pem"),
    };
    let old = Mtls::follow(old).unwrap();
    let old = || link::secure(&url, &old).unwrap();
    assert!(call(&old(), READ).await.is_ok());
    fs::remove_file(file(&programs.folder, "ca-key.pem")).unwrap();
    make_certificates(&programs.folder).await;
    tests::soon("the old certificate's end", async {
        while call(&old(), READ).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
    an_event_arrives(&programs, "2").await;
    let listed = programs.admin.apps("admin", &["list"]).await.unwrap();
    assert!(listed.contains("app-id"), "{listed}");
}

#[tokio::test]
async fn certificates_are_private_and_a_second_call_keeps_the_authority() {
    let _place = Place::take(false).await;
    let folder = tempfile::tempdir().unwrap();
    make_certificates(&folder).await;
    let read = |name: &str| fs::read(file(&folder, name)).unwrap();
    let mut names: Vec<_> = fs::read_dir(folder.path().join("certificates"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let roles = ["admin", "ca", "control", "gateway", "node"];
    let expected: Vec<_> =
        roles.iter().flat_map(|role| [format!("{role}-key.pem"), format!("{role}.pem")]).collect();
    assert_eq!(names, expected);
    for name in &names {
        let mode = fs::metadata(file(&folder, name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let (ca, node) = (read("ca.pem"), read("node.pem"));
    make_certificates(&folder).await;
    assert_eq!(read("ca.pem"), ca);
    assert_ne!(read("node.pem"), node);
    let out = folder.path().join("elsewhere").display().to_string();
    for odd in [["--days", "826"], ["--days", "0"], ["--name", "a b"], ["--name", "https://x"]] {
        let arguments = ["certificates", "--out", &out, odd[0], odd[1]];
        assert!(Process::try_output("carillon", &arguments).await.is_err(), "{odd:?}");
    }
}
