//! One run of a scenario: an arena, its clients, a fault plan, and what comes out.

use std::{collections::BTreeMap, fs, path::PathBuf, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use super::{
    history::{At, Attempt, Cut, Figure, History, Intrusion, Socket, Step},
    intruder, lane,
    lane::{Lane, say},
    listener::{Listener, Seen},
    publisher::Publisher,
    scene::Scene,
};
use crate::{
    arena::{Arena, Order, Part, Vitals},
    chance::Chance,
    eventually,
    rest::Backend,
};

mod ending;

/// A running scenario.
#[derive(Debug)]
pub struct Run {
    /// What is broken.
    pub arena: Arena,
    /// What the clients share.
    pub scene: Arc<Scene>,
    /// What happens by chance.
    pub chance: Chance,
    name: &'static str,
    seed: u64,
    folder: PathBuf,
    publishers: JoinSet<Vec<Attempt>>,
    listeners: JoinSet<Seen>,
    intruder: JoinHandle<Vec<Intrusion>>,
    history: History,
    /// How long listeners were away.
    absences: Vec<At>,
    measures: BTreeMap<String, Value>,
    before: BTreeMap<Part, Vitals>,
}

/// A step of the plan that has begun.
#[derive(Debug)]
#[must_use = "a step that is not done is a fault"]
pub struct Begun(usize);

impl Run {
    /// Starts the arena, and a stranger who tries what must not be allowed.
    pub async fn start(name: &'static str, order: Order) -> Self {
        let seed = lane::seed();
        let folder = lane::folder(name, seed);
        // What an earlier run of this seed has left.
        let _none = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a folder for the artifact");
        say(&format!("{name}: {}", lane::replay(name, seed)));
        let arena = Arena::start(order, &folder).await;
        let scene = Arc::new(Scene::new());
        let intruder = intruder::run(arena.gateways(), arena.nodes(), Arc::clone(&scene));
        Self {
            before: arena.vitals(),
            intruder: tokio::spawn(intruder),
            arena,
            scene,
            chance: Chance::new(seed),
            name,
            seed,
            folder,
            publishers: JoinSet::new(),
            listeners: JoinSet::new(),
            history: History::default(),
            absences: Vec::new(),
            measures: BTreeMap::new(),
        }
    }

    /// The backends of an app, one per gateway, beginning with that one.
    #[must_use]
    pub fn backends(&self, app: u8, first: usize) -> Vec<Backend> {
        let gateways = self.arena.gateways().len();
        (0..gateways).map(|number| self.arena.backend(app, (first + number) % gateways)).collect()
    }

    /// The numbers of channels `name-0`, `name-1` and so on.
    #[must_use]
    pub fn channels(&self, name: &str, count: usize) -> Vec<u32> {
        (0..count).map(|number| self.scene.channel(&format!("{name}-{number}"))).collect()
    }

    /// One more listener.
    pub fn listen(&mut self, listener: Listener) {
        self.listeners.spawn(listener.run(Arc::clone(&self.scene)));
    }

    /// One more publisher.
    pub fn publish(&mut self, publisher: Publisher) {
        self.publishers.spawn(publisher.run(Arc::clone(&self.scene)));
    }

    /// Waits until that many sockets have all their channels.
    pub async fn seated(&self, sockets: usize) {
        let all = || async { (self.scene.seated() >= sockets).then_some(()) };
        eventually(&format!("{sockets} sockets have their channels"), all).await;
    }

    /// The same for everybody who listens.
    pub async fn all_seated(&self) {
        self.seated(self.listeners.len()).await;
    }

    /// A step of the fault plan begins.
    pub fn begin(&mut self, what: impl Into<String>) -> Begun {
        let (what, began) = (what.into(), self.scene.now());
        say(&format!("{:8.3} s  {what}", began as f64 / 1e6));
        self.history.plan.push(Step { what, began, done: None });
        Begun(self.history.plan.len() - 1)
    }

    /// It is done; returns when it began.
    pub fn done(&mut self, step: Begun) -> At {
        let step = &mut self.history.plan[step.0];
        step.done = Some(self.scene.now());
        step.began
    }

    /// Notes a figure.
    pub fn measure(&mut self, what: &str, value: Value) {
        say(&format!("{what}: {value}"));
        self.measures.insert(what.to_owned(), value);
    }

    /// A figure of the contract: gates the long lane as it is, and the short one, whose programs are
    /// not optimised and whose machine has other things to do, at a multiple.
    pub fn target(&mut self, what: &str, value: f64, most: f64) {
        let most = lane::size(4.0 * most, most);
        self.measure(what, json!({ "value": value, "at_most": most }));
        let what = what.to_owned();
        self.history.targets.push(Figure { what, value, least: None, most: Some(most) });
    }

    /// A figure that must be exact whatever the machine does.
    pub fn exactly(&mut self, what: &str, value: usize, expected: usize) {
        self.measure(what, json!(value));
        let (what, value, expected) = (what.to_owned(), value as f64, expected as f64);
        let bounds = (Some(expected), Some(expected));
        let (least, most) = bounds;
        self.history.targets.push(Figure { what, value, least, most });
    }

    /// There has to be that much to judge by.
    pub fn floor(&mut self, what: &str, value: usize, least: usize) {
        self.measure(what, json!(value));
        let (what, value, least) = (what.to_owned(), value as f64, Some(least as f64));
        self.history.floors.push(Figure { what, value, least, most: None });
    }

    /// Something that must not grow.
    pub fn bound(&mut self, what: &str, value: f64, most: f64) {
        self.measure(what, json!({ "value": value, "at_most": most }));
        let what = what.to_owned();
        self.history.bounds.push(Figure { what, value, least: None, most: Some(most) });
    }

    /// How much larger a part is than it was at the start, in KiB; none where it is another process.
    #[must_use]
    pub fn growth_kib(&self, part: Part) -> u64 {
        let now = self.arena.vitals();
        let resident = |vitals: &BTreeMap<Part, Vitals>| {
            vitals.get(&part).map_or(0, |vitals| vitals.resident_kib)
        };
        resident(&now).saturating_sub(resident(&self.before))
    }

    /// Nobody publishes any more; waits until what is under way has come.
    pub async fn hush(&mut self) {
        self.scene.published.cancel();
        while let Some(attempts) = self.publishers.join_next().await {
            self.history.attempts.extend(attempts.expect("publishers end well"));
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// What clients have seen that the scenario has made itself.
    pub fn add(&mut self, attempts: Vec<Attempt>, sockets: Vec<Socket>) {
        self.history.attempts.extend(attempts);
        self.history.sockets.extend(sockets);
    }

    /// Some were cut off from others.
    pub fn was_cut(&mut self, cut: Cut) {
        self.history.cuts.push(cut);
    }

    /// How many events have arrived, of the listeners that have told.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.history.frames()
    }

    /// Whether the long lane was chosen.
    #[must_use]
    pub fn is_long(&self) -> bool {
        Lane::chosen() == Lane::Long
    }
}
