//! The embedded store under real files and processes, and both services over a real connection.

#![allow(clippy::unwrap_used, reason = "this is a test, helpers and all")]

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use control_plane::settings::{
    AdminTokens, FileStore, Freshness, Options, Settings, Store as _, Written,
};
use model::Apps;
use prost_types::FieldMask;
use proto::{
    replicas::{Caller, Replicas, Seeds},
    v1::{
        App, AppLimits, AppWebhook, CreateAppRequest, DeleteAppRequest, GetAppRequest,
        ListAppsRequest, RetireAppSecretRequest, RotateAppSecretRequest, UpdateAppRequest,
        WatchAppsRequest, app_service_client::AppServiceClient, watch_apps_response::Change,
    },
    watch::{AppsReceiver, Watcher},
};
use tokio::{net::TcpListener, time::timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Status,
    metadata::MetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Server},
};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// Set for the processes that tests start to harm them.
const FOLDER: &str = "SETTINGS_FILE_TEST_FOLDER";

type Client = AppServiceClient<InterceptedService<Channel, Token>>;

#[derive(Clone)]
struct Token(&'static str);

impl Interceptor for Token {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0)).unwrap();
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

async fn settings(folder: &Path) -> Settings {
    let store = FileStore::open(folder).await.unwrap();
    Settings::start(Arc::new(store), Options::default()).await.unwrap()
}

/// Both services on a port of their own; its address.
async fn serve(settings: &Settings) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = Server::builder()
        .add_service(settings.app_service(AdminTokens::new(["hush"])))
        .add_service(settings.settings_service());
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

async fn client(address: &str, token: &'static str) -> Client {
    let channel = Channel::from_shared(address.to_owned()).unwrap();
    AppServiceClient::with_interceptor(channel.connect().await.unwrap(), Token(token))
}

fn app(app_id: &str) -> App {
    App { app_id: app_id.into(), key: format!("key-{app_id}"), ..App::default() }
}

fn create(app: App) -> CreateAppRequest {
    CreateAppRequest { app: Some(app), secret: String::new() }
}

fn update(app: App, paths: &[&str]) -> UpdateAppRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    UpdateAppRequest { app: Some(app), update_mask: Some(FieldMask { paths }) }
}

fn rotate(app_id: &str, revision: u64) -> RotateAppSecretRequest {
    RotateAppSecretRequest { app_id: app_id.into(), revision, ..RotateAppSecretRequest::default() }
}

fn refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, words: &[&str]) {
    let status = answer.unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    for word in words {
        assert!(status.message().contains(word), "{word}: {status}");
    }
}

fn now(apps: &AppsReceiver) -> Arc<Apps> {
    apps.borrow().clone().unwrap()
}

async fn until(apps: &mut AppsReceiver, holds: impl Fn(&Apps) -> bool) {
    let reached = apps.wait_for(|apps| apps.as_ref().is_some_and(|apps| holds(apps)));
    timeout(PATIENCE, reached).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let before = settings(folder.path()).await;
    assert!(before.create_if_new(app("a"), "secret").await.unwrap());
    assert_eq!(now(&before.apps()).len(), 1);
    let kept = now(&before.apps()).by_id("a").unwrap().clone();
    drop(before);
    let after = settings(folder.path()).await;
    assert_eq!(now(&after.apps()).by_id("a").unwrap(), &kept);
    assert_eq!(kept.secrets.current.expose(), "secret");
    assert!(!after.create_if_new(app("b"), "secret").await.unwrap());
    assert!(after.current_age().unwrap() < PATIENCE);
}

#[tokio::test]
async fn the_first_app_is_made_once_even_if_it_was_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    assert!(settings.create_if_new(app("a"), "s").await.unwrap());
    let mut client = client(&serve(&settings).await, "hush").await;
    let delete = DeleteAppRequest { app_id: "a".into(), ..DeleteAppRequest::default() };
    client.delete_app(delete).await.unwrap();
    assert!(now(&settings.apps()).is_empty());
    assert!(!settings.create_if_new(app("a"), "s").await.unwrap());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = FileStore::open(folder.path()).await.unwrap();
    let error = FileStore::open(folder.path()).await.unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    FileStore::open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_write_needs_the_present_revision() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).await.unwrap();
    let put = |expected| store.put("a", "{}".into(), expected);
    assert_eq!(put(0).await.unwrap(), Written::At(1));
    assert!(matches!(put(0).await.unwrap(), Written::Refused(Some(_))));
    assert_eq!(put(1).await.unwrap(), Written::At(2));
    assert!(matches!(store.delete("a", 1).await.unwrap(), Written::Refused(Some(_))));
    assert_eq!(store.delete("a", 2).await.unwrap(), Written::At(3));
    assert_eq!(put(2).await.unwrap(), Written::Refused(None));
}

/// The file system refuses what goes over a size, as a full one does, half-way through a write.
#[tokio::test]
async fn a_full_disk_leaves_the_file_as_it_was() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = FileStore::open(folder.as_ref()).await.unwrap();
        let small = r#"{"small":1}"#;
        assert_eq!(store.put("a", small.into(), 0).await.unwrap(), Written::At(1));
        let file = Path::new(&folder).join("apps.json");
        let before = std::fs::read(&file).unwrap();
        let large = format!("{:?}", "x".repeat(20_000));
        let error = store.put("b", large.into(), 0).await.unwrap_err();
        assert!(error.to_string().contains("apps.json"), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), before);
        assert_eq!(store.list(Freshness::Confirmed).await.unwrap().entries.len(), 1);
        assert_eq!(store.put("c", small.into(), 0).await.unwrap(), Written::At(2));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new("bash");
    child.args(["-c", r#"trap "" XFSZ; ulimit -f 8; exec "$0" "$@""#]);
    child.arg(std::env::current_exe().unwrap());
    child.args(["--exact", "a_full_disk_leaves_the_file_as_it_was", "--nocapture"]);
    let output = child.env(FOLDER, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let store = FileStore::open(folder.path()).await.unwrap();
    let listing = store.list(Freshness::Confirmed).await.unwrap();
    let ids: Vec<_> = listing.entries.iter().map(|entry| entry.app_id.as_str()).collect();
    assert_eq!((ids, listing.revision), (vec!["a", "c"], 2));
}

/// Killed in the midst of writing, again and again: what was answered is there, whole.
#[tokio::test]
async fn a_kill_loses_nothing_that_was_answered() {
    const NAME: &str = "a_kill_loses_nothing_that_was_answered";
    if let Some(folder) = std::env::var_os(FOLDER) {
        let store = FileStore::open(folder.as_ref()).await.unwrap();
        let mut revision = store.get("a").await.unwrap().map_or(0, |entry| entry.revision);
        loop {
            let value = format!("{:?}", "x".repeat(100_000));
            let written = store.put("a", value.into(), revision).await.unwrap();
            let Written::At(at) = written else { panic!("refused at {revision}") };
            revision = at;
            writeln!(std::io::stdout(), "answered {revision}").unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 1..=8 {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]).stdout(Stdio::piped());
        let mut child = child.env(FOLDER, folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..round * 3 {
            lines.next().unwrap().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = lines.map_while(Result::ok);
        let answered = rest.filter_map(|line| line.strip_prefix("answered ")?.parse::<u64>().ok());
        let answered = answered.last().unwrap_or(1);
        let store = FileStore::open(folder.path()).await.unwrap();
        let entry = store.get("a").await.unwrap().unwrap();
        assert!(entry.revision >= answered, "{} < {answered}", entry.revision);
        assert_eq!(entry.value.len(), 100_002);
    }
}

#[tokio::test]
async fn apps_are_created_read_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    let unnamed = App { app_id: "made".into(), ..App::default() };
    let made = client.create_app(create(unnamed)).await.unwrap().into_inner();
    let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let key = made.app.clone().unwrap().key;
    assert!(key.len() == 20 && hex(&key) && made.secret.len() == 32 && hex(&made.secret));
    let known = now(&settings.apps()).by_key(&key).unwrap().clone();
    assert_eq!(known.secrets.current.expose(), made.secret);

    let get = GetAppRequest { app_id: "made".into() };
    let got = client.get_app(get.clone()).await.unwrap().into_inner().app;
    assert_eq!(got, made.app);
    assert!(got.unwrap().create_time.is_some());
    refused(client.create_app(create(app("made"))).await, Code::AlreadyExists, &["made"]);
    let same_key = App { key, ..app("other") };
    refused(client.create_app(create(same_key)).await, Code::AlreadyExists, &["key", "made"]);

    let mut delete = DeleteAppRequest { app_id: "made".into(), revision: 99, allow_missing: false };
    refused(client.delete_app(delete.clone()).await, Code::Aborted, &["99"]);
    delete.revision = 0;
    client.delete_app(delete.clone()).await.unwrap();
    assert!(now(&settings.apps()).by_id("made").is_none());
    refused(client.get_app(get).await, Code::NotFound, &["made"]);
    refused(client.delete_app(delete.clone()).await, Code::NotFound, &["made"]);
    delete.allow_missing = true;
    client.delete_app(delete).await.unwrap();
}

#[tokio::test]
async fn what_does_not_load_is_not_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    let limits = AppLimits { batch_events_max: Some(0), ..AppLimits::default() };
    let cases = [
        (App { app_id: "a/b".into(), ..app("a") }, "app id"),
        (App { key: "a:b".into(), ..app("a") }, "key"),
        (App { limits: Some(limits), ..app("a") }, "limits.batch_events_max"),
        (App { allowed_origins: vec!["a*b".into()], ..app("a") }, "a*b"),
        (App { webhooks: vec![AppWebhook::default(); 17], ..app("a") }, "17"),
    ];
    for (wrong, word) in cases {
        refused(client.create_app(create(wrong)).await, Code::InvalidArgument, &[word]);
    }
    let long = CreateAppRequest { secret: "x".repeat(257), ..create(app("a")) };
    refused(client.create_app(long).await, Code::InvalidArgument, &["257"]);
    refused(client.create_app(CreateAppRequest::default()).await, Code::InvalidArgument, &["app"]);
    assert!(now(&settings.apps()).is_empty());
}

/// A disabled app "a" with limits that are not the default.
fn restricted() -> App {
    let limits =
        AppLimits { connections_max: Some(5), batch_events_max: Some(7), ..AppLimits::default() };
    App { limits: Some(limits), enabled: Some(false), ..app("a") }
}

#[tokio::test]
async fn an_update_sets_what_its_mask_names() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    let created = client.create_app(create(app("a"))).await.unwrap();
    let secret = created.into_inner().secret;
    let known = || now(&settings.apps()).by_id("a").unwrap().clone();

    let mask = ["limits.connections_max", "enabled"];
    client.update_app(update(restricted(), &mask)).await.unwrap();
    let limits = known().limits.clone();
    assert_eq!((limits.connections_max, limits.batch_events_max), (Some(5), 10));
    assert!(!known().enabled);
    assert_eq!(known().secrets.current.expose(), secret);
    client.update_app(update(restricted(), &[])).await.unwrap();
    assert_eq!(known().limits.batch_events_max, 7);
    client.update_app(update(app("a"), &["*"])).await.unwrap();
    assert_eq!(known().limits, model::Limits::default());

    let words = ["conections_max", "limits.connections_max"];
    let unknown = update(restricted(), &words[..1]);
    let code = Code::InvalidArgument;
    refused(client.update_app(unknown).await, code, &words);
    let keyless = App { key: String::new(), ..app("a") };
    let keyless = update(keyless, &["*"]);
    refused(client.update_app(keyless).await, code, &["key"]);
    let missing = update(app("b"), &[]);
    refused(client.update_app(missing).await, Code::NotFound, &["b"]);
}

#[tokio::test]
async fn an_update_is_made_at_its_revision() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    let created = client.create_app(create(app("a"))).await.unwrap();
    let first = created.into_inner().app.unwrap().revision;
    let at = |revision| {
        let app = App { revision, ..restricted() };
        update(app, &[])
    };
    let changed = client.update_app(at(first)).await.unwrap().into_inner().app;
    let second = changed.as_ref().unwrap().revision;
    assert!(second > first);
    let numbers = [&*first.to_string(), &*second.to_string()];
    refused(client.update_app(at(first)).await, Code::Aborted, &numbers);
    let same = client.update_app(at(second)).await.unwrap().into_inner();
    assert_eq!(same.app, changed, "nothing changed, nothing written");
}

#[tokio::test]
async fn a_secret_is_rotated_and_the_old_one_retired() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    let old = client.create_app(create(app("a"))).await.unwrap().into_inner().secret;
    let rotated = client.rotate_app_secret(rotate("a", 0)).await.unwrap().into_inner();
    let revision = rotated.app.as_ref().unwrap().revision;
    assert!(rotated.app.unwrap().previous_secret_valid);
    let valid = |apps: &Apps, secret: &str| {
        apps.by_id("a").unwrap().secrets.any(|one| one.expose() == secret)
    };
    let apps = now(&settings.apps());
    assert!(rotated.secret != old && valid(&apps, &old) && valid(&apps, &rotated.secret));
    refused(client.rotate_app_secret(rotate("a", 1)).await, Code::Aborted, &["revision"]);
    let again = RotateAppSecretRequest { secret: rotated.secret.clone(), ..rotate("a", 0) };
    refused(client.rotate_app_secret(again).await, Code::InvalidArgument, &["secret"]);
    let retire = RetireAppSecretRequest { app_id: "a".into(), revision };
    let retired = client.retire_app_secret(retire).await.unwrap().into_inner().app.unwrap();
    assert!(!retired.previous_secret_valid);
    let apps = now(&settings.apps());
    assert!(!valid(&apps, &old) && valid(&apps, &rotated.secret));
}

#[tokio::test]
async fn apps_are_listed_in_pages() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    for number in 0..7 {
        client.create_app(create(app(&format!("app-{number}")))).await.unwrap();
    }
    let mut sizes = Vec::new();
    let mut ids = BTreeSet::new();
    let mut request = ListAppsRequest { page_size: 3, page_token: String::new() };
    loop {
        let page = client.list_apps(request.clone()).await.unwrap().into_inner();
        sizes.push(page.apps.len());
        ids.extend(page.apps.into_iter().map(|app| app.app_id));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!((sizes, ids.len()), (vec![3, 3, 1], 7));
    let whole = client.list_apps(ListAppsRequest::default()).await.unwrap().into_inner();
    assert_eq!((whole.apps.len(), whole.next_page_token.as_str()), (7, ""));
    request.page_token = "?".into();
    refused(client.list_apps(request.clone()).await, Code::InvalidArgument, &["page_token"]);
    request.page_size = -1;
    refused(client.list_apps(request).await, Code::InvalidArgument, &["-1"]);
}

#[tokio::test]
async fn only_the_admin_token_manages_apps() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let address = serve(&settings).await;
    let mut stranger = client(&address, "guess").await;
    let words = ["admin token"];
    let code = Code::Unauthenticated;
    refused(stranger.create_app(create(app("a"))).await, code, &words);
    refused(stranger.get_app(GetAppRequest::default()).await, code, &words);
    refused(stranger.list_apps(ListAppsRequest::default()).await, code, &words);
    refused(stranger.update_app(update(app("a"), &[])).await, code, &words);
    refused(stranger.delete_app(DeleteAppRequest::default()).await, code, &words);
    refused(stranger.rotate_app_secret(rotate("a", 0)).await, code, &words);
    refused(stranger.retire_app_secret(RetireAppSecretRequest::default()).await, code, &words);
    refused(stranger.watch_apps(WatchAppsRequest {}).await, code, &words);
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let without = AppServiceClient::new(channel).list_apps(ListAppsRequest::default()).await;
    refused(without, code, &words);
}

#[tokio::test]
async fn watch_apps_tells_what_is_and_then_what_changes() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path()).await;
    let mut client = client(&serve(&settings).await, "hush").await;
    client.create_app(create(app("a"))).await.unwrap();
    let mut changes = client.watch_apps(WatchAppsRequest {}).await.unwrap().into_inner();
    let mut next = async || {
        let next = timeout(PATIENCE, changes.message()).await.unwrap().unwrap();
        next.map(|message| message.change.unwrap())
    };
    assert!(matches!(next().await, Some(Change::App(app)) if app.app_id == "a"));
    assert!(matches!(next().await, Some(Change::SnapshotEnd(_))));
    client.create_app(create(app("b"))).await.unwrap();
    assert!(matches!(next().await, Some(Change::App(app)) if app.app_id == "b"));
    let delete = DeleteAppRequest { app_id: "a".into(), ..DeleteAppRequest::default() };
    client.delete_app(delete).await.unwrap();
    assert_eq!(next().await, Some(Change::DeletedAppId("a".into())));
    settings.stop();
    assert_eq!(next().await, None);
}

/// A file as a person would write it.
fn by_hand(folder: &Path, apps: usize) {
    let record = |number: usize| {
        let id = format!("app-{number}");
        let app = serde_json::json!({ "app_id": id, "key": format!("key-{number}") });
        let record = serde_json::json!({ "version": 1, "app": app, "secret": "s" });
        (id, serde_json::json!({ "revision": 1, "record": record }))
    };
    let apps: serde_json::Map<_, _> = (0..apps).map(record).collect();
    let file = serde_json::json!({ "version": 1, "revision": 1, "apps": apps });
    std::fs::write(folder.join("apps.json"), file.to_string()).unwrap();
}

/// A gateway's or node's own watcher against this service.
#[tokio::test]
async fn planes_follow_every_change() {
    let folder = tempfile::tempdir().unwrap();
    by_hand(folder.path(), 1_200);
    let settings = settings(folder.path()).await;
    let address = serve(&settings).await;
    let mut client = client(&address, "hush").await;
    let caller = Caller { node_id: String::new(), boot_id: vec![1; 16].into() };
    let watcher = Watcher {
        name: "test".into(),
        replicas: Replicas::start(Seeds::at([&address]).unwrap(), caller),
        last_known_good: None,
        age: proto::plane::metrics::Age::default(),
    };
    let mut seen = watcher.spawn();
    until(&mut seen, |apps| apps.len() == 1_200).await;
    let mut slowest = Duration::ZERO;
    for number in 0..100 {
        let limits = AppLimits { connections_max: Some(1_000 + number), ..AppLimits::default() };
        let wanted = App { limits: Some(limits), ..app("app-7") };
        let started = tokio::time::Instant::now();
        let changed = client.update_app(update(wanted, &[])).await.unwrap().into_inner();
        let revision = changed.app.unwrap().revision;
        until(&mut seen, |apps| apps.by_id("app-7").unwrap().revision >= revision).await;
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let delete = DeleteAppRequest { app_id: "app-8".into(), ..DeleteAppRequest::default() };
    client.delete_app(delete).await.unwrap();
    until(&mut seen, |apps| apps.by_id("app-8").is_none()).await;
}
