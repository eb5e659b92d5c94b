//! News by value: what each sort does to the apps.

use super::*;

fn entry(id: &str, revision: u64) -> Entry {
    let value = format!(
        r#"{{"version":1,"app":{{"app_id":"{id}","key":"key-{id}"}},"secret":"s{revision}"}}"#
    );
    Entry { app_id: id.into(), revision, value: value.into() }
}

fn bad(id: &str, revision: u64) -> Entry {
    Entry { app_id: id.into(), revision, value: "{".into() }
}

fn deleted(id: &str, revision: u64) -> Change {
    Change::Deleted { app_id: id.into(), revision }
}

fn listing(revision: u64, entries: Vec<Entry>) -> Listing {
    Listing { revision, entries }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("app-{number:02}")).collect()
}

/// A world of `count` apps, all at revision 1, the store at revision 10.
fn world(count: usize) -> World {
    let mut world = World::new(Arc::default());
    let entries = names(count).iter().map(|id| entry(id, 1)).collect();
    world.load(&listing(10, entries), 0);
    world
}

fn ids(world: &World) -> Vec<&str> {
    world.known.keys().map(String::as_str).collect()
}

fn secret<'a>(world: &'a World, id: &str) -> &'a str {
    &world.known[id].record.current_secret
}

#[test]
fn old_news_is_ignored() {
    let mut world = world(1);
    world.apply(&[Change::Put(entry("app-00", 12))]);
    assert_eq!(world.apply(&[Change::Put(entry("app-00", 11))]).changed, 0);
    assert_eq!(world.apply(&[deleted("app-00", 11)]).changed, 0);
    assert_eq!(secret(&world, "app-00"), "s12");
    assert_eq!(world.apply(&[deleted("app-00", 13)]).changed, 1);
    assert_eq!(world.apply(&[Change::Put(entry("app-00", 12))]).changed, 0);
    assert!(world.is_empty());
}

#[test]
fn a_repeated_write_brings_no_app_back_that_a_listing_showed_as_gone() {
    let mut world = world(6);
    let listed = names(6)[1..].iter().map(|id| entry(id, 1)).collect();
    assert_eq!(world.load(&listing(12, listed), 10).changed, 1);
    assert_eq!(world.apply(&[Change::Put(entry("app-00", 11))]).changed, 0);
    assert!(world.record("app-00").is_none());
    assert_eq!(world.apply(&[Change::Put(entry("app-00", 13))]).changed, 1, "made again");
}

#[test]
fn a_listing_that_was_overtaken_undoes_nothing() {
    let mut world = world(2);
    let begun = world.revision();
    world.apply(&[Change::Put(entry("new", 11)), deleted("app-00", 12)]);
    let late = listing(10, vec![entry("app-00", 1), entry("app-01", 1)]);
    assert_eq!(world.load(&late, begun).changed, 0);
    assert_eq!(ids(&world), ["app-01", "new"]);
}

#[test]
fn a_bad_record_keeps_the_last_good_one() {
    let mut world = world(1);
    let outcome = world.apply(&[Change::Put(bad("app-00", 11)), Change::Put(bad("new", 12))]);
    assert_eq!((outcome.changed, outcome.bad.len(), world.bad_records()), (0, 2, 2));
    assert_eq!(secret(&world, "app-00"), "s1");
    let again = world.load(&listing(12, vec![bad("app-00", 11), bad("new", 12)]), 12);
    assert!(again.bad.is_empty(), "a bad record is named once");
    world.apply(&[Change::Put(entry("app-00", 13)), deleted("new", 14)]);
    assert_eq!((secret(&world, "app-00"), world.bad_records()), ("s13", 0));
}

#[test]
fn few_may_vanish_and_many_are_held() {
    let check = |known: usize, left: usize, held: usize| {
        let mut world = world(known);
        let entries = names(left).iter().map(|id| entry(id, 1)).collect();
        let outcome = world.load(&listing(20, entries), 10);
        assert_eq!((outcome.held.len(), outcome.changed), (held, known - left - held));
    };
    check(10, 7, 0);
    check(10, 6, 4);
    check(30, 24, 0);
    check(30, 23, 7);
    check(3, 1, 0);
    check(3, 0, 3);
    check(1, 0, 1);
}

#[test]
fn an_empty_store_in_place_of_the_full_one_wipes_nothing() {
    let mut world = world(5);
    for _ in 0..2 {
        let since = world.revision();
        assert_eq!(world.load(&listing(1, vec![]), since).held.len(), 5);
    }
    world.apply(&[Change::Put(entry("app-00", 2))]);
    assert_eq!((world.known.len(), secret(&world, "app-00")), (5, "s2"));
    assert!(world.release("app-01") && !world.release("app-01"));
}

#[test]
fn single_deletions_apply_and_a_wiped_prefix_does_not() {
    let mut world = world(5);
    let wipe: Vec<_> = names(5).iter().map(|id| deleted(id, 11)).collect();
    assert_eq!(world.apply(&wipe).held.len(), 5);
    let one_by_one: Vec<_> =
        names(5).iter().zip(12..).map(|(id, revision)| deleted(id, revision)).collect();
    assert_eq!(world.apply(&one_by_one).changed, 5);
    assert!(world.is_empty());
}

#[test]
fn a_step_tells_the_latest_of_each_app() {
    let mut world = world(3);
    let position = world.step_since(None).position;
    world.apply(&[Change::Put(entry("app-00", 11)), Change::Put(entry("app-00", 12))]);
    world.apply(&[deleted("app-01", 13)]);
    let step = world.step_since(Some(position));
    assert_eq!((step.reset, step.upserts.len(), step.revision), (false, 1, 13));
    assert_eq!(step.upserts[0].current_secret, "s12");
    assert_eq!(step.removed, ["app-01"]);
    assert_eq!(world.step_since(None).upserts.len(), 2);
}

#[test]
fn pages_follow_the_order_of_ids() {
    let world = world(5);
    let page = |after: &str| -> Vec<String> {
        let records = world.page(after, 2);
        records.iter().map(|record| record.app.as_ref().unwrap().app_id.clone()).collect()
    };
    assert_eq!(page(""), ["app-00", "app-01"]);
    assert_eq!(page("app-03"), ["app-04"]);
    assert!(page("app-04").is_empty());
}
