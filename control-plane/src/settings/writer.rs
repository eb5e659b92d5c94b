//! Changes apps: one at a time, each against the revision it was decided on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use model::{App, Reason, Rejection};
use prost_types::Timestamp;
use proto::{internal::AppRecord, v1};
use tokio::sync::Mutex;

use super::{
    bounds,
    current::Current,
    envelope::Keyring,
    store::{Change, Entry, Store, Written},
    stored,
};

/// A write waits this long for the one before it.
const TURN_PATIENCE: Duration = Duration::from_secs(2);
/// A change without a revision is decided anew this often where another one came first.
const ATTEMPTS: usize = 5;

/// Writes to the store, then lets this process see it before it answers.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) store: Arc<dyn Store>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) current: Arc<Current>,
    /// One write at a time, so that no two apps of this process take one key.
    pub(super) turn: Mutex<()>,
}

/// What a change did.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) before: AppRecord,
    pub(super) after: AppRecord,
}

impl Writer {
    pub(super) async fn create(&self, mut record: AppRecord) -> Result<AppRecord, Rejection> {
        let _turn = self.turn().await?;
        let now = now();
        let app = app_mut(&mut record);
        app.revision = 0;
        app.create_time = Some(now);
        app.update_time = Some(now);
        self.check(&record)?;
        let app_id = app_mut(&mut record).app_id.clone();
        match self.put(&app_id, &record, 0).await? {
            Ok(created) => Ok(created),
            Err(_) => {
                let message = format!("the app {app_id} exists already");
                Err(Rejection::field(Reason::AlreadyExists, "app_id", message))
            }
        }
    }

    /// Lets `edit` change an app. `expected`, where not 0, must be the app's revision.
    pub(super) async fn change(
        &self,
        app_id: &str,
        expected: u64,
        edit: impl Fn(&mut AppRecord) -> Result<(), Rejection>,
    ) -> Result<Changed, Rejection> {
        let _turn = self.turn().await?;
        for _ in 0..ATTEMPTS {
            let entry = self.store.get(app_id).await?.ok_or_else(|| self.missing(app_id))?;
            check_revision(app_id, expected, entry.revision)?;
            let before = self.read(&entry)?;
            let mut after = before.clone();
            edit(&mut after)?;
            if after == before {
                return Ok(Changed { after, before });
            }
            app_mut(&mut after).update_time = Some(now());
            self.check(&after)?;
            if let Ok(after) = self.put(app_id, &after, entry.revision).await? {
                return Ok(Changed { before, after });
            }
        }
        let message = format!("the app {app_id} is being changed by others; try again");
        Err(Rejection::new(Reason::Conflict, message))
    }

    /// Deletes an app; tells its last revision, or that there was none.
    pub(super) async fn delete(
        &self,
        app_id: &str,
        expected: u64,
    ) -> Result<Option<u64>, Rejection> {
        let _turn = self.turn().await?;
        for _ in 0..ATTEMPTS {
            let Some(entry) = self.store.get(app_id).await? else {
                // The store has lost it, and it was kept: now an operator has decided.
                return Ok(self.current.release(app_id).then_some(0));
            };
            check_revision(app_id, expected, entry.revision)?;
            let written = self.store.delete(app_id, entry.revision).await?;
            if let Written::At(revision) = written {
                self.current.apply(&[Change::Deleted { app_id: app_id.to_owned(), revision }]);
                return Ok(Some(entry.revision));
            }
        }
        let message = format!("the app {app_id} is being changed by others; try again");
        Err(Rejection::new(Reason::Conflict, message))
    }

    async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Rejection> {
        tokio::time::timeout(TURN_PATIENCE, self.turn.lock()).await.map_err(|_| {
            Rejection::new(Reason::Unavailable, "other changes of apps are waiting for the store")
        })
    }

    /// What is accepted here loads everywhere.
    fn check(&self, record: &AppRecord) -> Result<(), Rejection> {
        let app = record.app.as_ref().expect("a record has an app");
        App::try_from(record)?;
        bounds::check(app)?;
        let holder = self.current.look(|world| world.holder(&app.key).map(str::to_owned))?;
        match holder {
            Some(holder) if holder != app.app_id => {
                let message = format!("the key {} belongs to the app {holder}", app.key);
                Err(Rejection::field(Reason::AlreadyExists, "key", message))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read(&self, entry: &Entry) -> Result<AppRecord, Rejection> {
        stored::decode(entry, &self.keyring).map(|read| read.record).map_err(|bad| {
            let Entry { app_id, revision, .. } = entry;
            let message = format!(
                "the stored record of the app {app_id} (revision {revision}) cannot be read: {bad}"
            );
            Rejection::new(Reason::Internal, message)
        })
    }

    /// Writes, then shows. The inner error is what stands in the way.
    async fn put(
        &self,
        app_id: &str,
        record: &AppRecord,
        expected: u64,
    ) -> Result<Result<AppRecord, Option<Entry>>, Rejection> {
        let value = stored::encode(record, &self.keyring);
        match self.store.put(app_id, value.clone(), expected).await? {
            Written::Refused(present) => Ok(Err(present)),
            Written::At(revision) => {
                let entry = Entry { app_id: app_id.to_owned(), revision, value };
                let written = self.read(&entry)?;
                self.current.apply(&[Change::Put(entry)]);
                Ok(Ok(written))
            }
        }
    }

    fn missing(&self, app_id: &str) -> Rejection {
        let kept = self.current.look(|world| world.record(app_id).is_some());
        let message = match kept {
            Ok(true) => format!(
                "the app {app_id} has vanished from the store and is only kept in memory; \
                 create it again or delete it"
            ),
            Ok(false) | Err(_) => format!("there is no app {app_id}"),
        };
        Rejection::field(Reason::AppNotFound, "app_id", message)
    }
}

pub(super) fn app_mut(record: &mut AppRecord) -> &mut v1::App {
    record.app.as_mut().expect("a record has an app")
}

fn check_revision(app_id: &str, expected: u64, present: u64) -> Result<(), Rejection> {
    if expected == 0 || expected == present {
        return Ok(());
    }
    let message = format!("the app {app_id} is at revision {present}, not at {expected}");
    Err(Rejection::field(Reason::Conflict, "revision", message))
}

/// The wall clock, in whole milliseconds: what a record keeps.
#[allow(clippy::disallowed_methods, reason = "records carry the time of day for people")]
fn now() -> Timestamp {
    let now = Timestamp::from(SystemTime::now());
    Timestamp { nanos: now.nanos / 1_000_000 * 1_000_000, ..now }
}
