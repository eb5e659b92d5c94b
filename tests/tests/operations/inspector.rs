//! The inspector over several control planes: whichever one is asked shows what all of them dispatch.

use std::{fs::File, net::SocketAddr, time::Duration};

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::{client::legacy::Client as HttpClient, rt::TokioExecutor};
use proto::v1::App;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::{
    client::Client,
    cluster::ADMIN_TOKEN,
    etcd::Etcd,
    eventually,
    grpc::Admin,
    process::{Process, free_port},
    rest::{Backend, Credentials, get},
    soon,
};

const CONTROL_PLANES: usize = 3;
/// By chance all of them would be one's own once in 3^30 runs.
const CHANNELS: usize = 30;

/// Three control planes with an etcd, a gateway and a node.
struct Trio {
    backend: Backend,
    node: SocketAddr,
    operations: Vec<SocketAddr>,
    control_planes: Vec<Process>,
    _others: [Process; 2],
    _etcd: Etcd,
    _folder: TempDir,
}

impl Trio {
    async fn start() -> Self {
        let (etcd, folder) = (Etcd::start().await, TempDir::new().unwrap());
        let log = |name: &str| File::create(folder.path().join(name)).unwrap();
        let internal: Vec<_> = (0..CONTROL_PLANES).map(|_| loopback()).collect();
        let operations: Vec<_> = (0..CONTROL_PLANES).map(|_| loopback()).collect();
        let all = internal.iter().map(|address| format!("http://{address}"));
        let all: Vec<_> = all.collect();
        let control_plane = |number: usize| {
            let own = [
                format!("--name=control-plane-{number}"),
                format!("--listen={}", loopback()),
                format!("--internal-listen={}", internal[number]),
                format!("--operations-listen={}", operations[number]),
                format!("--data={}", folder.path().join(format!("data-{number}")).display()),
                format!("--etcd-endpoints={}", etcd.endpoint()),
                format!("--admin-token={ADMIN_TOKEN}"),
                "--expect-nodes=1".to_owned(),
                format!("--peer={}", all.join(",")),
            ];
            Process::start_with_log("carillon-control-plane", &own, log(&number.to_string()))
        };
        let control_planes: Vec<_> = (0..CONTROL_PLANES).map(control_plane).collect();
        let [gateway, node] = [loopback(), loopback()];
        let start = |name: &str, listen: SocketAddr| {
            let own = [
                format!("--listen={listen}"),
                format!("--operations-listen={}", loopback()),
                format!("--control-plane={}", all.join(",")),
            ];
            Process::start_with_log(name, &own, log(name))
        };
        let others = [start("carillon-gateway", gateway), start("carillon-data-plane", node)];
        for address in &operations {
            let ready = || async { (get(*address, "/readyz").await.0 == 200).then_some(()) };
            eventually("a control plane is ready", ready).await;
        }
        let Credentials { app_id, key, secret } = Credentials::default();
        let app = App { app_id, key, ..App::default() };
        Admin::new(operations[0], ADMIN_TOKEN).create(app, &secret).await;
        let backend = Backend::new(gateway, Credentials::default());
        let event = json!({ "name": "e", "channel": "first", "data": "x" });
        let known = || async { (backend.publish(&event).await.status == 200).then_some(()) };
        eventually("the gateway knows the app", known).await;
        let (_others, _etcd, _folder) = (others, etcd, folder);
        Self { backend, node, operations, control_planes, _others, _etcd, _folder }
    }

    async fn shards(&self, number: usize) -> u64 {
        let view = console(self.operations[number], "cluster").await;
        let view = view.into_body().collect().await.unwrap().to_bytes();
        let view: Value = serde_json::from_slice(&view).unwrap();
        view["control_planes"][0]["shards"].as_u64().unwrap()
    }
}

fn loopback() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

async fn console(operations: SocketAddr, path: &str) -> hyper::Response<Incoming> {
    let http: HttpClient<_, Empty<Bytes>> = HttpClient::builder(TokioExecutor::new()).build_http();
    let request = hyper::Request::get(format!("http://{operations}/console/api/{path}"))
        .header("authorization", format!("Bearer {ADMIN_TOKEN}"))
        .body(Empty::new())
        .unwrap();
    let response = http.request(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    response
}

/// One page that follows events.
struct Inspector {
    body: Incoming,
    text: String,
}

impl Inspector {
    async fn follow(operations: SocketAddr, channel: &str) -> Self {
        let path = format!("apps/app-id/events?channel={channel}");
        let body = console(operations, &path).await.into_body();
        let mut own = Self { body, text: String::new() };
        assert_eq!(own.next().await, ": following");
        own
    }

    /// The next message but those that only keep the connection.
    async fn next(&mut self) -> String {
        loop {
            if let Some((message, rest)) = self.text.split_once("\n\n") {
                let message = message.to_owned();
                self.text = rest.to_owned();
                if message != ":" {
                    return message;
                }
                continue;
            }
            let frame = soon("the console says something", self.body.frame()).await;
            let data = frame.unwrap().unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// The channels of the next so many events, sorted.
    async fn channels(&mut self, events: usize) -> Vec<String> {
        let mut channels = Vec::new();
        while channels.len() < events {
            let message = self.next().await;
            let event = message.strip_prefix("data: ").unwrap_or_else(|| panic!("{message}"));
            let event: Value = serde_json::from_str(event).unwrap();
            assert_eq!((&event["missed"], &event["name"]), (&json!(0), &json!("e")), "{event}");
            channels.push(event["channel"].as_str().unwrap().to_owned());
        }
        channels.sort();
        channels
    }
}

async fn publish(trio: &Trio, round: &str) -> Vec<String> {
    let channels: Vec<_> = (0..CHANNELS).map(|number| format!("{round}-{number:02}")).collect();
    for channel in &channels {
        trio.backend.publish_text(channel, "e", "x").await;
    }
    channels
}

#[tokio::test]
async fn every_console_shows_what_any_control_plane_dispatches() {
    let mut trio = Box::pin(Trio::start()).await;
    let shares = || async {
        let mut shares = Vec::new();
        for number in 0..CONTROL_PLANES {
            shares.push(trio.shards(number).await);
        }
        (shares.iter().all(|share| *share > 100)).then_some(())
    };
    eventually("each control plane has its share", shares).await;
    let mut inspectors = Vec::new();
    for operations in &trio.operations {
        inspectors.push(Inspector::follow(*operations, "a-*").await);
        inspectors.push(Inspector::follow(*operations, "a-07").await);
    }
    let mut client = Client::connect(trio.node, &Credentials::default()).await;
    client.subscribe("a-07").await;
    let published = publish(&trio, "a").await;
    for pair in inspectors.chunks_mut(2) {
        assert_eq!(pair[0].channels(CHANNELS).await, published);
        assert_eq!(pair[1].channels(1).await, ["a-07"]);
    }
    // Whoever takes over what another one had is followed too, by those that stay.
    trio.control_planes[2].signal("KILL");
    trio.control_planes[2].ended().await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let published = publish(&trio, "a").await;
    assert_eq!(inspectors[0].channels(CHANNELS).await, published);
    assert_eq!(inspectors[3].channels(1).await, ["a-07"]);
}

#[tokio::test]
async fn every_console_lists_the_connections_of_all_nodes() {
    let trio = Box::pin(Trio::start()).await;
    let mut clients = Vec::new();
    for number in 0..3 {
        let mut client = Client::connect(trio.node, &Credentials::default()).await;
        client.subscribe("room").await;
        client.subscribe(&format!("own-{number}")).await;
        clients.push(client);
    }
    for operations in &trio.operations {
        let listed = async |query: &str| {
            let path = format!("apps/app-id/connections{query}");
            let body = console(*operations, &path).await.into_body().collect().await.unwrap();
            serde_json::from_slice::<Value>(&body.to_bytes()).unwrap()
        };
        let all = listed("").await;
        assert_eq!(all["nodes"][0]["total"], 3, "{all}");
        let newest = &all["connections"][0];
        assert_eq!(newest["channels"], json!(["own-2", "room"]), "{all}");
        assert_eq!(newest["channels_total"], 2);
        let one = listed("?channel=own-1").await;
        assert_eq!(
            (&one["nodes"][0]["total"], one["connections"].as_array().unwrap().len()),
            (&json!(1), 1)
        );
    }
}
