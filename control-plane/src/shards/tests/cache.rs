//! The last events of cache channels.

use super::*;

fn cached(world: &World, channel: &str) -> Option<String> {
    let cached = world.shards.cached(&app_id(), &name(channel), world.now);
    cached.map(|cached| cached.data)
}

#[test]
fn the_last_event_is_kept_whether_or_not_anybody_hears_it() {
    let mut world = World::new();
    world.publish("cache-x", "1");
    world.publish("room", "1");
    assert_eq!(world.shards.channels(), 0);
    let mut a = world.node(1);
    world.interest(&a, "cache-x", subscribed(1, 1));
    assert_eq!(a.news(&world), ["state [] 1", "count 1"]);
    world.publish("cache-x", "2");
    world.publish("private-encrypted-cache-y", "3");
    let events = a.events(world.now);
    assert_eq!((&*events[0].data, events[0].cache_ttl_ms), (&b"2"[..], 1_000_000));
    world.publish("room", "4");
    world.interest(&a, "room", subscribed(1, 2));
    world.publish("room", "5");
    assert_eq!(a.events(world.now).last().unwrap().cache_ttl_ms, 0);
    assert_eq!((cached(&world, "cache-x"), cached(&world, "room")), (Some("2".into()), None));
    assert_eq!(cached(&world, "private-encrypted-cache-y"), Some("3".into()));
    world.interest(&a, "presence-cache-x", subscribed(1, 3));
    assert_eq!(a.news(&world), ["state []"]);
}

#[test]
fn what_is_kept_expires_by_itself() {
    let mut world = World::new();
    world.publish("cache-x", "1");
    world.now += 400 * SECOND;
    world.publish("cache-y", "1");
    let shown = world.shards.cached(&app_id(), &name("cache-x"), world.now).unwrap();
    assert_eq!((&*shown.name, shown.ttl_ms), ("price", 600_000));
    world.now += 600 * SECOND;
    assert_eq!(cached(&world, "cache-x"), None, "also before the clock is looked at");
    let full = world.shards.cache_bytes();
    world.tick(Duration::ZERO);
    assert_eq!(
        (world.shards.cache_bytes(), cached(&world, "cache-y")),
        (full / 2, Some("1".into()))
    );
    world.publish("cache-y", "2");
    assert_eq!(world.shards.cache_bytes(), full / 2, "one for each channel");
    world.tick(999 * SECOND);
    assert_eq!(cached(&world, "cache-y"), Some("2".into()), "counted from the last event");
    world.tick(SECOND);
    assert_eq!(world.shards.cache_bytes(), 0);
}

#[test]
fn old_events_make_room_for_new_ones() {
    let world = World::with(100_000);
    world.begin(1);
    for number in 0..1_000 {
        let channel = format!("cache-{number}");
        world.publish(&channel, &"x".repeat(1_000));
        assert!(world.shards.cache_bytes() <= 100_000);
        assert!(cached(&world, &channel).is_some(), "{channel}: the newest one stays");
    }
    let kept = (0..1_000).filter(|number| cached(&world, &format!("cache-{number}")).is_some());
    assert_eq!(kept.count(), 76, "of some 1,310 bytes each");
    assert!(cached(&world, "cache-0").is_none());
    world.publish("cache-large", &"x".repeat(200_000));
    assert!(world.shards.cache_bytes() <= 100_000, "what is larger than all of it is not kept");
}
