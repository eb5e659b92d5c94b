//! An HTTP server that takes webhooks as an app's backend does, and looks at each call.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tests::{
    process::free_port,
    rest::{Credentials, unix_seconds},
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::task::AbortOnDropHandle;

/// Events wait 50 ms for others; what has not come after this does not come.
const SILENCE: Duration = Duration::from_millis(400);

/// A server on a port of its own.
pub(crate) struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// Events that were taken and have been asked for.
    expected: usize,
    serving: Option<AbortOnDropHandle<()>>,
}

/// A call that was taken.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The secret that it was signed with.
    pub(crate) secret: String,
    headers: HeaderMap,
    events: Vec<Value>,
}

#[derive(Default)]
struct State {
    credentials: Credentials,
    /// Valid besides the one in the credentials.
    further_secret: Option<String>,
    /// Statuses of the next answers; 200 behind them.
    answers: VecDeque<u16>,
    taken: Vec<Call>,
    /// Bodies by the name of the call.
    bodies: HashMap<String, Bytes>,
    repeated: usize,
    connections: usize,
    faults: Vec<String>,
}

impl Receiver {
    /// Starts to listen.
    pub(crate) async fn start(credentials: Credentials) -> Self {
        let address = ([127, 0, 0, 1], free_port()).into();
        let state = State { credentials, ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let mut receiver = Self { address, state, expected: 0, serving: None };
        receiver.come_back().await;
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Listens no longer and has closed all connections.
    pub(crate) async fn leave(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            assert!(serving.await.unwrap_err().is_cancelled());
        }
    }

    /// Listens again, at the same address.
    pub(crate) async fn come_back(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("its port is free");
        let serving = tokio::spawn(serve(listener, Arc::clone(&self.state)));
        self.serving = Some(AbortOnDropHandle::new(serving));
    }

    /// The next calls are not taken.
    pub(crate) fn answer_next(&self, calls: usize, status: u16) {
        self.state().answers.extend(vec![status; calls]);
    }

    /// All answers that were asked for have been given.
    pub(crate) async fn refused(&self) {
        let given = async || self.state().answers.is_empty().then_some(());
        tests::eventually("the calls are made", given).await;
    }

    /// Calls may be signed with this secret too.
    pub(crate) fn accept_also(&self, secret: &str) {
        self.state().further_secret = Some(secret.to_owned());
    }

    /// Exactly these events come next, in any order.
    pub(crate) async fn expect(&mut self, events: &[&Value]) {
        let until = self.expected + events.len();
        let told = async || (self.events().len() >= until).then_some(());
        let waited = tokio::time::timeout(tests::PATIENCE, tests::eventually("events", told)).await;
        let all = self.events();
        let came = &all[self.expected..];
        assert!(waited.is_ok(), "expected {events:#?}, came {came:#?}");
        let sorted = |events: &[Value]| {
            let mut texts: Vec<_> = events.iter().map(Value::to_string).collect();
            texts.sort();
            texts
        };
        let events: Vec<_> = events.iter().map(|&event| event.clone()).collect();
        assert_eq!(sorted(came), sorted(&events));
        self.expected = until;
    }

    /// No further event comes.
    pub(crate) async fn expect_nothing(&self) {
        sleep(SILENCE).await;
        let all = self.events();
        assert!(all.len() == self.expected, "more came: {:#?}", &all[self.expected..]);
    }

    /// The events of all calls that were taken.
    pub(crate) fn events(&self) -> Vec<Value> {
        let calls = self.calls();
        calls.into_iter().flat_map(|call| call.events).collect()
    }

    /// All calls that were taken; none was out of order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let state = self.state();
        assert!(state.faults.is_empty(), "{:#?}", state.faults);
        state.taken.clone()
    }

    /// Calls that had been made before.
    pub(crate) fn repeated(&self) -> usize {
        self.state().repeated
    }

    /// Connections that were opened.
    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Call {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // They end with the listener.
    let mut connections = JoinSet::new();
    while let Ok((tcp, _)) = listener.accept().await {
        state.lock().unwrap().connections += 1;
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
    let status = match body.collect().await {
        Ok(body) => state.lock().unwrap().take(head.headers, &body.to_bytes()),
        Err(_) => 400,
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status.try_into().unwrap();
    response.headers_mut().insert("location", "http://127.0.0.1:1/".parse().unwrap());
    Ok(response)
}

impl State {
    fn take(&mut self, headers: HeaderMap, body: &Bytes) -> u16 {
        let call = match self.read(headers, body) {
            Ok(call) => call,
            Err(fault) => {
                self.faults.push(fault);
                return 200;
            }
        };
        let status = self.answers.pop_front().unwrap_or(200);
        if status == 200 {
            self.taken.push(call);
        }
        status
    }

    /// As the official libraries do it, and a little stricter.
    fn read(&mut self, headers: HeaderMap, body: &Bytes) -> Result<Call, String> {
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let Credentials { key, secret, .. } = &self.credentials;
        let fault = |what: &str| Err(format!("{what}: {headers:?} {body:?}"));
        if header("content-type") != "application/json" || header("x-pusher-key") != key {
            return fault("wrong headers");
        }
        let text = String::from_utf8_lossy(body);
        let signed = |secret: &&String| {
            let signer = Credentials { secret: (*secret).clone(), ..Credentials::default() };
            signer.sign(&text) == header("x-pusher-signature")
        };
        let mut known = std::iter::once(secret).chain(&self.further_secret);
        let Some(secret) = known.find(signed).cloned() else {
            return fault("wrong signature");
        };
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        let at = parsed["time_ms"].as_u64().unwrap_or_default() / 1_000;
        let events = parsed["events"].as_array().cloned().unwrap_or_default();
        if at.abs_diff(unix_seconds()) > 300 || events.is_empty() {
            return fault("wrong body");
        }
        let id = header("x-carillon-webhook-id").to_owned();
        match self.bodies.get(&id) {
            Some(before) if before == body => self.repeated += 1,
            Some(_) => return fault("another body under the same id"),
            None => {
                self.bodies.insert(id, body.clone());
            }
        }
        Ok(Call { secret, headers, events })
    }
}
