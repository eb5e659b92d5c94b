//! Which apps have changed since when: a bounded log of ids, so that a watcher of any speed is told
//! the latest and nothing is queued for it.

use std::collections::{BTreeSet, VecDeque};

/// Changes that are remembered. A watcher further behind gets a snapshot.
const REMEMBERED: usize = 4_096;

/// The log. Positions count every change since the process started.
#[derive(Debug, Default)]
pub(super) struct Steps {
    log: VecDeque<String>,
    end: u64,
}

impl Steps {
    /// Remembers that this app was changed or removed.
    pub(super) fn push(&mut self, app_id: &str) {
        if self.log.len() == REMEMBERED {
            self.log.pop_front();
        }
        self.log.push_back(app_id.to_owned());
        self.end += 1;
    }

    /// The position after the last change.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The apps changed since `position`, each once; `None` where that is forgotten.
    pub(super) fn since(&self, position: u64) -> Option<BTreeSet<&str>> {
        let missing = usize::try_from(self.end.checked_sub(position)?).ok()?;
        let start = self.log.len().checked_sub(missing)?;
        Some(self.log.range(start..).map(String::as_str).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_or_forgotten() {
        let mut steps = Steps::default();
        for id in ["a", "b", "a"] {
            steps.push(id);
        }
        assert_eq!(steps.since(1), Some(BTreeSet::from(["a", "b"])));
        assert_eq!(steps.since(3), Some(BTreeSet::new()));
        assert_eq!(steps.since(4), None);
        for _ in 0..REMEMBERED {
            steps.push("c");
        }
        assert_eq!(steps.since(2), None);
        assert_eq!(steps.since(3), Some(BTreeSet::from(["c"])));
    }
}
