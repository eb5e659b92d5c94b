//! The cluster falls into two halves that do not see each other, and becomes one again.

use tests::{
    arena::Part,
    chaos::{
        history::Cut,
        lane::{say, size},
        measures,
        run::Run,
    },
};
use tokio::time::{Duration, sleep};

use crate::crowd::{Crowd, QUIET_NUMBERS, order};

/// After the healing all agree by then.
const AGREE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn split() {
    let mut run = Run::start("split", order(2, 2, 2)).await;
    if !run.arena.can_be_cut() {
        say("split: LEFT OUT, for only root may make network namespaces");
        return;
    }
    let crowd = Crowd {
        rate: size(200, 500),
        channels: size(4, 10),
        idle: size(20, 200),
        members: size(12, 60),
        attempts_max: 1,
    };
    let there = crowd.come(&mut run).await;
    sleep(Duration::from_secs(2)).await;
    let here =
        [Part::Etcd(0), Part::Etcd(1), Part::ControlPlane(0), Part::Gateway(0), Part::Node(0)];
    let elsewhere = [Part::Etcd(2), Part::ControlPlane(1), Part::Gateway(1), Part::Node(1)];
    let step = run.begin("the two halves lose each other");
    run.arena.split(&here, &elsewhere);
    let lost = run.done(step);
    sleep(Duration::from_secs(size(8, 30))).await;
    let step = run.begin("they find each other again");
    run.arena.heal();
    let healed = run.done(step);
    run.probe(healed).await;
    let probed = Duration::from_micros(run.scene.now() - healed);
    sleep(AGREE.saturating_sub(probed)).await;
    // What is published from here on reaches everybody again.
    sleep(Duration::from_secs(2)).await;
    run.all_seated().await;
    run.view(0, &there.channels).await;
    run.hush().await;
    // Publishers take turns at the gateways; what is quiet is published through the first one.
    let (even, odd): (Vec<u32>, Vec<u32>) = (0..QUIET_NUMBERS).partition(|number| number % 2 == 0);
    let quiet = QUIET_NUMBERS..QUIET_NUMBERS + 2;
    let sides = [(even.into_iter().chain(quiet).collect(), vec![1]), (odd, vec![0])];
    for (publishers, nodes) in sides {
        let until = healed + AGREE.as_micros() as u64;
        run.was_cut(Cut { from: lost, until, publishers, nodes });
    }
    let history = run.told().await;
    let halves = measures::answers(history, lost + 2_000_000, healed, |_| true);
    run.measure("answers in the halves", halves.json());
    run.floor("publishes answered in the halves", halves.count, size(200, 2_000));
    run.floor("frames", run.frames(), size(1_000, 20_000));
    run.finish().await;
}
