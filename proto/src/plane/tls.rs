//! TLS of a listener: certificate and key from files, read again when they change.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

const LOOK_AGAIN: Duration = Duration::from_secs(2);

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
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl Tls {
    /// Reads the files, then looks every two seconds whether they have changed. Files that do not
    /// parse leave the certificate in force as it is.
    pub fn follow(files: TlsFiles) -> io::Result<Self> {
        let current = Arc::new(RwLock::new(load(&files)?));
        let watched = Arc::downgrade(&current);
        tokio::spawn(async move {
            let mut seen = modified(&files);
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                let Some(current) = watched.upgrade() else {
                    return;
                };
                let now = modified(&files);
                if now == seen {
                    continue;
                }
                seen = now;
                match load(&files) {
                    Ok(config) => {
                        info!(certificate = %files.certificate.display(), "certificate reloaded");
                        *current.write().expect("no writer panics") = config;
                    }
                    Err(error) => warn!(%error, "certificate not reloaded; the old one stays"),
                }
            }
        });
        Ok(Self { current })
    }

    /// What the options `--tls-certificate` and `--tls-key` ask for: they come together or not at all.
    pub fn configured(files: Option<(PathBuf, PathBuf)>) -> io::Result<Option<Self>> {
        files.map(|(certificate, key)| Self::follow(TlsFiles { certificate, key })).transpose()
    }

    /// An acceptor for one connection.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().expect("no writer panics")))
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.certificate, &files.key]
        .map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn load(files: &TlsFiles) -> io::Result<Arc<ServerConfig>> {
    let named = |path: &PathBuf, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| named(&files.certificate, &error))?;
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| named(&files.key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring offers the default versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| named(&files.certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
