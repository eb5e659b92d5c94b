//! Which sockets of a thread watch which users.

use foldhash::HashMap;
use model::{AppId, ChannelName};
use smallvec::SmallVec;

use data_plane_core::SocketKey;

/// Sockets by the channel of the user whom they watch.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    users: HashMap<(AppId, ChannelName), SmallVec<[SocketKey; 2]>>,
}

impl Watchers {
    /// A socket watches a user; returns how many do.
    pub(super) fn add(&mut self, app: &AppId, user: &ChannelName, key: SocketKey) -> u32 {
        let sockets = self.users.entry((app.clone(), user.clone())).or_default();
        if !sockets.contains(&key) {
            sockets.push(key);
        }
        sockets.len() as u32
    }

    /// A socket watches a user no longer; returns how many still do.
    pub(super) fn remove(&mut self, app: &AppId, user: &ChannelName, key: SocketKey) -> u32 {
        let user = (app.clone(), user.clone());
        let Some(sockets) = self.users.get_mut(&user) else {
            return 0;
        };
        sockets.retain(|other| *other != key);
        let left = sockets.len() as u32;
        if left == 0 {
            self.users.remove(&user);
        }
        left
    }

    /// Who watches a user.
    pub(super) fn of(&self, app: &AppId, user: &ChannelName) -> SmallVec<[SocketKey; 2]> {
        self.users.get(&(app.clone(), user.clone())).cloned().unwrap_or_default()
    }
}
