//! Who calls `EventService`: the REST signing scheme in metadata, or key and secret.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use md5::{Digest as _, Md5};
use model::{App, AppSecret, Reason, Rejection, Secrets, Signature, constant_time_eq};
use proto::{plane::serve::Peer, status::from_rejection};
use tonic::metadata::MetadataMap;

/// A signature is valid this long before and after its timestamp, in seconds.
const WINDOW_SECONDS: u64 = 600;
/// A signed message is buffered up to this size to compare its MD5.
const BODY_BYTES_MAX: usize = 16 << 20;
/// gRPC puts a flag and a length before each message.
const GRPC_PREFIX_BYTES: usize = 5;

/// The MD5 of a unary request's message was compared with what its caller said.
#[derive(Clone, Copy, Debug)]
pub struct BodyVerified;

/// What a call is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// `/carillon.v1.EventService/TriggerEvent` and so on.
    pub path: &'a str,
    /// Whether a signature must cover the message: all but streams.
    pub signs_body: bool,
    /// Unix seconds.
    pub now: u64,
    /// Whether a peer that is not loopback may send credentials in clear text.
    pub plaintext_allowed: bool,
}

/// Refuses a call that does not prove to be the app's. `app` is `None` where there is no such app:
/// the work done is the same.
pub fn verify<T>(
    app: Option<&App>,
    request: &tonic::Request<T>,
    call: Call<'_>,
) -> Result<(), Rejection> {
    let peer = request.extensions().get::<Peer>();
    let clear = peer.is_some_and(|peer| !peer.encrypted && !peer.address.ip().is_loopback());
    if clear && !call.plaintext_allowed {
        return Err(refuse(
            "credentials in clear text are accepted from loopback only; use TLS, or start the control \
             plane with --allow-plaintext-credentials",
        ));
    }
    let nobody = Secrets::one(AppSecret::new("no such app"));
    let (key, secrets) = app.map_or(("", &nobody), |app| (app.key.as_str(), &app.secrets));
    let metadata = request.metadata();
    match text(metadata, "authorization").and_then(|value| value.strip_prefix("Basic ")) {
        Some(basic) => check_basic(basic, key, secrets),
        None => {
            let verified = request.extensions().get::<BodyVerified>().is_some();
            check_signed(metadata, (key, secrets), call, verified)
        }
    }
}

fn refuse(message: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::AuthFailed, message)
}

fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).and_then(|value| value.to_str().ok())
}

fn check_basic(basic: &str, key: &str, secrets: &Secrets) -> Result<(), Rejection> {
    let decoded =
        STANDARD.decode(basic.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let Some((given_key, given_secret)) = decoded.as_deref().and_then(|text| text.split_once(':'))
    else {
        return Err(refuse("authorization: Basic wants base64 of key:secret"));
    };
    let key_matches = constant_time_eq(key.as_bytes(), given_key.as_bytes());
    let given = AppSecret::new(given_secret);
    if key_matches & secrets.any(|secret| *secret == given) {
        return Ok(());
    }
    Err(refuse("key or secret is wrong for this app"))
}

fn check_signed(
    metadata: &MetadataMap,
    (key, secrets): (&str, &Secrets),
    call: Call<'_>,
    body_verified: bool,
) -> Result<(), Rejection> {
    let required = |name: &'static str| {
        text(metadata, name).ok_or_else(|| {
            refuse(format!(
                "metadata {name} is missing; send auth-key, auth-timestamp, auth-version, body-md5 and \
                 auth-signature, or authorization: Basic"
            ))
        })
    };
    let given_key = required("auth-key")?;
    let timestamp = required("auth-timestamp")?;
    if required("auth-version")? != "1.0" {
        return Err(refuse("auth-version must be 1.0"));
    }
    let signature = required("auth-signature")?;
    check_timestamp(timestamp, call.now)?;
    let mut query = format!("auth_key={given_key}&auth_timestamp={timestamp}&auth_version=1.0");
    if let Some(md5) = text(metadata, "body-md5") {
        query.push_str("&body_md5=");
        query.push_str(md5);
    }
    if call.signs_body && !body_verified {
        return Err(refuse("metadata body-md5 is missing: the MD5 of the request message's bytes"));
    }
    let signed = format!("POST\n{}\n{query}", call.path);
    let key_matches = constant_time_eq(key.as_bytes(), given_key.as_bytes());
    let matches = secrets
        .any(|secret| Signature::sign(secret, signed.as_bytes()).matches(signature.as_bytes()));
    if key_matches & matches {
        return Ok(());
    }
    Err(refuse("key or signature is wrong for this app"))
}

fn check_timestamp(timestamp: &str, now: u64) -> Result<(), Rejection> {
    let digits = !timestamp.is_empty() && timestamp.bytes().all(|byte| byte.is_ascii_digit());
    let given = digits.then(|| timestamp.parse::<u64>().ok()).flatten();
    let given = given.ok_or_else(|| refuse("auth-timestamp must be Unix seconds"))?;
    if given.abs_diff(now) > WINDOW_SECONDS {
        let message = format!(
            "auth-timestamp {given} is more than {WINDOW_SECONDS} seconds from server time {now}"
        );
        return Err(refuse(message));
    }
    Ok(())
}

/// Compares a message with the MD5 that its caller gave, before it is decoded. An axum middleware.
pub async fn verify_body(
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> axum::response::Response {
    let Some(given) = request.headers().get("body-md5").cloned() else {
        return next.run(request).await;
    };
    let (mut parts, body) = request.into_parts();
    let refused = |message: &'static str| from_rejection(&refuse(message)).into_http();
    let Ok(collected) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return refused("the message is larger than 16 MiB or was cut off");
    };
    let frame: Bytes = collected.to_bytes();
    let message = frame.get(GRPC_PREFIX_BYTES..).unwrap_or_default();
    let md5 = hex::encode(Md5::digest(message));
    if !constant_time_eq(md5.as_bytes(), given.as_bytes()) {
        return refused("body-md5 is not the MD5 of the request message's bytes");
    }
    parts.extensions.insert(BodyVerified);
    next.run(axum::extract::Request::from_parts(parts, axum::body::Body::from(frame))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> App {
        let record = proto::internal::AppRecord {
            app: Some(proto::v1::App {
                app_id: "a".into(),
                key: "app-key".into(),
                ..proto::v1::App::default()
            }),
            current_secret: "app-secret".into(),
            previous_secret: "old-secret".into(),
        };
        App::try_from(&record).unwrap()
    }

    fn call(metadata: &[(&'static str, &str)]) -> Result<(), Rejection> {
        let mut request = tonic::Request::new(());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        let path = "/carillon.v1.EventService/TriggerEventStream";
        let call = Call { path, signs_body: false, now: 1_700_000_000, plaintext_allowed: false };
        verify(Some(&app()), &request, call)
    }

    #[test]
    fn basic() {
        let header = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for good in ["app-key:app-secret", "app-key:old-secret"] {
            assert!(call(&[("authorization", &header(good))]).is_ok(), "{good}");
        }
        for bad in ["app-key:wrong", "other:app-secret", "app-key", ":", ""] {
            assert!(call(&[("authorization", &header(bad))]).is_err(), "{bad}");
        }
        assert!(call(&[]).is_err());
    }

    #[test]
    fn signed() {
        let signed = |timestamp: &str, path: &str| {
            let text = format!(
                "POST\n{path}\nauth_key=app-key&auth_timestamp={timestamp}&auth_version=1.0"
            );
            let signature = Signature::sign(&AppSecret::new("app-secret"), text.as_bytes());
            call(&[
                ("auth-key", "app-key"),
                ("auth-timestamp", timestamp),
                ("auth-version", "1.0"),
                ("auth-signature", signature.as_str()),
            ])
        };
        let path = "/carillon.v1.EventService/TriggerEventStream";
        assert!(signed("1700000600", path).is_ok());
        assert!(signed("1699999400", path).is_ok());
        assert!(signed("1700000601", path).is_err());
        assert!(signed("x", path).is_err());
        assert!(signed("1700000000", "/carillon.v1.EventService/TriggerEvent").is_err());
    }
}
