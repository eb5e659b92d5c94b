//! What a failed connection among planes means, in words for whoever has to mend it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// The error, and what it says of certificates where it comes from TLS.
pub(super) fn explained(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match tls.and_then(meaning) {
        Some(meaning) => format!("{meaning} ({error})"),
        None => error.to_string(),
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "TLS has more errors than are worth words")]
fn meaning(error: &Error) -> Option<&'static str> {
    let meaning = match error {
        Error::NoCertificatesPresented => "the other end showed no certificate",
        Error::InvalidMessage(_) => "the other end does not speak TLS",
        Error::InvalidCertificate(wrong) => match wrong {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the other end's certificate is of an authority that is not trusted here"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the other end's certificate has expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the other end's certificate is not valid yet"
            }
            _ => "the other end's certificate is not accepted",
        },
        Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => "the other end wants a certificate",
            AlertDescription::UnknownCA | AlertDescription::DecryptError => {
                "the other end does not trust the authority of this end's certificate"
            }
            AlertDescription::CertificateExpired => {
                "the other end finds that this end's certificate has expired"
            }
            AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::AccessDenied => "the other end does not accept this certificate",
            _ => return None,
        },
        _ => return None,
    };
    Some(meaning)
}
