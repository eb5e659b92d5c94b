//! What must be true of every history, each as a function of it.

use std::collections::HashMap;

use super::history::{History, Key, Message};

mod agreed;
mod contained;
mod figures;
mod members;
mod ordered;
mod reliable;
#[cfg(test)]
mod tests;
mod unique;

/// What one rule has to say of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The rule.
    pub rule: &'static str,
    /// How many things it has looked at.
    pub checked: u64,
    /// How many of them are wrong.
    pub faults: u64,
    /// The first of those, in words.
    pub examples: Vec<String>,
}

/// More are counted, but nobody reads them.
const EXAMPLES_MAX: usize = 20;

impl Verdict {
    fn of(rule: &'static str) -> Self {
        Self { rule, ..Self::default() }
    }

    /// One more thing was looked at.
    fn check(&mut self, is_right: bool, what: impl FnOnce() -> String) {
        self.checked += 1;
        if is_right {
            return;
        }
        self.faults += 1;
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(what());
        }
    }
}

/// Every event that somebody has tried to publish, by its key.
type Messages = HashMap<Key, Message>;

/// All rules, in the order of their names.
#[must_use]
pub fn judge(history: &History) -> Vec<Verdict> {
    let messages = history.messages();
    vec![
        ordered::judge(history, &messages),
        unique::judge(history),
        reliable::judge(history, &messages),
        agreed::judge(history, &messages),
        contained::judge(history, &messages),
        members::alternating(history),
        members::counted(history),
        figures::live(history),
        figures::bounded(history),
        figures::closed(history),
        figures::reached(history),
        figures::ran(history),
        figures::completed(history),
    ]
}
