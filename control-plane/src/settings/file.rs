//! The embedded store: one JSON file in a folder, for one process.

use std::{
    collections::VecDeque,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;

use super::{
    image::{Image, Record},
    store::{Change, Changes, Entry, Fault, Freshness, Listing, Store, Written},
};

/// A process that was told to stop has this long to let go of the folder.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_AGAIN: Duration = Duration::from_millis(50);
/// Changes that are remembered for watchers; one that is further behind lists again.
const BEHIND_MAX: usize = 256;
/// How often a watcher hears that the store is alive.
const ALIVE: Duration = Duration::from_secs(2);

/// Records in `apps.json`, for this process only.
#[derive(Clone, Debug)]
pub struct FileStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    state: Mutex<State>,
    /// The revision, for those who watch.
    moved: watch::Sender<u64>,
    /// Held as long as the store lives; the kernel lets go of it even after a kill -9.
    _lock: File,
}

#[derive(Debug)]
struct State {
    image: Image,
    /// The last changes, one per revision.
    log: VecDeque<Change>,
}

impl FileStore {
    /// Opens the store in `folder`, which is made where it is missing.
    pub async fn open(folder: &Path) -> anyhow::Result<Self> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("the folder {} cannot be made", folder.display()))?;
        let lock = lock(&folder.join("lock")).await?;
        let path = folder.join("apps.json");
        let image = Image::read(&path)
            .context("the settings cannot be read")?
            .unwrap_or_else(|| Image::at(0));
        let moved = watch::channel(image.revision).0;
        let state = Mutex::new(State { image, log: VecDeque::new() });
        Ok(Self(Arc::new(Inner { path, state, moved, _lock: lock })))
    }

    /// Runs to its end even where the caller goes away: file and memory must not part.
    async fn blocking(
        &self,
        work: impl FnOnce(&Inner) -> Result<Written, Fault> + Send + 'static,
    ) -> Result<Written, Fault> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| Fault::broken("write", error))?
    }
}

impl Inner {
    fn read<T>(&self, read: impl FnOnce(&Image) -> T) -> T {
        read(&self.state.lock().expect("no holder panics").image)
    }

    /// Writes the file with one record changed, then lets memory follow.
    fn write(&self, app_id: &str, value: Option<Bytes>, expected: u64) -> Result<Written, Fault> {
        let mut state = self.state.lock().expect("no holder panics");
        let present = state.image.entry(app_id);
        if present.as_ref().map_or(0, |entry| entry.revision) != expected {
            return Ok(Written::Refused(present));
        }
        let mut image = state.image.clone();
        image.revision += 1;
        let (app_id, revision) = (app_id.to_owned(), image.revision);
        let change = match value {
            Some(value) => {
                let entry = Entry { app_id, revision, value };
                image.apps.insert(entry.app_id.clone(), Record::of(&entry)?);
                Change::Put(entry)
            }
            None => {
                image.apps.remove(&app_id);
                Change::Deleted { app_id, revision }
            }
        };
        image.write(&self.path)?;
        state.image = image;
        if state.log.len() == BEHIND_MAX {
            state.log.pop_front();
        }
        state.log.push_back(change);
        self.moved.send_replace(revision);
        Ok(Written::At(revision))
    }

    /// The changes after `after`, and the revision that is reached with them.
    fn changes(&self, after: u64) -> Result<(Vec<Change>, u64), Fault> {
        let state = self.state.lock().expect("no holder panics");
        let revision = state.image.revision;
        let oldest = state.log.front().map_or(revision + 1, Change::revision);
        if after + 1 < oldest {
            return Err(Fault::Compacted { oldest });
        }
        let newer = state.log.iter().filter(|change| change.revision() > after);
        Ok((newer.cloned().collect(), revision))
    }
}

#[tonic::async_trait]
impl Store for FileStore {
    async fn list(&self, _: Freshness) -> Result<Listing, Fault> {
        Ok(self.0.read(Image::listing))
    }

    async fn get(&self, app_id: &str) -> Result<Option<Entry>, Fault> {
        Ok(self.0.read(|image| image.entry(app_id)))
    }

    async fn put(&self, app_id: &str, value: Bytes, expected: u64) -> Result<Written, Fault> {
        let app_id = app_id.to_owned();
        self.blocking(move |inner| inner.write(&app_id, Some(value), expected)).await
    }

    async fn delete(&self, app_id: &str, expected: u64) -> Result<Written, Fault> {
        let app_id = app_id.to_owned();
        self.blocking(move |inner| inner.write(&app_id, None, expected)).await
    }

    async fn watch(&self, after: u64) -> Result<Changes, Fault> {
        self.0.changes(after)?;
        let watching = (Arc::clone(&self.0), self.0.moved.subscribe(), after);
        Ok(stream::unfold(watching, |(inner, mut moved, after)| async move {
            // Time that passes without a change only says that the store is alive.
            let _ = tokio::time::timeout(ALIVE, moved.wait_for(|now| *now > after)).await;
            let (batch, after) = match inner.changes(after) {
                Ok((batch, revision)) => (Ok(batch), revision),
                Err(fault) => (Err(fault), after),
            };
            Some((batch, (inner, moved, after)))
        })
        .boxed())
    }
}

async fn lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.with_context(|| format!("{} cannot be opened", path.display()))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < LOCK_PATIENCE => {
                tokio::time::sleep(LOCK_AGAIN).await;
                waited += LOCK_AGAIN;
            }
            Err(TryLockError::WouldBlock) => bail!(
                "{} is held by another process: the embedded store serves one process only",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{} cannot be locked", path.display()));
            }
        }
    }
}
