use super::*;

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
    hub.subscribe(&app(), &name(channel), key, id)
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
    let mut hub = Hub::new();
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
    let mut hub = Hub::new();
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
    let mut hub = Hub::new();
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
    let mut hub = Hub::new();
    let (key, id) = socket(1);
    let later = SocketKey { generation: 1, ..key };
    hub.subscribe(&app(), &name("a"), key, id);
    assert_eq!(hub.unsubscribe(&app(), &name("a"), later), Unsubscribed::NotThere);
    assert_eq!(hub.unsubscribe(&app(), &name("a"), key), Unsubscribed::Left { subscriptions: 0 });
}

#[test]
fn apps_do_not_hear_each_other() {
    let mut hub = Hub::new();
    let (key, id) = socket(2);
    let other = AppId::parse("other").unwrap();
    subscribe(&mut hub, "a", 1);
    hub.subscribe(&other, &name("a"), key, id);
    confirm(&mut hub, "a");
    assert_eq!(deliver(&hub, "a", None), [1]);
    assert_eq!(hub.deliver("other", "a", None, |_| {}), 0);
    let mut counted: Vec<_> = hub.channels().map(|(app, _, count)| (app.as_str(), count)).collect();
    counted.sort_unstable();
    assert_eq!(counted, [("app", 1), ("other", 1)]);
}

#[test]
fn memory_returns_when_a_crowd_has_left() {
    let mut hub = Hub::new();
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
