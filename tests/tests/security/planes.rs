//! A control plane whose internal listener is encrypted, and calls to it.

use std::{net::SocketAddr, path::Path};

use clap::{Args, Command, FromArgMatches};
use http::{Method, Request};
use proto::{
    link::{self, Link, LinkError},
    plane::{
        identity::Role,
        mtls::{Mtls, MtlsFiles},
    },
};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::authority::{Authority, Wanted};

/// A running control plane and the authority that it believes.
pub(crate) struct Planes {
    pub address: SocketAddr,
    pub authority: Authority,
    pub folder: TempDir,
    _stop: DropGuard,
}

/// A program's options from its arguments.
pub(crate) fn config<T: Args + FromArgMatches>(arguments: &[String]) -> T {
    let command = T::augment_args(Command::new("test").no_binary_name(true));
    T::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
}

/// The options that name these files.
pub(crate) fn arguments(files: &MtlsFiles) -> [String; 3] {
    [
        format!("--internal-certificate={}", files.own.certificate.display()),
        format!("--internal-key={}", files.own.key.display()),
        format!("--internal-ca={}", files.authority.display()),
    ]
}

/// A control plane's own options in a folder, with every port chosen by the system.
pub(crate) fn control_plane_arguments(folder: &Path) -> Vec<String> {
    vec![
        "--listen=127.0.0.1:0".to_owned(),
        "--internal-listen=127.0.0.1:0".to_owned(),
        "--operations-listen=127.0.0.1:0".to_owned(),
        "--warm-up-ms=0".to_owned(),
        format!("--data={}", folder.join("data").display()),
    ]
}

impl Planes {
    pub(crate) async fn start() -> Self {
        let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
        let files = authority.write(&folder.path().join("control"), Role::Control);
        let mut given = control_plane_arguments(folder.path());
        given.extend(arguments(&files));
        let stop = CancellationToken::new();
        let running = control_plane::start(config(&given), stop.clone()).await.unwrap();
        Self { address: running.internal_address, authority, folder, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// A link with a certificate of the control plane's authority.
    pub(crate) fn link(&self, name: &str, wanted: impl Into<Wanted>) -> Link {
        let files = self.authority.write(&self.folder.path().join(name), wanted);
        link::secure(&self.url(), &Mtls::follow(files).unwrap()).unwrap()
    }
}

/// Calls a method with an empty message; the status in the head of the answer. `None` where the
/// answer begins well.
pub(crate) async fn call(link: &Link, path: &str) -> Result<Option<tonic::Code>, LinkError> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let empty = http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5]));
    let request = request.body(Body::new(empty)).unwrap();
    let answer = tests::soon("an answer", link.clone().oneshot(request)).await?;
    let status = answer.headers().get("grpc-status").map(|status| status.as_bytes());
    Ok(status.map(tonic::Code::from_bytes))
}

/// A method that a gateway may call and that has no effect.
pub(crate) const READ: &str = "/carillon.internal.v1.DispatchService/ListChannels";
