//! Who subscribes gets what is published the moment after, while control planes are killed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tests::{
    arena::Part,
    chaos::{lane::size, run::Run},
};
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, sleep, sleep_until},
};

use crate::crowd::order;
use racer::Racer;

mod racer;

const RACERS: usize = 60;
const KILL_EVERY: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn race() {
    let mut run = Run::start("race", order(2, 2, 3)).await;
    let trials = size(3_000, 100_000);
    let taken = Arc::new(AtomicUsize::new(0));
    let mut racers = JoinSet::new();
    for number in 0..RACERS {
        let racer = Racer {
            number: number as u32,
            node: run.arena.nodes()[number % 3],
            backends: run.backends(0, number),
            trials,
            taken: Arc::clone(&taken),
        };
        racers.spawn(racer.run(Arc::clone(&run.scene)));
    }
    let mut round = 0;
    while taken.load(Ordering::Relaxed) < trials {
        let next = Instant::now() + size(KILL_EVERY / 2, KILL_EVERY);
        let part = Part::ControlPlane(round % 2);
        let step = run.begin(format!("kill {part}"));
        run.arena.kill(part).await;
        run.done(step);
        sleep(Duration::from_secs(1)).await;
        let step = run.begin(format!("start {part}"));
        run.arena.start_again(part);
        run.arena.ready(part).await;
        run.done(step);
        sleep_until(next).await;
        round += 1;
    }
    let healed = run.scene.now();
    run.probe(healed).await;
    let mut raced = 0;
    while let Some(race) = racers.join_next().await {
        let race = race.unwrap();
        raced += race.attempts.iter().filter(|attempt| attempt.status == 200).count();
        run.add(race.attempts, race.sockets);
    }
    run.told().await;
    run.floor("trials that were acknowledged", raced, trials * 9 / 10);
    run.floor("kills", round, size(1, 2));
    run.finish().await;
}
