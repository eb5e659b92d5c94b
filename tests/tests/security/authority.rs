//! A certificate authority for tests: it signs whatever it is asked to.

use std::{fs, path::Path};

use proto::plane::{identity::Role, mtls::MtlsFiles, tls::TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    SanType, date_time_ymd,
};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What is to stand in a certificate.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub uris: Vec<String>,
    pub expired: bool,
}

impl From<Role> for Wanted {
    fn from(role: Role) -> Self {
        Self { uris: vec![role.uri()], expired: false }
    }
}

impl Wanted {
    pub(crate) fn without_role() -> Self {
        Self { uris: Vec::new(), expired: false }
    }

    pub(crate) fn expired(role: Role) -> Self {
        Self { expired: true, ..role.into() }
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes the authority, a certificate and its key to a folder, in the place of what was there.
    /// The certificate is for a host of another name, and for clients and servers.
    pub(crate) fn write(&self, folder: &Path, wanted: impl Into<Wanted>) -> MtlsFiles {
        let wanted = wanted.into();
        let mut params = CertificateParams::new(["elsewhere.example".to_owned()]).unwrap();
        let uris = wanted.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.distinguished_name.push(DnType::CommonName, "somebody");
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        if wanted.expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::create_dir_all(folder).unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        MtlsFiles {
            own: TlsFiles {
                certificate: put("certificate.pem", &certificate.pem()),
                key: put("key.pem", &key.serialize_pem()),
            },
            authority: put("ca.pem", &self.pem),
        }
    }
}
