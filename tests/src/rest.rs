//! An app's backend: signs REST calls and sends them over kept-open connections.

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use md5::{Digest as _, Md5};
use model::{AppSecret, Signature};
use serde_json::Value;

use crate::soon;

/// What an app's backend knows.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The id in paths.
    pub app_id: String,
    /// The public key.
    pub key: String,
    /// The secret.
    pub secret: String,
}

impl Default for Credentials {
    /// Those of the all-in-one's development app.
    fn default() -> Self {
        Self { app_id: "app-id".into(), key: "app-key".into(), secret: "app-secret".into() }
    }
}

impl Credentials {
    /// The signature of a text, in hex.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        Signature::sign(&AppSecret::new(&self.secret), text.as_bytes()).to_string()
    }
}

/// A backend of one app that calls one gateway; clones share their connections.
#[derive(Clone, Debug)]
pub struct Backend {
    http: Client<HttpConnector, UnsyncBoxBody<Bytes, Infallible>>,
    gateway: SocketAddr,
    /// Who calls.
    pub credentials: Credentials,
}

/// A call that is about to be signed.
#[derive(Clone, Debug)]
pub struct Call {
    backend: Backend,
    method: Method,
    path: String,
    parameters: BTreeMap<String, String>,
    headers: HeaderMap,
    header_form: bool,
    body: Bytes,
    /// The body follows its head after so long.
    pause: Duration,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl Backend {
    /// A backend with no connection yet.
    #[must_use]
    pub fn new(gateway: SocketAddr, credentials: Credentials) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { http: Client::builder(TokioExecutor::new()).build(connector), gateway, credentials }
    }

    /// The same backend with other credentials.
    #[must_use]
    pub fn with(&self, change: impl FnOnce(&mut Credentials)) -> Self {
        let mut other = self.clone();
        change(&mut other.credentials);
        other
    }

    /// Publishes an event given as JSON.
    pub async fn publish(&self, event: &Value) -> Answer {
        self.call(event.to_string()).send().await
    }

    /// Publishes text to one channel; fails where it is not answered with 200.
    pub async fn publish_text(&self, channel: &str, name: &str, data: &str) {
        let event = serde_json::json!({ "name": name, "channel": channel, "data": data });
        let answer = self.publish(&event).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Reads what is at a path below the app's, such as `channels`.
    #[must_use]
    pub fn get(&self, path: &str) -> Call {
        Call { method: Method::GET, ..self.post(path, "") }.without("body_md5")
    }

    /// Posts to a path below the app's.
    #[must_use]
    pub fn post(&self, path: &str, body: impl Into<Bytes>) -> Call {
        let path = format!("/apps/{}/{path}", self.credentials.app_id);
        Call { path, ..self.call(body) }
    }

    /// A publish with a body of any bytes.
    #[must_use]
    pub fn call(&self, body: impl Into<Bytes>) -> Call {
        let body = body.into();
        let parameters = [
            ("auth_key", self.credentials.key.clone()),
            ("auth_timestamp", unix_seconds().to_string()),
            ("auth_version", "1.0".to_owned()),
            ("body_md5", hex::encode(Md5::digest(&body))),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        Call {
            backend: self.clone(),
            method: Method::POST,
            path: format!("/apps/{}/events", self.credentials.app_id),
            parameters: parameters.into(),
            headers: HeaderMap::new(),
            header_form: false,
            body,
            pause: Duration::ZERO,
        }
    }
}

impl Call {
    /// Sets a query parameter. One named `auth_signature` is sent as it is.
    #[must_use]
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.parameters.insert(name.to_owned(), value.to_string());
        self
    }

    /// Leaves a query parameter out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.parameters.remove(name);
        self
    }

    /// Leaves all query parameters out.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.parameters.clear();
        self.set("auth_signature", "")
    }

    /// Key and signature go into the `Authorization` header instead of the query.
    #[must_use]
    pub fn header_form(mut self) -> Self {
        self.header_form = true;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = value.parse().expect("the test's header is valid");
        self.headers.insert(name, value);
        self
    }

    /// Signs and sends.
    pub async fn send(self) -> Answer {
        soon("an answer", self.try_send()).await.expect("the gateway answers")
    }

    /// Its body follows its head after so long.
    #[must_use]
    pub fn dawdle(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Signs and sends; `None` where the gateway is not there or goes before it has answered.
    pub async fn try_send(mut self) -> Option<Answer> {
        self.sign();
        let query: Vec<_> =
            self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let gateway = self.backend.gateway;
        let uri = format!("http://{gateway}{}?{}", self.path, query.join("&"));
        let mut request = Request::new(dawdling(self.body, self.pause));
        *request.uri_mut() = uri.parse().expect("the test's address is valid");
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        let response = self.backend.http.request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?;
        Some(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            text: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        })
    }

    fn sign(&mut self) {
        if self.parameters.contains_key("auth_signature") {
            self.parameters.retain(|_, value| !value.is_empty());
            return;
        }
        let mut query: Vec<_> = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{}={value}", name.to_lowercase()))
            .collect();
        query.sort();
        let text = format!("{}\n{}\n{}", self.method, self.path, query.join("&"));
        let signature = self.backend.credentials.sign(&text);
        if !self.header_form {
            self.parameters.insert("auth_signature".into(), signature);
            return;
        }
        let key = self.parameters.remove("auth_key").unwrap_or_default();
        let value = format!("{key}:{signature}");
        let value = value.parse().expect("a key and hex digits are a header");
        self.headers.insert(http::header::AUTHORIZATION, value);
    }
}

impl Answer {
    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// A header's value; empty where there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("a header is text"))
    }
}

/// A body that comes after so long.
fn dawdling(body: Bytes, pause: Duration) -> UnsyncBoxBody<Bytes, Infallible> {
    if pause.is_zero() {
        return Full::new(body).boxed_unsync();
    }
    let late = async move {
        tokio::time::sleep(pause).await;
        Ok(Frame::data(body))
    };
    StreamBody::new(futures_util::stream::once(late)).boxed_unsync()
}

/// Status and body of a plain GET over a connection of its own; status 0 where nobody answers.
pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let uri = format!("http://{address}{path}");
    let Ok(response) = http.get(uri.parse().expect("the address is valid")).await else {
        return (0, String::new());
    };
    let status = response.status().as_u16();
    let body = response.into_body().collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    (status, String::from_utf8_lossy(&bytes).into_owned())
}

/// The time that signatures carry.
#[allow(clippy::disallowed_methods, reason = "signatures carry the wall clock")]
#[must_use]
pub fn unix_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_secs()
}
