//! Hundreds of users come and go on three nodes, one of which is killed and comes back meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tests::{
    chance::Chance,
    fleet::{Fleet, Order},
    rest::Backend,
};
use tokio::{sync::watch, time::sleep};

use crate::{
    seat::ROOM,
    size::{say, seed, size},
};
use guest::{Guest, Phase, Visit};

mod guest;

/// After this long without a change everything agrees.
const QUIET: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_users_on_three_nodes_agree_though_one_is_killed() {
    let (users, run) = size((150, Duration::from_secs(12)), (500, Duration::from_secs(60)));
    let seed = seed();
    say(&format!("ENDURANCE_SEED={seed}"));
    let mut chance = Chance::new(seed);
    let mut fleet = Fleet::start(order()).await;
    let (phase, phases) = watch::channel(Phase::ComeAndGo);
    let mut guests = Vec::new();
    for user in 0..users {
        let sockets = 1 + chance.below(3);
        guests.extend((0..sockets).map(|_| {
            let (user, chance) = (format!("user-{user}"), chance.fork());
            let guest = Guest::new(user, fleet.node_addresses(), chance, phases.clone());
            tokio::spawn(guest.run())
        }));
    }
    let killed = chance.below(3);
    sleep(run / 3).await;
    fleet.kill_node(killed).await;
    sleep(run / 10).await;
    fleet.start_node_again(killed).await;
    sleep(run - run / 3 - run / 10).await;
    phase.send_replace(Phase::Stay);
    sleep(QUIET).await;
    let (listed, counted) = rest(&fleet.backend(0)).await;
    phase.send_replace(Phase::Tell);
    let visits: Vec<_> = join_all(guests).await.into_iter().map(Result::unwrap).collect();
    check(&visits, &listed, &counted);
}

fn order() -> Order {
    let app = json!({
        "limits": { "presence_members_max": 1000 },
        "features": { "subscription_count_events": false },
    });
    let app = serde_json::from_value(app).unwrap();
    Order { gateways: 1, nodes: 3, app, alone: true, ..Order::default() }
}

/// The users and the counts as REST tells them.
async fn rest(backend: &Backend) -> (BTreeSet<String>, Value) {
    let channel = format!("channels/{ROOM}");
    let answer = backend.get(&format!("{channel}/users")).send().await;
    let body = answer.json();
    let users = body["users"].as_array().unwrap();
    let ids: BTreeSet<_> = users.iter().map(|user| user["id"].as_str().unwrap().into()).collect();
    assert_eq!(ids.len(), users.len(), "each user once");
    let info = backend.get(&channel).set("info", "user_count,subscription_count").send().await;
    (ids, info.json())
}

/// Sockets, REST and the truth agree, and nobody was told anything wrong on the way.
fn check(visits: &[Visit], listed: &BTreeSet<String>, counted: &Value) {
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    let rosters = visits.iter().filter_map(|visit| Some((&visit.user, visit.seat.as_ref()?)));
    rosters.clone().for_each(|(user, _)| *there.entry(user).or_default() += 1);
    let sockets: usize = there.values().sum();
    let users: BTreeSet<_> = there.into_keys().map(str::to_owned).collect();
    let told: usize = visits.iter().map(|visit| visit.told).sum();
    let lost: usize = visits.iter().map(|visit| visit.lost).sum();
    say(&format!("{} users on {sockets} sockets; {told} notices, {lost} lost", users.len()));
    let faults: Vec<_> = visits.iter().flat_map(|visit| &visit.faults).collect();
    assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(20)]);
    assert_eq!(*listed, users, "REST lists who is there");
    assert_eq!(counted["user_count"], users.len(), "{counted}");
    assert_eq!(counted["subscription_count"], sockets, "{counted}");
    for (user, seat) in rosters {
        let roster = seat.roster().expect("who has a place is subscribed");
        let wrong: Vec<_> = roster.symmetric_difference(&users).collect();
        assert!(wrong.is_empty(), "{user} is told wrong of {wrong:?}");
    }
    // It was a run: sockets stayed, many came and went, and the killed node had some.
    assert!(sockets > 50 && told > 50 * sockets && lost > 20);
}
