//! V8 to V10, and whether there was anything to judge.

use super::Verdict;
use crate::chaos::history::{At, Figure, History};

/// What has to work when faults are over works that soon.
const LIVE_MAX: At = 5_000_000;

/// Soon after the faults everything works.
pub(super) fn live(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V8 live");
    for probe in &history.probes {
        let is_right = probe.took.is_some_and(|took| took <= LIVE_MAX);
        verdict.check(is_right, || format!("{}: {:?} us", probe.what, probe.took));
    }
    verdict
}

/// Memory and the like stay within their bounds.
pub(super) fn bounded(history: &History) -> Verdict {
    within("V9 bounded", &history.bounds)
}

/// The figures of the contract are kept.
pub(super) fn reached(history: &History) -> Verdict {
    within("the figures are reached", &history.targets)
}

/// Nothing was allowed that must not be.
pub(super) fn closed(history: &History) -> Verdict {
    let mut verdict = Verdict::of("V10 closed");
    for intrusion in &history.intrusions {
        verdict.check(!intrusion.accepted, || intrusion.what.to_owned());
    }
    verdict
}

/// There was enough to judge by.
pub(super) fn ran(history: &History) -> Verdict {
    within("the workload really ran", &history.floors)
}

/// Every step of the fault plan was done.
pub(super) fn completed(history: &History) -> Verdict {
    let mut verdict = Verdict::of("the fault plan was completed");
    for step in &history.plan {
        verdict.check(step.done.is_some(), || step.what.clone());
    }
    verdict
}

fn within(rule: &'static str, figures: &[Figure]) -> Verdict {
    let mut verdict = Verdict::of(rule);
    for Figure { what, value, least, most } in figures {
        let is_right =
            least.is_none_or(|least| *value >= least) && most.is_none_or(|most| *value <= most);
        verdict.check(is_right, || format!("{what}: {value}, not in {least:?} to {most:?}"));
    }
    verdict
}
