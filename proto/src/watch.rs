//! Keeps a plane's apps current: watches the control plane, falls back on what it had.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use model::{App, Apps};
use prost::Message as _;
use tokio::{sync::watch, time::Instant};
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use crate::{
    internal::{
        AppRecord, WatchRequest, WatchResponse, settings_service_client::SettingsServiceClient,
    },
    plane::{complaints::Complaints, metrics::Age},
    replicas::{Replica, Replicas},
};

/// Silence after which the stream counts as dead. The control plane sends something every second.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// The apps as this plane knows them: `None` until the first snapshot or the disk gave some.
pub type AppsReceiver = watch::Receiver<Option<Arc<Apps>>>;

/// What a watcher needs to know.
#[derive(Clone, Debug)]
pub struct Watcher {
    /// For the control plane's log: which plane, which process.
    pub name: String,
    /// The control planes: one that lives, else each in turn.
    pub replicas: Replicas,
    /// Where the last good snapshot is kept, so that a restart needs no control plane.
    pub last_known_good: Option<PathBuf>,
    /// Confirmed with each message of a control plane: it sends one every second.
    pub age: Age,
}

impl Watcher {
    /// Starts watching. The task ends when the last receiver is dropped.
    #[must_use]
    pub fn spawn(self) -> AppsReceiver {
        let (sender, receiver) = watch::channel(None);
        let mut records = HashMap::new();
        if let Some(path) = &self.last_known_good
            && let Some(step) = read_last_known_good(path)
        {
            info!(revision = step.revision, apps = step.upserts.len(), "apps read from disk");
            apply(&mut records, step.clone());
            sender.send_replace(Some(Arc::new(index(step.revision, &records))));
        }
        tokio::spawn(self.run(sender, records));
        receiver
    }

    async fn run(
        self,
        sender: watch::Sender<Option<Arc<Apps>>>,
        mut records: HashMap<String, AppRecord>,
    ) {
        let complaints = Complaints::default();
        let mut backoff = BACKOFF_MIN;
        let mut turn = 0;
        while !sender.is_closed() {
            let Some(replica) = self.pick(turn) else {
                let mut known = self.replicas.follow();
                tokio::select! {
                    () = sender.closed() => return,
                    _ = known.wait_for(|known| !known.is_empty()) => continue,
                }
            };
            turn += 1;
            let died = replica.life.clone().unwrap_or_default();
            tokio::select! {
                () = sender.closed() => return,
                () = died.cancelled() => {
                    warn!(address = &*replica.address, "the settings' control plane is silent");
                }
                followed = self.follow(&replica, &sender, &mut records) => match followed {
                    Ok(()) => backoff = BACKOFF_MIN,
                    Err(status) => {
                        let error = status.message();
                        if complaints.is_new(error, Instant::now().into_std()) {
                            warn!(error, "settings watch broke; serving what is known");
                        }
                    }
                },
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// The control plane whose turn it is among those that live, or among all.
    fn pick(&self, turn: usize) -> Option<Replica> {
        self.replicas.look(|known| {
            let living: Vec<_> = known.iter().filter(|one| one.life.is_some()).collect();
            match living.as_slice() {
                [] => known.get(turn.checked_rem(known.len())?).cloned(),
                living => Some(living[turn % living.len()].clone()),
            }
        })
    }

    /// Follows one stream to its end; `Ok` where it carried anything.
    async fn follow(
        &self,
        replica: &Replica,
        sender: &watch::Sender<Option<Arc<Apps>>>,
        records: &mut HashMap<String, AppRecord>,
    ) -> Result<(), tonic::Status> {
        let mut client =
            SettingsServiceClient::new(replica.link.clone()).max_decoding_message_size(16 << 20);
        let request = WatchRequest { watcher: self.name.clone() };
        let opened = tokio::time::timeout(SILENCE_MAX, client.watch(request));
        let silent = |_| tonic::Status::deadline_exceeded("the control plane is silent");
        let mut stream = opened.await.map_err(silent)??.into_inner();
        let mut pending: Option<WatchResponse> = None;
        let mut carried = false;
        loop {
            let next = tokio::time::timeout(SILENCE_MAX, stream.next()).await.map_err(silent)?;
            let Some(part) = next.transpose()? else {
                return if carried { Ok(()) } else { Err(tonic::Status::unavailable("closed")) };
            };
            carried = true;
            self.age.confirm();
            let mut step = match pending.take() {
                None => part,
                Some(mut step) => {
                    step.upserts.extend(part.upserts);
                    step.removed_app_ids.extend(part.removed_app_ids);
                    WatchResponse { revision: part.revision, more: part.more, ..step }
                }
            };
            if step.more {
                step.more = false;
                pending = Some(step);
                continue;
            }
            if step.reset || !step.upserts.is_empty() || !step.removed_app_ids.is_empty() {
                let revision = step.revision;
                apply(records, step);
                sender.send_replace(Some(Arc::new(index(revision, records))));
                self.keep(revision, records);
            }
        }
    }

    /// Writes the snapshot beside the last one and renames it: a crash leaves one whole file.
    fn keep(&self, revision: u64, records: &HashMap<String, AppRecord>) {
        let Some(path) = &self.last_known_good else {
            return;
        };
        let snapshot = WatchResponse {
            revision,
            reset: true,
            upserts: records.values().cloned().collect(),
            removed_app_ids: Vec::new(),
            more: false,
        };
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| write_private(&path.with_extension("new"), &snapshot.encode_to_vec()))
            .and_then(|()| std::fs::rename(path.with_extension("new"), path));
        if let Err(error) = written {
            warn!(%error, path = %path.display(), "apps not kept on disk; serving from memory");
        }
    }
}

/// Writes a file that only its owner may read: it holds secrets.
fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn read_last_known_good(path: &Path) -> Option<WatchResponse> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(%error, path = %path.display(), "kept apps cannot be read");
            return None;
        }
    };
    match WatchResponse::decode(&*content) {
        Ok(step) => Some(step),
        Err(error) => {
            warn!(%error, path = %path.display(), "kept apps are damaged");
            None
        }
    }
}

/// Applies one step. A record that does not convert keeps the last good one of that app.
fn apply(records: &mut HashMap<String, AppRecord>, step: WatchResponse) {
    // A control plane whose store was emptied knows of no app; that is no reason to forget ours.
    let emptied = step.reset && step.upserts.is_empty() && !records.is_empty();
    if emptied {
        warn!(apps = records.len(), "a snapshot without any app is ignored");
        return;
    }
    let mut kept = if step.reset { std::mem::take(records) } else { HashMap::new() };
    for record in step.upserts {
        let id = record.app.as_ref().map(|app| app.app_id.clone()).unwrap_or_default();
        match App::try_from(&record) {
            Ok(_) => {
                records.insert(id, record);
            }
            Err(rejection) => {
                warn!(app = id, %rejection, "app record refused; the last good one stays");
                if let Some(good) = kept.remove(&id) {
                    records.insert(id, good);
                }
            }
        }
    }
    for id in step.removed_app_ids {
        records.remove(&id);
    }
}

fn index(revision: u64, records: &HashMap<String, AppRecord>) -> Apps {
    let apps = records.values().filter_map(|record| App::try_from(record).ok());
    let (apps, conflicts) = Apps::new(revision, apps.map(Arc::new));
    for conflict in conflicts {
        warn!(holder = %conflict.holder, refused = %conflict.refused, "two apps have one key");
    }
    apps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    fn record(id: &str, secret: &str) -> AppRecord {
        AppRecord {
            app: Some(v1::App {
                app_id: id.into(),
                key: format!("key-{id}"),
                ..v1::App::default()
            }),
            current_secret: secret.into(),
            previous_secret: String::new(),
        }
    }

    fn step(reset: bool, upserts: Vec<AppRecord>, removed: &[&str]) -> WatchResponse {
        WatchResponse {
            revision: 1,
            reset,
            upserts,
            removed_app_ids: removed.iter().map(|id| (*id).to_owned()).collect(),
            more: false,
        }
    }

    fn ids(records: &HashMap<String, AppRecord>) -> Vec<&str> {
        let mut ids: Vec<_> = records.keys().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn steps_apply_and_bad_records_keep_the_good() {
        let mut records = HashMap::new();
        apply(&mut records, step(true, vec![record("a", "s"), record("b", "s")], &[]));
        assert_eq!(ids(&records), ["a", "b"]);
        apply(&mut records, step(false, vec![record("a", ""), record("c", "s")], &["b"]));
        assert_eq!(ids(&records), ["a", "c"]);
        assert_eq!(records["a"].current_secret, "s");
        apply(&mut records, step(true, vec![], &[]));
        assert_eq!(ids(&records), ["a", "c"], "an emptied store wipes nothing");
        apply(&mut records, step(true, vec![record("c", "")], &[]));
        assert_eq!(ids(&records), ["c"]);
        assert_eq!(records["c"].current_secret, "s");
    }
}
