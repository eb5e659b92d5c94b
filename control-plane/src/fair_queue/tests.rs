//! Apps take turns, nothing is lost, nobody waits for long.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const ROOM: Room = Room { items: 4, load: 100 };
const WIDE: Room = Room { items: usize::MAX, load: usize::MAX };

fn weight(bytes: usize) -> Weight {
    Weight { bytes, load: 1 }
}

fn taken(queue: &mut FairQueue<&'static str>) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.pop(usize::MAX).map(|(item, ..)| item)).collect()
}

#[test]
fn one_app_is_a_queue() {
    let mut queue = FairQueue::new(WIDE);
    for (item, bytes) in [("1", 10), ("2", 10 * TURN_BYTES), ("3", 1)] {
        queue.push("a", item, weight(bytes));
    }
    assert_eq!(queue.size("a"), Size { items: 3, bytes: 10 * TURN_BYTES + 11 });
    assert_eq!(taken(&mut queue), ["1", "2", "3"]);
}

#[test]
fn who_comes_waits_for_a_turn_of_the_others_and_not_for_all_they_have() {
    let mut queue = FairQueue::new(WIDE);
    let half = weight(TURN_BYTES / 2);
    for item in ["a1", "a2", "a3", "a4", "a5"] {
        queue.push("a", item, half);
    }
    queue.push("b", "b1", half);
    queue.push("c", "c1", weight(2 * TURN_BYTES));
    assert_eq!(taken(&mut queue), ["a1", "a2", "b1", "a3", "a4", "c1", "a5"]);
}

#[test]
fn what_an_app_has_in_the_takers_hands_is_bounded() {
    let mut queue = FairQueue::new(ROOM);
    for item in ["a1", "a2", "a3"] {
        queue.push("a", item, Weight { bytes: 1, load: 60 });
    }
    let (_, _, first) = queue.pop(usize::MAX).unwrap();
    assert!(queue.pop(usize::MAX).is_none(), "two of them are too much");
    queue.push("b", "b1", Weight { bytes: 1, load: 1_000 });
    assert_eq!(
        taken(&mut queue),
        ["b1"],
        "one is never too much, and another app has its own room"
    );
    queue.settle(&first);
    assert_eq!(taken(&mut queue), ["a2"]);
    for _ in 0..10 {
        queue.push("c", "c", Weight { bytes: 1, load: 1 });
    }
    assert_eq!(taken(&mut queue).len(), ROOM.items);
}

#[test]
fn what_has_more_bytes_than_there_is_place_stays() {
    let mut queue = FairQueue::new(ROOM);
    queue.push("a", "a1", weight(10));
    assert!(queue.pop(9).is_none());
    assert_eq!(queue.pop(10).map(|(item, ..)| item), Some("a1"));
}

#[test]
fn lanes_of_apps_that_say_nothing_more_do_not_stay() {
    let mut queue = FairQueue::new(ROOM);
    queue.push("kept", "kept", weight(1));
    for number in 0..10 * IDLE_LANES_MAX {
        queue.push(&number.to_string(), "x", weight(1));
        while let Some((item, _, ticket)) = queue.pop(usize::MAX) {
            if item == "x" {
                queue.settle(&ticket);
            }
        }
    }
    assert!(queue.lanes.len() <= IDLE_LANES_MAX + 3, "{}", queue.lanes.len());
    assert_eq!(queue.by_app.len(), queue.lanes.len());
    assert_eq!(queue.size("kept").items, 1, "it is not settled");
}

/// What happens to a queue.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push {
        app: usize,
        weight: Weight,
    },
    Pop,
    /// The oldest that is unsettled, or another one.
    Settle(usize),
}

const APPS: [&str; 4] = ["a", "b", "c", "d"];
const BYTES_MAX: usize = TURN_BYTES;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (0..APPS.len(), 1..BYTES_MAX, 0..60_usize)
        .prop_map(|(app, bytes, load)| Step::Push { app, weight: Weight { bytes, load } });
    let settle = (0..8_usize).prop_map(Step::Settle);
    let step = prop_oneof![4 => push, 3 => Just(Step::Pop), 2 => settle];
    proptest::collection::vec(step, 0..400)
}

/// An app, and the number of an item in it.
type Item = (usize, usize);

/// A queue, and what has to be true of it.
struct Checked {
    queue: FairQueue<Item>,
    /// Numbers given to items and taken from them, by app.
    pushed: [usize; APPS.len()],
    taken: [usize; APPS.len()],
    out: Vec<(usize, Weight, Ticket)>,
    /// For each app that could be served: bytes that others have taken meanwhile.
    overtaken: HashMap<usize, [usize; APPS.len()]>,
}

impl Checked {
    fn is_ready(&self, app: usize) -> bool {
        let lane = self.queue.by_app.get(APPS[app]).map(|place| &self.queue.lanes[*place]);
        lane.is_some_and(|lane| !lane.items.is_empty() && lane.has_room(ROOM))
    }

    fn take(&mut self) {
        let ready: Vec<usize> = (0..APPS.len()).filter(|app| self.is_ready(*app)).collect();
        let Some(((app, number), weight, ticket)) = self.queue.pop(usize::MAX) else {
            assert_eq!(ready, [0; 0], "somebody could have been served");
            return;
        };
        assert_eq!(number, self.taken[app], "in order, none lost, none twice");
        self.taken[app] += 1;
        self.out.push((app, weight, ticket));
        let unsettled = self.out.iter().filter(|(other, ..)| *other == app);
        let (items, load) =
            unsettled.fold((0, 0), |(items, load), (_, weight, _)| (items + 1, load + weight.load));
        assert!(items == 1 || (items <= ROOM.items && load <= ROOM.load), "{items} {load}");
        self.overtaken.remove(&app);
        for waits in ready.into_iter().filter(|waits| *waits != app) {
            let overtaken = self.overtaken.entry(waits).or_default();
            overtaken[app] += weight.bytes;
            assert!(overtaken[app] < TURN_BYTES + BYTES_MAX, "one turn, and what was left of it");
        }
    }
}

proptest! {
    #[test]
    fn nobody_waits_longer_than_a_turn_of_each_other_app(steps in steps()) {
        let mut checked = Checked {
            queue: FairQueue::new(ROOM),
            pushed: [0; APPS.len()],
            taken: [0; APPS.len()],
            out: Vec::new(),
            overtaken: HashMap::new(),
        };
        for step in steps {
            match step {
                Step::Push { app, weight } => {
                    checked.queue.push(APPS[app], (app, checked.pushed[app]), weight);
                    checked.pushed[app] += 1;
                }
                Step::Pop => checked.take(),
                Step::Settle(place) if place < checked.out.len() => {
                    let (.., ticket) = checked.out.remove(place);
                    checked.queue.settle(&ticket);
                }
                Step::Settle(_) => {}
            }
        }
        while !checked.queue.is_empty() {
            checked.take();
            if let Some((.., ticket)) = checked.out.pop() {
                checked.queue.settle(&ticket);
            }
        }
        prop_assert_eq!(checked.pushed, checked.taken);
    }
}
