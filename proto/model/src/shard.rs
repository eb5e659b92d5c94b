//! Which shard a channel belongs to.

use crate::AppId;

/// How many shards there are; the same on every plane, for ever.
pub const SHARDS: u16 = 1_024;

/// A share of all channels: the unit that control planes own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard of a channel: 64-bit FNV-1a over app id, a zero byte and the channel name, folded.
    /// All planes must agree on it, so it is written out here and pinned by a test.
    #[must_use]
    pub fn of(app: &AppId, channel: &str) -> Self {
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        let bytes = app.as_str().bytes().chain([0]).chain(channel.bytes());
        for byte in bytes {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        let folded = hash ^ (hash >> 32);
        Self((folded % u64::from(SHARDS)) as u16)
    }

    /// A shard by number; `None` from [`SHARDS`] on.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| *number < SHARDS).map(Self)
    }

    /// Its number, below [`SHARDS`].
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Its place in a table of [`SHARDS`] entries.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        let app = AppId::parse("app-id").unwrap();
        let shards = ["room-1", "room-2", "presence-x"].map(|c| ShardId::of(&app, c).number());
        assert_eq!(shards, [747, 438, 368]);
    }

    #[test]
    fn channels_spread_evenly() {
        let app = AppId::parse("app-id").unwrap();
        let mut counts = vec![0_u32; usize::from(SHARDS)];
        for number in 0..102_400 {
            counts[ShardId::of(&app, &format!("room-{number}")).index()] += 1;
        }
        let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
        assert!(*least > 50 && *most < 150, "{least}..{most}");
    }
}
