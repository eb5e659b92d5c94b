//! What the manifests describe, running: an event from the ingress to a browser, closed doors, and a
//! restart of everything by their own timings that nobody notices.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use proto::v1::{App, Event, TriggerEventRequest, event_service_client::EventServiceClient};
use serde_json::Value;
use tests::{
    chaos::lane::say,
    client::Client,
    grpc::{Admin, Events, event},
    rest::{Backend, Credentials, get},
};
use tokio::task::JoinSet;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use crate::{
    container::number,
    ingress, machine,
    manifests::{items, name_of, text},
    probes, secrets,
    traffic::Traffic,
    workload::Cluster,
    world,
};

/// The pods of every namespace that try every port of every plane, and which of them get through.
const DOORS: [(&str, u16, &[&str]); 10] = [
    ("gateway", 6001, &["ingress"]),
    ("gateway", 9601, &["prometheus"]),
    ("data-plane", 6001, &["ingress"]),
    ("data-plane", 9601, &["prometheus"]),
    ("control-plane", 6002, &["backend"]),
    ("control-plane", 6003, &["gateway-0", "data-plane-0", "control-plane-0"]),
    ("control-plane", 9601, &["prometheus"]),
    ("etcd", 2379, &["control-plane-0", "etcd-0"]),
    ("etcd", 2380, &["etcd-0"]),
    ("etcd", 2381, &[]),
];
const TRYING: [&str; 8] = [
    "ingress",
    "prometheus",
    "backend",
    "stranger",
    "gateway-0",
    "data-plane-0",
    "control-plane-0",
    "etcd-0",
];

const BROWSERS: usize = 20;
/// All planes at once: two times the preStop, the drain and a start, with room for a slow machine.
const RESTART_MAX: Duration = Duration::from_secs(120);

#[test]
fn development_delivers_and_keeps_its_doors_shut() {
    if machine::is_inside("rollout::development_delivers_and_keeps_its_doors_shut") {
        within_runtime(async {
            let cluster = Cluster::start("dev").await;
            an_event_reaches_a_browser(&cluster).await;
            an_event_comes_by_grpc(&cluster).await;
            doors_are_shut(&cluster).await;
            webhooks_go_out_and_nothing_else_does(&cluster).await;
            probes::all_answer(&cluster).await;
            probes::metrics_are_those_of_the_documents(&cluster).await;
        });
    }
}

#[test]
fn production_is_restarted_and_nothing_is_lost() {
    if machine::is_inside("rollout::production_is_restarted_and_nothing_is_lost") {
        within_runtime(async {
            let cluster = Arc::new(Cluster::start("production").await);
            an_event_reaches_a_browser(&cluster).await;
            an_event_comes_by_encrypted_grpc(&cluster).await;
            doors_are_shut(&cluster).await;
            webhooks_go_out_and_nothing_else_does(&cluster).await;
            let traffic = Traffic::start(entrance(), BROWSERS).await;
            let began = tokio::time::Instant::now();
            let workloads = ["gateway", "control-plane", "data-plane"];
            futures_util::future::join_all(workloads.map(|name| restart(&cluster, name))).await;
            let took = began.elapsed();
            let account = traffic.stop().await;
            let all = account.faults.len();
            say(&format!(
                "all planes restarted in {took:?}: {} publishes, {} visits of {BROWSERS} browsers, \
                 {} events heard, {all} faults",
                account.published, account.visits, account.heard
            ));
            assert!(account.faults.is_empty(), "{all}: {:?}", &account.faults[..all.min(20)]);
            assert!(account.visits >= 2 * BROWSERS, "every browser had to come back: {account:?}");
            let heard = account.published * BROWSERS;
            assert!(account.heard * 100 >= heard * 95, "they were away for long: {account:?}");
            assert!(took < RESTART_MAX, "{took:?}");
        });
    }
}

fn within_runtime(scenario: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(scenario);
}

fn entrance() -> SocketAddr {
    format!("{}:80", ingress::ADDRESS).parse().expect("an address")
}

/// The operator makes an app, a browser and a backend come by the ingress; one backend by gRPC.
async fn an_event_reaches_a_browser(cluster: &Cluster) {
    let control_plane = cluster.pods_of("control-plane").await.remove(0);
    let operations: SocketAddr = format!("{}:9601", control_plane.address).parse().unwrap();
    let token_of = secret_of(cluster, "CARILLON_ADMIN_TOKEN");
    let Credentials { app_id, key, secret } = Credentials::default();
    let app = App { app_id, key, ..App::default() };
    Admin::new(operations, &token_of).create(app, &secret).await;
    let known = || async {
        let refused = Client::try_open(entrance(), "/app/app-key?protocol=7", None).await;
        let answer = Backend::new(entrance(), Credentials::default()).get("channels").send().await;
        (refused.is_ok() && answer.status == 200).then_some(())
    };
    tests::eventually("all planes know the app", known).await;
    let mut browser = Client::connect(entrance(), &Credentials::default()).await;
    browser.subscribe("my-channel").await;
    let backend = Backend::new(entrance(), Credentials::default());
    backend.publish_text("my-channel", "hello", "from the ingress").await;
    browser.expect_event("my-channel", "hello", "from the ingress").await;
    assert_eq!(get(entrance(), "/up/app-id").await.0, 200);
    assert_eq!(get(entrance(), "/metrics").await.0, 404);
}

/// Over HTTP/2 in clear text, as the development overlay allows.
async fn an_event_comes_by_grpc(cluster: &Cluster) {
    let mut browser = Client::connect(entrance(), &Credentials::default()).await;
    browser.subscribe("my-channel").await;
    let control_plane = cluster.pods_of("control-plane").await.remove(0);
    let public: SocketAddr = format!("{}:6002", control_plane.address).parse().unwrap();
    let event = Event {
        name: "hello".into(),
        channels: vec!["my-channel".into()],
        data: Some("by gRPC".into()),
        ..Event::default()
    };
    let events = Events::new(public, Credentials::default());
    events.trigger(event).await.expect("it is published");
    browser.expect_event("my-channel", "hello", "by gRPC").await;
}

/// With the certificate of the Secret `grpc-tls`, under the name of the Service.
async fn an_event_comes_by_encrypted_grpc(cluster: &Cluster) {
    let mut browser = Client::connect(entrance(), &Credentials::default()).await;
    browser.subscribe("my-channel").await;
    let authority = std::fs::read(cluster.secrets.folder("grpc-tls").join("ca.crt")).unwrap();
    let control_plane = cluster.pods_of("control-plane").await.remove(0);
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
    let endpoint = Endpoint::from_shared(format!("https://{}:6002", control_plane.address));
    let endpoint = endpoint.unwrap().tls_config(tls.domain_name(secrets::GRPC_NAME)).unwrap();
    let mut client = EventServiceClient::new(endpoint.connect().await.expect("it speaks TLS"));
    let event = event(&["my-channel"], "hello", "by gRPC over TLS");
    let Credentials { app_id, .. } = Credentials::default();
    let public: SocketAddr = format!("{}:6002", control_plane.address).parse().unwrap();
    let backend = Events::new(public, Credentials::default());
    let request = TriggerEventRequest { app_id, event: Some(event.clone()) };
    client.trigger_event(backend.basic(request)).await.expect("it is published");
    browser.expect_event("my-channel", "hello", "by gRPC over TLS").await;
    backend.trigger(event).await.expect_err("nobody listens to clear text");
}

/// Webhooks may call the world, and only control planes make such calls; nothing inside is called, nor
/// what tells machines of clouds their credentials.
async fn webhooks_go_out_and_nothing_else_does(cluster: &Cluster) {
    let stranger = cluster.address_of("stranger").await;
    let tries = [
        ("control-plane-0", world::ADDRESS, true),
        ("gateway-0", world::ADDRESS, false),
        ("data-plane-0", world::ADDRESS, false),
        ("etcd-0", world::ADDRESS, false),
        ("control-plane-0", world::METADATA, false),
        ("control-plane-0", &*stranger, false),
        // Who has no policy gets everywhere: all of them listen.
        ("backend", world::ADDRESS, true),
        ("backend", world::METADATA, true),
        ("backend", &*stranger, true),
    ];
    for (from, to, open) in tries {
        let to_address = to.to_owned();
        let reaches = move || machine::reaches(from, &to_address, world::PORT);
        let reached = tokio::task::spawn_blocking(reaches).await.unwrap();
        assert_eq!(reached, open, "{from} to {to}");
    }
}

/// What stands in the Secret that a variable of the control planes is taken from.
fn secret_of(cluster: &Cluster, variable: &str) -> String {
    let control_plane = cluster.manifests.get("StatefulSet", "control-plane");
    let container = &control_plane["spec"]["template"]["spec"]["containers"][0];
    let found = items(&container["env"]).find(|known| known["name"] == variable);
    let reference = &found.expect("the manifests have it")["valueFrom"]["secretKeyRef"];
    cluster.secrets.read(text(&reference["name"]), text(&reference["key"]))
}

async fn doors_are_shut(cluster: &Cluster) {
    let mut tries = JoinSet::new();
    for (plane, port, allowed) in DOORS {
        let pod = cluster.pods_of(plane).await.remove(0);
        for from in TRYING.into_iter().filter(|from| *from != pod.name) {
            let pod = pod.clone();
            tries.spawn_blocking(move || {
                let open = machine::reaches(from, &pod.address, port);
                assert_eq!(open, allowed.contains(&from), "{from} to {}:{port}", pod.name);
            });
        }
    }
    assert!(tries.join_all().await.len() > DOORS.len());
}

/// As `kubectl rollout restart` does it.
async fn restart(cluster: &Arc<Cluster>, name: &str) {
    let mut workloads = cluster.manifests.workloads().filter(|workload| name_of(workload) == name);
    let workload = workloads.next().expect("the manifests have it");
    if workload["kind"] == "StatefulSet" {
        restart_in_place(cluster, workload).await;
    } else {
        restart_by_surge(cluster, workload).await;
    }
}

/// From the last to the first: the old one ends, the new one has its name.
async fn restart_in_place(cluster: &Cluster, workload: &'static Value) {
    for ordinal in (0..cluster.replicas(workload)).rev() {
        let pod = format!("{}-{ordinal}", name_of(workload));
        cluster.delete(&pod).await;
        cluster.create(workload, &pod).await;
        cluster.is_ready(&pod).await;
    }
}

/// A new one is ready before an old one begins to end; nobody waits until it has ended.
async fn restart_by_surge(cluster: &Arc<Cluster>, workload: &'static Value) {
    let strategy = &workload["spec"]["strategy"]["rollingUpdate"];
    assert_eq!((number(&strategy["maxSurge"]), number(&strategy["maxUnavailable"])), (1, 0));
    let old = cluster.pods_of(name_of(workload)).await;
    let mut ending = JoinSet::new();
    for (number, old) in old.into_iter().enumerate() {
        let new = format!("{}-new-{number}", name_of(workload));
        cluster.create(workload, &new).await;
        cluster.is_ready(&new).await;
        let cluster = Arc::clone(cluster);
        ending.spawn(async move { cluster.delete(&old.name).await });
    }
    ending.join_all().await;
}
