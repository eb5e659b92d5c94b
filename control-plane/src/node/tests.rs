//! The queue to one node: who waits for it, and what becomes of what it has no room for.

use super::*;
use crate::ack::Ack;

#[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn start() -> Instant {
    Instant::now()
}

fn attached(now: Instant) -> Arc<Node> {
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    node.attach(&Hello::default(), 1, now);
    node
}

fn event() -> Arc<DispatchedEvent> {
    Arc::new(DispatchedEvent::default())
}

#[test]
fn publishers_wait_until_the_node_has_queued() {
    let now = start();
    let (node, ack) = (attached(now), Ack::new());
    assert_eq!(node.push(&event(), 1, now, Some(&Piece::new(&ack, false))), Pushed::Queued);
    assert!(node.owes(1), "it has acknowledged nothing");
    let mut paid = std::pin::pin!(ack.paid());
    let mut context = Context::from_waker(std::task::Waker::noop());
    ack.pay();
    assert!(paid.as_mut().poll(&mut context).is_pending(), "the node owes still");
}

#[test]
fn a_node_without_room_has_a_gap_and_is_told_so() {
    let now = start();
    let node = attached(now);
    let pushes = std::iter::repeat_with(|| node.push(&event(), 1, now, None));
    let full = pushes.take(queue::EVENTS_MAX + 1).find(|pushed| *pushed != Pushed::Queued);
    assert_eq!(full, Some(Pushed::Overflowed));
    assert_eq!(node.push(&event(), 1, now, None), Pushed::Lost);
    let again = node.attach(&Hello { owner: 1, ..Hello::default() }, 1, now);
    assert_eq!(again.unbroken, again.number, "what was told before does not count");
}

fn of(app: &str, number: usize) -> Arc<DispatchedEvent> {
    let (app_id, name) = (app.to_owned(), number.to_string());
    Arc::new(DispatchedEvent { app_id, name, ..DispatchedEvent::default() })
}

/// What comes down, each event with its position.
fn come_down(stream: &Attachment) -> Vec<(u64, String, String)> {
    let context = Context::from_waker(std::task::Waker::noop());
    let mut came = Vec::new();
    while let Poll::Ready(Some(response)) = stream.node.poll_down(stream.number, &context) {
        let Some(Down::Dispatch(dispatch)) = response.down else { continue };
        let first = dispatch.position + 1 - dispatch.events.len() as u64;
        let events = (first..).zip(dispatch.events);
        came.extend(events.map(|(position, event)| (position, event.app_id, event.name)));
    }
    came
}

#[test]
fn apps_take_turns_and_what_was_given_keeps_its_position() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let stream = node.attach(&Hello::default(), 1, now);
    for number in 0..1_000 {
        node.push(&of("noisy", number), 1, now, None);
    }
    node.push(&of("quiet", 0), 1, now, None);
    let mark = node.mark();
    let came = come_down(&stream);
    let quiet = came.iter().position(|(_, app, _)| app == "quiet").unwrap();
    assert!(quiet < 100, "behind one turn of the noisy one: {quiet}");
    assert!(came.len() < 600, "the rest waits for acknowledgements: {}", came.len());

    node.detach(stream.number, now);
    let stream = node.attach(&Hello { owner: 1, position: 50, ..Hello::default() }, 1, now);
    assert_eq!(come_down(&stream), came[50..], "given again as before");
    let (mut all, mut position) = (came, 0);
    while position < all.len() as u64 {
        position = all.len() as u64;
        assert!(node.owes(mark), "not all of it is acknowledged");
        node.delivered(&Delivered { position, ..Delivered::default() }, now);
        all.extend(come_down(&stream));
    }
    assert!(!node.owes(mark));
    assert!(all.iter().map(|(position, ..)| *position).eq(1..=1_001), "without a gap");
    let noisy = all.iter().filter(|(_, app, _)| app == "noisy").map(|(.., name)| name.clone());
    assert!(noisy.eq((0..1_000).map(|number| number.to_string())), "in order");
}

#[test]
fn who_has_a_quarter_of_the_queue_is_known_until_it_has_gone_down() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let stream = node.attach(&Hello::default(), 1, now);
    let [noisy, quiet] = ["noisy", "quiet"].map(|id| AppId::parse(id).unwrap());
    let mut pushed = 0;
    while !node.is_crowded_by(&noisy) {
        assert_eq!(node.push(&of("noisy", pushed), 1, now, None), Pushed::Queued);
        pushed += 1;
    }
    assert!(node.may_be_crowded() && !node.is_crowded_by(&quiet));
    assert!((10_000..11_000).contains(&pushed), "2 MiB: {pushed}");
    let mut position = 0;
    while node.depth().0 > 0 {
        position += come_down(&stream).len() as u64;
        node.delivered(&Delivered { position, ..Delivered::default() }, now);
    }
    assert!(!node.may_be_crowded() && !node.is_crowded_by(&noisy));
}

#[test]
fn what_is_under_way_too_long_is_waited_for_no_longer_though_its_node_is() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let stream = node.attach(&Hello::default(), 1, now);
    let acks: Vec<_> = std::iter::repeat_with(Ack::new).take(1_000).collect();
    for (number, ack) in acks.iter().enumerate() {
        node.push(&of("noisy", number), 1, now, Some(&Piece::new(ack, false)));
        ack.pay();
    }
    let given = come_down(&stream).len() as u64;
    let later = now + LAG_MAX + Duration::from_millis(1);
    node.delivered(&Delivered { position: given, ..Delivered::default() }, later);
    node.heard(later);
    assert!(acks.iter().filter(|ack| ack.is_paid()).count() as u64 == given);
    assert_eq!(node.tick(later, false), Ticked::Overdue(1_000 - given as usize));
    assert!(acks.iter().all(|ack| ack.is_paid()) && node.is_healthy());
}

fn stable(stream: &Attachment) -> Option<u64> {
    let context = Context::from_waker(std::task::Waker::noop());
    let mut stable = None;
    while let Poll::Ready(Some(response)) = stream.node.poll_down(stream.number, &context) {
        if let Some(Down::Stable(Stable { position })) = response.down {
            stable = Some(position);
        }
    }
    stable
}

#[test]
fn what_a_lagging_node_lacks_is_stable_nowhere() {
    let now = start();
    let named = |name: &str| Arc::new(Node::new(NodeId(name.into()), BootId(1), now));
    let (fast, slow) = (named("fast"), named("slow"));
    let [to_fast, to_slow] = [&fast, &slow].map(|node| node.attach(&Hello::default(), 1, now));
    let publish = || {
        let ack = Ack::new();
        for node in [&fast, &slow] {
            node.push(&event(), 1, now, Some(&Piece::new(&ack, false)));
        }
        ack.pay();
        ack
    };
    let delivered = |position| Delivered { position, ..Delivered::default() };
    let first = publish();
    assert_eq!((stable(&to_fast), stable(&to_slow)), (None, None));
    let later = now + LAG_MAX + Duration::from_millis(1);
    fast.delivered(&delivered(1), later);
    assert_eq!(slow.tick(later, false), Ticked::Lagging);
    assert!(first.is_paid(), "nobody waits for the slow one");
    fast.tick(later, false);
    assert_eq!(stable(&to_fast), None, "should this control plane die, the fast one knows of it");
    slow.delivered(&delivered(1), later);
    fast.tick(later, true);
    assert_eq!(stable(&to_fast), None, "others reach more nodes than we know of");
    fast.tick(later, false);
    assert_eq!(stable(&to_fast), Some(1));

    publish();
    assert_eq!((stable(&to_fast), stable(&to_slow)), (None, None));
    fast.delivered(&delivered(2), later);
    slow.delivered(&Delivered { position: 2, refused: vec![2], ..Delivered::default() }, later);
    fast.tick(later, false);
    assert_eq!(stable(&to_fast), None, "who has refused it has it not");
    let later = later + Duration::from_secs(9);
    fast.heard(later);
    fast.tick(later, false);
    assert_eq!(stable(&to_fast), Some(2), "nodes keep it no longer");
}

#[test]
fn who_was_given_up_before_it_was_sent_anything_has_a_gap() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let again = node.attach(&Hello { owner: 1, position: 0, ..Hello::default() }, 1, now);
    assert_eq!(again.unbroken, 1);
    let context = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Some(response)) = node.poll_down(again.number, &context) else { panic!() };
    assert!(matches!(response.down, Some(Down::Welcome(Welcome { gap: true, .. }))));
}

#[test]
fn what_a_node_lacks_that_is_given_up_is_stable_though_its_stream_stands() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let _stream = node.attach(&Hello::default(), 1, now);
    let ack = Ack::new();
    node.push(&event(), 1, now, Some(&Piece::new(&ack, false)));
    ack.pay();
    assert!(!ack.is_everywhere());
    assert_eq!(node.tick(now + GRACE, false), Ticked::Gone);
    assert!(ack.is_everywhere());
}

#[test]
fn what_publishers_no_longer_wait_for_says_how_old_it_is() {
    let now = start();
    let node = Arc::new(Node::new(NodeId("n".into()), BootId(1), now));
    let stream = node.attach(&Hello::default(), 1, now);
    let ack = Ack::new();
    let origin = |push: &dyn Fn()| {
        push();
        let context = Context::from_waker(std::task::Waker::noop());
        loop {
            let Poll::Ready(Some(next)) = node.poll_down(stream.number, &context) else { panic!() };
            if let Some(Down::Dispatch(dispatch)) = next.down {
                return dispatch.events[0].origin;
            }
        }
    };
    let publish =
        || assert!(node.push(&event(), 1, now, Some(&Piece::new(&ack, false))) != Pushed::Lost);
    let relay = || assert!(node.push(&event(), 1, now, None) != Pushed::Lost);
    assert_eq!(origin(&publish), None, "its publisher has not been answered");
    let later = now + LAG_MAX + Duration::from_millis(1);
    assert_eq!(node.tick(later, false), Ticked::Lagging);
    assert!(origin(&publish).is_some());
    assert_eq!(origin(&relay), None, "a client's, for which nobody waits");
}

#[test]
fn what_was_taken_note_of_is_told_at_once() {
    let mut noted = Noted::default();
    let age = |shard, age_ms| ShardAge { shard, age_ms, owner: 0 };
    noted.add(3, &[age(7, 100), age(9, 5)]);
    noted.add(4, &[age(7, 90)]);
    noted.add(4, &[age(9, 8)]);
    let ack = noted.take().unwrap();
    assert_eq!((ack.sequence, ack.dispatched), (4, vec![age(7, 90), age(9, 5)]));
    assert_eq!(noted.take(), None);
}
