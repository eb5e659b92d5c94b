//! What is signed for private channels and for sign-in, and whether a signature is good.

use std::fmt;

use model::{App, Signature, SocketId};

/// What a backend signs so that a socket may subscribe. A `channel_data` that is not empty is part
/// of it on every kind of channel, byte for byte as received. Source: spec/websocket.md 2.3.
#[must_use]
pub fn subscription(id: SocketId, channel: &str, channel_data: Option<&str>) -> String {
    match channel_data {
        None | Some("") => format!("{id}:{channel}"),
        Some(data) => format!("{id}:{channel}:{data}"),
    }
}

/// What a backend signs so that a socket may sign in as a user. Source: spec/websocket.md 4.1.
#[must_use]
pub fn signin(id: SocketId, user_data: &str) -> String {
    format!("{id}::user::{user_data}")
}

/// Why an `auth` is refused. Prints as the message for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// There is none.
    Missing,
    /// It is not `key:signature`.
    Malformed,
    /// Its key is not the app's.
    WrongKey,
    /// No valid secret made its signature for this socket and channel.
    WrongSignature,
}

/// Whether `auth` is the app's key and, behind a colon, the signature of `signed` by one of the
/// app's valid secrets. The key is public; the signature is compared in constant time.
pub fn verify(app: &App, auth: Option<&str>, signed: &str) -> Result<(), Denied> {
    let auth = auth.filter(|auth| !auth.is_empty()).ok_or(Denied::Missing)?;
    let behind_key = auth.strip_prefix(app.key.as_str()).and_then(|rest| rest.strip_prefix(':'));
    let Some(given) = behind_key else {
        return Err(if auth.contains(':') { Denied::WrongKey } else { Denied::Malformed });
    };
    let matches = |secret: &_| Signature::sign(secret, signed.as_bytes()).matches(given.as_bytes());
    if app.secrets.any(matches) { Ok(()) } else { Err(Denied::WrongSignature) }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "Authentication signature required for this channel",
            Self::Malformed => "Invalid auth: it must be the app key, a colon and the signature",
            Self::WrongKey => {
                "Invalid key in subscription auth data: it is not the key of this connection's app"
            }
            Self::WrongSignature => {
                "Invalid signature: it must be the HMAC-SHA256 of socket id, channel and \
                 channel_data with the app's secret"
            }
        })
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use model::{AppId, AppSecret, Secrets};

    use super::*;

    fn app(key: &str, secret: &str) -> App {
        App::new(AppId::parse("1").unwrap(), key, Secrets::one(AppSecret::new(secret)))
    }

    fn check(app: &App, signed: &str, digest: &str) {
        let auth = format!("{}:{digest}", app.key.as_str());
        assert_eq!(verify(app, Some(&auth), signed), Ok(()), "{signed}");
        let other = format!("{signed}x");
        assert_eq!(verify(app, Some(&auth), &other), Err(Denied::WrongSignature), "{other}");
    }

    /// spec/websocket.md A.1, set 1, and the end of spec/http.md 1.7.
    #[test]
    fn official_vectors() {
        let app = app("278d425bdf160c739803", "7ad3773142a6692b25b8");
        let id = SocketId::parse("1234.1234").unwrap();
        let private = subscription(id, "private-foobar", None);
        assert_eq!(private, "1234.1234:private-foobar");
        check(&app, &private, "58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4");
        let data = |name| format!(r#"{{"user_id":10,"user_info":{{"name":"{name}"}}}}"#);
        let presence = subscription(id, "presence-foobar", Some(&data("Mr. Channels")));
        check(&app, &presence, "31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80");
        let presence = subscription(id, "presence-foobar", Some(&data("Mr. Pusher")));
        check(&app, &presence, "afaed3695da2ffd16931f457e338e6c9f2921fa133ce7dac49f529792be6304c");
        let signin = signin(id, r#"{"id":"12345"}"#);
        check(&app, &signin, "4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba");
    }

    /// spec/websocket.md A.1, set 2.
    #[test]
    fn vectors_of_every_kind_of_channel() {
        let app = app("app-key", "app-secret");
        let id = SocketId::parse("2759100109.9085358341").unwrap();
        let rows = [
            (
                "private-orders",
                None,
                "64f309b1b9ae8063584033886aee0cd28d83155b649fae0fb2411ee2163f4ac9",
            ),
            (
                "private-encrypted-orders",
                None,
                "5d6e66daee6ca67787de3a752b3e975f50a85646f1b2a30867ea87a53d383a46",
            ),
            (
                "private-cache-orders",
                Some(""),
                "1e277f4ee85cb0454f3b078a8efb58ad8abb82e90c943d3603638c7ca3436893",
            ),
            (
                "presence-room",
                None,
                "bb02376914569b96819d4cfdecded396a3cf15584c63d8ab0a685fee7e5e209d",
            ),
            (
                "presence-room",
                Some(r#"{"user_id":"u1","user_info":{"name":"Zoë"}}"#),
                "a2e8789cd1b55b767002f339523a8bd739c265aaa78fb83f335926417e825a20",
            ),
            (
                "presence-cache-room",
                Some(r#"{"user_id":"u1"}"#),
                "610b6a928dd86c262937d4d44451dfdc53936f590c998c3a6963f0915446ae8b",
            ),
        ];
        for (channel, data, digest) in rows {
            check(&app, &subscription(id, channel, data), digest);
        }
        let user = r#"{"id":"u1","user_info":{"name":"Ann"},"watchlist":["u2","u3"]}"#;
        let digest = "3a6aff7d475c4ad4a544d8723dabf7dc8d6aa0f675f177d452f9260f554017f0";
        check(&app, &signin(id, user), digest);
    }

    #[test]
    fn both_secrets_of_a_rotation_are_valid_and_a_retired_one_is_not() {
        let mut app = app("k", "new");
        let auth = format!("k:{}", Signature::sign(&AppSecret::new("old"), b"1.2:private-a"));
        assert_eq!(verify(&app, Some(&auth), "1.2:private-a"), Err(Denied::WrongSignature));
        app.secrets.previous = Some(AppSecret::new("old"));
        assert_eq!(verify(&app, Some(&auth), "1.2:private-a"), Ok(()));
    }

    #[test]
    fn refusals_say_what_is_wrong() {
        let app = app("k", "s");
        let good = Signature::sign(&app.secrets.current, b"m");
        let check = |auth: Option<&str>, expected| {
            assert_eq!(verify(&app, auth, "m"), expected, "{auth:?}");
        };
        check(Some(&format!("k:{good}")), Ok(()));
        check(None, Err(Denied::Missing));
        check(Some(""), Err(Denied::Missing));
        check(Some("k"), Err(Denied::Malformed));
        check(Some(good.as_str()), Err(Denied::Malformed));
        check(Some(&format!("K:{good}")), Err(Denied::WrongKey));
        check(Some(&format!("kk:{good}")), Err(Denied::WrongKey));
        check(Some(&format!(":{good}")), Err(Denied::WrongKey));
        check(Some("k:"), Err(Denied::WrongSignature));
        check(Some(&format!("k:{good}0")), Err(Denied::WrongSignature));
        check(Some(&format!("k:{}", good.as_str().to_uppercase())), Err(Denied::WrongSignature));
    }
}
