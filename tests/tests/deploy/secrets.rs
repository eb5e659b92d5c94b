//! Secrets: those of the manifests, and those that k8s/README.md has the operator make.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tests::process;

use crate::manifests::{Manifests, text};

/// The token of the admin API, where the manifests have none.
const ADMIN_TOKEN: &str = "only-in-tests";

/// The name under which backends call gRPC: k8s/README.md, "Production".
pub(crate) const GRPC_NAME: &str = "grpc.carillon.svc";

/// A folder for each.
#[derive(Debug)]
pub(crate) struct Secrets {
    folder: PathBuf,
    manifests: &'static Manifests,
}

impl Secrets {
    /// None is made before it is asked for.
    pub(crate) fn new(folder: &Path, manifests: &'static Manifests) -> Self {
        Self { folder: folder.join("secrets"), manifests }
    }

    /// What stands in one of them.
    pub(crate) fn read(&self, name: &str, key: &str) -> String {
        let path = self.folder(name).join(key);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The folder that is mounted: a file per key.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let folder = self.folder.join(name);
        if folder.is_dir() {
            return folder;
        }
        fs::create_dir_all(&folder).expect("the test's folder is writable");
        for (key, value) in self.contents(name) {
            let path = folder.join(key);
            fs::write(&path, value).expect("the test's folder is writable");
            // As `defaultMode: 0440` and `fsGroup` make it.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).expect("it is ours");
            crate::machine::give(&path, "root:65532");
        }
        folder
    }

    fn contents(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        if let Some(secret) = self.manifests.find("Secret", name) {
            let data = secret["data"].as_object().into_iter().flatten();
            let decoded = |value| STANDARD.decode(text(value)).expect("it is base64");
            return data.map(|(key, value)| (key.clone(), decoded(value))).collect();
        }
        match name {
            "admin-token" => vec![("token".into(), ADMIN_TOKEN.into())],
            "encryption-key" => vec![("key".into(), vec![b'k'; 32])],
            _ => self.certificates(name),
        }
    }

    /// Those of a plane, by the role that its program has.
    fn certificates(&self, name: &str) -> Vec<(String, Vec<u8>)> {
        let role = match name {
            "gateway-internal" => "gateway",
            // The name that backends call is in a server's certificate, and that is what it has.
            "control-plane-internal" | "grpc-tls" => "control",
            "data-plane-internal" => "node",
            other => panic!("nobody makes the Secret {other}"),
        };
        let folder = self.folder.with_file_name("certificates");
        if !folder.is_dir() {
            let mut command = Command::new(process::program("carillon"));
            command.args(["certificates", "--name", GRPC_NAME, "--out"]).arg(&folder);
            let status = command.status().expect("it can be started");
            assert!(status.success(), "certificates are made");
        }
        let read = |file: &str| fs::read(folder.join(file)).expect("it was just made");
        vec![
            ("tls.crt".into(), read(&format!("{role}.pem"))),
            ("tls.key".into(), read(&format!("{role}-key.pem"))),
            ("ca.crt".into(), read("ca.pem")),
        ]
    }
}
