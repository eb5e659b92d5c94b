//! A node ends as planned: its sockets are closed one after the other, and nobody sees its users go.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use serde_json::json;
use tests::{
    eventually,
    fleet::{Fleet, Order},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    seat::{ROOM, Seat, Told},
    size::{say, size},
};

/// The time over which a node closes its sockets.
const WINDOW: Duration = Duration::from_secs(2);
/// After this long without a change a leave would have been told.
const QUIET: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_of_a_node_that_drains_are_not_seen_to_leave() {
    let movers = size(60, 500);
    let app = json!({ "limits": { "presence_members_max": 1000 } });
    let mut fleet = Fleet::start(Order {
        gateways: 1,
        nodes: 3,
        app: serde_json::from_value(app).unwrap(),
        node: vec![format!("--drain-seconds={}", WINDOW.as_secs())],
        ..Order::default()
    })
    .await;
    let nodes = fleet.node_addresses();
    let ended = CancellationToken::new();
    let join = |user: String, way: Vec<SocketAddr>| join(user, way, ended.clone());
    let mut moving = Vec::new();
    for mover in 0..movers {
        moving.push(join(format!("mover-{mover}"), vec![nodes[0], nodes[1 + mover % 2]]).await);
    }
    let mut watching = Vec::new();
    for place in 0..20 {
        watching.push(join(format!("watcher-{place}"), vec![nodes[1 + place % 2]]).await);
    }
    let backend = fleet.backend(0);
    let all_are_there = || async {
        let call = backend.get(&format!("channels/{ROOM}")).set("info", "user_count");
        (call.send().await.json()["user_count"] == movers + 20).then_some(())
    };
    eventually("all are there", all_are_there).await;

    fleet.drain_node(0).await;
    sleep(QUIET).await;
    all_are_there().await.expect("all are there still");
    ended.cancel();
    let all: Vec<_> = join_all(watching.into_iter().chain(moving)).await;
    let (seen, _seats): (Vec<_>, Vec<_>) = all.into_iter().map(Result::unwrap).unzip();
    let seen = seen.concat();
    assert!(seen.is_empty(), "{} notices: {:#?}", seen.len(), &seen[..seen.len().min(20)]);
}

/// Whoever is closed comes back at once: the other nodes get them by and by.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_closes_its_sockets_one_after_the_other() {
    let sockets = size(200, 2_000);
    let window = format!("--drain-seconds={}", WINDOW.as_secs());
    // By one thread, so that how many are closed at a time does not depend on the machine.
    let node = vec![window, "--shard-threads=1".to_owned()];
    let mut fleet = Fleet::start(Order { nodes: 1, node, ..Order::default() }).await;
    let address = fleet.node_addresses()[0];
    let mut open = Vec::new();
    for number in 0..sockets {
        let mut seat = Seat::take(address, &format!("user-{number}")).await.unwrap();
        open.push(tokio::spawn(async move { (seat.next().await, Instant::now()) }));
    }
    fleet.drain_node(0).await;
    let closes = join_all(open).await.into_iter().map(Result::unwrap);
    let (told, mut times): (Vec<_>, Vec<_>) = closes.unzip();
    assert!(told.iter().all(|told| *told == Told::Closed(4200)), "{told:?}");
    times.sort_unstable();
    let most = most_within(&times, WINDOW / 10);
    let spread = times[sockets - 1] - times[0];
    say(&format!("{sockets} sockets closed over {spread:?}, at most {most} in {:?}", WINDOW / 10));
    assert!(most < sockets / 2, "closed at once: {most} of {sockets} in {:?}", WINDOW / 10);
    assert!(spread < 2 * WINDOW, "closed too slowly: over {spread:?}");
}

/// How many of these times, in order, lie so close together at most.
fn most_within(times: &[Instant], span: Duration) -> usize {
    let until = |(place, first): (usize, &Instant)| {
        times[place..].partition_point(|time| *time < *first + span)
    };
    times.iter().enumerate().map(until).max().unwrap_or_default()
}

/// Enters at the first node; then goes on, at a 4200, to the next. Returns what it was told that it
/// should not have been, anything but newcomers before all were there, and the socket: nobody goes
/// before all have told.
async fn join(
    user: String,
    way: Vec<SocketAddr>,
    ended: CancellationToken,
) -> JoinHandle<(Vec<String>, Seat)> {
    let seat = enter(way[0], &user).await;
    tokio::spawn(async move {
        let (mut seat, mut way, mut seen) = (seat, way.into_iter().skip(1), Vec::new());
        loop {
            let told = tokio::select! {
                told = seat.next() => told,
                () = ended.cancelled() => return (seen, seat),
            };
            match (told, way.len()) {
                (Told::Added(new), _) if is_newcomer(&new, &user) => {}
                (Told::Closed(4200), 1) => {
                    let node = way.next().expect("one is left");
                    let before = seat.roster().cloned();
                    seat = enter(node, &user).await;
                    if seat.roster() != before.as_ref() {
                        seen.push(format!("{user} finds others there: {:?}", seat.roster()));
                    }
                }
                (told, _) => seen.push(format!("{user}: {told:?}")),
            }
        }
    })
}

async fn enter(node: SocketAddr, user: &str) -> Seat {
    let seat = || async {
        let mut seat = Seat::take(node, user).await?;
        seat.join().await;
        (seat.next().await == Told::Roster).then_some(seat)
    };
    eventually("a place in the room", seat).await
}

/// All have come one after the other, the movers first.
fn is_newcomer(new: &str, user: &str) -> bool {
    let order = |name: &str| {
        let (kind, number) = name.split_once('-').expect("a kind and a number");
        (kind == "watcher", number.parse::<usize>().unwrap())
    };
    order(new) > order(user)
}
