//! Bugs that are put in on purpose, each of which has to be caught by a lane: `CHAOS=bugs`.
//!
//! Each is a feature of the program that has it. Who is to catch it knows nothing of it: seeds of the
//! simulation, or a scenario with real processes, both as they are without it. A bug is caught where such
//! a run breaks the rule that is named here. One that could not be built, or that fell over for another
//! reason, has caught nothing; and without a bug the same runs have to pass.

mod judge;

use tests::chaos::lane::{Lane, chosen_bug, say};
use tokio::time::Instant;

use judge::{Judge, Outcome};

/// A bug, who catches it, and by which rule.
struct Bug {
    /// Its feature, behind the package that has it.
    feature: &'static str,
    judge: Judge,
    /// How the rule begins.
    rule: &'static str,
}

const fn bug(feature: &'static str, judge: Judge, rule: &'static str) -> Bug {
    Bug { feature, judge, rule }
}

/// Twelve mistakes that such a system invites.
const BUGS: [Bug; 12] = [
    bug("data-plane/bug-confirm-early", Judge::Simulation, "V3 reliable"),
    bug("data-plane/bug-no-fence", Judge::Simulation, "V6 alternating"),
    bug("data-plane/bug-no-message-ids", Judge::Simulation, "V2 unique"),
    bug("data-plane-core/bug-presence-edges", Judge::Simulation, "V6 alternating"),
    bug("control-plane/bug-ack-early", Judge::Simulation, "V3 reliable"),
    bug("control-plane/bug-cold-start", Judge::Simulation, "V3 reliable"),
    bug("control-plane/bug-ghosts", Judge::Simulation, "V7 counted"),
    bug("control-plane/bug-silent-drop", Judge::Chaos("node_overflows"), "V3 reliable"),
    bug("data-plane/bug-unbounded-outbox", Judge::Chaos("slow_readers"), "V9 bounded"),
    bug("control-plane/bug-old-revisions", Judge::Chaos("lying_watch"), "settings go back"),
    bug("control-plane/bug-empty-world", Judge::Chaos("lying_watch"), "apps went with an etcd"),
    bug(
        "data-plane/bug-drain-at-once",
        Judge::Endurance("drain::a_node_that_drains_closes_its_sockets_one_after_the_other"),
        "closed at once",
    ),
];

#[test]
fn bugs_are_caught() {
    if Lane::chosen() != Lane::Bugs {
        say("bugs: LEFT OUT, for each is a build of its own; CHAOS=bugs has them");
        return;
    }
    let chosen = chosen_bug().unwrap_or_default();
    let bugs: Vec<_> = BUGS.iter().filter(|bug| bug.feature.contains(&chosen)).collect();
    assert!(!bugs.is_empty(), "no bug is called {chosen}");
    let mut judges = Vec::new();
    for bug in &bugs {
        if !judges.contains(&bug.judge) {
            judges.push(bug.judge);
        }
    }
    let unfit: Vec<_> = judges.into_iter().filter(|judge| !passes(*judge)).collect();
    let escaped: Vec<_> = bugs.iter().filter(|bug| !is_caught(bug)).collect();
    let escaped: Vec<_> = escaped.into_iter().map(|bug| bug.feature).collect();
    assert!(unfit.is_empty(), "these fail without a bug: {unfit:?}");
    assert!(escaped.is_empty(), "{} of {} escaped: {escaped:?}", escaped.len(), bugs.len());
}

fn passes(judge: Judge) -> bool {
    let began = Instant::now();
    let outcome = judge.hear(None);
    say(&format!("without a bug: {judge}: {outcome}, {} s", began.elapsed().as_secs()));
    outcome == Outcome::Passed
}

fn is_caught(Bug { feature, judge, rule }: &Bug) -> bool {
    let began = Instant::now();
    let outcome = judge.hear(Some(feature));
    let is_caught = outcome.breaks(rule);
    let word = if is_caught { "caught" } else { "ESCAPED" };
    let seconds = began.elapsed().as_secs();
    say(&format!("{feature}: {word} by {judge}: {outcome}, {seconds} s"));
    is_caught
}
