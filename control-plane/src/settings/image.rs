//! All records in one JSON file that is always whole: the embedded store, and what a control plane
//! with etcd keeps for a start without it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::store::{Entry, Fault, Listing};

const VERSION: u32 = 1;

/// The content of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    version: u32,
    /// Counts the writes.
    pub(super) revision: u64,
    pub(super) apps: BTreeMap<String, Record>,
}

/// One record, see `stored.rs`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The count at its last write.
    pub(super) revision: u64,
    pub(super) record: Value,
}

impl Image {
    /// No records, at this revision.
    pub(super) fn at(revision: u64) -> Self {
        Self { version: VERSION, revision, apps: BTreeMap::new() }
    }

    /// What the file has; `None` where there is no file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Fault> {
        let fault = |source| Fault::File { path: path.to_owned(), source };
        let content = match fs::read(path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let image: Self = serde_json::from_slice(&content).map_err(|error| fault(error.into()))?;
        if image.version != VERSION {
            let message = format!("has version {}, this release knows {VERSION}", image.version);
            return Err(fault(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        Ok(Some(image))
    }

    /// Replaces the file. Whatever happens meanwhile, the old or the new one is there, whole.
    pub(super) fn write(&self, path: &Path) -> Result<(), Fault> {
        let mut content = serde_json::to_vec_pretty(self).expect("every map has text keys");
        content.push(b'\n');
        replace(path, &content).map_err(|source| Fault::File { path: path.to_owned(), source })
    }

    pub(super) fn entry(&self, app_id: &str) -> Option<Entry> {
        self.apps.get(app_id).map(|record| record.entry(app_id))
    }

    pub(super) fn listing(&self) -> Listing {
        let entries = self.apps.iter().map(|(id, record)| record.entry(id)).collect();
        Listing { revision: self.revision, entries }
    }
}

impl Record {
    pub(super) fn of(entry: &Entry) -> Result<Self, Fault> {
        let record = serde_json::from_slice(&entry.value);
        let record = record.map_err(|error| Fault::broken("read a record", error))?;
        Ok(Self { revision: entry.revision, record })
    }

    fn entry(&self, app_id: &str) -> Entry {
        let value = serde_json::to_vec(&self.record).expect("every map has text keys");
        Entry { app_id: app_id.to_owned(), revision: self.revision, value: value.into() }
    }
}

/// Writes beside the file, makes sure that it is on disk, then renames. Only the owner may read:
/// there may be secrets.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let written = write_through(&beside, content).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn write_through(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync_all()
}

/// The record may hold a secret and does not print.
impl std::fmt::Debug for Record {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at revision {}", self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apps.json");
        assert!(Image::read(&path).unwrap().is_none());
        let entry = Entry { app_id: "a".into(), revision: 3, value: r#"{"x":1}"#.into() };
        let mut image = Image::at(3);
        image.apps.insert("a".into(), Record::of(&entry).unwrap());
        image.write(&path).unwrap();
        let read = Image::read(&path).unwrap().unwrap();
        assert_eq!(read.listing(), Listing { revision: 3, entries: vec![entry] });
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("apps.json");
        for content in ["", "{", r#"{"version":2,"revision":1,"apps":{}}"#] {
            fs::write(&path, content).unwrap();
            assert!(Image::read(&path).unwrap_err().to_string().contains("apps.json"));
        }
    }
}
