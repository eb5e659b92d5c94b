//! An encrypted public listener: REST, WebSockets and gRPC, and a certificate that is changed while
//! the process runs.

use std::path::Path;

use tests::{
    cluster,
    process::{Process, free_port},
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// Writes a certificate for `localhost` that signs itself, and its key.
fn write_certificate(folder: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
        .expect("a certificate can be made");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())
        .expect("the folder is writable");
    let certificate = made.cert.pem();
    std::fs::write(folder.join("certificate.pem"), &certificate).expect("the folder is writable");
    certificate
}

/// The command line, as somebody who trusts `authority`.
async fn trigger(url: &str, authority: &Path, data: &str) -> bool {
    let authority = authority.display().to_string();
    let arguments =
        ["trigger", "news", "flash", data, "--url", url, "--ca-certificate", &authority];
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    Process::start("carillon", &arguments).ended().await == Some(0)
}

async fn grpc_answers(url: &str, certificate: &str) -> bool {
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(certificate))
        .domain_name("localhost");
    let endpoint = Endpoint::from_shared(url.to_owned()).expect("a URL");
    let Ok(channel) = endpoint.tls_config(tls).expect("a configuration").connect().await else {
        return false;
    };
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    tonic_health::pb::health_client::HealthClient::new(channel).check(request).await.is_ok()
}

#[tokio::test]
async fn everything_is_encrypted_and_a_new_certificate_is_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    let first = write_certificate(folder.path());
    std::fs::write(file("first.pem"), &first).expect("the folder is writable");
    let (port, operations) = (free_port(), free_port());
    let url = format!("https://localhost:{port}");
    let _server = Process::start(
        "carillon",
        &[
            format!("--listen=127.0.0.1:{port}"),
            format!("--operations-listen=127.0.0.1:{operations}"),
            format!("--data={}", file("data").display()),
            format!("--tls-certificate={}", file("certificate.pem").display()),
            format!("--tls-key={}", file("key.pem").display()),
        ],
    );
    cluster::is_ready(([127, 0, 0, 1], operations).into()).await;
    assert!(grpc_answers(&url, &first).await, "gRPC over TLS");

    // A private channel and a frame of many TLS records, received by a socket that trusts the first.
    let authority = file("first.pem").display().to_string();
    let arguments =
        ["subscribe", "news", "--count", "2", "--url", &url, "--ca-certificate", &authority];
    let mut received = tokio::spawn({
        let arguments = arguments.map(str::to_owned);
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            Process::output("carillon", &arguments).await
        }
    });
    let long = "x".repeat(60_000);
    // Until the subscription is in force nobody is there to receive; published again until then.
    let received = loop {
        assert!(trigger(&url, &file("first.pem"), &long).await);
        let patience = std::time::Duration::from_millis(300);
        if let Ok(received) = tokio::time::timeout(patience, &mut received).await {
            break received.expect("the subscriber ends well");
        }
    };
    assert_eq!(received.matches(&long).count(), 2);

    // Another certificate: who trusts only the first is turned away, who trusts the second is served.
    let second = write_certificate(folder.path());
    std::fs::write(file("second.pem"), &second).expect("the folder is writable");
    tests::soon("the new certificate", async {
        while !trigger(&url, &file("second.pem"), "1").await {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    assert!(!trigger(&url, &file("first.pem"), "1").await);
}
