//! Where app records are kept: one trait, with a file or etcd behind it.

use std::{fmt, io, path::PathBuf, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use model::{Reason, Rejection};

/// A record as the store has it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which app it is of.
    pub app_id: String,
    /// The store's number of the write that made it.
    pub revision: u64,
    /// The record, see `stored.rs`.
    pub value: Bytes,
}

/// All records at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The store's number at that moment; 0 for a store that was never written to.
    pub revision: u64,
    /// The records, by app id.
    pub entries: Vec<Entry>,
}

/// What happened to one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was created or replaced.
    Put(Entry),
    /// It was deleted.
    Deleted {
        /// Which app it was of.
        app_id: String,
        /// The store's number of the deletion.
        revision: u64,
    },
}

impl Change {
    /// The store's number of this change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        match self {
            Self::Put(entry) => entry.revision,
            Self::Deleted { revision, .. } => *revision,
        }
    }
}

/// Changes as they happen, those of one revision in one batch. An empty batch says that the store
/// is alive; one arrives at least every few seconds.
pub type Changes = BoxStream<'static, Result<Vec<Change>, Fault>>;

/// How new a listing must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It has every write that was answered before the listing began.
    Confirmed,
    /// It may be old: what a member without a quorum still knows.
    Any,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It took place and has this number.
    At(u64),
    /// It did not: the record is not at the expected revision; this is what is there.
    Refused(Option<Entry>),
}

/// Keeps records. Every call ends within a deadline of the store's own.
#[tonic::async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// All records.
    async fn list(&self, freshness: Freshness) -> Result<Listing, Fault>;

    /// One record, as [`Freshness::Confirmed`].
    async fn get(&self, app_id: &str) -> Result<Option<Entry>, Fault>;

    /// Writes a record where the one there has the revision `expected`; 0: where there is none.
    async fn put(&self, app_id: &str, value: Bytes, expected: u64) -> Result<Written, Fault>;

    /// Deletes a record where it has the revision `expected`.
    async fn delete(&self, app_id: &str, expected: u64) -> Result<Written, Fault>;

    /// Changes after the revision `after`. What it tells is a hint; a listing is the truth.
    async fn watch(&self, after: u64) -> Result<Changes, Fault>;
}

/// A store that did not do as asked.
#[derive(Debug)]
pub enum Fault {
    /// No answer in time. A write may have taken place.
    Silent {
        /// What was asked.
        call: &'static str,
        /// For how long an answer was waited for.
        waited: Duration,
    },
    /// The call failed.
    Broken {
        /// What was asked.
        call: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store has forgotten the changes that were asked for.
    Compacted {
        /// The oldest revision that it still knows.
        oldest: u64,
    },
    /// A file could not be read or written.
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Fault {
    /// A call that failed.
    pub fn broken(
        call: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Broken { call, source: source.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { call, waited } => {
                write!(f, "{call}: no answer from the store within {} ms", waited.as_millis())
            }
            Self::Broken { call, source } => write!(f, "{call}: {source}"),
            Self::Compacted { oldest } => {
                write!(f, "the store has forgotten the changes before revision {oldest}")
            }
            Self::File { path, source } => write!(f, "{}: {source}", path.display()),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Broken { source, .. } => Some(&**source),
            Self::File { source, .. } => Some(source),
            Self::Silent { .. } | Self::Compacted { .. } => None,
        }
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::new(Reason::Unavailable, format!("the settings store failed: {fault}"))
    }
}

/// The value may hold a secret and does not print.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at revision {}", self.app_id, self.revision)
    }
}
