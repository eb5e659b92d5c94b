//! The workload that most scenarios share: busy channels, idle sockets, a presence channel, two apps.

use std::{net::SocketAddr, time::Duration};

use serde_json::json;
use tests::{
    arena::Order,
    chaos::{
        listener::{BACK_AFTER, Listener},
        publisher::Publisher,
        run::Run,
    },
};

/// How many control planes there are where a scenario does not care.
pub(crate) const CONTROL_PLANES: usize = 2;
/// The presence channel that some are in.
pub(crate) const CLUB: &str = "presence-club";
/// Sockets in each busy channel, and how often one of them comes and goes.
const LISTENERS: usize = 5;
const RESTLESS: Duration = Duration::from_millis(900);
/// Who publishes into each busy channel: two who do not wait for each other.
const PUBLISHERS: usize = 2;
/// Publishers of idle channels and of the other app are numbered from here on.
pub(crate) const QUIET_NUMBERS: u32 = 1_000;
const EVENT_BYTES: usize = 200;

/// How much is going on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Events per second in all busy channels together.
    pub(crate) rate: u32,
    /// How many busy channels there are.
    pub(crate) channels: usize,
    /// Sockets in channels in which little happens.
    pub(crate) idle: usize,
    /// Users in the presence channel, one socket each.
    pub(crate) members: usize,
    /// How often a publisher tries an event.
    pub(crate) attempts_max: usize,
}

/// Who has come.
#[derive(Clone, Debug)]
pub(crate) struct There {
    /// The busy channels.
    pub(crate) busy: Vec<u32>,
    /// All channels that the first app's sockets are in, for REST to tell.
    pub(crate) channels: Vec<u32>,
}

/// A cluster for crowds: presence channels have room, and counts are asked for and not sent.
pub(crate) fn order(control_planes: usize, gateways: usize, nodes: usize) -> Order {
    Order::of(control_planes, gateways, nodes).app(json!({
        "limits": { "presence_members_max": 2_000, "backend_events_per_second": 100_000 },
        "features": { "subscription_count_events": false },
    }))
}

/// A socket in one channel.
pub(crate) fn listener(nodes: Vec<SocketAddr>, channel: u32, first: usize) -> Listener {
    Listener {
        app: 0,
        user: None,
        channels: vec![channel],
        nodes,
        first,
        restless: None,
        back_after: BACK_AFTER,
    }
}

impl Crowd {
    /// All come, and when everybody has a place publishing begins.
    pub(crate) async fn come(self, run: &mut Run) -> There {
        let there = self.seat(run).await;
        self.talk(run, &there);
        there
    }

    /// All come.
    pub(crate) async fn seat(self, run: &mut Run) -> There {
        let busy = run.channels("busy", self.channels);
        let idle = run.channels("idle", self.idle.div_ceil(10));
        let club = run.scene.channel(CLUB);
        let nodes = run.arena.nodes();
        let listener = |channel: u32, first: usize| listener(nodes.clone(), channel, first);
        for (place, channel) in busy.iter().enumerate() {
            for number in 0..LISTENERS {
                let restless = (number == LISTENERS - 1).then_some(RESTLESS);
                run.listen(Listener { restless, ..listener(*channel, place + number) });
            }
            run.listen(Listener { app: 1, ..listener(*channel, place) });
        }
        for place in 0..self.idle {
            run.listen(listener(idle[place % idle.len()], place));
        }
        for member in 0..self.members {
            let user = Some(member as u32);
            run.listen(Listener { user, ..listener(club, member) });
        }
        run.all_seated().await;
        let mut channels = [&busy[..], &idle[..]].concat();
        channels.push(club);
        There { busy, channels }
    }

    /// Publishing begins.
    pub(crate) fn talk(self, run: &mut Run, there: &There) {
        let publishers = PUBLISHERS * there.busy.len();
        for number in 0..publishers {
            let publisher = Publisher {
                number: number as u32,
                app: 0,
                backends: run.backends(0, number),
                channels: vec![there.busy[number % there.busy.len()]],
                every: Duration::from_secs(1) * publishers as u32 / self.rate,
                attempts_max: self.attempts_max,
                bytes: EVENT_BYTES,
            };
            run.publish(publisher);
        }
        let quiet = |number, app, channels: &[u32], run: &Run| Publisher {
            number: QUIET_NUMBERS + number,
            app,
            backends: run.backends(app, 0),
            channels: channels.to_vec(),
            every: Duration::from_millis(50),
            attempts_max: self.attempts_max,
            bytes: EVENT_BYTES,
        };
        let others = [quiet(0, 0, &there.channels, run), quiet(1, 1, &there.busy, run)];
        others.into_iter().for_each(|publisher| run.publish(publisher));
    }
}
