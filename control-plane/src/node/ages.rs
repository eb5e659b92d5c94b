//! How long ago something was dispatched without a node, by shard: until that is sent it seems to be later than
//! it was, and never earlier. Of a shard the shortest time counts, whoever named it.

use std::collections::BTreeMap;

use proto::internal::ShardAge;

/// What the node is told next.
#[derive(Debug, Default)]
pub(super) struct Ages(BTreeMap<u32, ShardAge>);

impl Ages {
    pub(super) fn add(&mut self, ages: &[ShardAge]) {
        for age in ages {
            let known = self.0.entry(age.shard).or_insert(*age);
            known.age_ms = known.age_ms.min(age.age_ms);
        }
    }

    pub(super) fn take(&mut self) -> Vec<ShardAge> {
        std::mem::take(&mut self.0).into_values().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
