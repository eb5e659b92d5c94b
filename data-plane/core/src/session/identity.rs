//! Who a connection's client is, by the word of the app's backend.

use model::{ChannelName, UserId, UserInfo};

use super::{Session, user::User};

/// A user in a presence channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub user: UserId,
    /// What it says of itself.
    pub info: UserInfo,
}

/// What is known of a client that is somebody. Most are not: this is kept apart from the session.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Whom the connection is signed in as.
    pub(super) user: Option<User>,
    /// Presence channels and who the client is there, sorted by channel.
    memberships: Vec<(ChannelName, UserId)>,
}

impl Identity {
    fn place(&self, channel: &str) -> Result<usize, usize> {
        self.memberships.binary_search_by(|(name, _)| name.as_str().cmp(channel))
    }
}

impl Session {
    /// Who the client is in a presence channel that it is in.
    pub(super) fn membership(&self, channel: &str) -> Option<&UserId> {
        let identity = self.identity.as_ref()?;
        let place = identity.place(channel).ok()?;
        Some(&identity.memberships[place].1)
    }

    /// The client is this user in the channel. Returns who it was there before, if somebody else.
    pub(super) fn begin_membership(
        &mut self,
        channel: &ChannelName,
        user: &UserId,
    ) -> Option<UserId> {
        let identity = self.identity.get_or_insert_default();
        match identity.place(channel.as_str()) {
            Ok(place) => {
                let before = std::mem::replace(&mut identity.memberships[place].1, user.clone());
                Some(before).filter(|before| before != user)
            }
            Err(place) => {
                identity.memberships.insert(place, (channel.clone(), user.clone()));
                None
            }
        }
    }

    /// The client is nobody in the channel any more. Returns who it was.
    pub(super) fn end_membership(&mut self, channel: &str) -> Option<UserId> {
        let identity = self.identity.as_mut()?;
        let place = identity.place(channel).ok()?;
        let (_, user) = identity.memberships.remove(place);
        if identity.memberships.is_empty() && identity.user.is_none() {
            self.identity = None;
        }
        Some(user)
    }

    /// Keeps the hub's copy of the channel's name, which is the one that all its sockets share.
    /// Returns whether the client is in the channel.
    pub(super) fn share_name(&mut self, channel: &ChannelName) -> bool {
        let Ok(place) = self.place(channel.as_str()) else {
            return false;
        };
        self.channels[place] = channel.clone();
        if let Some(identity) = &mut self.identity
            && let Ok(place) = identity.place(channel.as_str())
        {
            identity.memberships[place].0 = channel.clone();
        }
        if let Some(wishes) = &mut self.wishes {
            wishes.share_name(channel);
        }
        true
    }
}
