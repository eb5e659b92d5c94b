//! A connection to a target: looked up once, checked, and made to the very address that was checked.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};
use tracing::{debug, warn};

use super::{address, call::Outcome};

/// Makes connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Connector {
    tls: Arc<OnceLock<TlsConnector>>,
    roots: Vec<CertificateDer<'static>>,
    private_addresses_allowed: bool,
}

impl Connector {
    /// Trusts what the system trusts, and `roots` besides.
    pub(super) fn new(
        private_addresses_allowed: bool,
        roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { tls: Arc::default(), roots, private_addresses_allowed }
    }

    /// Made when it is first needed: few have https webhooks, and the system's roots are many.
    fn tls(&self) -> &TlsConnector {
        self.tls.get_or_init(|| {
            let mut trusted = RootCertStore::empty();
            let system = rustls_native_certs::load_native_certs().certs;
            trusted.add_parsable_certificates(system.into_iter().chain(self.roots.clone()));
            if trusted.is_empty() {
                warn!("no root certificates on this system: https webhooks will fail");
            }
            let provider = Arc::new(ring::default_provider());
            let mut config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("ring has what the default versions need")
                .with_root_certificates(trusted)
                .with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        })
    }

    /// Connects to the host of `url`.
    pub(super) async fn connect(&self, url: &Uri) -> Result<SendRequest<Full<Bytes>>, Outcome> {
        let host = url.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let encrypted = url.scheme_str() == Some("https");
        let port = url.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let tcp = self.reach(host, port).await?;
        if !encrypted {
            return speak(tcp).await;
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Outcome::Refused(error.to_string()))?;
        speak(self.tls().connect(name, tcp).await.map_err(unreachable)?).await
    }

    async fn reach(&self, host: &str, port: u16) -> Result<TcpStream, Outcome> {
        let found: Vec<_> =
            tokio::net::lookup_host((host, port)).await.map_err(unreachable)?.collect();
        let mut failure = None;
        for address in found {
            match self.try_address(address).await {
                Ok(tcp) => return Ok(tcp),
                // One that may be called and does not answer says more than one that may not.
                Err(Outcome::Refused(_)) if failure.is_some() => {}
                Err(outcome) => failure = Some(outcome),
            }
        }
        Err(failure.unwrap_or_else(|| Outcome::Unreachable("the host has no address".into())))
    }

    async fn try_address(&self, address: SocketAddr) -> Result<TcpStream, Outcome> {
        if !self.private_addresses_allowed
            && let Some(refused) = address::refusal(address.ip())
        {
            return Err(Outcome::Refused(refused.to_string()));
        }
        let tcp = TcpStream::connect(address).await.map_err(unreachable)?;
        tcp.set_nodelay(true).map_err(unreachable)?;
        Ok(tcp)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("private_addresses_allowed", &self.private_addresses_allowed)
            .finish_non_exhaustive()
    }
}

/// HTTP/1.1 over what was connected. The task that drives it ends with the sender.
async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Outcome>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Outcome::Unreachable(error.to_string()))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "connection to a webhook ended");
        }
    });
    Ok(sender)
}

fn unreachable(error: io::Error) -> Outcome {
    Outcome::Unreachable(error.to_string())
}
