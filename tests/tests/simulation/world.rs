//! One simulation: hosts, faults, and what came out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tests::{
    chance::Chance,
    chaos::history::{Cut, Figure, Step},
};
use tokio::sync::Notify;
use turmoil::Sim;

use crate::{
    backend::Backend,
    control_plane::Replica,
    faults::{self, BACKENDS, CONTROL_PLANES, Fault, HEALED, NODES, Planned},
    node::Host,
    recorder::{Record, Recorder},
    reliable::Severed,
    sockets::BROWSERS,
};

/// The grain of simulated time.
const TICK: Duration = Duration::from_millis(2);
/// Of a message between two hosts that nothing ails.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));

/// When what is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    /// Faults.
    pub calm: Duration,
    /// Publishes, and browsers that move.
    pub hush: Duration,
    /// Everything; by then all have told what they see.
    pub end: Duration,
}

impl Length {
    /// That many seconds: after the faults there is time for everything to work again, and then to end.
    pub(crate) fn of(seconds: u64) -> Self {
        let end = Duration::from_secs(seconds);
        Self { calm: end - Duration::from_secs(18), hush: end - Duration::from_secs(8), end }
    }
}

/// A running simulation.
struct World<'a> {
    sim: Sim<'a>,
    recorder: Recorder,
    terminate: Vec<Arc<Notify>>,
    stalled: Vec<Arc<AtomicBool>>,
    length: Length,
    /// What is broken at present.
    broken: Vec<Planned>,
}

/// Runs a seed to its end, with faults of its own; what was seen.
pub(crate) fn run(seed: u64, length: Length) -> Record {
    let mut chance = Chance::new(seed);
    let plan = faults::plan(&mut chance, length.calm);
    follow(plan, (seed, chance), length)
}

/// Runs a seed with these faults.
pub(crate) fn follow(
    plan: Vec<Planned>,
    (seed, mut chance): (u64, Chance),
    length: Length,
) -> Record {
    let mut world = World::new(seed, &mut chance, length);
    let mut ahead = plan.into_iter().peekable();
    loop {
        let now = world.sim.elapsed();
        while let Some(planned) = ahead.next_if(|planned| planned.from <= now) {
            world.break_one(planned);
        }
        world.mend(now);
        world.mark(now);
        if world.sim.step().expect("no host fails") || now >= length.end {
            break;
        }
    }
    world.end()
}

impl World<'_> {
    fn new(seed: u64, chance: &mut Chance, length: Length) -> Self {
        let mut builder = turmoil::Builder::new();
        builder
            .simulation_duration(2 * length.end)
            .tick_duration(TICK)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .tcp_capacity(1 << 16)
            .rng_seed(seed);
        let mut sim = builder.build();
        proto::chance::follow(seed);
        let recorder = Recorder::new();
        let lives = Arc::<AtomicU64>::default();
        let mut terminate = Vec::new();
        for name in CONTROL_PLANES {
            let ended = Arc::<Notify>::default();
            terminate.push(Arc::clone(&ended));
            let replica = Replica {
                name,
                all: CONTROL_PLANES.into(),
                nodes: NODES.len(),
                lives: Arc::clone(&lives),
                terminate: ended,
            };
            sim.host(name, move || replica.clone().live());
        }
        let mut stalled = Vec::new();
        for (number, name) in NODES.into_iter().enumerate() {
            let stall = Arc::<AtomicBool>::default();
            stalled.push(Arc::clone(&stall));
            let host = Host {
                number,
                control_planes: &CONTROL_PLANES,
                lives: Arc::clone(&lives),
                stalled: stall,
                chance: chance.fork(),
                recorder: recorder.clone(),
            };
            sim.host(name, move || host.clone().live());
        }
        for (number, name) in BACKENDS.into_iter().enumerate() {
            let backend = Backend {
                number: number as u32,
                control_planes: &CONTROL_PLANES,
                chance: chance.fork(),
                recorder: recorder.clone(),
            };
            sim.client(name, backend.live());
        }
        Self { sim, recorder, terminate, stalled, length, broken: Vec::new() }
    }

    fn break_one(&mut self, planned: Planned) {
        let began = planned.from.as_micros() as u64;
        let what = format!("{:?} until {:?}", planned.fault, planned.until);
        let done = Some(planned.until.as_micros() as u64);
        let mut record = self.recorder.record();
        record.history.plan.push(Step { what, began, done });
        let nodes = NODES.iter().enumerate().filter(|(_, name)| severs(planned.fault, name));
        let until = planned.until.as_micros() as u64;
        record.harm.severed.extend(nodes.map(|(node, _)| Severed { node, from: began, until }));
        if let Fault::Split(_) = planned.fault {
            // Each half has an order of its own, until they agree on one again.
            let (from, until) = (began, until + HEALED.as_micros() as u64);
            let (publishers, nodes) = (Vec::new(), Vec::new());
            record.history.cuts.push(Cut { from, until, publishers, nodes });
        }
        if planned.fault == Fault::KillAll {
            record.harm.ownerless.push((began, until));
        }
        if let Fault::Stall(node) = planned.fault {
            record.harm.stalled.push(Severed { node, from: began, until });
        }
        drop(record);
        match planned.fault {
            Fault::Cut(one, other) => self.sim.partition(one, other),
            Fault::CutOneWay(from, to) => self.sim.partition_oneway(from, to),
            Fault::Hold(one, other) => self.sim.hold(one, other),
            Fault::Slow(one, other, most) => {
                self.sim.set_link_max_message_latency(one, other, Duration::from_millis(most));
            }
            Fault::Isolate(host) => {
                others(&[host]).for_each(|other| self.sim.partition(host, other));
            }
            Fault::Split(some) => {
                between(&some).for_each(|(one, other)| self.sim.partition(one, other));
            }
            Fault::Kill(host) => self.kill(host),
            // One that is dead is not told: its next life would hear of it.
            Fault::Terminate(place) if !self.sim.is_host_running(CONTROL_PLANES[place]) => {}
            Fault::Terminate(place) => self.terminate[place].notify_one(),
            Fault::KillAll => CONTROL_PLANES.iter().for_each(|name| self.kill(name)),
            Fault::Stall(place) => self.stalled[place].store(true, Ordering::Relaxed),
        }
        self.broken.push(planned);
    }

    fn kill(&mut self, host: &'static str) {
        if BACKENDS.contains(&host) {
            return;
        }
        self.sim.crash(host);
        let now = self.sim.elapsed().as_micros() as u64;
        match NODES.iter().position(|name| *name == host) {
            Some(node) => {
                self.recorder.record().harm.nodes_killed.push((now, node));
                self.recorder.end_all(node, now);
            }
            None => self.recorder.record().harm.owners_killed.push(now),
        }
    }

    /// Mends what has been broken for long enough. Links are mended as a whole: what else is broken on
    /// one is mended with it.
    fn mend(&mut self, now: Duration) {
        let over: Vec<_> = self.broken.extract_if(.., |planned| planned.until <= now).collect();
        for Planned { fault, .. } in over {
            match fault {
                Fault::Cut(one, other)
                | Fault::CutOneWay(one, other)
                | Fault::Hold(one, other)
                | Fault::Slow(one, other, _) => self.mend_link(one, other),
                Fault::Isolate(host) => {
                    others(&[host]).for_each(|other| self.mend_link(host, other));
                }
                Fault::Split(some) => {
                    between(&some).for_each(|(one, other)| self.mend_link(one, other));
                }
                Fault::Kill(host) => self.start(host),
                // Its time is over, whether it has given everything away or not.
                Fault::Terminate(place) => self.sim.bounce(CONTROL_PLANES[place]),
                Fault::KillAll => CONTROL_PLANES.iter().for_each(|name| self.start(name)),
                Fault::Stall(place) => self.stalled[place].store(false, Ordering::Relaxed),
            }
        }
    }

    fn mend_link(&self, one: &'static str, other: &'static str) {
        self.sim.release(one, other);
        self.sim.repair(one, other);
        self.sim.set_link_max_message_latency(one, other, LATENCY.1);
    }

    fn start(&mut self, host: &'static str) {
        if self.sim.is_host_running(host) {
            return;
        }
        self.sim.bounce(host);
    }

    fn mark(&mut self, now: Duration) {
        let mut record = self.recorder.record();
        if now >= self.length.calm && self.broken.is_empty() {
            record.calm.get_or_insert(now.as_micros() as u64);
        }
        record.hush = now >= self.length.hush;
    }

    fn end(self) -> Record {
        let mut record = std::mem::take(&mut *self.recorder.record());
        let frames = record.history.frames() as f64;
        let probes = record.history.probes.len() as f64;
        let views = record.history.views.len() as f64;
        let expected = (NODES.len() * BROWSERS + 2 * BACKENDS.len()) as f64;
        let figure = |what: &str, value, least| {
            let (what, least) = (what.to_owned(), Some(least));
            Figure { what, value, least, most: None }
        };
        record.history.floors.extend([
            figure("events that have arrived", frames, 200.0),
            figure("publishers and browsers that work after the faults", probes, expected),
            figure("views of channels", views, 12.0),
        ]);
        record
    }
}

/// Whether a fault is between this node and a control plane.
fn severs(fault: Fault, node: &str) -> bool {
    match fault {
        Fault::Cut(one, other)
        | Fault::CutOneWay(one, other)
        | Fault::Hold(one, other)
        | Fault::Slow(one, other, _) => one == node || other == node,
        Fault::Isolate(host) => host == node || CONTROL_PLANES.contains(&host),
        Fault::Split(_) => true,
        Fault::Kill(_) | Fault::Terminate(_) | Fault::KillAll | Fault::Stall(_) => false,
    }
}

/// All hosts but these.
fn others(some: &[&'static str]) -> impl Iterator<Item = &'static str> {
    let all = CONTROL_PLANES.into_iter().chain(NODES).chain(BACKENDS);
    all.filter(move |other| !some.contains(other))
}

/// The links between these and all others.
fn between(some: &[&'static str]) -> impl Iterator<Item = (&'static str, &'static str)> {
    some.iter().flat_map(move |one| others(some).map(|other| (*one, other)))
}
