//! A webhook receiver: a real HTTP server that answers as it is told and keeps what it got.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use model::{AppSecret, Signature};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// How a call is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16),
    Redirect(String),
    Hang,
}

/// One call as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// The receiver. It is alive until it is killed or dropped.
#[derive(Debug)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    server: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct State {
    script: Mutex<VecDeque<Answer>>,
    received: watch::Sender<Vec<Received>>,
    connections: watch::Sender<usize>,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let signature = Signature::sign(&AppSecret::new(secret), &self.body);
        signature.matches(self.header("x-pusher-signature").as_bytes())
    }

    pub(crate) fn events(&self) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        assert!(body["time_ms"].as_u64().unwrap() > 1_700_000_000_000);
        body["events"].as_array().unwrap().clone()
    }
}

impl Sink {
    /// Answers by the script, then 200.
    pub(crate) async fn start(script: &[Answer]) -> Self {
        let state = Arc::new(State {
            script: Mutex::new(script.iter().cloned().collect()),
            received: watch::channel(Vec::new()).0,
            connections: watch::channel(0).0,
        });
        let mut sink = Self { address: ([127, 0, 0, 1], 0).into(), state, server: None };
        sink.revive().await;
        sink
    }

    pub(crate) async fn revive(&mut self) {
        let tcp = TcpListener::bind(self.address).await.unwrap();
        self.address = tcp.local_addr().unwrap();
        self.server = Some(tokio::spawn(serve(tcp, Arc::clone(&self.state))));
    }

    /// Closes the listener and all connections.
    pub(crate) async fn kill(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            let _ = server.await;
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits for that many calls.
    pub(crate) async fn calls(&self, count: usize) -> Vec<Received> {
        self.wait(|calls| calls.len() >= count).await
    }

    /// Waits until that many events have come, whatever was answered.
    pub(crate) async fn events(&self, count: usize) -> Vec<Value> {
        let of = |calls: &[Received]| calls.iter().flat_map(Received::events).collect::<Vec<_>>();
        of(&self.wait(|calls| of(calls).len() >= count).await)
    }

    async fn wait(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut received = self.state.received.subscribe();
        let waiting = received.wait_for(|calls| enough(calls));
        let Ok(calls) = timeout(PATIENCE, waiting).await else {
            panic!("only these came: {:?}", self.received());
        };
        calls.unwrap().clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

async fn serve(tcp: TcpListener, state: Arc<State>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = tcp.accept().await.unwrap();
        state.connections.send_modify(|count| *count += 1);
        let state = Arc::clone(&state);
        let service = service_fn(move |request| answer(request, Arc::clone(&state)));
        connections.spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/hook"));
    let body = body.collect().await?.to_bytes();
    let answer = state.script.lock().unwrap().pop_front().unwrap_or(Answer::Status(200));
    state.received.send_modify(|calls| calls.push(Received { headers: head.headers, body }));
    let response = Response::builder();
    let response = match answer {
        Answer::Status(status) => response.status(status),
        Answer::Redirect(location) => response.status(302).header("location", location),
        Answer::Hang => std::future::pending().await,
    };
    Ok(response.body(Full::default()).unwrap())
}
