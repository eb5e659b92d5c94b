//! A node is killed with all its sockets and users.

use tests::{
    arena::Part,
    chaos::{
        history::{At, History, What},
        lane::size,
        listener::Listener,
        run::Run,
    },
};
use tokio::time::{Duration, sleep};

use crate::crowd::{CLUB, CONTROL_PLANES, Crowd, listener, order};

/// Counts and rosters are exact by then.
const EXACT_MAX_MS: f64 = 5_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_killed() {
    let mut run = Run::start("node_killed", order(CONTROL_PLANES, 2, 3)).await;
    let (sockets, members) = size((300, 50), (3_000, 500));
    let crowd = Crowd { rate: size(100, 500), channels: 4, idle: 30, members: 30, attempts_max: 1 };
    let lost = crowd.seat(&mut run).await;
    let (club, hall) = (run.scene.channel(CLUB), run.scene.channel("hall"));
    // The killed one's own, who stay away for the rest of the run.
    let node = run.arena.nodes()[..1].to_vec();
    let gone = |channel| Listener {
        back_after: Duration::from_secs(3_600),
        ..listener(node.clone(), channel, 0)
    };
    for user in 0..members {
        run.listen(Listener { user: Some(1_000 + user as u32), ..gone(club) });
    }
    (members..sockets).for_each(|_| run.listen(gone(hall)));
    run.all_seated().await;
    crowd.talk(&mut run, &lost);
    sleep(Duration::from_secs(2)).await;

    let step = run.begin("kill node 0");
    run.arena.kill(Part::Node(0)).await;
    let killed = run.done(step);
    let exact = counts_are_exact(&run, killed).await;
    sleep(Duration::from_secs(3)).await;
    let step = run.begin("start node 0");
    run.arena.start_again(Part::Node(0));
    run.arena.ready(Part::Node(0)).await;
    run.done(step);
    let healed = run.scene.now();
    run.probe(healed).await;
    run.hush().await;
    let mut channels = lost.channels.clone();
    channels.push(hall);
    run.view(0, &channels).await;
    let history = run.told().await;
    let (latest, twice) = removals(history, killed, members);
    run.target("REST counts exact, ms", exact, EXACT_MAX_MS);
    run.target("last member_removed, ms", latest as f64 / 1_000.0, EXACT_MAX_MS);
    run.exactly("sockets that were not told once of each user", twice, 0);
    run.floor("frames", run.frames(), size(1_000, 10_000));
    run.finish().await;
}

/// After how many milliseconds every gateway counts only who is left.
async fn counts_are_exact(run: &Run, killed: At) -> f64 {
    let members = 30;
    for backend in run.backends(0, 0) {
        let exact = || async {
            let club = backend.get(&format!("channels/{CLUB}")).set("info", "user_count");
            let hall = backend.get("channels/hall").set("info", "subscription_count");
            let (club, hall) = (club.send().await.json(), hall.send().await.json());
            let is_empty = hall["subscription_count"].as_u64().unwrap_or(0) == 0;
            (is_empty && club["user_count"] == members).then_some(())
        };
        tests::eventually("counts are exact", exact).await;
    }
    (run.scene.now() - killed) as f64 / 1_000.0
}

/// When the last of the lost users was told to be gone, and how many sockets were not told exactly
/// once of each.
fn removals(history: &History, killed: At, members: usize) -> (At, usize) {
    let (mut latest, mut wrong) = (0, 0);
    let stayed = history.sockets.iter().filter(|socket| {
        let is_member = socket.user.is_some_and(|user| user < 1_000);
        is_member && socket.opened < killed && socket.ended.is_none()
    });
    for socket in stayed {
        let removed = socket.entries.iter().filter(|entry| {
            matches!(entry.what, What::Removed(user) if user >= 1_000) && entry.at > killed
        });
        let times: Vec<_> = removed.map(|entry| entry.at - killed).collect();
        wrong += usize::from(times.len() != members);
        latest = latest.max(times.into_iter().max().unwrap_or_default());
    }
    (latest, wrong)
}
