//! All apps at one revision: the immutable snapshot that every plane serves from.

use std::{collections::HashMap, sync::Arc};

use crate::{App, AppId, AppKey};

/// An immutable index of all apps by id and by key.
#[derive(Clone, Debug, Default)]
pub struct Apps {
    revision: u64,
    by_id: HashMap<AppId, Arc<App>>,
    by_key: HashMap<AppKey, Arc<App>>,
}

/// Two apps claim one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppsConflict {
    /// The key in question.
    pub key: AppKey,
    /// The app that has the key.
    pub holder: AppId,
    /// The app that was left out.
    pub refused: AppId,
}

impl Apps {
    /// Builds the index. Where two apps claim one key, the one with the smaller id has it and the
    /// other is left out and reported.
    pub fn new(
        revision: u64,
        apps: impl IntoIterator<Item = Arc<App>>,
    ) -> (Self, Vec<AppsConflict>) {
        let mut apps: Vec<_> = apps.into_iter().collect();
        apps.sort_by(|a, b| a.id.cmp(&b.id));
        let mut index = Self { revision, ..Self::default() };
        let mut conflicts = Vec::new();
        for app in apps {
            if let Some(holder) = index.by_key.get(&app.key) {
                conflicts.push(AppsConflict {
                    key: app.key.clone(),
                    holder: holder.id.clone(),
                    refused: app.id.clone(),
                });
                continue;
            }
            index.by_key.insert(app.key.clone(), Arc::clone(&app));
            index.by_id.insert(app.id.clone(), app);
        }
        (index, conflicts)
    }

    /// The snapshot's revision; compare for order within one control plane's life.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The app of a REST path.
    #[must_use]
    pub fn by_id(&self, id: &str) -> Option<&Arc<App>> {
        self.by_id.get(id)
    }

    /// The app of a WebSocket URL.
    #[must_use]
    pub fn by_key(&self, key: &str) -> Option<&Arc<App>> {
        self.by_key.get(key)
    }

    /// All apps, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<App>> {
        self.by_id.values()
    }

    /// How many apps there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is no app.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}
