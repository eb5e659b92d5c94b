//! Channel names: checked once, with what their prefix says.

use std::{fmt, sync::Arc};

const USER_PREFIX: &str = "#server-to-user-";

/// What a channel's prefix says about it. The cache forms are a second question:
/// [`ChannelName::is_cache`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// Anyone may subscribe.
    Public,
    /// `private-`: the subscription must be signed.
    Private,
    /// `private-encrypted-`: as private; the data is opaque to the server.
    Encrypted,
    /// `presence-`: as private, and subscribers know of each other.
    Presence,
    /// `#server-to-user-<id>`: what reaches all connections signed in as that user.
    User,
}

impl ChannelKind {
    /// What the prefix of a name says.
    #[must_use]
    pub fn of(name: &str) -> Self {
        if name.starts_with(USER_PREFIX) {
            Self::User
        } else if name.starts_with("private-encrypted-") {
            Self::Encrypted
        } else if name.starts_with("private-") {
            Self::Private
        } else if name.starts_with("presence-") {
            Self::Presence
        } else {
            Self::Public
        }
    }

    /// Whether a name has one of the four cache prefixes.
    #[must_use]
    pub fn is_cache(name: &str) -> bool {
        let cached = ["cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"];
        cached.iter().any(|prefix| name.starts_with(prefix))
    }

    /// Whether a subscription needs a signature.
    #[must_use]
    pub fn needs_auth(self) -> bool {
        match self {
            Self::Public | Self::User => false,
            Self::Private | Self::Encrypted | Self::Presence => true,
        }
    }
}

/// A checked channel name; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a text is no [`ChannelName`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidChannelName {
    /// The text is empty, or a prefix with nothing behind it that must have something.
    Empty,
    /// Longer than the app allows.
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// The app's limit, in bytes.
        limit: usize,
    },
    /// A character outside `A-Z a-z 0-9 _ - = @ , . ; :`.
    Character {
        /// The first such character.
        character: char,
        /// Its place, in characters from 0.
        position: usize,
    },
}

impl ChannelName {
    /// Accepts 1 to `bytes_max` bytes of `A-Z a-z 0-9 _ - = @ , . ; :`, or `#server-to-user-` and an
    /// id without control characters and blanks. (Pusher's set plus the colon; spec/http.md 3.4.)
    pub fn parse(text: &str, bytes_max: u32) -> Result<Self, InvalidChannelName> {
        let limit = bytes_max as usize;
        if text.is_empty() || text == USER_PREFIX {
            return Err(InvalidChannelName::Empty);
        }
        if text.len() > limit {
            return Err(InvalidChannelName::TooLong { bytes: text.len(), limit });
        }
        let (skipped, checked) = match text.strip_prefix(USER_PREFIX) {
            Some(id) => (USER_PREFIX.len(), id),
            None => (0, text),
        };
        let allowed = |character: char| match skipped {
            0 => character.is_ascii_alphanumeric() || "_-=@,.;:".contains(character),
            _ => !character.is_control() && !character.is_whitespace(),
        };
        match checked.chars().enumerate().find(|(_, character)| !allowed(*character)) {
            None => Ok(Self(text.into())),
            Some((place, character)) => {
                Err(InvalidChannelName::Character { character, position: skipped + place })
            }
        }
    }

    /// The channel of a user's own events.
    #[must_use]
    pub fn of_user(user: &str) -> Self {
        Self(format!("{USER_PREFIX}{user}").into())
    }

    /// A name that some plane has checked already: used when it comes over an internal stream.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What its prefix says.
    #[must_use]
    pub fn kind(&self) -> ChannelKind {
        ChannelKind::of(&self.0)
    }

    /// Whether the last event is kept for new subscribers: one of the four cache prefixes.
    #[must_use]
    pub fn is_cache(&self) -> bool {
        ChannelKind::is_cache(&self.0)
    }

    /// The user of a `#server-to-user-` channel.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.0.strip_prefix(USER_PREFIX)
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InvalidChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a channel name must not be empty"),
            Self::TooLong { bytes, limit } => {
                write!(f, "the channel name has {bytes} bytes, the limit is {limit}")
            }
            Self::Character { character, position } => write!(
                f,
                "the channel name has {character:?} at position {position}; allowed are \
                 A-Z a-z 0-9 _ - = @ , . ; :"
            ),
        }
    }
}

impl std::error::Error for InvalidChannelName {}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> (ChannelKind, bool) {
        let name = ChannelName::parse(name, 200).unwrap();
        (name.kind(), name.is_cache())
    }

    #[test]
    fn kinds_by_prefix() {
        assert_eq!(kind("room"), (ChannelKind::Public, false));
        assert_eq!(kind("privateer"), (ChannelKind::Public, false));
        assert_eq!(kind("my-cache-x"), (ChannelKind::Public, false));
        assert_eq!(kind("cache-x"), (ChannelKind::Public, true));
        assert_eq!(kind("private-x"), (ChannelKind::Private, false));
        assert_eq!(kind("private-cache-x"), (ChannelKind::Private, true));
        assert_eq!(kind("private-encrypted-x"), (ChannelKind::Encrypted, false));
        assert_eq!(kind("private-encrypted-cache-x"), (ChannelKind::Encrypted, true));
        assert_eq!(kind("presence-x"), (ChannelKind::Presence, false));
        assert_eq!(kind("presence-cache-x"), (ChannelKind::Presence, true));
        assert_eq!(kind("#server-to-user-u1"), (ChannelKind::User, false));
    }

    #[test]
    fn names() {
        for good in ["a", "A-z_0=@,.;:", "#server-to-user-ü/1", &"x".repeat(200)] {
            assert!(ChannelName::parse(good, 200).is_ok(), "{good}");
        }
        for bad in ["", "#room", "a b", "é", "a\n", "#server-to-user-", "#server-to-user-a b"] {
            assert!(ChannelName::parse(bad, 200).is_err(), "{bad}");
        }
        assert_eq!(
            ChannelName::parse(&"x".repeat(201), 200),
            Err(InvalidChannelName::TooLong { bytes: 201, limit: 200 })
        );
    }
}
