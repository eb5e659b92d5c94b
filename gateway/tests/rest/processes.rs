//! A gateway as a process starts it: settings over gRPC, readiness, drain.

use std::{sync::Mutex, time::Duration};

use clap::{Args as _, FromArgMatches as _};
use gateway::config::Config;
use model::AppSecret;
use proto::{
    internal::{
        AppRecord, WatchRequest, WatchResponse,
        dispatch_service_server::DispatchServiceServer,
        settings_service_server::{SettingsService, SettingsServiceServer},
    },
    v1,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::{client::Client, control_plane::ControlPlane};

/// Passes on what a test says about the apps.
#[derive(Debug)]
struct Settings(Mutex<Option<mpsc::Receiver<Result<WatchResponse, Status>>>>);

#[tonic::async_trait]
impl SettingsService for Settings {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(&self, _: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let steps = self.0.lock().unwrap().take();
        let steps = steps.ok_or_else(|| Status::unavailable("one watcher only"))?;
        Ok(Response::new(ReceiverStream::new(steps)))
    }
}

fn config(control_plane: std::net::SocketAddr) -> Config {
    let command = Config::augment_args(clap::Command::new("gateway").no_binary_name(true));
    let control_plane = format!("--control-plane=http://{control_plane}");
    let arguments = [
        "--listen=127.0.0.1:0",
        "--operations-listen=127.0.0.1:0",
        "--drain-delay-ms=300",
        &control_plane,
    ];
    Config::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
}

async fn status(address: std::net::SocketAddr, path: &str) -> u16 {
    Client::connect(address).await.request("GET", path, &[], b"").await.status
}

async fn until(address: std::net::SocketAddr, path: &str, expected: u16) {
    let reached = async { while status(address, path).await != expected {} };
    tokio::time::timeout(Duration::from_secs(5), reached).await.expect("never reached");
}

#[tokio::test]
async fn a_life() {
    let (steps, receiver) = mpsc::channel(4);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control_plane = tcp.local_addr().unwrap();
    let dispatch = ControlPlane::default();
    let server = tonic::transport::Server::builder()
        .add_service(SettingsServiceServer::new(Settings(Mutex::new(Some(receiver)))))
        .add_service(DispatchServiceServer::new(dispatch.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(tcp)));

    let shutdown = CancellationToken::new();
    let running = gateway::start(config(control_plane), shutdown.clone()).await.unwrap();
    let (rest, operations) = (running.address, running.operations_address);
    assert_eq!(status(operations, "/livez").await, 200);
    assert_eq!((status(operations, "/readyz").await, status(rest, "/up").await), (503, 503));

    steps.send(Ok(first_step())).await.unwrap();
    until(operations, "/readyz", 200).await;
    assert_eq!(status(rest, "/up/app").await, 200);
    let target = signed_by_the_real_clock();
    let mut kept = Client::connect(rest).await;
    let response = kept.request("POST", &target, &[], b"{\"data\":1}").await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(dispatch.published().len(), 1);

    shutdown.cancel();
    until(operations, "/readyz", 503).await;
    let draining = Client::connect(rest).await.request("GET", "/up", &[], b"").await;
    assert_eq!((draining.status, &*draining.body), (503, "DRAINING"));
    assert_eq!(kept.request("POST", &target, &[], b"{\"data\":1}").await.status, 200);
    let ended = tokio::time::timeout(Duration::from_secs(5), running.wait());
    ended.await.expect("the drain takes too long").unwrap();
    assert!(tokio::net::TcpStream::connect(rest).await.is_err());
}

fn first_step() -> WatchResponse {
    let app =
        v1::App { app_id: "app".into(), key: "app-key".into(), revision: 1, ..v1::App::default() };
    let record = AppRecord { app: Some(app), current_secret: "s".into(), ..AppRecord::default() };
    WatchResponse { revision: 1, reset: true, upserts: vec![record], ..WatchResponse::default() }
}

#[allow(clippy::disallowed_methods, reason = "the gateway reads the real clock in this test")]
fn signed_by_the_real_clock() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let more = format!("&auth_timestamp={}", now.as_secs());
    let secret = AppSecret::new("s");
    let pair = ("app-key", secret.expose());
    crate::fixture::sign_as(pair, "POST", "/apps/app/events", &more, b"{\"data\":1}")
}

#[tokio::test]
async fn a_port_in_use_and_a_bad_address_are_said() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let in_use = Config { listen: address, ..config(address) };
    let error = gateway::start(in_use, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains(&address.to_string()), "{error:#}");
    let bad = Config { control_plane: vec!["not an address".into()], ..config(address) };
    let error = gateway::start(bad, CancellationToken::new()).await.unwrap_err();
    assert!(error.to_string().contains("not an address"), "{error:#}");
}
