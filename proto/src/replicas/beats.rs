//! Heartbeats to one address: on a connection of their own, every 250 ms, and at once when there is
//! something new to say.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::debug;

use super::{Caller, Said, Shared};
use crate::{
    internal::{HeartbeatRequest, dispatch_service_client::DispatchServiceClient},
    link::Link,
};

/// Time between heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// A control plane that answers none for this long is silent: nobody waits for it.
pub const SILENT_AFTER: Duration = Duration::from_millis(750);
/// The connection of one that is silent for this long is given up.
pub const LOST_AFTER: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Heartbeats to one address.
pub(super) struct Beats {
    pub shared: Arc<Shared>,
    pub address: String,
    pub link: Link,
    /// In this process: it is silent only when everything is.
    pub local: bool,
}

impl Beats {
    /// Beats until it is dropped.
    pub(super) async fn run(self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            let began = Instant::now();
            let ended = self.follow().await;
            self.shared.lose(&self.address);
            if let Err(status) = ended {
                debug!(address = self.address, reason = status.message(), "heartbeats ended");
            }
            if began.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
            while self.shared.is_duplicate(&self.address) {
                tokio::time::sleep(BACKOFF_MAX).await;
            }
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self) -> Result<(), Status> {
        // Without an end of its own the stream up would outlive this call, answers read or not.
        let ended = CancellationToken::new();
        let beats = beats(self.shared.caller.clone(), self.shared.said.subscribe());
        let beats = beats.take_until(ended.clone().cancelled_owned());
        let _ended = ended.drop_guard();
        let mut client = DispatchServiceClient::new(self.link.clone());
        let opened = timeout(LOST_AFTER, client.heartbeat(beats)).await;
        let mut answers = opened.map_err(silent)??.into_inner();
        loop {
            let answer = match timeout(SILENT_AFTER, answers.next()).await {
                Ok(answer) => answer,
                Err(_) if self.local => continue,
                Err(_) => {
                    self.shared.fall_silent(&self.address);
                    let patience = LOST_AFTER - SILENT_AFTER;
                    timeout(patience, answers.next()).await.map_err(silent)?
                }
            };
            match answer {
                None => return Err(Status::unavailable("the control plane ended them")),
                Some(answer) => self.shared.hear(&self.address, answer?),
            }
            if self.shared.is_duplicate(&self.address) {
                return Err(Status::already_exists("it answers at another address too"));
            }
        }
    }
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::deadline_exceeded("the control plane is silent")
}

/// What is sent: the latest that there is to say, with each beat.
fn beats(caller: Caller, said: watch::Receiver<Said>) -> impl Stream<Item = HeartbeatRequest> {
    futures_util::stream::unfold((0, said), move |(sequence, mut said)| {
        let caller = caller.clone();
        async move {
            if sequence > 0 {
                // At its end, and at once where something has changed.
                let _ = timeout(HEARTBEAT, said.changed()).await;
            }
            let Said { draining, owners } = said.borrow_and_update().clone();
            let Caller { node_id, boot_id } = caller;
            let beat = HeartbeatRequest { node_id, boot_id, sequence, draining, owners };
            Some((beat, (sequence + 1, said)))
        }
    })
}
