//! An app: a tenant with its credentials, limits and switches.

use std::{fmt, sync::Arc, time::Duration};

use crate::{ChannelDelta, Limits, Webhook, constant_time_eq};

/// The app in the path of REST calls. At most 128 bytes of `A-Z a-z 0-9 _ - .`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppId(Arc<str>);

/// Why a text is no [`AppId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidAppId {
    /// Length of the refused text.
    pub bytes: usize,
}

impl AppId {
    /// The longest id, in bytes.
    pub const BYTES_MAX: usize = 128;

    /// Accepts 1 to 128 bytes of `A-Z a-z 0-9 _ - .`.
    pub fn parse(text: &str) -> Result<Self, InvalidAppId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(allowed) {
            return Err(InvalidAppId { bytes: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for AppId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvalidAppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an app id has 1 to {} characters of A-Z a-z 0-9 _ - . (this one has {})",
            AppId::BYTES_MAX,
            self.bytes
        )
    }
}

impl std::error::Error for InvalidAppId {}

/// The public key in the WebSocket URL and in `auth_key`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AppKey(pub Arc<str>);

impl AppKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for AppKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The HMAC key of an app. It prints as `…` and compares in constant time.
#[derive(Clone)]
pub struct AppSecret(Arc<str>);

impl AppSecret {
    /// Takes the secret's text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself; the only way to read it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AppSecret {
    fn eq(&self, other: &Self) -> bool {
        constant_time_eq(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl Eq for AppSecret {}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// The secrets that are valid at present: one, or two while a rotation is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// The secret that new signatures should use.
    pub current: AppSecret,
    /// The secret from before the last rotation, until it is retired.
    pub previous: Option<AppSecret>,
}

impl Secrets {
    /// One secret, no rotation under way.
    #[must_use]
    pub fn one(current: AppSecret) -> Self {
        Self { current, previous: None }
    }

    /// Whether any valid secret satisfies `check`. All are tried, so that the time taken does not
    /// tell which one matched.
    pub fn any(&self, check: impl Fn(&AppSecret) -> bool) -> bool {
        let current = check(&self.current);
        let previous = self.previous.as_ref().is_some_and(check);
        current | previous
    }
}

/// What an app may use beyond plain events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Sockets may publish `client-` events.
    pub client_events: bool,
    /// Sockets must sign in within the timeout.
    pub user_authentication: bool,
    /// Signed-in users hear when users they watch come and go.
    pub watchlist_events: bool,
    /// Subscribers of a channel hear its number of connections.
    pub subscription_count_events: bool,
    /// Subscriptions may carry a tag filter.
    pub tag_filtering: bool,
    /// Tags are part of what clients receive.
    pub tags_delivered: bool,
    /// Subscriptions may negotiate delta compression.
    pub delta_compression: bool,
}

/// One entry of `allowed_origins`.
///
/// Forms: `*`; a full origin (`https://ok.example`); a bare host (`ok.example`, any scheme);
/// `*.example.com` (the domain and its sub-domains); one `*` at the start or the end.
/// Comparison ignores case. Source: spec/websocket.md 1.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(Arc<str>);

impl OriginPattern {
    /// Keeps the pattern in lower case.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_ascii_lowercase().into())
    }

    /// The pattern, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `origin` (the header's value, empty when there is none) is allowed by this entry.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        let origin = origin.trim().to_ascii_lowercase();
        if matches!(&*self.0, "*" | "any") {
            return true;
        }
        if origin.is_empty() {
            return false;
        }
        let host = origin.split_once("://").map_or(&*origin, |(_, host)| host);
        let subject = if self.0.contains("://") { &*origin } else { host };
        let bare_host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if let Some(domain) = self.0.strip_prefix("*.") {
            return [host, bare_host].iter().any(|host| {
                *host == domain || host.strip_suffix(domain).is_some_and(|sub| sub.ends_with('.'))
            });
        }
        if let Some(suffix) = self.0.strip_prefix('*') {
            return subject.ends_with(suffix);
        }
        if let Some(prefix) = self.0.strip_suffix('*') {
            return subject.starts_with(prefix);
        }
        subject == &*self.0 || bare_host == &*self.0
    }
}

/// A tenant: everything a plane needs to know to serve it.
#[derive(Clone, Debug, PartialEq)]
pub struct App {
    /// The id in REST paths.
    pub id: AppId,
    /// The key in the WebSocket URL.
    pub key: AppKey,
    /// The valid secrets.
    pub secrets: Secrets,
    /// A disabled app is refused everywhere: REST 403, WebSocket 4003.
    pub enabled: bool,
    /// Its numbers.
    pub limits: Limits,
    /// Its switches.
    pub features: Features,
    /// Allowed `Origin` headers of WebSockets; empty allows all.
    pub allowed_origins: Vec<OriginPattern>,
    /// What the app's backend is told over HTTP.
    pub webhooks: Vec<Webhook>,
    /// Delta compression by pattern of channel names; see [`ChannelDelta::find`].
    pub channel_deltas: Vec<ChannelDelta>,
    /// For how long a publish with the same idempotency key is delivered once; `None`: keys are ignored.
    pub idempotency: Option<Duration>,
    /// Revision of this app's record in the store; grows with each change.
    pub revision: u64,
}

impl App {
    /// How long an idempotency key is remembered unless the app says otherwise.
    pub const IDEMPOTENCY: Duration = Duration::from_secs(120);

    /// An app with the documented defaults, at revision 0.
    #[must_use]
    pub fn new(id: AppId, key: &str, secrets: Secrets) -> Self {
        Self {
            id,
            key: AppKey(key.into()),
            secrets,
            enabled: true,
            limits: Limits::default(),
            features: Features {
                tag_filtering: true,
                tags_delivered: true,
                delta_compression: true,
                ..Features::default()
            },
            allowed_origins: Vec::new(),
            webhooks: Vec::new(),
            channel_deltas: Vec::new(),
            idempotency: Some(Self::IDEMPOTENCY),
            revision: 0,
        }
    }

    /// Whether a WebSocket with this `Origin` header may open.
    #[must_use]
    pub fn allows_origin(&self, origin: &str) -> bool {
        self.allowed_origins.is_empty()
            || self.allowed_origins.iter().any(|pattern| pattern.allows(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let secrets = Secrets::one(AppSecret::new("hush"));
        assert!(!format!("{secrets:?}").contains("hush"));
    }

    #[test]
    fn app_ids() {
        for good in ["3", "app-1", "my_app.eu", &"x".repeat(128)] {
            assert!(AppId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(129)] {
            assert!(AppId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins() {
        let check = |pattern: &str, origin: &str, allowed: bool| {
            assert_eq!(OriginPattern::new(pattern).allows(origin), allowed, "{pattern} {origin}");
        };
        check("*", "", true);
        check("https://ok.example", "https://ok.example", true);
        check("https://ok.example", "HTTPS://OK.EXAMPLE", true);
        check("https://ok.example", "http://ok.example", false);
        check("https://ok.example", "https://ok.example.evil", false);
        check("ok.example", "http://ok.example", true);
        check("ok.example", "http://ok.example:8080", true);
        check("ok.example:8080", "http://ok.example:8080", true);
        check("ok.example:8080", "http://ok.example:8081", false);
        check("ok.example", "", false);
        check("*.example.com", "https://example.com", true);
        check("*.example.com", "https://a.b.example.com:3000", true);
        check("*.example.com", "https://badexample.com", false);
        check("https://app-*", "https://app-7.example", true);
        check("*.dev", "https://x.dev", true);
    }
}
