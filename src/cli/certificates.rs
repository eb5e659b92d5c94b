//! `carillon certificates`: an authority and a certificate per role, for development. In production
//! something else makes them; what counts is the role's URI in each.

use std::{
    fs::{self, DirBuilder},
    io::{ErrorKind, Write as _},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Args, value_parser};
use proto::plane::identity::Role;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// Browsers and operating systems take no certificate for longer than this.
const DAYS_MAX: u16 = 825;
/// Clocks that are behind accept a new certificate all the same.
const BEFORE: Duration = Duration::hours(1);

/// Make a certificate authority and a certificate per role, for development
#[derive(Args, Debug)]
pub(crate) struct Certificates {
    /// Folder to write to: ca.pem and, for each of gateway, control, node and admin, a certificate and a
    /// key. Where ca-key.pem is there already, that authority is used again: programs that run take up
    /// the new certificates by themselves
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Further host names and addresses in the control planes' certificate, for tools that check them;
    /// Carillon's own programs look at roles only
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Days that everything is valid
    #[arg(long, default_value_t = DAYS_MAX, value_name = "DAYS",
          value_parser = value_parser!(u16).range(1..=i64::from(DAYS_MAX)))]
    days: u16,
}

impl Certificates {
    #[allow(clippy::print_stdout, reason = "this is the command's answer")]
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.out);
        made.with_context(|| format!("the folder {} cannot be made", self.out.display()))?;
        let authority = self.authority()?;
        for role in Role::ALL {
            let key = KeyPair::generate()?;
            let certificate = self.params(role)?.signed_by(&key, &authority)?;
            self.write(role.name(), &certificate, &key)?;
        }
        let folder = self.out.display();
        println!("certificates for {} days in {folder}; for a gateway:", self.days);
        println!(
            "  --internal-certificate {folder}/gateway.pem --internal-key {folder}/gateway-key.pem \
             --internal-ca {folder}/ca.pem"
        );
        Ok(())
    }

    /// The authority whose key is there, or a new one.
    fn authority(&self) -> anyhow::Result<Issuer<'static, KeyPair>> {
        let path = self.out.join("ca-key.pem");
        match fs::read_to_string(&path) {
            Ok(pem) => {
                let key = KeyPair::from_pem(&pem);
                let key = key.with_context(|| format!("{} is no key", path.display()))?;
                if !self.out.join("ca.pem").exists() {
                    bail!("{} is there, but ca.pem is not", path.display());
                }
                Ok(Issuer::new(self.authority_params(&key), key))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = KeyPair::generate()?;
                let params = self.authority_params(&key);
                self.write("ca", &params.self_signed(&key)?, &key)?;
                Ok(Issuer::new(params, key))
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// An authority is known by its name: that follows from its key, so that two are told apart.
    fn authority_params(&self, key: &KeyPair) -> CertificateParams {
        let mut params = self.valid(CertificateParams::default());
        let id = hex::encode(&params.key_identifier(key)[..4]);
        params.distinguished_name = named(&format!("Carillon development authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn params(&self, role: Role) -> anyhow::Result<CertificateParams> {
        // Only control planes are called: the others' certificates are of no use to a server.
        let is_server = role == Role::Control;
        let names = if is_server { self.names()? } else { Vec::new() };
        let mut params = self.valid(CertificateParams::new(names)?);
        params.subject_alt_names.push(SanType::URI(role.uri().try_into()?));
        params.distinguished_name = named(&format!("carillon {role}"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if is_server {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        Ok(params)
    }

    fn names(&self) -> anyhow::Result<Vec<String>> {
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let further = self.name.iter().filter(|name| !own.contains(name)).cloned();
        let names: Vec<String> = own.iter().cloned().chain(further).collect();
        let is_sound = |name: &String| {
            name.parse::<IpAddr>().is_ok()
                || name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.*_".contains(&byte))
        };
        if let Some(name) = names.iter().find(|name| !is_sound(name)) {
            bail!("{name:?} is neither a host name nor an address");
        }
        Ok(names)
    }

    fn valid(&self, mut params: CertificateParams) -> CertificateParams {
        params.not_before = OffsetDateTime::now_utc() - BEFORE;
        params.not_after = params.not_before + Duration::days(self.days.into());
        params
    }

    fn write(&self, name: &str, certificate: &Certificate, key: &KeyPair) -> anyhow::Result<()> {
        write_private(&self.out.join(format!("{name}-key.pem")), &key.serialize_pem())?;
        write_private(&self.out.join(format!("{name}.pem")), &certificate.pem())
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Puts a whole file, which only its owner may read, in the place of the one that was there.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}
