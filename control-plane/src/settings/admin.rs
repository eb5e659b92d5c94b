//! Who may manage apps: whoever has an admin token.

use model::{Reason, Rejection, constant_time_eq};
use ring::digest::{SHA256, digest};
use tonic::metadata::MetadataMap;

/// The tokens that are valid, as digests: two while one is exchanged, none to refuse everybody.
#[derive(Clone, Default)]
pub struct AdminTokens(Vec<[u8; 32]>);

impl AdminTokens {
    /// Takes the tokens; an empty text is none.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Self {
        let tokens = tokens.into_iter().filter(|token| !token.is_empty());
        Self(tokens.map(|token| fingerprint(token.as_bytes())).collect())
    }
}

/// Demands `authorization: Bearer <token>`; tells which token it was by the beginning of its SHA-256,
/// for the audit log. The time taken tells nothing about the tokens.
pub fn authorize(metadata: &MetadataMap, tokens: &AdminTokens) -> Result<String, Rejection> {
    let value = metadata.get("authorization").map_or(&b""[..], |value| value.as_bytes());
    let (scheme, given) = value.split_at(value.len().min(b"Bearer ".len()));
    let given = fingerprint(given);
    let known = tokens.0.iter().fold(false, |known, token| known | constant_time_eq(token, &given));
    if known && scheme.eq_ignore_ascii_case(b"Bearer ") {
        // Of a valid token only: a mistyped one may be some other secret.
        return Ok(hex::encode(&given[..4]));
    }
    let message = "managing apps needs an admin token: authorization: Bearer <token>";
    Err(Rejection::new(Reason::AuthFailed, message))
}

fn fingerprint(token: &[u8]) -> [u8; 32] {
    digest(&SHA256, token).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

impl std::fmt::Debug for AdminTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_token_passes() {
        let check = |tokens: &[&str], header: Option<&str>, passes: bool| {
            let mut metadata = MetadataMap::new();
            if let Some(header) = header {
                metadata.insert("authorization", header.parse().unwrap());
            }
            let tokens = AdminTokens::new(tokens.iter().copied());
            assert_eq!(authorize(&metadata, &tokens).is_ok(), passes, "{header:?}");
        };
        check(&["one", "two"], Some("Bearer one"), true);
        check(&["one", "two"], Some("bearer two"), true);
        check(&["one"], Some("Bearer two"), false);
        check(&["one"], Some("Bearer onetwo"), false);
        check(&["one"], Some("Basic! one"), false);
        check(&["one"], Some("one"), false);
        check(&["one"], Some("Bearer "), false);
        check(&["one"], None, false);
        check(&[], Some("Bearer one"), false);
        check(&[""], Some("Bearer "), false);
    }
}
