//! The last good settings on disk, so that a control plane can start while its store is down.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tracing::warn;

use super::{
    current::Current,
    envelope::Keyring,
    image::{Image, Record},
    store::{Entry, Fault, Listing},
    stored,
};

/// Changes within this time are written together.
const TOGETHER: Duration = Duration::from_millis(500);

/// What was kept; nothing where there is no file or no use in it.
pub(super) fn read(path: &Path) -> Option<Listing> {
    match Image::read(path) {
        Ok(image) => image.map(|image| image.listing()),
        Err(fault) => {
            warn!(%fault, "the kept settings are of no use");
            None
        }
    }
}

/// Writes the settings after every change; secrets are encrypted as they are in the store.
pub(super) async fn keep(path: PathBuf, current: Arc<Current>, keyring: Arc<Keyring>) {
    let mut apps = current.subscribe();
    loop {
        if apps.borrow_and_update().is_some() {
            let work = {
                let (path, current) = (path.clone(), Arc::clone(&current));
                let keyring = Arc::clone(&keyring);
                move || write(&path, &current, &keyring)
            };
            if let Ok(Err(fault)) = tokio::task::spawn_blocking(work).await {
                warn!(%fault, "settings not kept on disk; serving from memory");
            }
        }
        if apps.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(TOGETHER).await;
    }
}

fn write(path: &Path, current: &Current, keyring: &Keyring) -> Result<(), Fault> {
    let all = current.look(|world| (world.revision(), world.page("", usize::MAX)));
    let Ok((revision, records)) = all else {
        return Ok(());
    };
    let mut image = Image::at(revision);
    for record in records {
        let app = record.app.as_ref().expect("a record has an app");
        // An app kept from a store that was replaced has a number of that other store.
        let number = app.revision.min(revision).max(1);
        let value = stored::encode(&record, keyring);
        let entry = Entry { app_id: app.app_id.clone(), revision: number, value };
        image.apps.insert(entry.app_id.clone(), Record::of(&entry)?);
    }
    image.write(path)
}
