//! Clear text between planes: on this machine, or where it was allowed in so many words.

use proto::plane::{identity::Role, mtls::MtlsFiles};
use tokio_util::sync::CancellationToken;

use crate::{
    authority::Authority,
    planes::{arguments, config, control_plane_arguments},
};

/// Why a control plane with these further options does not start, if it does not.
async fn control_plane(further: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut given = control_plane_arguments(folder.path());
    given.retain(|argument| !argument.starts_with("--internal-listen"));
    given.extend(further.iter().map(|&argument| argument.to_owned()));
    let stop = CancellationToken::new();
    let started = control_plane::start(config(&given), stop.clone()).await;
    stop.cancel();
    started.err().map(|error| format!("{error:#}"))
}

fn with_certificate(given: &[&str], files: Option<&MtlsFiles>) -> Vec<String> {
    let own = ["--listen=127.0.0.1:0", "--operations-listen=127.0.0.1:0"];
    let mut all: Vec<_> = own.iter().chain(given).map(|&text| text.to_owned()).collect();
    all.extend(files.map(arguments).into_iter().flatten());
    all
}

/// The same of a gateway.
async fn gateway(given: &[&str], files: Option<&MtlsFiles>) -> Option<String> {
    let stop = CancellationToken::new();
    let started = gateway::start(config(&with_certificate(given, files)), stop.clone()).await;
    stop.cancel();
    started.err().map(|error| format!("{error:#}"))
}

/// The same of a node.
async fn node(given: &[&str], files: Option<&MtlsFiles>) -> Option<String> {
    let stop = CancellationToken::new();
    let started = data_plane::start(config(&with_certificate(given, files)), stop.clone()).await;
    stop.cancel();
    started.err().map(|error| format!("{error:#}"))
}

fn says(error: Option<String>, words: &[&str]) {
    let error = error.expect("it does not start");
    for word in words {
        assert!(error.contains(word), "{word}: {error}");
    }
}

#[tokio::test]
async fn a_listener_beyond_this_machine_needs_a_certificate_or_the_flag() {
    let refused = control_plane(&["--internal-listen=0.0.0.0:0"]).await;
    says(refused, &["clear text", "carillon certificates", "--internal-plaintext"]);
    let allowed = control_plane(&["--internal-listen=0.0.0.0:0", "--internal-plaintext"]).await;
    assert_eq!(allowed, None);
    assert_eq!(control_plane(&["--internal-listen=127.0.0.1:0"]).await, None);
    assert_eq!(control_plane(&["--internal-listen=[::1]:0"]).await, None);
}

#[tokio::test]
async fn a_link_beyond_this_machine_needs_a_certificate_or_the_flag() {
    for far in ["--control-plane=http://192.0.2.1:6003", "--control-plane=http://cp.example:6003"] {
        for refused in [gateway(&[far], None).await, node(&[far], None).await] {
            says(refused, &["clear text", "carillon certificates", "--internal-plaintext"]);
        }
        assert_eq!(gateway(&[far, "--internal-plaintext"], None).await, None);
        assert_eq!(node(&[far, "--internal-plaintext"], None).await, None);
    }
    for near in ["http://127.0.0.1:6003", "http://localhost:6003", "http://[::1]:6003"] {
        let near = format!("--control-plane={near}");
        assert_eq!(gateway(&[&near], None).await, None, "{near}");
    }
    // One that is far is enough.
    let mixed = "--control-plane=http://127.0.0.1:6003,http://192.0.2.1:6003";
    says(gateway(&[mixed], None).await, &["http://192.0.2.1:6003"]);
}

#[tokio::test]
async fn scheme_certificate_and_role_must_agree() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.write(folder.path(), Role::Gateway);
    let (https, http) =
        ("--control-plane=https://127.0.0.1:6003", "--control-plane=http://127.0.0.1:6003");
    says(gateway(&[https], None).await, &["https://127.0.0.1:6003", "--internal-certificate"]);
    says(gateway(&[http], Some(&files)).await, &["http://127.0.0.1:6003", "https://"]);
    says(node(&[https], Some(&files)).await, &["role gateway", "role node"]);
    assert_eq!(gateway(&[https], Some(&files)).await, None);
    for odd in ["--control-plane=127.0.0.1:6003", "--control-plane=ftp://x", "--control-plane=a b"]
    {
        assert!(gateway(&[odd], None).await.is_some(), "{odd}");
    }
    std::fs::write(&files.authority, "nonsense").unwrap();
    says(gateway(&[https], Some(&files)).await, &["ca.pem"]);
    std::fs::remove_file(&files.own.key).unwrap();
    says(gateway(&[https], Some(&files)).await, &["key.pem"]);
}
