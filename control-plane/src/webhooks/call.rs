//! One call: what is sent, and what the answer means.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Request, Uri,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING,
        UPGRADE, USER_AGENT,
    },
};
use http_body_util::Full;
use model::{App, MessageId, Signature, Webhook};

use super::batch::Batch;

/// Names the call: the same in each try, so that a receiver can tell what it has had already.
const CALL_ID: HeaderName = HeaderName::from_static("x-carillon-webhook-id");
const KEY: HeaderName = HeaderName::from_static("x-pusher-key");
const SIGNATURE: HeaderName = HeaderName::from_static("x-pusher-signature");

/// What HTTP itself says, and no configured header may.
const OF_HTTP: [HeaderName; 8] =
    [HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, TE, TRAILER, EXPECT];

/// A call to make.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) app: Arc<App>,
    pub(super) webhook: Arc<Webhook>,
    pub(super) target: MessageId,
    pub(super) batch: Arc<Batch>,
    /// The target's last call did not succeed.
    pub(super) failing: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A status of 2xx.
    Taken,
    /// No answer: worth another try.
    Unreachable(String),
    /// A status that says: later.
    Unwell(u16),
    /// A status that says: never. A redirect too: nobody else is to get what is signed for this URL.
    Declined(u16),
    /// We do not call there.
    Refused(String),
}

impl Outcome {
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Taken,
            408 | 409 | 425 | 429 | 500..=599 => Self::Unwell(status),
            _ => Self::Declined(status),
        }
    }

    /// In a word or two, for the log.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Unreachable(_) => "unreachable",
            Self::Unwell(_) => "unwell",
            Self::Declined(_) => "declined",
            Self::Refused(_) => "refused",
        }
    }
}

impl Call {
    /// The request to the path of `url`, signed with the secret that is in force.
    pub(super) fn request(&self, url: &Uri) -> Request<Full<Bytes>> {
        let mut request = Request::post(url.path_and_query().map_or("/", |path| path.as_str()))
            .body(Full::new(self.batch.body.clone()))
            .expect("a path of a URL is one of a request");
        let headers = request.headers_mut();
        let agent = concat!("Carillon/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &self.webhook.headers {
            let (name, value) = (HeaderName::try_from(name), HeaderValue::try_from(value));
            if let (Ok(name), Ok(value)) = (name, value)
                && !OF_HTTP.contains(&name)
            {
                headers.insert(name, value);
            }
        }
        let mut protocol = |name, value: &str| {
            let value = HeaderValue::try_from(value).expect("checked when it was stored");
            headers.insert(name, value);
        };
        let signature = Signature::sign(&self.app.secrets.current, &self.batch.body);
        protocol(HOST, host(url));
        protocol(CONTENT_TYPE, "application/json");
        protocol(KEY, self.app.key.as_str());
        protocol(SIGNATURE, signature.as_str());
        protocol(CALL_ID, &self.batch.id.to_string());
        request
    }
}

/// Host and, where it is not the scheme's own, port.
fn host(url: &Uri) -> &str {
    let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
    match url.port_u16() {
        Some(port) if port != usual => url.authority().map_or("", |authority| authority.as_str()),
        Some(_) | None => url.host().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::event::tests::moment;
    use model::{AppId, AppSecret, Secrets};

    fn call(headers: &[(&str, &str)]) -> Call {
        let secrets = Secrets::one(AppSecret::new("app-secret"));
        let app = App::new(AppId::parse("a").unwrap(), "app-key", secrets);
        let header = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let webhook = Webhook {
            url: "http://example.com:8080/hook?x=1".into(),
            kinds: Vec::new(),
            filter: model::WebhookFilter::default(),
            headers: headers.iter().map(header).collect(),
            retry: None,
            timeout: Webhook::TIMEOUT,
        };
        let body = r#"{"time_ms":1327078148132,"events":[{"name":"channel_occupied","channel":"my-channel"}]}"#;
        let (id, deadline) = (MessageId(0xab), moment(1).at);
        let batch = Batch { id, body: body.into(), events: 1, deadline };
        let (target, batch) = (MessageId(1), Arc::new(batch));
        Call { app: Arc::new(app), webhook: Arc::new(webhook), target, batch, failing: false }
    }

    #[test]
    fn the_protocols_headers_win() {
        let call = call(&[
            ("X-Team", "a"),
            ("content-type", "text/plain"),
            ("x-pusher-signature", "forged"),
            ("Host", "elsewhere"),
            ("Content-Length", "3"),
            ("transfer-encoding", "chunked"),
            ("user-agent", "mine"),
        ]);
        let request = call.request(&call.webhook.url.parse().unwrap());
        let mut headers: Vec<_> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort();
        let w1 = "e9ea3bd210dd97133a5b221229cbee6d5cf2f42f34877c7d3ae84be2353449ba";
        let expected = [
            "content-type: application/json",
            "host: example.com:8080",
            "user-agent: mine",
            "x-carillon-webhook-id: 000000000000000000000000000000ab",
            "x-pusher-key: app-key",
            &format!("x-pusher-signature: {w1}"),
            "x-team: a",
        ];
        assert_eq!(headers, expected);
        assert_eq!(
            (request.method().as_str(), request.uri().to_string()),
            ("POST", "/hook?x=1".into())
        );
    }

    #[test]
    fn hosts() {
        let check = |url: &'static str, expected: &str| {
            assert_eq!(host(&Uri::from_static(url)), expected);
        };
        check("http://a.example/x", "a.example");
        check("https://a.example:443", "a.example");
        check("https://a.example:80", "a.example:80");
        check("http://[::1]:8080/", "[::1]:8080");
    }

    #[test]
    fn what_a_status_means() {
        for taken in [200, 201, 204, 299] {
            assert_eq!(Outcome::of_status(taken), Outcome::Taken);
        }
        for later in [408, 409, 425, 429, 500, 502, 503, 599] {
            assert_eq!(Outcome::of_status(later), Outcome::Unwell(later));
        }
        for never in [301, 302, 303, 307, 308, 400, 401, 404, 410, 413, 422] {
            assert_eq!(Outcome::of_status(never), Outcome::Declined(never));
        }
    }
}
