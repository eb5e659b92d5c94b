//! TLS of a listener: certificate and key from files, read again when they change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::danger::ClientCertVerifier,
};
use tokio_rustls::TlsAcceptor;

use super::followed::Followed;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the server's certificate first.
    pub certificate: PathBuf,
    /// PEM, PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// The acceptor in force; follows the files until it is dropped.
#[derive(Clone, Debug)]
pub struct Tls {
    current: Followed<Arc<ServerConfig>>,
    mutual: bool,
}

impl Tls {
    /// Encryption for strangers. Files that do not parse leave the certificate in force as it is.
    pub fn follow(files: TlsFiles) -> io::Result<Self> {
        let watched = vec![files.certificate.clone(), files.key.clone()];
        let load = move || server_config(&files, None);
        let current = Followed::start("the public certificate", watched, load)?;
        Ok(Self { current, mutual: false })
    }

    /// Encryption among planes, who show certificates of their own.
    pub(super) fn mutual(current: Followed<Arc<ServerConfig>>) -> Self {
        Self { current, mutual: true }
    }

    /// What the options `--tls-certificate` and `--tls-key` ask for: they come together or not at all.
    pub fn configured(files: Option<(PathBuf, PathBuf)>) -> io::Result<Option<Self>> {
        files.map(|(certificate, key)| Self::follow(TlsFiles { certificate, key })).transpose()
    }

    /// Whether who connects is asked for a certificate: then a handshake that fails is worth a line
    /// in the log, for no stranger should try.
    #[must_use]
    pub fn is_mutual(&self) -> bool {
        self.mutual
    }

    /// An acceptor for one connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.current())
    }
}

/// The configuration of a server; with a verifier, of one that asks clients for certificates.
pub(super) fn server_config(
    files: &TlsFiles,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> io::Result<Arc<ServerConfig>> {
    let (chain, key) = chain_and_key(files)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions");
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let config = builder.with_single_cert(chain, key);
    let mut config = config.map_err(|error| named(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a file, the owner's first, and its key.
pub(super) fn chain_and_key(
    files: &TlsFiles,
) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, &error))?;
    Ok((certificates(&files.certificate)?, key))
}

/// All certificates of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| named(path, &error))?;
    if read.is_empty() {
        return Err(named(path, &"there is no certificate in this file"));
    }
    Ok(read)
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What is wrong with a file, with its name.
pub(super) fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
}
