//! Rosters over several nodes.

use super::*;

const ROOM: &str = "presence-room";
const NOTHING: [&str; 0] = [];

#[test]
fn a_user_joins_with_its_first_node_and_leaves_with_its_last() {
    let mut world = World::new();
    let (mut a, mut b) = (world.node(1), world.node(2));
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "ann");
    assert_eq!(a.news(&world), ["state []", "joined ann", "ok ann"]);
    world.interest(&b, ROOM, subscribed(1, 1));
    world.join(&b, ROOM, "ann");
    assert_eq!(b.news(&world), ["state [ann]", "ok ann"]);
    world.leave(&a, ROOM, "ann");
    assert_eq!((a.news(&world).len(), world.users(ROOM)), (0, vec!["ann".to_owned()]));
    world.leave(&b, ROOM, "ann");
    world.leave(&b, ROOM, "ann");
    assert_eq!(
        (a.news(&world), b.news(&world)),
        (vec!["left ann".into()], vec!["left ann".into()])
    );
    assert_eq!(world.happened(), ["occupied presence-room", "added ann", "removed ann"]);
}

#[test]
fn members_say_what_they_said_first() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "ann");
    let user = UserId::parse("ann").unwrap();
    world.member(&a, ROOM, &MemberReport::Present(user, "2".into(), 0));
    assert_eq!(a.news(&world), ["state []", "joined ann", "ok ann", "ok ann"]);
    let mut b = world.node(2);
    world.interest(&b, ROOM, subscribed(1, 1));
    let events = b.events(world.now);
    let Some(Kind::State(state)) = events[0].notice.clone().and_then(|notice| notice.notice) else {
        panic!("{events:?}");
    };
    assert_eq!(state.members[0].user_info, "{\"name\":\"ann\"}");
}

#[test]
fn a_full_channel_lets_nobody_in_but_those_who_are_in() {
    let mut world = World::new();
    let (mut a, mut b) = (world.node(1), world.node(2));
    world.interest(&a, ROOM, subscribed(3, 1));
    for user in ["ann", "bob", "cid"] {
        world.join(&a, ROOM, user);
    }
    a.news(&world);
    world.interest(&b, ROOM, subscribed(2, 1));
    world.join(&b, ROOM, "dan");
    world.join(&b, ROOM, "ann");
    assert_eq!(b.news(&world), ["state [ann bob cid]", "full dan", "ok ann"]);
    assert_eq!(a.news(&world), NOTHING);
    world.leave(&b, ROOM, "dan");
    world.leave(&a, ROOM, "bob");
    world.join(&b, ROOM, "dan");
    assert_eq!(b.news(&world), ["left bob", "joined dan", "ok dan"]);
}

#[test]
fn a_node_is_told_the_state_once_for_each_interest() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, ROOM, subscribed(1, 1));
    world.interest(&a, ROOM, subscribed(2, 1));
    world.interest(&a, ROOM, Wanted { linger: true, ..subscribed(0, 1) });
    assert_eq!(a.news(&world), ["state []"]);
    a.attach(&world, true);
    world.interest(&a, ROOM, subscribed(1, 1));
    assert_eq!(a.news(&world), NOTHING, "the same life has missed nothing");
    world.interest(&a, ROOM, subscribed(1, 9));
    assert_eq!(a.news(&world), ["state []"], "it has forgotten the channel in between");
    world.interest(&a, ROOM, Wanted::default());
    assert_eq!(world.shards.channels(), 0);
    world.interest(&a, ROOM, subscribed(1, 9));
    assert_eq!(a.news(&world), ["state []"], "the control plane had forgotten it");
    a.attach(&world, false);
    world.interest(&a, ROOM, subscribed(1, 9));
    assert_eq!(a.news(&world), ["state []"], "what was on its way is lost");
}

#[test]
fn nothing_is_told_before_the_nodes_have_reported() {
    let mut world = World::cold();
    let (mut a, mut b) = (world.node(1), world.node(2));
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "ann");
    world.interest(&a, "room", subscribed(1, 2));
    let watched = "#server-to-user-ann";
    world.interest(&a, watched, Wanted { watched: true, ..subscribed(0, 3) });
    world.interest(&b, ROOM, subscribed(4, 1));
    for user in ["ann", "bob", "cid", "dan"] {
        world.join(&b, ROOM, user);
    }
    world.leave(&b, ROOM, "cid");
    world.interest(&b, watched, subscribed(1, 6));
    world.tick(SECOND);
    assert_eq!((a.news(&world).len(), b.news(&world).len(), world.happened().len()), (0, 0, 0));
    world.begin(1);
    let mut told = a.news(&world);
    told.sort();
    // Whom the state names is in: a node needs no further answer.
    assert_eq!(told, ["state [ann bob dan]", "there true"]);
    assert_eq!(b.news(&world), ["state [ann bob dan]"]);
    world.join(&b, ROOM, "eve");
    assert_eq!(b.news(&world), ["full eve"]);
    world.leave(&b, ROOM, "dan");
    assert_eq!(world.happened(), ["removed dan"]);
}

#[test]
fn who_does_not_own_a_shard_hears_all_and_says_nothing() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "ann");
    assert_eq!(a.news(&world), ["state []", "joined ann", "ok ann"]);
    world.happened();
    let all: Vec<_> = shards().collect();
    world.shards.end(&all, world.now);
    world.join(&a, ROOM, "bob");
    world.leave(&a, ROOM, "ann");
    world.tick(SECOND);
    assert_eq!((a.news(&world).len(), world.happened().len()), (0, 0));
    assert_eq!(world.users(ROOM), ["bob"]);
    world.begin(2);
    assert_eq!(a.news(&world), ["state [bob]"], "the difference is the node's to tell");
    world.join(&a, ROOM, "cid");
    assert_eq!(a.news(&world), ["joined cid", "ok cid"]);
    assert_eq!(world.happened(), ["added cid"]);
}

#[test]
fn a_lost_node_takes_its_members_with_it_once() {
    let mut world = World::new();
    let (a, mut b) = (world.node(1), world.node(2));
    world.interest(&a, ROOM, subscribed(2, 1));
    world.interest(&b, ROOM, subscribed(1, 1));
    for (fake, user) in [(&a, "ann"), (&a, "bob"), (&b, "bob"), (&a, "cid")] {
        world.join(fake, ROOM, user);
    }
    b.news(&world);
    world.happened();
    world.forget(&a, None);
    world.forget(&a, None);
    assert_eq!(
        (b.news(&world), world.users(ROOM)),
        (vec!["left ann cid".into()], vec!["bob".into()])
    );
    assert_eq!(world.happened(), ["removed ann", "removed cid"]);
    world.forget(&b, None);
    assert_eq!(world.happened(), ["removed bob", "vacated presence-room"]);
    assert_eq!(world.shards.channels(), 0);
}

#[test]
fn a_node_that_attaches_with_fewer_members_has_lost_the_others() {
    let mut world = World::new();
    let (mut a, mut b) = (world.node(1), world.node(2));
    for fake in [&a, &b] {
        world.interest(fake, ROOM, subscribed(1, 1));
    }
    world.interest(&a, "room", subscribed(1, 2));
    world.join(&a, ROOM, "ann");
    world.join(&a, ROOM, "bob");
    b.news(&world);
    a.events(world.now);
    a.attach(&world, true);
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "bob");
    world.happened();
    let number = a.stream.number;
    world.forget(&a, Some(number));
    assert_eq!(b.news(&world), ["left ann"]);
    assert_eq!(a.news(&world), ["ok bob", "left ann"]);
    let mut happened = world.happened();
    happened.sort();
    assert_eq!(happened, ["count 0", "removed ann", "vacated room"]);
}

#[test]
fn who_moves_away_from_a_node_that_shuts_down_neither_leaves_nor_joins() {
    let mut world = World::new();
    let (a, mut b) = (world.node(1), world.node(2));
    for fake in [&a, &b] {
        world.interest(fake, ROOM, subscribed(2, 1));
    }
    for user in ["ann", "bob", "cid"] {
        world.join(&a, ROOM, user);
    }
    b.news(&world);
    world.happened();
    a.stream.node.drain();
    world.leave(&a, ROOM, "ann");
    world.leave(&a, ROOM, "bob");
    world.tick(2 * SECOND);
    world.join(&b, ROOM, "ann");
    assert_eq!(b.news(&world), ["ok ann"]);
    // The node ends with one user unreported: it counts as one who left when the stream ended.
    a.stream.node.detach_any(world.now);
    world.tick(2 * SECOND);
    world.forget(&a, None);
    assert_eq!(world.users(ROOM), ["ann", "bob", "cid"]);
    world.tick(SECOND);
    assert_eq!(b.news(&world), ["left bob"], "five seconds after it left");
    world.tick(2 * SECOND);
    assert_eq!(b.news(&world), ["left cid"]);
    world.tick(10 * SECOND);
    assert_eq!((b.news(&world).len(), world.users(ROOM)), (0, vec!["ann".to_owned()]));
    assert_eq!(world.happened(), ["removed bob", "removed cid"]);
}

#[test]
fn a_user_who_comes_back_to_a_node_that_shuts_down_stays() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, ROOM, subscribed(1, 1));
    world.join(&a, ROOM, "ann");
    a.news(&world);
    a.stream.node.drain();
    world.leave(&a, ROOM, "ann");
    world.tick(SECOND);
    world.join(&a, ROOM, "ann");
    world.tick(10 * SECOND);
    assert_eq!((a.news(&world), world.users(ROOM)), (vec!["ok ann".into()], vec!["ann".into()]));
}

#[test]
fn a_node_whose_queue_is_half_full_is_told_the_state_later() {
    let mut world = World::new();
    let (mut a, b) = (world.node(1), world.node(2));
    for fake in [&a, &b] {
        world.interest(fake, ROOM, subscribed(1, 1));
    }
    assert_eq!(a.news(&world), ["state []"]);
    let mut others = 0;
    while a.stream.node.depth().1 < 4 << 20 {
        world.publish(ROOM, &"x".repeat(100_000));
        others += 1;
    }
    world.join(&b, ROOM, "ann");
    world.join(&a, ROOM, "bob");
    world.leave(&b, ROOM, "ann");
    world.tick(SECOND);
    assert_eq!(a.events(world.now).len(), others, "there was no room for news");
    world.tick(SECOND);
    assert_eq!(a.news(&world), ["state [bob]", "ok bob"]);
    world.tick(SECOND);
    assert_eq!(a.news(&world), NOTHING);
}

#[test]
fn an_answer_does_not_overtake_the_roster() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, ROOM, subscribed(1, 1));
    a.news(&world);
    let queued = |a: &Fake| a.stream.node.depth().1;
    while queued(&a) < (4 << 20) - 2_000 {
        world.publish(ROOM, &"x".repeat(((4 << 20) - 2_000 - queued(&a)).min(10_000)));
    }
    assert!(queued(&a) < (4 << 20) - 1_000, "an answer has room, what ann says of herself has not");
    let ann = UserId::parse("ann").unwrap();
    world.member(&a, ROOM, &MemberReport::Present(ann, "x".repeat(2_000).into(), 0));
    a.events(world.now);
    world.tick(SECOND);
    assert_eq!(a.news(&world), ["state [ann]", "ok ann"]);
}

#[test]
fn a_member_that_is_reported_before_its_channel_is_answered() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.join(&a, ROOM, "ann");
    world.interest(&a, ROOM, subscribed(1, 2));
    assert_eq!(a.news(&world), ["ok ann", "state [ann]"]);
}
