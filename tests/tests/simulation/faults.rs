//! What is broken when, by seed.

use std::time::Duration;

use tests::chance::Chance;

/// Control planes.
pub(crate) const CONTROL_PLANES: [&str; 3] = ["cp-0", "cp-1", "cp-2"];
/// Nodes.
pub(crate) const NODES: [&str; 3] = ["node-0", "node-1", "node-2"];
/// Backends, each with a gateway.
pub(crate) const BACKENDS: [&str; 2] = ["backend-0", "backend-1"];

/// The first fault is not before.
const BEGIN: Duration = Duration::from_secs(4);
/// On average there is one in this time.
const EVERY: Duration = Duration::from_secs(4);
/// So long after links work again everything does.
pub(crate) const HEALED: Duration = Duration::from_secs(5);
/// A control plane that ends so soon after a link of its became slow is still waiting for that link.
const WAITING: Duration = Duration::from_millis(300);

/// One thing that is broken, and mended after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing passes between two hosts; what is sent is lost.
    Cut(&'static str, &'static str),
    /// Nothing passes in this direction.
    CutOneWay(&'static str, &'static str),
    /// What is sent between two hosts comes when it is over.
    Hold(&'static str, &'static str),
    /// What is sent between two hosts takes up to that many milliseconds.
    Slow(&'static str, &'static str, u64),
    /// Nobody reaches a host.
    Isolate(&'static str),
    /// These, which see each other, and all others lose each other.
    Split([&'static str; 3]),
    /// A host is killed, and started again.
    Kill(&'static str),
    /// A control plane is told to end, and started again.
    Terminate(usize),
    /// All control planes are killed, and started again.
    KillAll,
    /// A node's thread stands still.
    Stall(usize),
}

/// A fault and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub fault: Fault,
    pub from: Duration,
    pub until: Duration,
}

/// The faults of a seed, by when they begin; all are over at `calm`.
pub(crate) fn plan(chance: &mut Chance, calm: Duration) -> Vec<Planned> {
    let window = calm - BEGIN;
    let most = 2 * window.as_millis() / EVERY.as_millis();
    let count = 1 + chance.below(most as usize);
    let mut plan: Vec<Planned> = (0..count)
        .map(|_| {
            let fault = fault(chance);
            let from = BEGIN + chance.pause(window);
            // As often short as long: what matters is at 250 and 750 ms, and at 2 and 3 s.
            let most = chance.pick(&[400, 1_000, 3_000, 8_000]);
            let until =
                (from + Duration::from_millis(50) + chance.pause(Duration::from_millis(most)))
                    .min(calm);
            Planned { fault, from, until }
        })
        .collect();
    let ends: Vec<Planned> = plan.iter().filter_map(|planned| end(planned, chance, calm)).collect();
    plan.extend(ends);
    plan.sort_by_key(|planned| planned.from);
    keep_apart(&mut plan);
    plan
}

/// One split at most, and nothing else shortly before it, in it and until it has healed: what is known in a half
/// only, which loses its owner too, is beyond what is promised.
fn keep_apart(plan: &mut Vec<Planned>) {
    let is_split = |planned: &Planned| matches!(planned.fault, Fault::Split(_));
    let Some(split) = plan.iter().find(|planned| is_split(planned)).copied() else { return };
    let (from, until) = (split.from.saturating_sub(HEALED), split.until + HEALED);
    plan.retain(|planned| {
        let is_apart = planned.until <= from || planned.from >= until;
        *planned == split || (is_apart && !is_split(planned))
    });
}

/// The end of a control plane that has something on its way, half of the times that there is one: what it
/// has said already, and to whom, matters then.
fn end(planned: &Planned, chance: &mut Chance, calm: Duration) -> Option<Planned> {
    let (Fault::Hold(name, _) | Fault::Slow(name, ..)) = planned.fault else { return None };
    let place = CONTROL_PLANES.iter().position(|other| *other == name)?;
    let fault = match chance.below(4) {
        0 => Fault::Kill(name),
        1 => Fault::Terminate(place),
        _ => return None,
    };
    let from = planned.from + chance.pause(WAITING);
    let until = from + Duration::from_secs(1) + chance.pause(Duration::from_secs(3));
    (until < calm).then_some(Planned { fault, from, until })
}

/// What happens in every installation: a control plane dies, and another one is told to end.
pub(crate) fn everyday() -> Vec<Planned> {
    let seconds = Duration::from_secs;
    let planned = |fault, from: Duration| Planned { fault, from, until: from + seconds(1) };
    vec![planned(Fault::Kill(CONTROL_PLANES[0]), BEGIN), planned(Fault::Terminate(1), seconds(9))]
}

fn fault(chance: &mut Chance) -> Fault {
    let control_plane = chance.pick(&CONTROL_PLANES);
    let others: Vec<&'static str> =
        CONTROL_PLANES.iter().chain(&NODES).chain(&BACKENDS).copied().collect();
    let other = loop {
        let other = chance.pick(&others);
        if other != control_plane {
            break other;
        }
    };
    match chance.below(13) {
        0 | 1 => Fault::Cut(control_plane, other),
        2 if chance.below(2) == 0 => Fault::CutOneWay(control_plane, other),
        2 => Fault::CutOneWay(other, control_plane),
        3 | 4 => Fault::Hold(control_plane, other),
        5 => Fault::Slow(control_plane, other, chance.pick(&[50, 300, 600])),
        6 => Fault::Isolate(chance.pick(&others)),
        7 | 8 => Fault::Kill(control_plane),
        9 => Fault::Terminate(chance.below(CONTROL_PLANES.len())),
        10 if chance.below(3) == 0 => Fault::KillAll,
        10 => Fault::Kill(chance.pick(&NODES)),
        11 => Fault::Split([control_plane, chance.pick(&NODES), chance.pick(&BACKENDS)]),
        _ => Fault::Stall(chance.below(NODES.len())),
    }
}
