use model::{DeltaAlgorithm, Tags};

use super::*;
use crate::{
    Filter, Terms,
    delta::{DeltaFormat, Numbers, Published},
};

fn app() -> AppId {
    AppId::parse("app").unwrap()
}

fn name(text: &str) -> ChannelName {
    ChannelName::trusted(text)
}

fn socket(index: u32) -> (SocketKey, SocketId) {
    let id = SocketId { left: u64::from(index), right: 1 };
    (SocketKey { index, generation: 0 }, id)
}

fn subscribe(hub: &mut Hub, channel: &str, index: u32) -> Subscribed {
    let (key, id) = socket(index);
    hub.subscribe(&app(), &name(channel), Subscription::plain(key, id))
}

fn unsubscribe(hub: &mut Hub, channel: &str, index: u32) -> Unsubscribed {
    hub.unsubscribe(&app(), &name(channel), socket(index).0)
}

fn confirm(hub: &mut Hub, channel: &str) -> Vec<u32> {
    let mut joined = Vec::new();
    hub.confirm(&app(), &name(channel), &mut joined);
    joined.iter().map(|key| key.index).collect()
}

fn deliver(hub: &Hub, channel: &str, excluded: Option<u32>) -> Vec<u32> {
    let mut reached = Vec::new();
    let excluded = excluded.map(|index| socket(index).1);
    let pushed = hub.deliver("app", channel, excluded, |key| reached.push(key.index));
    assert_eq!(pushed as usize, reached.len());
    reached.sort_unstable();
    reached
}

#[test]
fn nobody_is_served_before_the_channel_is_confirmed() {
    let mut hub = Hub::default();
    let waiting = |first, subscriptions| Subscribed::Waiting { first, subscriptions };
    assert_eq!(subscribe(&mut hub, "a", 1), waiting(true, 1));
    assert_eq!(subscribe(&mut hub, "a", 2), waiting(false, 2));
    assert_eq!(subscribe(&mut hub, "a", 2), waiting(false, 2));
    assert!(!hub.is_confirmed("app", "a"));
    assert_eq!(hub.subscriptions("app", "a"), 2);
    assert!(deliver(&hub, "a", None).is_empty());

    assert_eq!(confirm(&mut hub, "a"), [1, 2]);
    assert!(hub.is_confirmed("app", "a"));
    assert!(confirm(&mut hub, "a").is_empty());
    assert_eq!(deliver(&hub, "a", None), [1, 2]);
    let joined = Subscribed::Joined { channel: name("a"), subscriptions: 3 };
    assert_eq!(subscribe(&mut hub, "a", 3), joined);
    assert_eq!(subscribe(&mut hub, "a", 3), Subscribed::Again);
    assert_eq!(deliver(&hub, "a", Some(2)), [1, 3]);
    assert_eq!(deliver(&hub, "a", Some(9)), [1, 2, 3]);
}

#[test]
fn the_name_is_shared() {
    let mut hub = Hub::default();
    subscribe(&mut hub, "a", 1);
    confirm(&mut hub, "a");
    let Subscribed::Joined { channel, .. } = subscribe(&mut hub, "a", 2) else {
        panic!("not joined")
    };
    let kept = hub.name("app", "a").unwrap();
    assert!(std::ptr::eq(kept.as_str(), channel.as_str()));
    assert_eq!(hub.name("app", "b"), None);
    assert_eq!(hub.name("other", "a"), None);
}

#[test]
fn the_last_to_leave_takes_the_channel_along() {
    let mut hub = Hub::default();
    subscribe(&mut hub, "a", 1);
    subscribe(&mut hub, "a", 2);
    confirm(&mut hub, "a");
    assert_eq!(unsubscribe(&mut hub, "a", 3), Unsubscribed::NotThere);
    assert_eq!(unsubscribe(&mut hub, "b", 1), Unsubscribed::NotThere);
    assert_eq!(unsubscribe(&mut hub, "a", 1), Unsubscribed::Left { subscriptions: 1 });
    assert_eq!(unsubscribe(&mut hub, "a", 1), Unsubscribed::NotThere);
    assert_eq!(unsubscribe(&mut hub, "a", 2), Unsubscribed::Left { subscriptions: 0 });
    assert_eq!(hub.channels().count(), 0);
    assert!(hub.apps.is_empty());
    assert!(!hub.is_confirmed("app", "a"));
    assert!(confirm(&mut hub, "a").is_empty());
    assert_eq!(subscribe(&mut hub, "a", 2), Subscribed::Waiting { first: true, subscriptions: 1 });
}

#[test]
fn a_socket_of_another_generation_is_another_socket() {
    let mut hub = Hub::default();
    let (key, id) = socket(1);
    let later = SocketKey { generation: 1, ..key };
    hub.subscribe(&app(), &name("a"), Subscription::plain(key, id));
    assert_eq!(hub.unsubscribe(&app(), &name("a"), later), Unsubscribed::NotThere);
    assert_eq!(hub.unsubscribe(&app(), &name("a"), key), Unsubscribed::Left { subscriptions: 0 });
}

#[test]
fn apps_do_not_hear_each_other() {
    let mut hub = Hub::default();
    let (key, id) = socket(2);
    let other = AppId::parse("other").unwrap();
    subscribe(&mut hub, "a", 1);
    hub.subscribe(&other, &name("a"), Subscription::plain(key, id));
    confirm(&mut hub, "a");
    assert_eq!(deliver(&hub, "a", None), [1]);
    assert_eq!(hub.deliver("other", "a", None, |_| {}), 0);
    let mut counted: Vec<_> = hub.channels().map(|(app, _, count)| (app.as_str(), count)).collect();
    counted.sort_unstable();
    assert_eq!(counted, [("app", 1), ("other", 1)]);
}

#[test]
fn memory_returns_when_a_crowd_has_left() {
    let mut hub = Hub::default();
    for index in 0..10_000 {
        subscribe(&mut hub, "crowd", index);
        subscribe(&mut hub, &format!("channel-{index}"), index);
    }
    for index in 1..10_000 {
        unsubscribe(&mut hub, "crowd", index);
        unsubscribe(&mut hub, &format!("channel-{index}"), index);
    }
    let channels = &hub.apps["app"];
    assert_eq!(channels.len(), 2);
    assert!(channels.capacity() < 100, "{}", channels.capacity());
    let crowd = &channels["crowd"];
    assert_eq!(crowd.subscribers().len(), 1);
    assert!(crowd.subscribers_capacity() < 100, "{}", crowd.subscribers_capacity());
}

/// A channel with subscribers on all kinds of terms, and what each of them gets.
struct Stage {
    hub: Hub,
    writer: DeltaWriter,
    numbers: Numbers,
}

impl Stage {
    fn new() -> Self {
        let writer = DeltaWriter::new(|frame, _, _| frame.push(b'#'));
        Self { hub: Hub::default(), writer, numbers: Numbers::new(0) }
    }

    fn join(&mut self, index: u32, filter: Option<&str>, delta: Option<DeltaFormat>) {
        let (key, id) = socket(index);
        let filter = filter.map(|value| {
            Filter::parse(&format!(r#"{{"key":"k","cmp":"eq","val":"{value}"}}"#)).unwrap()
        });
        let terms = Terms { filter, delta };
        let deltas = Some(DeltaSettings::default());
        self.hub.subscribe(&app(), &name("a"), Subscription { key, id, terms, deltas });
        self.hub.confirm(&app(), &name("a"), &mut Vec::new());
    }

    /// Publishes with this tag; says who gets a plain, a marked and a delta frame.
    fn publish(&mut self, tag: Option<&str>, excluded: Option<u32>) -> [Vec<u32>; 3] {
        let tags = tag.map(|tag| Tags::from([("k".to_owned(), tag.to_owned())]));
        let data =
            "the same words again and again, so that a difference is worth its while; ".repeat(4);
        let text = crate::frame::event("e", "a", &data, None).into();
        let shared = &self.numbers.next();
        let published =
            Published { name: "e", data: &data, tags: None, delta: None, text: &text, shared };
        let event = Event { published, tags: tags.as_ref() };
        let mut got = [Vec::new(), Vec::new(), Vec::new()];
        let excluded = excluded.map(|index| socket(index).1);
        let names = (app().as_str().to_owned(), "a");
        let count = self.hub.deliver_event(
            (&names.0, names.1),
            (&event, excluded),
            &mut self.writer,
            |key, form| {
                let form = match form {
                    Form::Plain => 0,
                    Form::Own(frame) if frame.windows(12).any(|part| part == b"pusher:delta") => 2,
                    Form::Own(_) => 1,
                };
                got[form].push(key.index);
            },
        );
        got.iter_mut().for_each(|indexes| indexes.sort_unstable());
        assert_eq!(count as usize, got.iter().map(Vec::len).sum::<usize>());
        got
    }
}

const FOSSIL: Option<DeltaFormat> = Some(DeltaFormat::Text(DeltaAlgorithm::Fossil));

#[test]
fn everybody_gets_what_it_wants_in_the_form_that_it_wants() {
    let mut stage = Stage::new();
    stage.join(1, None, None);
    stage.join(2, Some("x"), None);
    stage.join(3, Some("x"), FOSSIL);
    stage.join(4, None, FOSSIL);
    stage.join(5, Some("y"), None);
    assert_eq!(stage.publish(Some("x"), None), [vec![1, 2], vec![3, 4], vec![]]);
    assert_eq!(stage.publish(Some("x"), None), [vec![1, 2], vec![], vec![3, 4]]);
    assert_eq!(stage.publish(Some("y"), None), [vec![1, 5], vec![], vec![4]]);
    assert_eq!(stage.publish(None, Some(1)), [vec![], vec![], vec![4]]);
    // Its base was two events ago, and nobody had been so far behind before.
    assert_eq!(stage.publish(Some("x"), Some(4)), [vec![1, 2], vec![3], vec![]]);
    stage.publish(None, Some(4));
    assert_eq!(stage.publish(Some("x"), Some(4)), [vec![1, 2], vec![], vec![3]]);
    stage.hub.resync(&app(), &name("a"), socket(4).0);
    assert_eq!(stage.publish(None, None), [vec![1], vec![4], vec![]]);
    let mut all = Vec::new();
    assert_eq!(stage.hub.deliver(app().as_str(), "a", None, |key| all.push(key.index)), 5);
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5], "news of the channel is for all");
}

#[test]
fn other_terms_replace_the_ones_before() {
    let mut stage = Stage::new();
    stage.join(1, Some("x"), FOSSIL);
    stage.join(2, Some("x"), FOSSIL);
    stage.join(1, Some("y"), None);
    assert_eq!(stage.publish(Some("y"), None), [vec![1], vec![], vec![]]);
    assert_eq!(stage.publish(Some("x"), None), [vec![], vec![2], vec![]]);
    stage.join(1, None, None);
    assert_eq!(stage.publish(None, None), [vec![1], vec![], vec![]]);
    stage.join(1, None, FOSSIL);
    assert_eq!(stage.publish(None, None), [vec![], vec![1], vec![]]);
    assert_eq!(stage.hub.subscriptions(app().as_str(), "a"), 2);
    for index in [1, 2] {
        stage.hub.unsubscribe(&app(), &name("a"), socket(index).0);
    }
    assert_eq!(stage.hub.channels().count(), 0);
}
