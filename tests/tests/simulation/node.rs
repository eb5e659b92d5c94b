//! A node in the simulation: the real gate, interest, states and streams. Its one thread and the
//! sockets on it are [`crate::sockets`]'s, for the real ones need a kernel.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use data_plane::{
    control_planes::ControlPlanes,
    identity::Identity,
    inbox::Inbox,
    node::{Node, NodeParts},
    outbox::OutboxLimits,
    socket::SocketLimits,
};
use data_plane_core::{SessionConfig, delta::Numbers};
use model::{BootId, NodeId};
use proto::{plane::operations::Operations, replicas::Replicas};
use tests::chance::Chance;
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{network, recorder::Recorder, settings, sockets::Thread};

/// How long what is in an inbox waits for the thread at most.
const TURN: Duration = Duration::from_millis(2);

/// One node through all its lives; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Its number.
    pub number: usize,
    /// All control planes.
    pub control_planes: &'static [&'static str],
    /// Counts the lives of all nodes.
    pub lives: Arc<AtomicU64>,
    /// Its thread stands still.
    pub stalled: Arc<AtomicBool>,
    /// What happens by chance.
    pub chance: Chance,
    /// Writes down what sockets see.
    pub recorder: Recorder,
}

impl Host {
    /// One life, until it is killed.
    pub(crate) async fn live(self) -> turmoil::Result {
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let (_told, apps) = watch::channel(Some(settings::apps()));
        // Nobody waits for this: the simulation looks into the inbox every so often.
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), mio::Token(0))?;
        let parts = NodeParts {
            inboxes: [Arc::new(Inbox::new(waker))].into(),
            apps,
            limits: SocketLimits {
                message_bytes_max: 1 << 17,
                outbox: OutboxLimits { frames: 1_000, bytes: 1 << 20 },
                thread_bytes_max: 1 << 30,
            },
            session: SessionConfig {
                activity_timeout: Duration::from_secs(120),
                pong_timeout: Duration::from_secs(30),
            },
            drain_window: Duration::from_secs(1),
            sockets_max: 1_000,
            metrics_apps_max: 1,
            numbers: Numbers::new(life),
        };
        let node = Arc::new(Node::new(parts));
        let identity = Identity {
            node: NodeId(format!("node-{}", self.number).into()),
            boot: BootId(u128::from(life)),
        };
        let replicas = Replicas::start(network::seeds(self.control_planes)?, identity.caller());
        let attached = Operations::default().condition("control plane");
        let streams = ControlPlanes::new(Arc::clone(&node), replicas, identity, attached);
        tokio::spawn(streams.run());
        let mut chance = Chance::new(self.chance.clone().below(1 << 30) as u64 + (life << 32));
        let mut thread = Thread::new(node, (self.number, &mut chance), self.recorder.clone());
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            turns.tick().await;
            if !self.stalled.load(Ordering::Relaxed) {
                thread.turn(Instant::now().into_std());
            }
        }
    }
}
