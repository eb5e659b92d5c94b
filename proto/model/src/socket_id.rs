//! The Pusher name of a connection.

use std::fmt;

/// Two unsigned decimals joined by a dot (`^\d+\.\d+$`), unique in the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId {
    /// What stands before the dot.
    pub left: u64,
    /// What stands behind the dot.
    pub right: u64,
}

/// The text is not two decimals and a dot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSocketId;

impl SocketId {
    /// Parses `digits.digits`. A part with more than 19 significant digits names no socket of ours
    /// but is well formed; it is kept as the largest number.
    pub fn parse(text: &str) -> Result<Self, InvalidSocketId> {
        let (left, right) = text.split_once('.').ok_or(InvalidSocketId)?;
        let part = |digits: &str| {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(InvalidSocketId);
            }
            Ok(digits.parse().unwrap_or(u64::MAX))
        };
        Ok(Self { left: part(left)?, right: part(right)? })
    }

    /// Folds 128 random bits into two numbers of 1 to 10^10, as Pusher's own servers issue them.
    #[must_use]
    pub fn from_random(bits: u128) -> Self {
        const TOP: u64 = 10_000_000_000;
        let (high, low) = ((bits >> 64) as u64, bits as u64);
        Self { left: high % TOP + 1, right: low % TOP + 1 }
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.left, self.right)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InvalidSocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a socket id is two decimal numbers joined by a dot")
    }
}

impl std::error::Error for InvalidSocketId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_two_decimals() {
        assert_eq!(SocketId::parse("123.456"), Ok(SocketId { left: 123, right: 456 }));
        assert_eq!(SocketId::parse("1.2").map(|id| id.to_string()), Ok("1.2".into()));
        for bad in ["", ".", "1.", ".1", "1.2.3", "-1.2", "+1.2", "1,2", "1. 2", "a.b"] {
            assert_eq!(SocketId::parse(bad), Err(InvalidSocketId), "{bad}");
        }
    }

    #[test]
    fn random_ids_are_in_range() {
        for bits in [0, u128::MAX, 1 << 64, 12_345_678_901_234_567_890_123] {
            let id = SocketId::from_random(bits);
            assert!((1..=10_000_000_000).contains(&id.left));
            assert!((1..=10_000_000_000).contains(&id.right));
        }
    }
}
