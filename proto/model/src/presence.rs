//! Who is in a presence channel.

use std::{collections::BTreeMap, fmt, sync::Arc};

/// A user, as the app's backend names it: 1 to 128 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Why a text is no [`UserId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUserId {
    /// Characters of the refused text.
    pub chars: usize,
}

impl UserId {
    /// The longest id, in characters (Pusher's limit).
    pub const CHARS_MAX: usize = 128;

    /// Accepts 1 to 128 characters without control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidUserId> {
        let chars = text.chars().take(Self::CHARS_MAX + 1).count();
        if text.is_empty() || chars > Self::CHARS_MAX || text.contains(char::is_control) {
            return Err(InvalidUserId { chars: text.chars().count() });
        }
        Ok(Self(text.into()))
    }

    /// An id that some plane has checked already: used when it comes over an internal stream.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for UserId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvalidUserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a user id has 1 to {} characters and no control characters (this one has {})",
            UserId::CHARS_MAX,
            self.chars
        )
    }
}

impl std::error::Error for InvalidUserId {}

/// What a user says of itself: JSON text; empty where it said nothing.
pub type UserInfo = Arc<str>;

/// Users, each held by one holder or several: by sockets on a node, by nodes on a control plane.
#[derive(Clone, Debug)]
pub struct Roster<H> {
    users: BTreeMap<UserId, Held<H>>,
}

#[derive(Clone, Debug)]
struct Held<H> {
    info: UserInfo,
    holders: Vec<H>,
}

/// What became of a [`Roster::join`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The user was not there before.
    First,
    /// The user was there through another holder, or this one.
    Again,
}

/// What became of a [`Roster::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nobody holds the user any more: it is gone.
    Last,
    /// Others still hold it.
    Held,
    /// This holder did not hold it.
    NotThere,
}

impl<H> Default for Roster<H> {
    fn default() -> Self {
        Self { users: BTreeMap::new() }
    }
}

impl<H: PartialEq> Roster<H> {
    /// The holder holds the user from here on. A user who is there keeps the info it came with.
    pub fn join(&mut self, user: &UserId, info: &UserInfo, holder: H) -> Joined {
        match self.users.get_mut(user) {
            Some(held) => {
                if !held.holders.contains(&holder) {
                    held.holders.push(holder);
                }
                Joined::Again
            }
            None => {
                let held = Held { info: Arc::clone(info), holders: vec![holder] };
                self.users.insert(user.clone(), held);
                Joined::First
            }
        }
    }

    /// The holder holds the user no longer.
    pub fn leave(&mut self, user: &str, holder: &H) -> Left {
        let Some(held) = self.users.get_mut(user) else {
            return Left::NotThere;
        };
        let Some(place) = held.holders.iter().position(|other| other == holder) else {
            return Left::NotThere;
        };
        held.holders.swap_remove(place);
        if !held.holders.is_empty() {
            return Left::Held;
        }
        self.users.remove(user);
        Left::Last
    }

    /// Keeps the holders that `keep` names; returns the users who are gone thereby.
    pub fn retain(&mut self, mut keep: impl FnMut(&UserId, &mut H) -> bool) -> Vec<UserId> {
        let mut gone = Vec::new();
        self.users.retain(|user, held| {
            held.holders.retain_mut(|holder| keep(user, holder));
            if held.holders.is_empty() {
                gone.push(user.clone());
            }
            !held.holders.is_empty()
        });
        gone
    }

    /// Who holds the user; nobody where it is not there.
    #[must_use]
    pub fn holders(&self, user: &str) -> &[H] {
        self.users.get(user).map_or(&[], |held| &held.holders)
    }

    /// As [`Roster::holders`], to be changed; a holder must not come to equal another one.
    pub fn holders_mut(&mut self, user: &str) -> &mut [H] {
        self.users.get_mut(user).map_or(&mut [], |held| &mut held.holders)
    }

    /// The users and what they say of themselves, by id.
    pub fn users(&self) -> impl Iterator<Item = (&UserId, &UserInfo)> {
        self.users.iter().map(|(user, held)| (user, &held.info))
    }

    /// What the user says of itself.
    #[must_use]
    pub fn info(&self, user: &str) -> Option<&UserInfo> {
        self.users.get(user).map(|held| &held.info)
    }

    /// Whether the user is there.
    #[must_use]
    pub fn contains(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// How many users there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    #[test]
    fn user_ids() {
        for good in ["1", "a b", "ü", &"ü".repeat(128)] {
            assert!(UserId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a\n", &"x".repeat(129)] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_user_is_there_from_the_first_holder_to_the_last() {
        let mut roster = Roster::default();
        let (ann, info) = (user("ann"), UserInfo::from("{}"));
        assert_eq!(roster.join(&ann, &info, 1), Joined::First);
        assert_eq!(roster.join(&ann, &UserInfo::from("{\"x\":1}"), 2), Joined::Again);
        assert_eq!(roster.join(&ann, &info, 2), Joined::Again);
        assert_eq!(roster.users().collect::<Vec<_>>(), [(&ann, &info)], "the first info stays");
        assert_eq!(roster.leave("ann", &1), Left::Held);
        assert_eq!(roster.leave("ann", &1), Left::NotThere);
        assert_eq!(roster.leave("bob", &1), Left::NotThere);
        assert_eq!(roster.leave("ann", &2), Left::Last);
        assert!(roster.is_empty());
    }

    #[test]
    fn holders_that_are_not_kept_take_their_users_with_them() {
        let mut roster = Roster::default();
        let info = UserInfo::default();
        for (name, holder) in [("ann", 1), ("ann", 2), ("bob", 1)] {
            roster.join(&user(name), &info, holder);
        }
        assert_eq!(roster.retain(|_, holder| *holder != 1), [user("bob")]);
        assert_eq!((roster.len(), roster.holders("ann")), (1, &[2][..]));
    }
}
