//! Finds the other control planes and stays in touch with each.
//!
//! Addresses come from the command line (a host name stands for all its addresses, and is asked again
//! every few seconds), from the store's register, and from peers that call.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proto::{
    internal::{FollowRequest, FollowResponse, peer_service_client::PeerServiceClient},
    link::Link,
    replicas::{Before, Seeds, age::ClockThere},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, timeout},
};
use tokio_stream::StreamExt as _;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};
use tracing::{debug, info};

use super::{Replicas, SILENCE_MAX, forward::Forwarder};
use crate::metrics::DispatchMetrics;

/// Peers at most; more addresses are not called.
const PEERS_MAX: usize = 16;
/// How often names are looked up again.
const LOOKUP: Duration = Duration::from_secs(5);
/// Silence is measured in so many intervals.
const SLICES: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// All holdings in one message.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What looks for peers.
#[derive(Debug)]
pub struct Discovery {
    replicas: Arc<Replicas>,
    metrics: DispatchMetrics,
    seeds: Arc<Seeds>,
    /// Addresses that others have told of.
    told: mpsc::Receiver<String>,
    following: BTreeMap<String, AbortOnDropHandle<()>>,
}

/// Tells [`Discovery`] of addresses; what does not fit is told again.
pub type Told = mpsc::Sender<String>;

impl Discovery {
    /// Will look for the peers at these addresses, and for those it is told of.
    #[must_use]
    pub fn new(replicas: Arc<Replicas>, metrics: DispatchMetrics, seeds: Seeds) -> (Self, Told) {
        let (sender, told) = mpsc::channel(64);
        let seeds = Arc::new(seeds);
        (Self { replicas, metrics, seeds, told, following: BTreeMap::new() }, sender)
    }

    /// Looks until it is dropped.
    pub async fn run(mut self) {
        let mut before = Before::default();
        let mut lookups = tokio::time::interval(LOOKUP);
        lookups.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = lookups.tick() => {
                    let first = before.is_empty();
                    let mut addresses = self.seeds.resolve(&mut before).await;
                    addresses.remove(&self.replicas.me.address);
                    if first {
                        self.replicas.will_ask(addresses.len());
                    }
                    for address in addresses {
                        self.follow(address);
                    }
                }
                Some(address) = self.told.recv() => self.follow(address),
            }
        }
    }

    fn follow(&mut self, address: String) {
        self.following.retain(|_, task| !task.is_finished());
        let is_own = address == self.replicas.me.address;
        if is_own || self.following.contains_key(&address) || self.following.len() >= PEERS_MAX {
            return;
        }
        let contact = Contact {
            seeds: Arc::clone(&self.seeds),
            replicas: Arc::clone(&self.replicas),
            metrics: self.metrics.clone(),
            address: address.clone(),
        };
        let task = AbortOnDropHandle::new(tokio::spawn(contact.stay()));
        self.following.insert(address, task);
    }
}

/// The way to one address.
struct Contact {
    seeds: Arc<Seeds>,
    replicas: Arc<Replicas>,
    metrics: DispatchMetrics,
    address: String,
}

impl Contact {
    /// Stays in touch; ends where the address is this control plane's own.
    async fn stay(self) {
        let mut backoff = BACKOFF_MIN;
        let mut asked = false;
        loop {
            let began = Instant::now();
            let ended = match self.seeds.connect(&self.address) {
                Ok(link) => self.follow(link, &mut asked).await,
                Err(error) => Err(Status::invalid_argument(error.to_string())),
            };
            self.asked(&mut asked);
            self.replicas.lost(&self.address, Instant::now().into_std());
            match ended {
                Ok(()) => return debug!(address = self.address, "this address is our own"),
                Err(status) => debug!(address = self.address, reason = status.message(), "no peer"),
            }
            if began.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// The address has answered or failed for the first time.
    fn asked(&self, asked: &mut bool) {
        if !std::mem::replace(asked, true) {
            self.replicas.has_asked();
        }
    }

    /// Follows the peer's state; `Ok` where the peer is this control plane itself.
    async fn follow(&self, link: Link, asked: &mut bool) -> Result<(), Status> {
        let mut client =
            PeerServiceClient::new(link.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let request = FollowRequest { caller: Some(self.replicas.myself()) };
        let opened = timeout(SILENCE_MAX, client.follow(request)).await;
        let mut states = opened.map_err(silent)??.into_inner();
        let first = next(&mut states).await?;
        let now = || Instant::now().into_std();
        let clock = ClockThere::default();
        clock.set(first.clock_ms);
        if !self.replicas.heard(&self.address, first, now()) {
            return Ok(());
        }
        self.asked(asked);
        info!(address = self.address, "another control plane is there");
        let (forwarder, forwarding) =
            Forwarder::open(link.clone(), clock.clone(), self.metrics.clone());
        tokio::pin!(forwarding);
        self.replicas.link(&self.address, link, forwarder);
        self.replicas.look(now());
        loop {
            let state = tokio::select! {
                biased;
                ended = &mut forwarding => return ended.and(Err(Status::unavailable("it ended"))),
                state = next(&mut states) => state?,
            };
            clock.set(state.clock_ms);
            self.replicas.heard(&self.address, state, now());
        }
    }
}

/// The next state, unless the peer is silent for three intervals: so that one in which this process
/// itself stood still does not count for all.
async fn next(states: &mut Streaming<FollowResponse>) -> Result<FollowResponse, Status> {
    for _ in 0..SLICES {
        if let Ok(state) = timeout(SILENCE_MAX / SLICES, states.next()).await {
            return state.ok_or_else(ended)?;
        }
    }
    Err(Status::deadline_exceeded("the peer is silent"))
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::deadline_exceeded("the peer is silent")
}

fn ended() -> Status {
    Status::unavailable("the peer ended the stream")
}
