//! A connection to a URL: TCP, or TLS on top of it.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

/// The bytes of a connection, encrypted or not.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// Connects to an http or https URL; returns the connection and the authority for the Host header.
pub(crate) async fn connect(
    url: &str,
    ca_certificate: Option<&Path>,
) -> anyhow::Result<(Box<dyn Bytes>, String)> {
    let uri: hyper::Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
    let host = uri.host().with_context(|| format!("{url:?} names no host"))?.to_owned();
    let encrypted = match uri.scheme_str() {
        Some("http" | "ws") => false,
        Some("https" | "wss") => true,
        other => bail!("the scheme of {url:?} must be http or https, not {other:?}"),
    };
    let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    let tcp = TcpStream::connect((host.trim_matches(['[', ']']), port))
        .await
        .with_context(|| format!("nothing answers at {host}:{port}"))?;
    tcp.set_nodelay(true)?;
    let authority = format!("{host}:{port}");
    if !encrypted {
        return Ok((Box::new(tcp), authority));
    }
    let path = ca_certificate.context("an https URL needs --ca-certificate FILE")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path)? {
        roots.add(certificate?)?;
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host)?;
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok((Box::new(tls), authority))
}
