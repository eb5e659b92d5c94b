//! The store in etcd: one key per app. The only file that names etcd.

use std::{
    fmt,
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use bytes::Bytes;
use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, Error, EventType, GetOptions,
    Identity, KeyValue, KvClient, TlsOptions, Txn, TxnOp, TxnOpResponse, TxnResponse, WatchOptions,
    WatchRequestSender, WatchResponse, WatchResponseStream,
};
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::OnceCell,
    time::{Instant, Interval, MissedTickBehavior, timeout},
};
use tonic::Code;

use super::{
    random::jittered,
    store::{Change, Changes, Entry, Fault, Freshness, Listing, Store, Written},
};

const PREFIX: &str = "/carillon/v1/apps/";
/// The first key after all that begin with [`PREFIX`].
const PREFIX_END: &str = "/carillon/v1/apps0";
const PAGE: i64 = 1_000;
/// A page of records of the size that `bounds.rs` allows; the client's default is 4 MiB.
const PAGE_BYTES_MAX: usize = 512 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// etcd ends connections that ping more often than every 5 s.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// A member that is down fails its share of calls at once, and goes on to: with one of three down,
/// this many retries leave one call in 6,000 without an answer.
const RETRIES: usize = 7;
const RETRY_PAUSE: Duration = Duration::from_millis(10);
/// How often a watch is asked whether it is alive,
const PROGRESS_EVERY: Duration = Duration::from_secs(2);
/// and after how long without an answer it is not.
const SILENCE_MAX: Duration = Duration::from_secs(6);

/// How to reach etcd.
#[derive(Clone)]
pub struct EtcdOptions {
    /// `http://host:port` or `https://host:port`, one per member.
    pub endpoints: Vec<String>,
    /// Name and password, where etcd demands them.
    pub user: Option<(String, String)>,
    /// PEM file with the authorities that etcd's certificates are checked against.
    pub ca_certificate: Option<PathBuf>,
    /// PEM files with this process's own certificate and key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// A call ends after this long, answered or not.
    pub deadline: Duration,
}

/// Records under `/carillon/v1/apps/` in etcd.
pub struct EtcdStore {
    endpoints: Vec<String>,
    options: ConnectOptions,
    deadline: Duration,
    calls: OnceCell<Client>,
    /// A connection of its own, which demands that the member has a leader: one cut off from the
    /// others then ends the watch instead of going quiet. Calls are without that demand, so that
    /// such a member can still be asked for what it knows.
    watches: OnceCell<Client>,
}

/// An open watch.
struct Following {
    sender: WatchRequestSender,
    responses: WatchResponseStream,
    progress: Interval,
    heard: Instant,
}

impl EtcdOptions {
    /// Without user or TLS, calls end after two seconds.
    #[must_use]
    pub fn new(endpoints: Vec<String>) -> Self {
        Self {
            endpoints,
            user: None,
            ca_certificate: None,
            identity: None,
            deadline: Duration::from_secs(2),
        }
    }

    fn tls(&self) -> anyhow::Result<Option<TlsOptions>> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))
        };
        if self.ca_certificate.is_none() && self.identity.is_none() {
            return Ok(None);
        }
        let mut tls = TlsOptions::new();
        if let Some(path) = &self.ca_certificate {
            tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(Some(tls))
    }
}

impl EtcdStore {
    /// Reads the files; connects when first used.
    pub fn new(options: EtcdOptions) -> anyhow::Result<Self> {
        anyhow::ensure!(!options.endpoints.is_empty(), "etcd needs at least one endpoint");
        let mut connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = options.tls()? {
            connect = connect.with_tls(tls);
        }
        if let Some((name, password)) = options.user {
            connect = connect.with_user(name, password);
        }
        Ok(Self {
            endpoints: options.endpoints,
            options: connect,
            deadline: options.deadline,
            calls: OnceCell::new(),
            watches: OnceCell::new(),
        })
    }

    async fn client<'a>(
        &self,
        cell: &'a OnceCell<Client>,
        require_leader: bool,
    ) -> Result<&'a Client, Error> {
        let options = self.options.clone().with_require_leader(require_leader);
        cell.get_or_try_init(|| Client::connect(&self.endpoints, Some(options))).await
    }

    async fn call<T, F>(&self, name: &'static str, call: impl Fn(KvClient) -> F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let call = &call;
        let attempt = move || async move {
            let client = self.client(&self.calls, false).await?;
            call(client.kv_client().max_decoding_message_size(PAGE_BYTES_MAX)).await
        };
        self.within_deadline(name, attempt).await
    }

    /// It must do no harm to attempt this twice: it is tried again, on another member where there
    /// is one, when a member is down or leaves half the time unused.
    async fn within_deadline<T, F>(
        &self,
        name: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let attempts = async {
            let mut retries = 0;
            loop {
                match timeout(self.deadline / 2, attempt()).await {
                    Ok(Ok(answer)) => return Ok(answer),
                    Ok(Err(error)) if retries == RETRIES || !is_unavailable(&error) => {
                        return Err(Fault::broken(name, error));
                    }
                    Ok(Err(_)) | Err(_) => retries += 1,
                }
                tokio::time::sleep(jittered(RETRY_PAUSE)).await;
            }
        };
        let silent = |_| Fault::Silent { call: name, waited: self.deadline };
        timeout(self.deadline, attempts).await.map_err(silent)?
    }

    /// Applies `operation` where the key has the revision `expected`, else reads the key.
    async fn compare_and(
        &self,
        name: &'static str,
        key: &str,
        expected: u64,
        operation: TxnOp,
    ) -> Result<TxnResponse, Fault> {
        let compare = Compare::mod_revision(key, CompareOp::Equal, signed(expected));
        let txn = Txn::new().when([compare]).and_then([operation]).or_else([TxnOp::get(key, None)]);
        self.call(name, |mut kv| {
            let txn = txn.clone();
            async move { kv.txn(txn).await }
        })
        .await
    }
}

#[tonic::async_trait]
impl Store for EtcdStore {
    async fn list(&self, freshness: Freshness) -> Result<Listing, Fault> {
        let mut listing = Listing::default();
        let mut start = PREFIX.to_owned();
        loop {
            let mut options = GetOptions::new()
                .with_range(PREFIX_END)
                .with_limit(PAGE)
                .with_revision(signed(listing.revision));
            if freshness == Freshness::Any {
                options = options.with_serializable();
            }
            let page = self.call("list", |mut kv| {
                let (start, options) = (start.clone(), options.clone());
                async move { kv.get(start, Some(options)).await }
            });
            let mut page = page.await?;
            if listing.revision == 0 {
                listing.revision = page.header().map_or(0, |header| unsigned(header.revision()));
            }
            let more = page.more();
            let entries = page.take_kvs().into_iter().filter_map(entry);
            listing.entries.extend(entries);
            match listing.entries.last().filter(|_| more) {
                Some(last) => start = format!("{}\0", key_of(&last.app_id)),
                None => return Ok(listing),
            }
        }
    }

    async fn get(&self, app_id: &str) -> Result<Option<Entry>, Fault> {
        let key = key_of(app_id);
        let answer = self.call("get", |mut kv| {
            let key = key.clone();
            async move { kv.get(key, None).await }
        });
        Ok(answer.await?.take_kvs().into_iter().find_map(entry))
    }

    async fn put(&self, app_id: &str, value: Bytes, expected: u64) -> Result<Written, Fault> {
        let key = key_of(app_id);
        let put = TxnOp::put(key.as_str(), value.as_ref(), None);
        let answer = self.compare_and("put", &key, expected, put).await?;
        Ok(match written(&answer) {
            // An earlier attempt took place and its answer was lost.
            Written::Refused(Some(present)) if present.value == value => {
                Written::At(present.revision)
            }
            written @ (Written::At(_) | Written::Refused(_)) => written,
        })
    }

    async fn delete(&self, app_id: &str, expected: u64) -> Result<Written, Fault> {
        let key = key_of(app_id);
        let delete = TxnOp::delete(key.as_str(), None);
        let answer = self.compare_and("delete", &key, expected, delete).await?;
        Ok(match written(&answer) {
            // It is gone, by an earlier attempt or by somebody else.
            Written::Refused(None) => Written::At(revision_of(&answer)),
            written @ (Written::At(_) | Written::Refused(_)) => written,
        })
    }

    async fn watch(&self, after: u64) -> Result<Changes, Fault> {
        let options = WatchOptions::new().with_prefix().with_start_revision(signed(after + 1));
        let options = &options;
        let open = move || async move {
            let client = self.client(&self.watches, true).await?;
            client.watch_client().watch(PREFIX, Some(options.clone())).await
        };
        let opened = self.within_deadline("watch", open).await?;
        let (sender, responses) = opened.split();
        let mut progress = tokio::time::interval(PROGRESS_EVERY);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let following = Following { sender, responses, progress, heard: Instant::now() };
        Ok(stream::unfold(following, |mut following| async {
            Some((following.next().await, following))
        })
        .boxed())
    }
}

impl Following {
    async fn next(&mut self) -> Result<Vec<Change>, Fault> {
        loop {
            tokio::select! {
                response = self.responses.message() => {
                    self.heard = Instant::now();
                    let response = response.map_err(|error| Fault::broken("watch", error))?;
                    let ended = || Fault::broken("watch", "the stream ended");
                    return changes(&response.ok_or_else(ended)?);
                }
                _ = self.progress.tick() => {
                    if self.heard.elapsed() > SILENCE_MAX {
                        return Err(Fault::Silent { call: "watch", waited: SILENCE_MAX });
                    }
                    let asked = self.sender.request_progress().await;
                    asked.map_err(|error| Fault::broken("watch", error))?;
                }
            }
        }
    }
}

/// The changes in a response. One without events says that etcd is alive; its revision says
/// nothing, for etcd before 3.4.31 may be ahead of its own events there.
fn changes(response: &WatchResponse) -> Result<Vec<Change>, Fault> {
    if response.compact_revision() > 0 {
        return Err(Fault::Compacted { oldest: unsigned(response.compact_revision()) });
    }
    if response.canceled() {
        let reason = format!("etcd ended it: {}", response.cancel_reason());
        return Err(Fault::broken("watch", reason));
    }
    let change = |event: &etcd_client::Event| {
        let kv = event.kv()?;
        match event.event_type() {
            EventType::Put => entry(kv.clone()).map(Change::Put),
            EventType::Delete => {
                let app_id = app_id_of(kv)?.to_owned();
                Some(Change::Deleted { app_id, revision: unsigned(kv.mod_revision()) })
            }
        }
    };
    Ok(response.events().iter().filter_map(change).collect())
}

fn written(answer: &TxnResponse) -> Written {
    if answer.succeeded() {
        return Written::At(revision_of(answer));
    }
    let present = answer.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(mut get) => get.take_kvs().into_iter().find_map(entry),
        TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
    });
    Written::Refused(present)
}

fn revision_of(answer: &TxnResponse) -> u64 {
    answer.header().map_or(0, |header| unsigned(header.revision()))
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::GRpcStatus(status) if status.code() == Code::Unavailable)
}

fn key_of(app_id: &str) -> String {
    format!("{PREFIX}{app_id}")
}

/// A key that is no text is none of ours.
fn app_id_of(kv: &KeyValue) -> Option<&str> {
    kv.key_str().ok()?.strip_prefix(PREFIX)
}

fn entry(kv: KeyValue) -> Option<Entry> {
    let app_id = app_id_of(&kv)?.to_owned();
    let revision = unsigned(kv.mod_revision());
    let (_, value) = kv.into_key_value();
    Some(Entry { app_id, revision, value: value.into() })
}

/// etcd counts from 1 and far below the sign.
fn unsigned(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

fn signed(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdStore").field(&self.endpoints).finish()
    }
}

impl fmt::Debug for EtcdOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EtcdOptions").field(&self.endpoints).finish()
    }
}
