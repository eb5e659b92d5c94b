//! Mutual TLS between planes: both ends show a certificate of one authority, and its role is what
//! counts. Host names do not: pods change their addresses.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier},
};
use tokio::{net::TcpStream, time::Instant};
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::{
    complaints::Complaints,
    failure,
    followed::Followed,
    identity::{Identity, Role},
    tls::{Tls, TlsFiles, certificates, chain_and_key, named, provider, server_config},
    told::Told,
};

/// For a connection with its handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where a plane's certificate, key and authority are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsFiles {
    /// Certificate and key of this process.
    pub own: TlsFiles,
    /// PEM with the authorities whose certificates are accepted: two while one is exchanged.
    pub authority: PathBuf,
}

/// Who connects to a listener without a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strangers {
    /// Is turned away in the handshake.
    Refused,
    /// Is let in as nobody: probes have no certificate.
    Admitted,
}

/// What a client of control planes needs; cheap to clone. It follows the files: connections that
/// stand go on, new ones use what is in force.
#[derive(Clone, Debug)]
pub struct Mtls {
    config: Followed<Arc<ClientConfig>>,
    complaints: Arc<Complaints>,
}

/// A connection whose handshake is done.
pub type Connection = TokioIo<Told>;

impl Mtls {
    /// Reads the files and follows them.
    pub fn follow(files: MtlsFiles) -> io::Result<Self> {
        let load = {
            let files = files.clone();
            move || client_config(&files)
        };
        let config = Followed::start("the internal certificate of a client", all(files), load)?;
        Ok(Self { config, complaints: Arc::default() })
    }

    /// Connects to a control plane and greets it. What goes wrong is logged, once in a while.
    pub async fn connect(self, address: Uri) -> io::Result<Connection> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.shake_hands(&address)).await;
        let slow = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
        let connected = connected.unwrap_or_else(slow);
        let place = address.authority().map(ToString::to_string).unwrap_or_default();
        match connected {
            Ok(tls) => {
                let complain = move |error: &io::Error| self.complain(&place, error);
                Ok(TokioIo::new(Told::new(tls, Box::new(complain))))
            }
            Err(error) => {
                self.complain(&place, &error);
                Err(error)
            }
        }
    }

    async fn shake_hands(
        &self,
        address: &Uri,
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let invalid = |_| io::Error::new(io::ErrorKind::InvalidInput, "no host to connect to");
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let tcp = TcpStream::connect((&*host, address.port_u16().unwrap_or(443))).await?;
        // A small event must not wait for more to come.
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from(host).map_err(invalid)?;
        TlsConnector::from(self.config.current()).connect(name, tcp).await
    }

    fn complain(&self, place: &str, error: &io::Error) {
        let error = failure::explained(error);
        if self.complaints.is_new(&format!("{place}: {error}"), Instant::now().into_std()) {
            warn!(control_plane = place, error, "no connection to a control plane over mutual TLS");
        }
    }
}

/// A listener that asks for certificates of the authority.
pub fn listen(files: MtlsFiles, strangers: Strangers) -> io::Result<Tls> {
    let watched = all(files.clone());
    let load = move || {
        let roots = Arc::new(roots(&files)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if strangers == Strangers::Admitted {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build().map_err(|error| named(&files.authority, &error))?;
        let mut config = Arc::unwrap_or_clone(server_config(&files.own, Some(verifier))?);
        // A resumed session would outlive the authority that once vouched for it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    };
    Followed::start("the internal certificate of a listener", watched, load).map(Tls::mutual)
}

/// Whose certificate it is that this process shows.
pub fn own_identity(files: &MtlsFiles) -> io::Result<Identity> {
    Ok(Identity::of(&certificates(&files.own.certificate)?[0]))
}

fn all(files: MtlsFiles) -> Vec<PathBuf> {
    vec![files.own.certificate, files.own.key, files.authority]
}

fn roots(files: &MtlsFiles) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.authority)? {
        roots.add(certificate).map_err(|error| named(&files.authority, &error))?;
    }
    Ok(roots)
}

fn client_config(files: &MtlsFiles) -> io::Result<Arc<ClientConfig>> {
    let (chain, key) = chain_and_key(&files.own)?;
    let provider = provider();
    let verifier = ControlPlanes {
        roots: roots(files)?,
        algorithms: provider.signature_verification_algorithms,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(chain, key);
    let mut config = config.map_err(|error| named(&files.own.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// Accepts servers whose certificate is the authority's, valid at present, and a control plane's.
#[derive(Debug)]
struct ControlPlanes {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ControlPlanes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        let roots = &self.roots;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            roots,
            intermediates,
            now,
            algorithms,
        )?;
        let server = Identity::of(end_entity);
        if server.role == Some(Role::Control) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::Other(OtherError(Arc::new(NoControlPlane(server)))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// A server that is something else than a control plane.
#[derive(Debug)]
struct NoControlPlane(Identity);

impl std::fmt::Display for NoControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the server {} is no control plane", self.0)
    }
}

impl std::error::Error for NoControlPlane {}
