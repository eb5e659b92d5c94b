//! The options for security between planes, and what follows from them for listeners and links.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use http::Uri;

use super::{
    identity::Role,
    mtls::{self, Mtls, MtlsFiles, Strangers},
    tls::{Tls, TlsFiles},
};
use crate::link::{self, Link};

const HOW_TO: &str = "Give --internal-certificate, --internal-key and --internal-ca; \
    `carillon certificates --out FOLDER` makes them for development. Where the network may be \
    trusted, --internal-plaintext allows clear text";

/// Options of every program that calls, or is called by, another plane.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct InternalTls {
    /// Certificate shown to other planes, PEM, with this program's role as a URI among its names:
    /// spiffe://carillon/role/ and gateway, control or node. Read again when it changes
    #[arg(long, requires_all = ["internal_key", "internal_ca"], value_name = "FILE")]
    pub internal_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, requires = "internal_certificate", value_name = "FILE")]
    pub internal_key: Option<PathBuf>,
    /// Certificate authorities of the other planes, PEM
    #[arg(long, requires = "internal_certificate", value_name = "FILE")]
    pub internal_ca: Option<PathBuf>,
    /// Allow clear text between planes beyond this machine: whoever reaches the internal listener may
    /// publish to every app and read every secret
    #[arg(long)]
    pub internal_plaintext: bool,
}

impl InternalTls {
    /// Reads the certificate, which must be one of `role`.
    pub fn trust(&self, role: Role) -> anyhow::Result<Trust> {
        let own = self.internal_certificate.clone().zip(self.internal_key.clone());
        let files = own.zip(self.internal_ca.clone()).map(|((certificate, key), authority)| {
            MtlsFiles { own: TlsFiles { certificate, key }, authority }
        });
        let Some(files) = files else {
            return Ok(Trust { mtls: None, plaintext: self.internal_plaintext });
        };
        let who = mtls::own_identity(&files)?;
        let file = files.own.certificate.display();
        ensure!(who.role == Some(role), "{file} is of {who}; this program needs the role {role}");
        let mtls = Some((Mtls::follow(files.clone())?, files));
        Ok(Trust { mtls, plaintext: self.internal_plaintext })
    }
}

/// How this process meets other planes: with certificates, or in clear text where that is allowed.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    mtls: Option<(Mtls, MtlsFiles)>,
    plaintext: bool,
}

impl Trust {
    /// Encryption of the internal listener at `address`.
    pub fn listener(&self, address: SocketAddr) -> anyhow::Result<Option<Tls>> {
        match &self.mtls {
            Some((_, files)) => Ok(Some(mtls::listen(files.clone(), Strangers::Refused)?)),
            None if self.plaintext || address.ip().is_loopback() => Ok(None),
            None => bail!("the internal listener at {address} would serve clear text. {HOW_TO}"),
        }
    }

    /// A link to a control plane at `https://host:port`, or `http://` in clear text.
    pub fn link(&self, address: &str) -> anyhow::Result<Link> {
        let not_an_address = || format!("{address} is no control plane's address");
        let uri: Uri = address.parse().with_context(not_an_address)?;
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => bail!("{address} begins with neither https:// nor http://"),
        };
        match (&self.mtls, encrypted) {
            (Some((mtls, _)), true) => link::secure(address, mtls).with_context(not_an_address),
            (None, true) => bail!("{address} needs a certificate. {HOW_TO}"),
            (Some(_), false) if !self.plaintext => {
                bail!(
                    "{address} would be called in clear text although there is a certificate: \
                       write https://, or allow it with --internal-plaintext"
                )
            }
            (None, false) if !self.plaintext && !is_loopback(&uri) => {
                bail!("{address} would be called in clear text. {HOW_TO}")
            }
            (Some(_) | None, false) => link::remote(address).with_context(not_an_address),
        }
    }
}

/// Whether a URL stays on this machine, without asking anybody for the address of a name.
fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Options of the operations listener where the admin API is.
#[derive(Args, Clone, Debug, Default)]
#[group(skip)]
pub struct OperationsTls {
    /// Certificate of the operations listener, PEM, of the role control. With it the admin API demands
    /// a client certificate of the role admin besides the token; probes and metrics need none, but
    /// https
    #[arg(long, requires_all = ["operations_key", "operations_ca"], value_name = "FILE")]
    pub operations_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, requires = "operations_certificate", value_name = "FILE")]
    pub operations_key: Option<PathBuf>,
    /// Certificate authorities of administrators, PEM
    #[arg(long, requires = "operations_certificate", value_name = "FILE")]
    pub operations_ca: Option<PathBuf>,
}

impl OperationsTls {
    /// Encryption of the operations listener, if it is wanted.
    pub fn listener(&self) -> anyhow::Result<Option<Tls>> {
        let own = self.operations_certificate.clone().zip(self.operations_key.clone());
        let files = own.zip(self.operations_ca.clone()).map(|((certificate, key), authority)| {
            MtlsFiles { own: TlsFiles { certificate, key }, authority }
        });
        let Some(files) = files else {
            return Ok(None);
        };
        let (who, needed) = (mtls::own_identity(&files)?, Role::Control);
        let file = files.own.certificate.display();
        ensure!(who.role == Some(needed), "{file} is of {who}; it needs the role {needed}");
        Ok(Some(mtls::listen(files, Strangers::Admitted)?))
    }
}
