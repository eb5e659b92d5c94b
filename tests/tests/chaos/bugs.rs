//! Bugs that are put in on purpose, each of which has to be caught: `CHAOS=bugs`.
//!
//! Each is a feature of the program that has it. The test beside it passes without the feature, with
//! all others, in every run of the tests; here it has to fail with it. The scenario is what shows the
//! same bug in a cluster: built with the feature, that run has to fail.

use std::{path::PathBuf, process::Command};

use tests::chaos::lane::{Lane, say};

/// A bug and who catches it.
struct Bug {
    package: &'static str,
    feature: &'static str,
    test: &'static str,
}

const fn bug(package: &'static str, feature: &'static str, test: &'static str) -> Bug {
    Bug { package, feature, test }
}

/// Twelve mistakes that such a system invites; the scenario that shows each is named behind it.
const BUGS: [Bug; 12] = [
    // race
    bug(
        "data-plane",
        "bug-confirm-early",
        "interest::tests::the_first_subscriber_waits_for_the_acknowledgement",
    ),
    // stop_control_plane
    bug("data-plane", "bug-no-fence", "fence::tests::lower_epochs_are_refused"),
    // kill_control_plane
    bug("data-plane", "bug-no-message-ids", "gate::message_ids::tests::"),
    // slow_readers
    bug("data-plane", "bug-unbounded-outbox", "outbox::tests::bounded_by_frames_and_by_bytes"),
    // rolling_nodes
    bug(
        "data-plane",
        "bug-drain-at-once",
        "shard::tests::a_drain_spreads_its_closes_over_the_window",
    ),
    // node_killed
    bug("data-plane-core", "bug-presence-edges", "presence::tests::sockets_hear_differences_only"),
    // kill_control_plane
    bug("control-plane", "bug-ack-early", "node::tests::publishers_wait_until_the_node_has_queued"),
    // node_stopped
    bug(
        "control-plane",
        "bug-silent-drop",
        "node::tests::a_node_without_room_has_a_gap_and_is_told_so",
    ),
    // restart_control_planes
    bug(
        "control-plane",
        "bug-cold-start",
        "dispatch::clock::tests::who_has_just_started_waits_for_what_it_must_know_but_not_for_ever",
    ),
    // node_killed
    bug(
        "control-plane",
        "bug-ghosts",
        "shards::tests::presence::a_lost_node_takes_its_members_with_it_once",
    ),
    // etcd_down
    bug("control-plane", "bug-old-revisions", "settings::world::tests::old_news_is_ignored"),
    // etcd_down
    bug(
        "control-plane",
        "bug-empty-world",
        "settings::world::tests::an_empty_store_in_place_of_the_full_one_wipes_nothing",
    ),
];

#[test]
fn bugs_are_caught() {
    if Lane::chosen() != Lane::Bugs {
        say("bugs: LEFT OUT, for each is a build of its own; CHAOS=bugs has them");
        return;
    }
    let mut escaped = Vec::new();
    for bug in &BUGS {
        let is_caught = is_caught(bug);
        say(&format!("{}: {}", bug.feature, if is_caught { "caught" } else { "ESCAPED" }));
        escaped.extend((!is_caught).then_some(bug.feature));
    }
    assert!(escaped.is_empty(), "{} of {} escaped: {escaped:?}", escaped.len(), BUGS.len());
}

/// Whether the test fails with the bug, and not because it was not built or did not run. Only the
/// package's own tests are built: the programs stay as they are.
fn is_caught(bug: &Bug) -> bool {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(env!("CARGO"))
        .args(["test", "--package", bug.package, "--features", bug.feature, "--lib", bug.test])
        .current_dir(root)
        .output()
        .expect("cargo can be started");
    let text = String::from_utf8_lossy(&output.stdout);
    !output.status.success() && text.lines().any(|line| line.ends_with("... FAILED"))
}
