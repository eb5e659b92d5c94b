//! Who gets a connection at all, on both ends.

use std::net::SocketAddr;

use axum::Router;
use proto::{
    link,
    plane::{
        identity::Role,
        mtls::{self, Mtls, Strangers},
        serve::{Listener, ListenerMetrics},
    },
};
use tokio::net::TcpListener;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::{
    authority::{Authority, Wanted},
    planes::{Planes, READ, call},
};

#[tokio::test]
async fn a_client_needs_a_certificate_of_the_authority_that_is_valid() {
    let planes = Planes::start().await;
    let good = planes.link("good", Role::Gateway);
    assert!(call(&good, READ).await.is_ok());

    let expired = planes.link("expired", Wanted::expired(Role::Gateway));
    assert!(call(&expired, READ).await.is_err());

    // It believes the control plane, but is not believed.
    let stranger = Authority::new();
    let mut files = stranger.write(&planes.folder.path().join("stranger"), Role::Gateway);
    files.authority = planes.folder.path().join("control/ca.pem");
    let stranger = link::secure(&planes.url(), &Mtls::follow(files).unwrap()).unwrap();
    assert!(call(&stranger, READ).await.is_err());

    let clear = link::remote(&format!("http://{}", planes.address)).unwrap();
    assert!(call(&clear, READ).await.is_err());
    assert!(call(&good, READ).await.is_ok());
}

#[tokio::test]
async fn a_foreign_client_without_a_certificate_is_turned_away() {
    let planes = Planes::start().await;
    let files = planes.authority.write(&planes.folder.path().join("gateway"), Role::Gateway);
    let tls = || {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(planes.authority.pem()))
            .domain_name("elsewhere.example")
    };
    let answered = |tls: ClientTlsConfig| async {
        let endpoint = Endpoint::from_shared(planes.url()).unwrap().tls_config(tls).unwrap();
        let channel = endpoint.connect().await?;
        let link = tower::util::BoxCloneSyncService::new(channel);
        let request = http::Request::post(READ).header("content-type", "application/grpc");
        let request = request.body(tonic::body::Body::empty()).unwrap();
        tower::ServiceExt::oneshot(link, request).await
    };
    assert!(answered(tls()).await.is_err());
    let read = |path| std::fs::read(path).unwrap();
    let identity = Identity::from_pem(read(files.own.certificate), read(files.own.key));
    assert!(answered(tls().identity(identity)).await.is_ok(), "the same with a certificate");
}

/// A server that answers everything, with this certificate.
async fn server(authority: &Authority, folder: &std::path::Path, wanted: Wanted) -> SocketAddr {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let tls = mtls::listen(authority.write(folder, wanted), Strangers::Refused).unwrap();
    let router = Router::new().fallback(|| async { "answered" });
    let listener = Listener { tcp, tls: Some(tls), router, connections_max: 100 };
    tokio::spawn(listener.serve(ListenerMetrics::default(), std::future::pending()));
    address
}

#[tokio::test]
async fn a_server_must_be_a_control_plane_whatever_its_host_name() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let files = authority.write(&folder.path().join("client"), Role::Gateway);
    let mtls = Mtls::follow(files).unwrap();
    let place = |name: &str| folder.path().join(name);
    for (name, wanted, accepted) in [
        ("control", Role::Control.into(), true),
        ("node", Role::Node.into(), false),
        ("admin", Role::Admin.into(), false),
        ("gateway", Role::Gateway.into(), false),
        ("none", Wanted::without_role(), false),
        ("expired", Wanted::expired(Role::Control), false),
    ] {
        let address = server(&authority, &place(name), wanted).await;
        let link = link::secure(&format!("https://{address}"), &mtls).unwrap();
        assert_eq!(call(&link, READ).await.is_ok(), accepted, "{name}");
    }
    let foreign = server(&Authority::new(), &place("foreign"), Role::Control.into()).await;
    let link = link::secure(&format!("https://{foreign}"), &mtls).unwrap();
    assert!(call(&link, READ).await.is_err(), "an authority that the client does not know");
}
