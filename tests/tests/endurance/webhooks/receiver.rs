//! An HTTP server that takes webhooks, remembers the names of calls and takes each once.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::{process::free_port, rest::Credentials};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::task::AbortOnDropHandle;

/// A server that can be away.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    serving: Option<AbortOnDropHandle<()>>,
}

/// What came, by path, in the order in which it came.
pub(crate) type News = HashMap<String, Vec<Value>>;

struct State {
    credentials: Credentials,
    /// Bodies by path and name of the call.
    calls: HashMap<(String, String), Bytes>,
    repeated: usize,
    events: usize,
    news: News,
    faults: Vec<String>,
}

impl Receiver {
    /// Starts to listen.
    pub(crate) async fn start(credentials: Credentials) -> Self {
        let state = State {
            credentials,
            calls: HashMap::new(),
            repeated: 0,
            events: 0,
            news: News::new(),
            faults: Vec::new(),
        };
        let address = ([127, 0, 0, 1], free_port()).into();
        let mut receiver = Self { address, state: Arc::new(Mutex::new(state)), serving: None };
        receiver.come_back().await;
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody listens any more, and all connections are cut, in the midst of calls.
    pub(crate) async fn leave(&mut self) {
        let serving = self.serving.take().expect("it was there");
        serving.abort();
        assert!(serving.await.unwrap_err().is_cancelled());
    }

    /// Listens again, at the same address.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is free");
        self.serving =
            Some(AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::clone(&self.state)))));
    }

    /// Events taken so far; no call was wrong.
    pub(crate) fn events(&self) -> usize {
        let state = self.state();
        assert!(state.faults.is_empty(), "{:#?}", state.faults);
        state.events
    }

    /// Calls taken, and calls that came again because their answer was lost.
    pub(crate) fn calls(&self) -> (usize, usize) {
        let state = self.state();
        (state.calls.len(), state.repeated)
    }

    pub(crate) fn news(&self) -> News {
        self.state().news.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // They end with the listener.
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, &state));
            // The caller may go away at any time.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(tcp), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: &Mutex<State>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    if let Ok(body) = body.collect().await {
        state.lock().unwrap().take(head.uri.path(), &head.headers, body.to_bytes());
    }
    Ok(Response::new(Empty::new()))
}

impl State {
    fn take(&mut self, path: &str, headers: &HeaderMap, body: Bytes) {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let Credentials { key, .. } = &self.credentials;
        let signature = self.credentials.sign(&String::from_utf8_lossy(&body));
        if header("x-pusher-key") != key || header("x-pusher-signature") != signature {
            self.faults.push(format!("wrong signature: {headers:?}"));
            return;
        }
        let call = (path.to_owned(), header("x-carillon-webhook-id").to_owned());
        if let Some(before) = self.calls.get(&call) {
            if *before != body {
                self.faults.push(format!("another body under the same id: {call:?}"));
            }
            self.repeated += 1;
            return;
        }
        let parsed: Value = serde_json::from_slice(&body).unwrap_or_default();
        let events = parsed["events"].as_array().cloned().unwrap_or_default();
        self.events += events.len();
        self.news.entry(path.to_owned()).or_default().extend(events);
        self.calls.insert(call, body);
    }
}
