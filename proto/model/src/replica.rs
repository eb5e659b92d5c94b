//! Which control plane owns a shard: rendezvous hashing over their names.
//!
//! Everybody who knows the same names picks the same owner, and a name that comes or goes moves no
//! shards but its own.

use crate::ShardId;

/// The owner of a shard among control planes of these names; `None` where there is none.
pub fn owner<'a>(names: impl IntoIterator<Item = &'a str>, shard: ShardId) -> Option<&'a str> {
    names.into_iter().max_by_key(|name| (rank(name, shard), *name))
}

/// How much a control plane of this name is preferred for a shard: the highest owns it, between equal
/// ones the larger name. 64-bit FNV-1a over the name, a zero byte and the shard's number (big endian),
/// then mixed, for FNV leaves the upper bits of similar names alike. All planes must agree on it, so
/// it is written out here and pinned by a test.
#[must_use]
pub fn rank(name: &str, shard: ShardId) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let bytes = name.bytes().chain([0]).chain(shard.number().to_be_bytes());
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SHARDS;

    fn shards() -> impl Iterator<Item = ShardId> {
        (0..SHARDS.into()).filter_map(ShardId::new)
    }

    #[test]
    fn the_hash_never_changes() {
        let rank = |name, shard| rank(name, ShardId::new(shard).unwrap());
        let ranks = [rank("cp-0", 0), rank("cp-0", 1_023), rank("cp-1", 0), rank("", 7)];
        assert_eq!(
            ranks,
            [
                0x4ada_963e_c6c3_fb00,
                0x1f71_a4c8_1450_56e1,
                0xb4dd_ad48_d129_776a,
                0x9f0d_2c43_3cf9_f94b
            ]
        );
        let names = ["cp-0", "cp-1", "cp-2"];
        let owners: Vec<_> = shards().take(8).filter_map(|shard| owner(names, shard)).collect();
        assert_eq!(owners, ["cp-1", "cp-0", "cp-0", "cp-1", "cp-1", "cp-1", "cp-1", "cp-2"]);
    }

    #[test]
    fn the_order_of_names_says_nothing() {
        for shard in shards() {
            assert_eq!(owner(["a", "b", "c"], shard), owner(["c", "a", "b"], shard));
        }
        assert_eq!(owner([], shards().next().unwrap()), None);
    }

    #[test]
    fn shards_spread_evenly_and_only_those_of_who_goes_move() {
        let names: Vec<_> = (0..5).map(|number| format!("control-plane-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for present in 2..=names.len() {
            let (gone, rest) = names[..present].split_last().unwrap();
            let mut lost = 0;
            for shard in shards() {
                let before = owner(names[..present].iter().copied(), shard).unwrap();
                let after = owner(rest.iter().copied(), shard).unwrap();
                assert!(before == after || before == *gone, "{shard:?}");
                lost += usize::from(before == *gone);
            }
            let share = usize::from(SHARDS) / present;
            assert!(lost > share * 3 / 4 && lost < share * 5 / 4, "{lost} of {present}");
        }
    }
}
