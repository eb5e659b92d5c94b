//! The hub against a naive list.

use std::collections::BTreeSet;

use data_plane_core::{Hub, SocketKey, Subscribed, Subscription, Unsubscribed};
use model::{AppId, ChannelName, SocketId};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Subscribe { app: usize, channel: usize, socket: u32 },
    Unsubscribe { app: usize, channel: usize, socket: u32 },
    Confirm { app: usize, channel: usize },
    Deliver { app: usize, channel: usize, excluded: Option<u32> },
}

const APPS: [&str; 2] = ["one", "two"];
const CHANNELS: [&str; 3] = ["a", "b", "private-c"];

fn step() -> impl Strategy<Value = Step> {
    // Enough sockets that channels grow past the size from which they are indexed, and back.
    let place = (0..APPS.len(), 0..CHANNELS.len(), 0..70_u32);
    prop_oneof![
        5 => place.clone().prop_map(|(app, channel, socket)| Step::Subscribe { app, channel, socket }),
        3 => place.clone().prop_map(|(app, channel, socket)| Step::Unsubscribe { app, channel, socket }),
        1 => place.clone().prop_map(|(app, channel, _)| Step::Confirm { app, channel }),
        2 => (place, any::<bool>()).prop_map(|((app, channel, socket), some)| {
            Step::Deliver { app, channel, excluded: some.then_some(socket) }
        }),
    ]
}

/// Crowds come and go: a phase of random steps, then everybody leaves in some order.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let leave_all = Just((0..70_u32).collect::<Vec<_>>()).prop_shuffle().prop_map(|sockets| {
        let leave = |socket| Step::Unsubscribe { app: 0, channel: 0, socket };
        sockets.into_iter().map(leave).collect::<Vec<_>>()
    });
    let enter_all = Just((0..70_u32).collect::<Vec<_>>()).prop_shuffle().prop_map(|sockets| {
        let enter = |socket| Step::Subscribe { app: 0, channel: 0, socket };
        sockets.into_iter().map(enter).collect::<Vec<_>>()
    });
    let some = || prop::collection::vec(step(), 0..150);
    (some(), enter_all, some(), leave_all, some())
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat())
}

fn key(socket: u32) -> SocketKey {
    SocketKey { index: socket, generation: 7 }
}

fn id(socket: u32) -> SocketId {
    SocketId { left: u64::from(socket), right: 1 }
}

/// Who is where, as sets; the first of the pair says whether the channel is confirmed.
#[derive(Default)]
struct Model([[(bool, BTreeSet<u32>); CHANNELS.len()]; APPS.len()]);

impl Model {
    fn subscribe(&mut self, app: usize, channel: usize, socket: u32) -> Subscribed {
        let (confirmed, sockets) = &mut self.0[app][channel];
        let first = sockets.is_empty();
        let added = sockets.insert(socket);
        let subscriptions = sockets.len() as u32;
        match (*confirmed, added) {
            (false, _) => Subscribed::Waiting { first, subscriptions },
            (true, false) => Subscribed::Again,
            (true, true) => {
                let channel = ChannelName::trusted(CHANNELS[channel]);
                Subscribed::Joined { channel, subscriptions }
            }
        }
    }

    fn unsubscribe(&mut self, app: usize, channel: usize, socket: u32) -> Unsubscribed {
        let (confirmed, sockets) = &mut self.0[app][channel];
        if !sockets.remove(&socket) {
            return Unsubscribed::NotThere;
        }
        *confirmed &= !sockets.is_empty();
        Unsubscribed::Left { subscriptions: sockets.len() as u32 }
    }

    fn confirm(&mut self, app: usize, channel: usize) -> BTreeSet<u32> {
        let (confirmed, sockets) = &mut self.0[app][channel];
        if *confirmed || sockets.is_empty() {
            return BTreeSet::new();
        }
        *confirmed = true;
        sockets.clone()
    }

    fn deliver(&self, app: usize, channel: usize, excluded: Option<u32>) -> BTreeSet<u32> {
        let (confirmed, sockets) = &self.0[app][channel];
        let mut reached = if *confirmed { sockets.clone() } else { BTreeSet::new() };
        reached.retain(|socket| Some(*socket) != excluded);
        reached
    }
}

fn run(hub: &mut Hub, model: &mut Model, step: Step) -> Result<(), TestCaseError> {
    let app_id = |app: usize| AppId::parse(APPS[app]).expect("an app id");
    let name = |channel: usize| ChannelName::trusted(CHANNELS[channel]);
    match step {
        Step::Subscribe { app, channel, socket } => {
            let found = hub.subscribe(
                &app_id(app),
                &name(channel),
                Subscription::plain(key(socket), id(socket)),
            );
            prop_assert_eq!(found, model.subscribe(app, channel, socket));
        }
        Step::Unsubscribe { app, channel, socket } => {
            let found = hub.unsubscribe(&app_id(app), &name(channel), key(socket));
            prop_assert_eq!(found, model.unsubscribe(app, channel, socket));
        }
        Step::Confirm { app, channel } => {
            let mut joined = Vec::new();
            hub.confirm(&app_id(app), &name(channel), &mut joined);
            let expected = model.confirm(app, channel);
            prop_assert_eq!(joined.len(), expected.len());
            prop_assert_eq!(joined.iter().map(|key| key.index).collect::<BTreeSet<_>>(), expected);
        }
        Step::Deliver { app, channel, excluded } => {
            let mut reached = Vec::new();
            let pushed = hub.deliver(APPS[app], CHANNELS[channel], excluded.map(id), |key| {
                reached.push(key.index);
            });
            prop_assert_eq!(pushed as usize, reached.len());
            let expected = model.deliver(app, channel, excluded);
            prop_assert_eq!(reached.len(), expected.len());
            prop_assert_eq!(reached.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_hub_does_what_a_list_does(steps in steps()) {
        let (mut hub, mut model) = (Hub::default(), Model::default());
        for step in steps {
            run(&mut hub, &mut model, step)?;
        }
        let mut listed = 0;
        for (app, channel, count) in hub.channels() {
            prop_assert_eq!(count, hub.subscriptions(app.as_str(), channel.as_str()));
            listed += 1;
        }
        let mut occupied = 0;
        for (app, channels) in APPS.iter().zip(&model.0) {
            for (channel, (confirmed, sockets)) in CHANNELS.iter().zip(channels) {
                prop_assert_eq!(hub.subscriptions(app, channel) as usize, sockets.len());
                prop_assert_eq!(hub.is_confirmed(app, channel), *confirmed);
                occupied += usize::from(!sockets.is_empty());
            }
        }
        prop_assert_eq!(listed, occupied);
    }
}
