//! Who is at the other end of an internal link: what a certificate says of its owner.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// What a process is to the others. A certificate has one role, in a URI among its subject's
/// alternative names: `spiffe://carillon/role/<role>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Hands requests of backends on.
    Gateway,
    /// A control plane: the only role that others call.
    Control,
    /// Holds sockets.
    Node,
    /// An operator's tool.
    Admin,
}

const PREFIX: &str = "spiffe://carillon/role/";

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Control, Self::Node, Self::Admin];

    /// Its name in URIs, files and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Control => "control",
            Self::Node => "node",
            Self::Admin => "admin",
        }
    }

    /// The URI that a certificate of this role carries.
    #[must_use]
    pub fn uri(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix(PREFIX)?;
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The owner of a certificate; an extension of every request on a connection that showed one. Whether
/// the certificate is to be believed has been decided before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `None` where the certificate names no role of ours, or several: it may do nothing.
    pub role: Option<Role>,
    /// The common name of the subject; empty where there is none.
    pub name: String,
    /// The beginning of the certificate's SHA-256, in hex: what tells two of one name apart.
    pub fingerprint: String,
}

impl Identity {
    /// Reads a certificate; one that cannot be read has no role and no name.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let fingerprint = hex::encode(&digest(&SHA256, certificate).as_ref()[..8]);
        let Ok(parsed) = EndEntityCert::try_from(certificate) else {
            return Self { role: None, name: String::new(), fingerprint };
        };
        let mut uris = parsed.valid_uri_names().filter(|uri| uri.starts_with("spiffe://"));
        let role = match (uris.next(), uris.next()) {
            (Some(only), None) => Role::of_uri(only),
            (Some(_), Some(_)) | (None, _) => None,
        };
        Self { role, name: common_name(parsed.subject()), fingerprint }
    }

    /// The role's name, or that there is none.
    #[must_use]
    pub fn role_name(&self) -> &'static str {
        self.role.map_or("none", Role::name)
    }
}

impl std::fmt::Display for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} (role {}, certificate {})", self.name, self.role_name(), self.fingerprint)
    }
}

/// The common name within a DER-encoded subject: the object identifier 2.5.4.3, then a text of some
/// kind whose length is one byte. Control characters are escaped, for this goes into logs.
fn common_name(subject: &[u8]) -> String {
    const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
    let at = subject.windows(COMMON_NAME.len()).position(|window| window == COMMON_NAME);
    let text = at.and_then(|at| {
        let [_kind, length, text @ ..] = &subject[at + COMMON_NAME.len()..] else {
            return None;
        };
        std::str::from_utf8(text.get(..usize::from(*length))?).ok()
    });
    let mut name = String::new();
    for character in text.unwrap_or_default().chars() {
        if character.is_control() {
            write!(name, "{}", character.escape_default()).expect("a String takes all text");
        } else {
            name.push(character);
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn identity(uris: &[&str], name: Option<&str>) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let uris = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(uris);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Carillon");
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        Identity::of(params.self_signed(&key).unwrap().der())
    }

    #[test]
    fn one_role_uri_is_a_role_and_anything_else_is_none() {
        let check = |uris: &[&str], role: Option<Role>| {
            assert_eq!(identity(uris, None).role, role, "{uris:?}");
        };
        for role in Role::ALL {
            check(&[&role.uri()], Some(role));
            check(&["https://example.org/", &role.uri()], Some(role));
        }
        check(&[], None);
        check(&["spiffe://carillon/role/"], None);
        check(&["spiffe://carillon/role/root"], None);
        check(&["spiffe://carillon/role/node/x"], None);
        check(&["spiffe://carillon/role/Node"], None);
        check(&["spiffe://carillon.example/role/node"], None);
        check(&["x-spiffe://carillon/role/node"], None);
        check(&["spiffe://carillon/role/node", "spiffe://carillon/role/admin"], None);
        check(&["spiffe://carillon/role/node", "spiffe://elsewhere/x"], None);
    }

    #[test]
    fn the_common_name_is_read_and_made_fit_for_logs() {
        assert_eq!(identity(&[], Some("gateway-1")).name, "gateway-1");
        assert_eq!(identity(&[], Some("Zoë")).name, "Zoë");
        assert_eq!(identity(&[], Some("a\nb")).name, "a\\nb");
        assert_eq!(identity(&[], None).name, "");
        assert_eq!(common_name(&[0x06, 0x03, 0x55, 0x04, 0x03]), "");
        assert_eq!(common_name(&[0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 9, b'x']), "");
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        let nobody = Identity::of(&CertificateDer::from(b"no".to_vec()));
        assert_eq!((nobody.role, &*nobody.name, nobody.fingerprint.len()), (None, "", 16));
    }
}
