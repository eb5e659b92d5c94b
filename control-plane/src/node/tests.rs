//! The queue to one node: who waits for it, and what becomes of what it has no room for.

use super::*;

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
    assert_eq!(node.push(&event(), 1, now, Some(&ack)), Pushed::Queued);
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
