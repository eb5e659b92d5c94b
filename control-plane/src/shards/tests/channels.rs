//! Interest, counts, users' channels, client events, lists.

use proto::internal::{ClientEvent, DataForm, ExcludedSocket, ShardAge};

use super::*;
use crate::{
    node::{GRACE, SILENCE_MAX},
    shards::{ChannelNow, Cursor},
};

const NOTHING: [&str; 0] = [];
const USER: &str = "#server-to-user-ann";

#[test]
fn a_channel_is_occupied_from_its_first_subscription_to_its_last() {
    let mut world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    world.interest(&a, "room", subscribed(1, 1));
    world.interest(&b, "room", subscribed(2, 1));
    world.interest(&a, "room", Wanted { linger: true, ..subscribed(0, 1) });
    world.forget(&b, None);
    world.forget(&a, None);
    let told = ["count 1", "count 3", "count 2", "count 0"];
    let mut happened = world.happened();
    assert_eq!(
        (happened.remove(0), happened.remove(4)),
        ("occupied room".into(), "count 0".into())
    );
    assert_eq!(happened, [told[0], told[1], told[2], "vacated room"]);
    assert_eq!(world.shards.channels(), 0);
    world.interest(&a, USER, subscribed(1, 1));
    world.interest(&a, "presence-x", subscribed(1, 1));
    assert_eq!(world.happened(), ["occupied presence-x"], "users' channels are nobody's business");
}

#[test]
fn large_counts_are_told_now_and_then() {
    let mut world = World::new();
    let mut a = world.node(1);
    let mut set = |world: &mut World, count| {
        world.interest(&a, "room", subscribed(count, 1));
        a.news(world)
    };
    assert_eq!(set(&mut world, 99), ["count 99"]);
    assert_eq!(set(&mut world, 100), ["count 100"]);
    assert_eq!(set(&mut world, 101), ["count 101"]);
    assert_eq!(set(&mut world, 102), NOTHING);
    assert_eq!(set(&mut world, 103), NOTHING);
    world.tick(4 * SECOND);
    assert_eq!(set(&mut world, 104), NOTHING);
    world.tick(SECOND);
    assert_eq!(set(&mut world, 104), ["count 104"], "the last one is not forgotten");
    world.tick(6 * SECOND);
    assert_eq!(set(&mut world, 105), ["count 105"]);
    assert_eq!(set(&mut world, 106), NOTHING);
    assert_eq!(set(&mut world, 7), ["count 7"]);
    world.tick(6 * SECOND);
    assert_eq!(set(&mut world, 7), NOTHING, "what was owed has been told");
    assert_eq!(set(&mut world, 200), ["count 200"]);
}

#[test]
fn counts_are_for_apps_that_want_them() {
    let mut world = World::new();
    let mut a = world.node(1);
    for channel in ["presence-x", USER] {
        world.interest(&a, channel, subscribed(1, 1));
    }
    assert_eq!(a.news(&world), ["state []"]);
    world.apps = Apps::default();
    world.interest(&a, "room", subscribed(1, 1));
    assert_eq!(a.news(&world), NOTHING);
}

#[test]
fn watchers_hear_whether_a_user_is_there_and_nothing_else() {
    let mut world = World::new();
    let (mut a, b) = (world.node(1), world.node(2));
    let watch = Wanted { watched: true, ..subscribed(0, 1) };
    world.interest(&a, USER, watch);
    world.interest(&b, USER, subscribed(1, 1));
    world.interest(&b, USER, subscribed(2, 1));
    assert_eq!(a.news(&world), ["there false", "there true"]);
    assert_eq!(world.publish(USER, "hi").nodes, 1, "who only watches gets no events");
    let eager = [Arc::clone(&a.stream.node)];
    assert_eq!(world.publish_eagerly(USER, "hi", &eager).nodes, 2, "its snapshot is not complete");
    assert_eq!(a.news(&world), ["event hi"]);
    world.interest(&a, USER, Wanted { subscriptions: 1, ..watch });
    world.interest(&b, USER, Wanted::default());
    assert_eq!(a.news(&world), NOTHING, "one is still there");
    world.interest(&a, USER, watch);
    assert_eq!(a.news(&world), ["there false"]);
    world.interest(&b, USER, subscribed(1, 7));
    world.forget(&b, None);
    assert_eq!(a.news(&world), ["there true", "there false"]);
    a.attach(&world, true);
    world.interest(&a, USER, watch);
    assert_eq!(a.news(&world), NOTHING);
    world.interest(&a, USER, Wanted { since: 2, ..watch });
    assert_eq!(a.news(&world), ["there false"]);
    world.interest(&a, USER, Wanted::default());
    assert_eq!(world.shards.channels(), 0);
}

#[test]
fn termination_reaches_the_nodes_where_the_user_is() {
    let mut world = World::new();
    let (mut a, mut b) = (world.node(1), world.node(2));
    world.interest(&a, USER, subscribed(2, 1));
    world.interest(&b, USER, Wanted { watched: true, ..subscribed(0, 1) });
    b.news(&world);
    let terminated = terminate(&world, USER);
    assert_eq!((terminated.nodes, terminated.subscriptions), (1, 2));
    assert_eq!((a.news(&world), b.news(&world).len()), (vec!["terminate".into()], 0));
    assert_eq!(terminate(&world, "x").nodes, 0);
}

#[test]
fn what_only_a_silent_node_wants_is_kept_by_one_that_answers() {
    let mut world = World::new();
    let nodes = Nodes::new(OWNER);
    let began = world.now;
    let attach = |name: &str, boot| {
        let hello = Hello { node_id: name.into(), ..Hello::default() };
        let stream = nodes.attach(&hello, BootId(boot), began).attachment;
        Fake { stream, position: 0, boot }
    };
    let (a, mut b) = (attach("a", 1), attach("b", 2));
    world.interest(&a, "x", subscribed(1, 1));
    let heard = world.publish_to("x", "1", (&[], Some(&nodes)));
    assert_eq!((heard.nodes, heard.heard, nodes.are_silent()), (1, 1, false));
    world.now += SILENCE_MAX + Duration::from_millis(1);
    b.stream.node.heard(world.now);
    nodes.tick(world.now);
    let kept = world.publish_to("x", "2", (&[], Some(&nodes)));
    assert_eq!((kept.nodes, kept.heard, nodes.are_silent()), (1, 0, false));
    let told = b.events(world.now);
    assert_eq!(told.iter().map(|event| &*event.data).collect::<Vec<_>>(), [&b"2"[..]]);
    world.now += SILENCE_MAX + Duration::from_millis(1);
    nodes.tick(world.now);
    assert!(nodes.are_silent(), "nobody answers");
    world.now += GRACE;
    nodes.tick(world.now);
    assert!(!nodes.are_silent() && nodes.are_bereft(), "all have been given up");
    attach("a", 3);
    assert!(!nodes.are_bereft() && !nodes.are_several());
}

fn terminate(world: &World, channel: &str) -> Dispatched {
    let (app, channel, ack) = (app_id(), name(channel), Ack::new());
    let key = (&app, &channel);
    let sending = Sending { eager: &[], ack: Some(&ack), keepers: None, now: world.now };
    world.shards.dispatch(key, event::terminated(key), sending).unwrap()
}

fn relay(world: &World, channel: &str, said: &ClientEvent, id: u128) -> Dispatched {
    let (app, channel) = (app_id(), name(channel));
    let key = (&app, &channel);
    let sending = Sending { eager: &[], ack: None, keepers: None, now: world.now };
    world.shards.dispatch(key, event::relayed(key, said, MessageId(id)), sending).unwrap()
}

#[test]
fn what_a_client_publishes_carries_who_it_was() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, "presence-x", subscribed(1, 1));
    a.news(&world);
    let socket = Some(ExcludedSocket { left: 1, right: 2 });
    let said = ClientEvent {
        name: "client-typing".into(),
        data: Some("{\"a\":1}".into()),
        socket,
        user_id: Some("ann".into()),
        ..ClientEvent::default()
    };
    relay(&world, "presence-x", &said, 5);
    world.publish("presence-x", "2");
    relay(&world, "presence-x", &ClientEvent { data: None, ..said }, 6);
    let events = a.events(world.now);
    let first = &events[0];
    assert_eq!((&*first.name, &*first.data), ("client-typing", &b"{\"a\":1}"[..]));
    assert_eq!((first.excluded, first.user_id.as_deref()), (socket, Some("ann")));
    assert_eq!(
        (first.data_form(), first.message_id[15], first.cache_ttl_ms),
        (DataForm::Json, 5, 0)
    );
    assert_eq!(events.iter().map(|event| event.serial).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(
        (events[1].data_form(), events[2].data_form()),
        (DataForm::Unspecified, DataForm::Absent)
    );
    assert_eq!(relay(&world, "x", &events_said(), 7).nodes, 0);
}

fn events_said() -> ClientEvent {
    ClientEvent { name: "client-x".into(), ..ClientEvent::default() }
}

#[test]
fn publishes_that_nobody_hears_leave_nothing() {
    let world = World::new();
    for number in 0..10_000 {
        assert_eq!(world.publish(&format!("room-{number}"), "x"), Dispatched::default());
    }
    assert_eq!((world.shards.channels(), world.shards.cache_bytes()), (0, 0));
    assert_eq!(size_of::<crate::shards::channel::Channel>(), 40, "there may be millions");
    assert_eq!(size_of::<crate::shards::channel::Holder>(), 32, "and each has some");
}

#[test]
fn channels_are_listed_in_pages() {
    let mut world = World::new();
    let a = world.node(1);
    for number in 0..50 {
        world.interest(&a, &format!("room-{number}"), subscribed(number + 1, 1));
    }
    for channel in [USER, "presence-x", "presence-y"] {
        world.interest(&a, channel, subscribed(1, 1));
    }
    world.interest(&a, "empty", Wanted { linger: true, ..subscribed(0, 1) });
    world.join(&a, "presence-x", "ann");
    let list = |prefix: &str, limit: usize| {
        let (mut all, mut after): (_, Option<Cursor>) = (Vec::new(), None);
        let mut pages = 0;
        loop {
            let (page, next) = world.shards.list(&app_id(), prefix, after.as_ref(), limit);
            assert!(page.len() == limit || next.is_none(), "{} {next:?}", page.len());
            all.extend(page);
            pages += 1;
            after = next;
            if after.is_none() {
                all.sort_by(|(a, _), (b, _)| a.cmp(b));
                return (pages, all);
            }
        }
    };
    let (pages, all) = list("room-", 7);
    assert_eq!((pages, all.len()), (8, 50));
    assert_eq!(all[1], (name("room-1"), ChannelNow { subscriptions: 2, users: None }));
    assert_eq!((list("room-", 10).0, list("room-", 50).0, list("room-", 1).0), (5, 1, 50));
    assert_eq!(list("", 1_000).1.len(), 52);
    let presence = list("presence-", 1).1;
    let users = |(_, now): &(ChannelName, ChannelNow)| now.users;
    assert_eq!(presence.iter().map(users).collect::<Vec<_>>(), [Some(1), Some(0)]);
    let other = AppId::parse("b").unwrap();
    assert_eq!(world.shards.list(&other, "", None, 10), (Vec::new(), None));
}

#[test]
fn one_channel_and_its_users() {
    let mut world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    for (fake, user) in [(&a, "cid"), (&b, "ann"), (&a, "bob"), (&b, "bob")] {
        world.interest(fake, "presence-x", subscribed(2, 1));
        world.join(fake, "presence-x", user);
    }
    let (app, channel) = (app_id(), name("presence-x"));
    let now = world.shards.channel(&app, &channel);
    assert_eq!(now, ChannelNow { subscriptions: 4, users: Some(3) });
    let page = |after, limit| world.shards.users(&app, &channel, after, limit);
    let names = |users: Vec<UserId>| users.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(page(None, 2)), ["ann", "bob"]);
    assert_eq!(names(page(Some("bob"), 2)), ["cid"]);
    assert_eq!(names(page(Some("cid"), 2)), NOTHING);
    assert_eq!(world.publish("presence-x", "1").users, 3);
    let unknown = world.shards.channel(&app, &name("presence-y"));
    assert_eq!(unknown, ChannelNow { subscriptions: 0, users: Some(0) });
    assert_eq!(world.shards.channel(&app, &name("y")), ChannelNow::default());
}

#[test]
fn what_is_dispatched_again_says_where_it_stood() {
    let mut world = World::new();
    let mut a = world.node(1);
    world.interest(&a, "room", subscribed(1, 1));
    a.news(&world);
    world.publish("room", "1");
    world.tick(SECOND);
    // The same message id: a publisher that was given up is heard after all.
    world.publish("room", "1");
    let events = a.events(world.now);
    let places = |event: &DispatchedEvent| {
        let origin = event.origin.map(|origin| (origin.epoch, origin.serial, origin.age_ms));
        (event.epoch, event.serial, origin)
    };
    assert_eq!(
        events.iter().map(places).collect::<Vec<_>>(),
        [(1, 1, None), (1, 2, Some((1, 1, 1_000)))]
    );
    let mut told = events[0].clone();
    told.keep_origin(300);
    let taken: Vec<_> = shards().map(|shard| (shard, 2)).collect();
    world.shards.begin(&taken, vec![told.clone()], &[], world.now);
    world.shards.repeat_late(vec![told], (&[], world.now));
    let again = a.events(world.now);
    assert_eq!(
        again.iter().map(places).collect::<Vec<_>>(),
        [(2, 1, Some((1, 1, 1_000))), (2, 2, Some((1, 1, 1_000)))]
    );
    world.shards.end(&shards().collect::<Vec<_>>(), world.now);
    world.shards.repeat_late(vec![events[0].clone()], (&[], world.now));
    assert!(a.events(world.now).is_empty(), "its owner will");
    assert!(world.shards.dispatches(world.now).shards.is_empty(), "nothing is acknowledged");
    world.shards.see_through((&app_id(), &name("room")), world.now);
    let used = world.shards.dispatches(world.now + SECOND).shards;
    assert_eq!(used.iter().map(|used| used.age_ms).collect::<Vec<_>>(), [1_000]);
    let age = |shard, age_ms| ShardAge { shard, age_ms, owner: 9 };
    let is_alive = |owner| owner == OwnerId(8);
    let passed = [age(used[0].shard, 400), age(9_999, 0)];
    let elsewhere = world.shards.note_passed(&passed, is_alive, world.now + SECOND);
    assert!(elsewhere.is_empty(), "that was when it was owned here no longer");
    let before = [age(used[0].shard, 1_000)];
    let told = |passed: &[ShardAge]| world.shards.note_passed(passed, is_alive, world.now + SECOND);
    assert_eq!(told(&before), before, "two owned it");
    assert_eq!(told(&before.map(|age| ShardAge { owner: 8, ..age })), [], "it tells them itself");
    let used = world.shards.dispatches(world.now + SECOND).shards;
    assert_eq!(used.iter().map(|used| used.age_ms).collect::<Vec<_>>(), [400]);
}

#[test]
fn who_wants_a_channel_is_told_when_something_was_last_dispatched_without_it() {
    let mut world = World::new();
    let (a, b) = (world.node(1), world.node(2));
    assert_eq!(world.interest(&a, "room", subscribed(1, 1)), None, "nothing was");
    world.publish("room", "1");
    world.now += SECOND;
    assert_eq!(world.interest(&a, "room", subscribed(2, 1)), None, "it had it");
    assert_eq!(world.interest(&b, "room", subscribed(1, 1)), Some(1_000));
    world.interest(&b, "room", Wanted { linger: true, ..Wanted::default() });
    world.publish("room", "2");
    assert_eq!(world.interest(&b, "room", subscribed(1, 1)), None, "interest lingered");
    world.interest(&b, "room", Wanted::default());
    world.publish("room", "3");
    assert_eq!(world.interest(&b, "room", Wanted { watched: true, ..Wanted::default() }), None);
    assert_eq!(world.interest(&b, "room", subscribed(1, 1)), Some(0), "who watches gets no events");
}
