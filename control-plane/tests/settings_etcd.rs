//! Settings in a real etcd that each test starts, harms and ends itself.

#![cfg(feature = "etcd")]
#![allow(clippy::unwrap_used, reason = "this is a test, helpers and all")]

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use control_plane::settings::{
    AdminTokens, Change, EtcdOptions, EtcdStore, Fault, Freshness, Listing, Options, Settings,
    Store as _, Written,
};
use etcd_client::{Client, DeleteOptions, GetOptions, Txn, TxnOp};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use model::Apps;
use prost_types::FieldMask;
use proto::{
    link::Link,
    plane::operations::Operations,
    v1::{
        App, AppLimits, CreateAppRequest, DeleteAppRequest, GetAppRequest, UpdateAppRequest,
        app_service_client::AppServiceClient,
    },
};
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, Routes, interceptor::InterceptedService},
};
use tower::ServiceExt as _;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
/// The stores' deadline, and what a call may take on top of it.
const DEADLINE: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_millis(700);

/// An etcd process; killed when dropped.
struct Etcd {
    process: Child,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Etcd {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = free_ports();
        let process = spawn(folder.path(), ports);
        let etcd = Self { process, folder, ports };
        etcd.answers().await;
        etcd
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    async fn client(&self) -> Client {
        Client::connect([self.address()], None).await.unwrap()
    }

    fn store(&self) -> Arc<EtcdStore> {
        let mut options = EtcdOptions::new(vec![self.address()]);
        options.deadline = DEADLINE;
        Arc::new(EtcdStore::new(options).unwrap())
    }

    async fn answers(&self) {
        let answered = async {
            while self.client().await.get("x", None).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, answered).await.expect("etcd answers");
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, with what it had or with nothing.
    async fn restart(&mut self, emptied: bool) {
        if emptied {
            self.folder = tempfile::tempdir().unwrap();
        }
        self.process = spawn(self.folder.path(), self.ports);
        self.answers().await;
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    async fn put(&self, app_id: &str, value: &str) {
        self.client().await.put(key(app_id), value, None).await.unwrap();
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Below the ports that outgoing connections get: a client that dials a port of that range again and
/// again while nobody listens there may end up connected to itself, and etcd cannot have it back.
fn free_ports() -> [u16; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    [(); 2].map(|()| {
        let start = std::process::id().wrapping_mul(97);
        let mut ports = std::iter::repeat_with(|| {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
            20_000 + u16::try_from(offset).unwrap()
        });
        ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
    })
}

fn spawn(folder: &Path, [client, peer]: [u16; 2]) -> Child {
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let mut command = Command::new("etcd");
    command.args(["--name", "test", "--logger", "zap", "--log-level", "error"]);
    command.arg("--data-dir").arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("test={peer}")]);
    let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.expect("these tests need etcd: apt-get install etcd-server")
}

fn key(app_id: &str) -> String {
    format!("/carillon/v1/apps/{app_id}")
}

fn record(app_id: &str, secret: &str) -> String {
    let app = format!(r#"{{"app_id":"{app_id}","key":"key-{app_id}"}}"#);
    format!(r#"{{"version":1,"app":{app},"secret":"{secret}"}}"#)
}

fn app(app_id: &str) -> App {
    App { app_id: app_id.into(), key: format!("key-{app_id}"), ..App::default() }
}

async fn settings(etcd: &Etcd, options: Options) -> Settings {
    Settings::start(etcd.store(), options).await.unwrap()
}

type AppsClient = AppServiceClient<InterceptedService<Link, Token>>;

#[derive(Clone)]
struct Token;

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::from_static("Bearer hush");
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Calls in process; what the network adds is tested with the file store.
fn client(settings: &Settings) -> AppsClient {
    let service = settings.app_service(AdminTokens::new(["hush"]));
    AppServiceClient::with_interceptor(proto::link::local(Routes::new(service)), Token)
}

async fn create(settings: &Settings, app: App) -> Result<App, Status> {
    let request = CreateAppRequest { app: Some(app), secret: "a secret to find".into() };
    let answer = client(settings).create_app(request).await?;
    Ok(answer.into_inner().app.unwrap())
}

async fn limit(settings: &Settings, app_id: &str, most: u32) -> Result<App, Status> {
    let limits = AppLimits { connections_max: Some(most), ..AppLimits::default() };
    let wanted = App { limits: Some(limits), ..app(app_id) };
    let request = UpdateAppRequest { app: Some(wanted), update_mask: None };
    let answer = client(settings).update_app(request).await?;
    Ok(answer.into_inner().app.unwrap())
}

async fn delete(settings: &Settings, app_id: &str) -> Result<(), Status> {
    let request = DeleteAppRequest { app_id: app_id.into(), ..DeleteAppRequest::default() };
    client(settings).delete_app(request).await.map(|_| ())
}

fn now(settings: &Settings) -> Arc<Apps> {
    settings.apps().borrow().clone().expect("settings are loaded")
}

fn secret(apps: &Apps, app_id: &str) -> Option<String> {
    apps.by_id(app_id).map(|app| app.secrets.current.expose().to_owned())
}

async fn until(settings: &Settings, holds: impl Fn(&Apps) -> bool) {
    let mut apps = settings.apps();
    let reached = apps.wait_for(|apps| apps.as_ref().is_some_and(|apps| holds(apps)));
    timeout(PATIENCE, reached).await.expect("in time").unwrap();
}

/// A sample of the operations listener's metrics.
async fn metric(settings: &Settings, name: &str) -> f64 {
    let operations = Operations::default();
    settings.register(&operations);
    let request = http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap();
    let response = operations.router().oneshot(request).await.unwrap();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    let name = format!("carillon_control_plane_settings_{name} ");
    let line = text.lines().find(|line| line.starts_with(&name));
    line.unwrap_or_else(|| panic!("{name} in {text}"))[name.len()..].parse().unwrap()
}

fn ids(listing: &Listing) -> Vec<&str> {
    listing.entries.iter().map(|entry| entry.app_id.as_str()).collect()
}

#[tokio::test]
async fn a_write_needs_the_present_revision() {
    let etcd = Etcd::start().await;
    let store = etcd.store();
    let put = |value: &'static str, expected| store.put("a", value.into(), expected);
    let Written::At(first) = put("1", 0).await.unwrap() else { panic!("refused") };
    let Written::Refused(Some(present)) = put("2", 0).await.unwrap() else { panic!("written") };
    assert_eq!((present.revision, &*present.value), (first, &b"1"[..]));
    assert_eq!(put("1", 0).await.unwrap(), Written::At(first), "the same again is done already");
    let Written::At(second) = put("2", first).await.unwrap() else { panic!("refused") };
    assert!(second > first);
    assert_eq!(store.get("a").await.unwrap().unwrap().revision, second);
    assert!(matches!(store.delete("a", first).await.unwrap(), Written::Refused(Some(_))));
    assert!(matches!(store.delete("a", second).await.unwrap(), Written::At(_)));
    assert_eq!(put("3", second).await.unwrap(), Written::Refused(None));
    assert_eq!(store.get("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_long_list_comes_whole_and_nothing_but_apps() {
    let etcd = Etcd::start().await;
    let mut client = etcd.client().await;
    for batch in 0..21 {
        let puts = (0..100)
            .map(|number| TxnOp::put(key(&format!("app-{:04}", batch * 100 + number)), "{}", None));
        client.txn(Txn::new().and_then(puts.collect::<Vec<_>>())).await.unwrap();
    }
    client.put("/carillon/v1/apps0", "", None).await.unwrap();
    client.put("/carillon/v1/app", "", None).await.unwrap();
    let store = etcd.store();
    for freshness in [Freshness::Confirmed, Freshness::Any] {
        let listing = store.list(freshness).await.unwrap();
        let expected: Vec<_> = (0..2_100).map(|number| format!("app-{number:04}")).collect();
        assert_eq!(ids(&listing), expected);
        assert_eq!(listing.revision, 24);
    }
}

#[tokio::test]
async fn a_member_that_is_down_is_not_noticed() {
    let etcd = Etcd::start().await;
    let down = format!("http://127.0.0.1:{}", free_ports()[0]);
    let addresses = vec![etcd.address(), down, etcd.address().replace("127.0.0.1", "localhost")];
    let store = EtcdStore::new(EtcdOptions::new(addresses)).unwrap();
    for _ in 0..300 {
        store.get("a").await.unwrap();
    }
    for _ in 0..30 {
        drop(store.watch(0).await.unwrap());
    }
}

#[tokio::test]
async fn a_watch_begins_anywhere_but_before_a_compaction() {
    let etcd = Etcd::start().await;
    let store = etcd.store();
    for value in ["1", "2", "3"] {
        etcd.put("a", value).await;
    }
    let since = |after| {
        let store = Arc::clone(&store);
        async move {
            let mut changes = store.watch(after).await.unwrap();
            let first = async {
                loop {
                    match changes.next().await.unwrap() {
                        Ok(batch) if batch.is_empty() => {}
                        told => return told,
                    }
                }
            };
            timeout(PATIENCE, first).await.unwrap()
        }
    };
    let told = since(2).await.unwrap();
    assert!(matches!(&told[0], Change::Put(entry) if entry.revision == 3), "{told:?}");
    etcd.client().await.compact(4, None).await.unwrap();
    assert!(matches!(since(1).await, Err(Fault::Compacted { oldest: 4 })));
}

#[tokio::test]
async fn two_control_planes_see_each_others_changes() {
    let etcd = Etcd::start().await;
    let one = settings(&etcd, Options::default()).await;
    let two = settings(&etcd, Options::default()).await;
    assert!(now(&one).is_empty());
    let created = create(&one, app("a")).await.unwrap();
    assert_eq!(now(&one).by_id("a").unwrap().revision, created.revision, "read your writes");
    until(&two, |apps| apps.by_id("a").is_some()).await;
    let mut slowest = Duration::ZERO;
    for most in 1..=50 {
        let started = Instant::now();
        let changed = limit(&two, "a", most).await.unwrap();
        until(&one, |apps| apps.by_id("a").unwrap().revision == changed.revision).await;
        slowest = slowest.max(started.elapsed());
    }
    assert_eq!(now(&one).by_id("a").unwrap().limits.connections_max, Some(50));
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    assert_eq!(create(&two, app("a")).await.unwrap_err().code(), Code::AlreadyExists);
    delete(&one, "a").await.unwrap();
    until(&two, Apps::is_empty).await;
}

#[tokio::test]
async fn concurrent_changes_lose_nothing() {
    let etcd = Etcd::start().await;
    let one = settings(&etcd, Options::default()).await;
    let two = settings(&etcd, Options::default()).await;
    create(&one, app("a")).await.unwrap();
    let rename = |settings: &Settings, path: &str, wanted: App| {
        let mut client = client(settings);
        let paths = vec![path.to_owned()];
        let update_mask = Some(FieldMask { paths });
        let request = UpdateAppRequest { app: Some(wanted), update_mask };
        async move { client.update_app(request).await.unwrap() }
    };
    let off = App { enabled: Some(false), ..app("a") };
    let origins = App { allowed_origins: vec!["x".into()], ..app("a") };
    tokio::join!(rename(&one, "enabled", off), rename(&two, "allowed_origins", origins));
    until(&one, |apps| {
        apps.by_id("a").is_some_and(|app| !app.enabled && app.allowed_origins.len() == 1)
    })
    .await;
}

#[tokio::test]
async fn a_bad_record_keeps_the_last_good_one() {
    let etcd = Etcd::start().await;
    etcd.put("a", &record("a", "good")).await;
    let settings = settings(&etcd, Options::default()).await;
    etcd.put("a", "{").await;
    etcd.put("b", &record("b", "new")).await;
    until(&settings, |apps| apps.by_id("b").is_some()).await;
    assert_eq!(secret(&now(&settings), "a").unwrap(), "good");
    assert_eq!(metric(&settings, "bad_records").await, 1.0);
    let status = limit(&settings, "a", 1).await.unwrap_err();
    assert!(status.message().contains("cannot be read"), "{status}");
    etcd.put("a", &record("a", "better")).await;
    until(&settings, |apps| secret(apps, "a").as_deref() == Some("better")).await;
    assert_eq!(metric(&settings, "bad_records").await, 0.0);
}

#[tokio::test]
async fn compaction_while_away_converges() {
    let mut etcd = Etcd::start().await;
    etcd.put("a", &record("a", "old")).await;
    etcd.put("gone", &record("gone", "old")).await;
    let settings = settings(&etcd, Options::default()).await;
    etcd.kill();
    sleep(Duration::from_millis(300)).await;
    // What another control plane does meanwhile, on another port, so that this one is not told.
    let ports = etcd.ports;
    etcd.ports = free_ports();
    etcd.restart(false).await;
    let mut client = etcd.client().await;
    client.put(key("a"), record("a", "new"), None).await.unwrap();
    let deleted = client.delete(key("gone"), None).await.unwrap();
    let revision = deleted.header().unwrap().revision();
    client.compact(revision, None).await.unwrap();
    etcd.kill();
    etcd.ports = ports;
    etcd.restart(false).await;
    until(&settings, |apps| secret(apps, "a").as_deref() == Some("new")).await;
    until(&settings, |apps| apps.by_id("gone").is_none()).await;
    etcd.put("a", &record("a", "newest")).await;
    until(&settings, |apps| secret(apps, "a").as_deref() == Some("newest")).await;
}

/// Frozen, then killed: calls end in time, reads go on, and everything comes back by itself.
#[tokio::test]
async fn an_outage_is_survived() {
    let mut etcd = Etcd::start().await;
    let settings = settings(&etcd, Options::default()).await;
    create(&settings, app("a")).await.unwrap();
    for frozen in [true, false] {
        if frozen {
            etcd.signal("STOP");
        } else {
            etcd.kill();
        }
        let started = Instant::now();
        let status = limit(&settings, "a", 7).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(started.elapsed() < DEADLINE + SLACK, "{:?}", started.elapsed());
        sleep(Duration::from_secs(1)).await;
        let request = GetAppRequest { app_id: "a".into() };
        client(&settings).get_app(request).await.unwrap();
        assert!(settings.current_age().unwrap() > Duration::from_secs(1));
        if frozen {
            etcd.signal("CONT");
        } else {
            etcd.restart(false).await;
        }
        let back = Instant::now();
        let secret_now = format!("after-{frozen}");
        etcd.put("b", &record("b", &secret_now)).await;
        until(&settings, |apps| secret(apps, "b").as_ref() == Some(&secret_now)).await;
        assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
        limit(&settings, "a", 8).await.unwrap();
        assert!(settings.current_age().unwrap() < Duration::from_secs(1));
    }
}

#[tokio::test]
async fn an_emptied_store_wipes_nothing() {
    let mut etcd = Etcd::start().await;
    let options = Options { relist_every: Duration::from_millis(200), ..Options::default() };
    let settings = settings(&etcd, options).await;
    for number in 0..6 {
        create(&settings, app(&format!("app-{number}"))).await.unwrap();
    }
    let prefix = Some(DeleteOptions::new().with_prefix());
    etcd.client().await.delete("/carillon", prefix).await.unwrap();
    sleep(Duration::from_millis(800)).await;
    assert_eq!(now(&settings).len(), 6, "wiped in one go");

    etcd.kill();
    etcd.restart(true).await;
    etcd.put("new", &record("new", "s")).await;
    until(&settings, |apps| apps.by_id("new").is_some()).await;
    assert_eq!(now(&settings).len(), 7, "an empty etcd in place of the full one");
    assert!(metric(&settings, "guard_holds_total").await >= 2.0);
    let status = limit(&settings, "app-0", 1).await.unwrap_err();
    assert!(status.message().contains("vanished"), "{status}");

    delete(&settings, "app-0").await.unwrap();
    assert_eq!(now(&settings).len(), 6, "an operator has decided");
    create(&settings, app("app-1")).await.unwrap();
    limit(&settings, "app-1", 1).await.unwrap();
}

#[tokio::test]
async fn single_deletions_apply_even_of_the_last_app() {
    let etcd = Etcd::start().await;
    for id in ["a", "b"] {
        etcd.put(id, &record(id, "s")).await;
    }
    let settings = settings(&etcd, Options::default()).await;
    for id in ["a", "b"] {
        etcd.client().await.delete(key(id), None).await.unwrap();
    }
    until(&settings, Apps::is_empty).await;
}

#[tokio::test]
async fn a_start_without_etcd_serves_what_was_kept() {
    let mut etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        last_known_good: Some(folder.path().join("settings.json")),
        ..Options::default()
    };
    let before = settings(&etcd, options.clone()).await;
    create(&before, app("a")).await.unwrap();
    let kept = options.last_known_good.clone().unwrap();
    let written = async {
        while !std::fs::read_to_string(&kept).is_ok_and(|text| text.contains("key-a")) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, written).await.unwrap();
    drop(before);
    etcd.kill();

    let nothing_kept = settings(&etcd, Options::default()).await;
    assert!(nothing_kept.apps().borrow().is_none() && nothing_kept.current_age().is_none());
    let status = create(&nothing_kept, app("b")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");

    let after = settings(&etcd, options).await;
    assert_eq!(secret(&now(&after), "a").unwrap(), "a secret to find");
    etcd.restart(false).await;
    let back = Instant::now();
    until(&nothing_kept, |apps| apps.by_id("a").is_some()).await;
    assert!(back.elapsed() < Duration::from_secs(5), "{:?}", back.elapsed());
    etcd.put("b", &record("b", "s")).await;
    until(&after, |apps| apps.by_id("b").is_some()).await;
}

/// Bad at the start too: a lost key must not look like a world without apps.
#[tokio::test]
async fn secrets_are_encrypted_where_a_key_is_given() {
    let etcd = Etcd::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key_file = |name: &str, content: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (first, second) = (key_file("1", &"01".repeat(32)), key_file("2", &"02".repeat(32)));
    let with = |keys: &[&PathBuf]| Options {
        encryption_keys: keys.iter().map(|path| (*path).clone()).collect(),
        ..Options::default()
    };
    etcd.put("clear", &record("clear", "was clear")).await;
    let one = settings(&etcd, with(&[&first])).await;
    create(&one, app("a")).await.unwrap();
    assert_eq!(secret(&now(&one), "clear").unwrap(), "was clear");
    limit(&one, "clear", 1).await.unwrap();
    let stored = async || {
        let all = etcd.client().await.get("", Some(GetOptions::new().with_all_keys())).await;
        let values = all.unwrap().take_kvs().into_iter().map(|kv| kv.into_key_value().1);
        String::from_utf8(values.flatten().collect()).unwrap()
    };
    let text = stored().await;
    assert!(text.contains("key-a") && text.contains("sealed"), "{text}");
    assert!(!text.contains("a secret to find") && !text.contains("was clear"), "{text}");

    let rotated = settings(&etcd, with(&[&second, &first])).await;
    assert_eq!(secret(&now(&rotated), "a").unwrap(), "a secret to find");
    limit(&rotated, "a", 1).await.unwrap();
    until(&one, |apps| apps.by_id("a").is_some()).await;
    assert_ne!(stored().await, text);
    assert_eq!(secret(&now(&one), "a").unwrap(), "a secret to find", "the last good one");

    let without = settings(&etcd, Options::default()).await;
    assert!(without.apps().borrow().is_none(), "not one record can be read");
}
