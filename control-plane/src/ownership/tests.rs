//! Two and three control planes that hear each other, or not.

use super::*;

fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn ownership(name: &str, owner: u64) -> Ownership {
    Ownership::new(name.into(), OwnerId(owner))
}

fn held(ownership: &Ownership) -> Arc<[u64]> {
    let mut held = vec![0; usize::from(SHARDS)];
    for stake in ownership.held() {
        held[stake.shard as usize] = stake.epoch;
    }
    held.into()
}

fn standing(ownership: &Ownership) -> Standing {
    Standing {
        name: Arc::clone(&ownership.name),
        owner: ownership.owner,
        alive: true,
        reachable: true,
        eligible: true,
        held: held(ownership),
    }
}

/// Looks, and lets all claims and leaves succeed at once.
fn settle(ownership: &mut Ownership, peers: &[Standing], now: Instant) -> Steps {
    let steps = ownership.look(true, peers, &[], now);
    ownership.claimed(steps.round);
    ownership.left(&steps.leave);
    steps
}

#[test]
fn one_alone_takes_everything() {
    let mut a = ownership("a", 1);
    let steps = a.look(false, &[], &[], clock());
    assert!(steps.is_empty(), "it has not heard of its nodes");
    a.seen(&[ShardEpoch { shard: 5, epoch: 7, owner: 9 }]);
    let steps = a.look(true, &[], &[], clock());
    assert_eq!((steps.claim.len(), steps.claim[4].1, steps.claim[5].1), (1_024, 1, 8));
    assert_eq!((a.owned(), a.held().count()), (0, 1_024), "nobody else may claim meanwhile");
    assert_eq!(a.claimed(steps.round).len(), 1_024);
    assert!(a.look(true, &[], &[], clock()).is_empty());
}

#[test]
fn a_second_one_is_given_its_share_and_gives_it_back() {
    let now = clock();
    let (mut a, mut b) = (ownership("a", 1), ownership("b", 2));
    settle(&mut a, &[], now);
    assert!(settle(&mut b, &[standing(&a)], now).is_empty(), "all shards are held");
    let steps = a.look(true, &[standing(&b)], &[], now);
    assert!((400..600).contains(&steps.leave.len()), "{}", steps.leave.len());
    assert!(settle(&mut b, &[standing(&a)], now).is_empty(), "what was dispatched is under way");
    a.left(&steps.leave);
    assert_eq!(settle(&mut b, &[standing(&a)], now).claim.len(), steps.leave.len());
    assert_eq!(a.owned() + b.owned(), 1_024);
    assert!(b.held().all(|stake| stake.epoch == 1), "b has not heard of a's epochs");
    // b shuts down.
    let steps = b.look(false, &[standing(&a)], &[], now);
    assert_eq!(steps.leave.len(), b.held().count());
    b.left(&steps.leave);
    settle(&mut a, &[Standing { eligible: false, ..standing(&b) }], now);
    assert_eq!(a.owned(), 1_024);
}

#[test]
fn the_dead_are_succeeded_at_once_and_the_stopped_yield() {
    let now = clock();
    let (mut a, mut b) = (ownership("a", 1), ownership("b", 2));
    settle(&mut a, &[Standing { held: held(&b), ..standing(&b) }], now);
    settle(&mut b, &[standing(&a)], now);
    let before = (a.owned(), b.owned());
    assert_eq!(before.0 + before.1, 1_024);
    // Nodes say that a is there although b does not hear it.
    let unheard = Standing { reachable: false, ..standing(&a) };
    assert!(settle(&mut b, std::slice::from_ref(&unheard), now).is_empty());
    let dead = Standing { alive: false, ..unheard };
    let steps = b.look(true, &[dead], &[], now);
    assert_eq!(steps.claim.len(), before.0);
    // The nodes had seen a's epoch: the claim is refused and made anew.
    let stale: Vec<_> = a.held().collect();
    b.refused(&stale);
    let dead = Standing { alive: false, ..standing(&a) };
    let steps = b.look(true, &[dead], &[], now);
    let higher = steps.claim.iter().all(|(_, epoch)| *epoch == 2);
    assert!(steps.claim.is_empty() || higher);
    b.claimed(steps.round);
    b.claimed(steps.round - 1);
    assert_eq!(b.owned(), 1_024);
    // a comes to itself: whoever has the higher stake keeps the shard.
    let steps = a.look(true, &[standing(&b)], &[], now);
    let lost = steps.lost.len();
    let (kept, won) = (a.owned(), b.look(true, &[standing(&a)], &[], now));
    assert_eq!(lost + kept, before.0);
    assert_eq!(won.lost.len() + won.leave.len(), kept + before.0 - kept);
}

#[test]
fn who_owns_what_nodes_have_seen_under_another_claims_it_anew() {
    let now = clock();
    let mut a = ownership("a", 1);
    settle(&mut a, &[], now);
    let stake = ShardEpoch { shard: 3, epoch: 9, owner: 77 };
    a.seen(&[stake]);
    assert_eq!(a.look(true, &[], &[OwnerId(77)], now).lost.len(), 1, "nodes hear of it");
    let steps = a.look(true, &[], &[], now);
    assert_eq!(steps.claim, [(ShardId::new(3).unwrap(), 10)]);
}

#[test]
fn orphans_find_somebody_whatever_the_others_think() {
    let now = clock();
    let mut a = ownership("a", 1);
    // b says that it is eligible, and takes nothing.
    let b = standing(&ownership("b", 2));
    let mine = a.look(true, std::slice::from_ref(&b), &[], now).claim.len();
    assert!(mine < 1_024);
    assert!(a.look(true, std::slice::from_ref(&b), &[], now).claim.is_empty());
    let rest = a.look(true, &[b], &[], now + ORPHANED_MAX).claim.len();
    assert_eq!(mine + rest, 1_024);
}
