//! What was made of some files, made again when they change.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The value in force; it follows its files until the last clone is dropped.
#[derive(Debug)]
pub(super) struct Followed<T> {
    current: Arc<RwLock<T>>,
}

impl<T> Clone for Followed<T> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current) }
    }
}

impl<T: Clone + Send + Sync + 'static> Followed<T> {
    /// Makes the value, then looks every two seconds whether a file has changed. Files that `load`
    /// refuses leave the value in force as it is; the next change is a new chance.
    pub(super) fn start<F>(what: &'static str, files: Vec<PathBuf>, load: F) -> io::Result<Self>
    where
        F: Fn() -> io::Result<T> + Send + 'static,
    {
        // Looked at first: what changes while it is read counts as a change.
        let mut seen = modified(&files);
        let current = Arc::new(RwLock::new(load()?));
        let watched = Arc::downgrade(&current);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_AGAIN).await;
                let Some(current) = watched.upgrade() else {
                    return;
                };
                let now = modified(&files);
                if now == seen {
                    continue;
                }
                seen = now;
                match load() {
                    Ok(value) => {
                        info!(what, "reloaded");
                        *current.write().expect("no writer panics") = value;
                    }
                    Err(error) => warn!(what, %error, "not reloaded; the old one stays"),
                }
            }
        });
        Ok(Self { current })
    }

    /// The value in force.
    #[must_use]
    pub(super) fn current(&self) -> T {
        self.current.read().expect("no writer panics").clone()
    }
}

fn modified(files: &[PathBuf]) -> Vec<Option<SystemTime>> {
    let of = |path: &Path| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    files.iter().map(|path| of(path)).collect()
}
