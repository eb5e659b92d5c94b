//! Three nodes, users who come and go, nodes that are lost: whatever happens, each node can tell who is
//! there from what it was told.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const ROOM: &str = "presence-room";
const USERS: [&str; 5] = ["ann", "bob", "cid", "dan", "eve"];

/// A small generator, so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

/// A node and what it knows.
struct Seen {
    fake: Fake,
    /// Users whose sockets are on the node.
    own: BTreeSet<&'static str>,
    subscribed: bool,
    since: u64,
    /// What was told; `None` before the first state.
    roster: Option<BTreeSet<String>>,
}

impl Seen {
    fn new(world: &World, boot: u128) -> Self {
        let fake = world.node(boot);
        Self { fake, own: BTreeSet::new(), subscribed: false, since: 0, roster: None }
    }

    fn read(&mut self, world: &World) {
        for event in self.fake.events(world.now) {
            let Some(notice) = event.notice.and_then(|notice| notice.notice) else {
                continue;
            };
            match notice {
                Kind::State(state) => {
                    let users = state.members.into_iter().map(|member| member.user_id);
                    self.roster = Some(users.collect());
                }
                Kind::Roster(change) => {
                    let Some(roster) = &mut self.roster else {
                        panic!("a change of a roster that was not told");
                    };
                    for member in change.joined {
                        assert!(roster.insert(member.user_id), "joined twice");
                    }
                    for user in change.left {
                        assert!(roster.remove(&user), "left without having joined");
                    }
                }
                Kind::Verdict(_) | Kind::Count(_) | Kind::Occupancy(_) | Kind::Termination(_) => {}
            }
        }
    }

    fn subscribe(&mut self, world: &mut World, dice: &mut Dice) {
        if !self.subscribed {
            self.subscribed = true;
            self.since += 1;
            self.roster = None;
        }
        world.interest(&self.fake, ROOM, subscribed(1 + dice.below(3) as u32, self.since));
    }

    /// All that the node holds, as it reports it in a snapshot.
    fn report(&mut self, world: &mut World) {
        if self.subscribed {
            world.interest(&self.fake, ROOM, subscribed(1, self.since));
        }
        for user in &self.own {
            world.join(&self.fake, ROOM, user);
        }
        let number = self.fake.stream.number;
        world.forget(&self.fake, Some(number));
    }
}

fn step(world: &mut World, nodes: &mut [Seen], dice: &mut Dice) {
    let place = dice.below(nodes.len());
    let node = &mut nodes[place];
    let user = USERS[dice.below(USERS.len())];
    match dice.below(12) {
        0..=4 => {
            node.subscribe(world, dice);
            node.own.insert(user);
            world.join(&node.fake, ROOM, user);
        }
        5..=7 => {
            if node.own.remove(user) {
                world.leave(&node.fake, ROOM, user);
            }
        }
        8 => {
            if node.own.is_empty() && node.subscribed {
                node.subscribed = false;
                world.interest(&node.fake, ROOM, Wanted::default());
            }
        }
        9 => {
            // The stream breaks while some leave; what was on its way arrives, or is lost.
            node.own.retain(|_| dice.below(2) == 0);
            let resumes = dice.below(3) > 0;
            if resumes {
                node.read(world);
            }
            node.fake.attach(world, resumes);
            node.report(world);
        }
        10 => {
            // The process dies and comes back without anybody.
            world.forget(&node.fake, None);
            *node = Seen::new(world, node.fake.boot + 3);
        }
        _ => {
            let more = Duration::from_millis(dice.below(2_000) as u64);
            world.tick(more);
        }
    }
}

#[test]
fn what_nodes_were_told_is_who_is_there() {
    for seed in 1..=100_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new();
        // More users than the app allows would be turned away, which this model does not know.
        world.apps = Apps::default();
        let mut nodes: Vec<Seen> = (0..3).map(|boot| Seen::new(&world, boot)).collect();
        let mut there: BTreeMap<String, bool> = BTreeMap::new();
        for _ in 0..200 {
            step(&mut world, &mut nodes, &mut dice);
            let truth: BTreeSet<String> =
                nodes.iter().flat_map(|node| &node.own).map(|user| (*user).to_owned()).collect();
            for node in &mut nodes {
                node.read(&world);
                if node.subscribed {
                    assert_eq!(node.roster.as_ref(), Some(&truth), "seed {seed}");
                }
            }
            assert_eq!(world.users(ROOM), truth.iter().cloned().collect::<Vec<_>>(), "seed {seed}");
            for happened in world.happened() {
                let Some((what, user)) = happened.split_once(' ') else { continue };
                let is_there = match what {
                    "added" => true,
                    "removed" => false,
                    _ => continue,
                };
                let was_there = there.insert(user.to_owned(), is_there).unwrap_or(false);
                assert_ne!(was_there, is_there, "seed {seed}: {happened}");
            }
        }
    }
}
