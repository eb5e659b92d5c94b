//! What a request claims about itself, and whether its signature proves it. Pure.

use std::borrow::Cow;

use md5::{Digest as _, Md5};
use model::{App, Reason, Rejection, Signature, constant_time_eq};

use super::query::{Plus, Query, decode};

/// How far a request's clock may be off, in seconds, both ways.
const CLOCK_SKEW_SECONDS_MAX: u64 = 600;

/// The parts of a request that its signature covers.
#[derive(Clone, Debug)]
pub(crate) struct Claim<'a> {
    pub method: &'a str,
    /// As on the wire, without the query.
    pub path: &'a str,
    /// Where the API is mounted as well; clients sign with or without it.
    pub prefix: Option<&'a str>,
    pub query: Query<'a>,
    /// The value of the `Authorization` header.
    pub authorization: Option<&'a str>,
}

/// What the body must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyClaim {
    /// No `body_md5`: empty.
    Empty,
    /// The MD5 of its bytes.
    Md5([u8; 16]),
}

impl Claim<'_> {
    /// Whether the request was signed with a secret of `app`, lately. Says what the body must be.
    pub(crate) fn verify(mut self, app: &App, now: u64) -> Result<BodyClaim, Rejection> {
        let authorization = self.authorization.and_then(key_and_signature);
        if let Some((key, _)) = authorization {
            self.query.insert("auth_key", key);
        }
        let in_query = (self.query.get("auth_key"), self.query.signature());
        let (key, signature) = match (authorization, in_query) {
            (None, (Some(key), Some(signature))) => (key, signature),
            (None, _) => return Err(unsigned()),
            (Some((key, signature)), (Some(same), other))
                if same == key && other.is_none_or(|other| other == signature) =>
            {
                (key, signature)
            }
            (Some(_), _) => {
                return Err(failed("the query and the Authorization header contradict"));
            }
        };
        check_version(self.query.get("auth_version"))?;
        check_timestamp(self.query.get("auth_timestamp"), now)?;
        let body = BodyClaim::parse(self.query.get("body_md5"))?;
        // Both are looked at in every case, so that the time tells nothing about the key.
        let key_fits = constant_time_eq(app.key.as_str().as_bytes(), key.as_bytes());
        let signature_fits = self.signed_by(app, signature.as_bytes());
        match (key_fits, signature_fits) {
            (true, true) => Ok(body),
            (false, _) => Err(failed("auth_key is not the key of this app")),
            (true, false) => Err(failed("the signature does not fit this request and app")),
        }
    }

    fn signed_by(&self, app: &App, signature: &[u8]) -> bool {
        self.paths().any(|path| {
            let message = string_to_sign(self.method, &path, &self.query);
            app.secrets.any(|secret| Signature::sign(secret, message.as_bytes()).matches(signature))
        })
    }

    /// What clients may have signed as the path: without and with the prefix, as on the wire and
    /// percent-decoded.
    fn paths(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let without = self.prefix.and_then(|prefix| self.path.strip_prefix(prefix));
        let forms = [without, Some(self.path)].into_iter().flatten();
        forms.flat_map(|path| {
            let decoded = decode(path, Plus::IsPlus).ok();
            let decoded = decoded.filter(|decoded| matches!(decoded, Cow::Owned(_)));
            std::iter::once(Cow::Borrowed(path)).chain(decoded)
        })
    }
}

impl BodyClaim {
    fn parse(body_md5: Option<&str>) -> Result<Self, Rejection> {
        let Some(text) = body_md5.filter(|text| !text.is_empty()) else {
            return Ok(Self::Empty);
        };
        let mut digest = [0; 16];
        let lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut digest) {
            Ok(()) if lower => Ok(Self::Md5(digest)),
            Ok(()) | Err(_) => Err(failed(
                "body_md5 must be 32 lower-case hex digits, the MD5 of the body's bytes",
            )),
        }
    }

    /// Whether a body that is known not to be empty can be refused unread.
    pub(crate) fn check_announced(self, bytes_at_least: u64) -> Result<(), Rejection> {
        match self {
            Self::Empty if bytes_at_least > 0 => Err(body_md5_missing()),
            Self::Empty | Self::Md5(_) => Ok(()),
        }
    }

    /// Whether this is the body that was signed.
    pub(crate) fn check(self, body: &[u8]) -> Result<(), Rejection> {
        match self {
            Self::Empty if body.is_empty() => Ok(()),
            Self::Empty => Err(body_md5_missing()),
            Self::Md5(expected) if constant_time_eq(&Md5::digest(body), &expected) => Ok(()),
            Self::Md5(_) => Err(failed(format!(
                "body_md5 is not the MD5 of the {} bytes of the body received",
                body.len()
            ))),
        }
    }
}

/// The text that is signed: three lines, the last one `k=v` joined by `&`, nothing escaped.
#[must_use]
pub fn string_to_sign(method: &str, path: &str, query: &Query<'_>) -> String {
    let bytes: usize = query.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut text = String::with_capacity(method.len() + path.len() + bytes + 2);
    text.extend([method, "\n", path, "\n"]);
    for (place, (key, value)) in query.iter().enumerate() {
        let joint = if place == 0 { "" } else { "&" };
        text.extend([joint, key, "=", value]);
    }
    text
}

/// `key:signature`; anything else in the header is someone else's.
fn key_and_signature(header: &str) -> Option<(&str, &str)> {
    let (key, signature) = header.trim().split_once(':')?;
    let hex = signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_hexdigit());
    (hex && !key.is_empty() && !key.contains(' ')).then_some((key, signature))
}

fn check_version(version: Option<&str>) -> Result<(), Rejection> {
    match version {
        Some("1.0") => Ok(()),
        Some(_) => Err(failed("auth_version must be 1.0")),
        None => Err(failed("auth_version is missing; it must be 1.0")),
    }
}

fn check_timestamp(timestamp: Option<&str>, now: u64) -> Result<(), Rejection> {
    let Some(text) = timestamp.filter(|text| !text.is_empty()) else {
        return Err(failed(format!("auth_timestamp is missing; the server's time is {now}")));
    };
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "auth_timestamp must be Unix seconds, decimal digits only";
        return Err(failed(format!("{message}; the server's time is {now}")));
    }
    let given = text.parse().unwrap_or(u64::MAX);
    if now.abs_diff(given) > CLOCK_SKEW_SECONDS_MAX {
        return Err(failed(format!(
            "auth_timestamp {given} is {} s from the server's time {now}, at most \
             {CLOCK_SKEW_SECONDS_MAX} s are allowed",
            now.abs_diff(given)
        )));
    }
    Ok(())
}

fn unsigned() -> Rejection {
    failed(
        "the request is not signed: auth_key and auth_signature in the query, or the header \
         Authorization: key:signature, are required",
    )
}

fn body_md5_missing() -> Rejection {
    failed("body_md5 is missing: a request with a body must sign the MD5 of its bytes")
}

fn failed(message: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::AuthFailed, message)
}
