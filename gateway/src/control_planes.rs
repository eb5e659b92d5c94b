//! Hands a publish to a control plane that answers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use model::{Reason, Rejection};
use prometheus_client::metrics::counter::Counter;
use proto::{
    internal::{PublishRequest, PublishResponse, dispatch_service_client::DispatchServiceClient},
    link::Link,
    status,
};

/// Pauses between rounds in which no control plane took the publish.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// All control planes, and the one that answered last.
#[derive(Debug)]
pub(crate) struct ControlPlanes {
    links: Vec<Link>,
    turn: AtomicUsize,
    timeout: Duration,
    retries: Counter,
}

impl ControlPlanes {
    pub(crate) fn new(links: Vec<Link>, timeout: Duration, retries: Counter) -> Self {
        Self { links, turn: AtomicUsize::new(0), timeout, retries }
    }

    /// Publishes. While control planes are unavailable it goes round among them; the message id stays
    /// the same, so that the event is delivered once although two may have seen it.
    pub(crate) async fn publish(
        &self,
        request: PublishRequest,
    ) -> Result<PublishResponse, Rejection> {
        let mut last = None;
        let published =
            tokio::time::timeout(self.timeout, self.go_round(&request, &mut last)).await;
        published.unwrap_or_else(|_| {
            Err(last.unwrap_or_else(|| {
                let milliseconds = self.timeout.as_millis();
                let message = format!("no control plane answered within {milliseconds} ms");
                Rejection::new(Reason::Unavailable, message)
            }))
        })
    }

    async fn go_round(
        &self,
        request: &PublishRequest,
        last: &mut Option<Rejection>,
    ) -> Result<PublishResponse, Rejection> {
        let mut pause = PAUSE_MIN;
        loop {
            for _ in &self.links {
                let turn = self.turn.load(Ordering::Relaxed);
                let link = self.links[turn % self.links.len()].clone();
                let answer = DispatchServiceClient::new(link).publish(request.clone()).await;
                let refused = match answer {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(refused) => status::to_rejection(&refused),
                };
                if refused.reason != Reason::Unavailable {
                    return Err(refused);
                }
                *last = Some(refused);
                self.retries.inc();
                // Where another call has moved on already, this one follows it.
                let next = turn.wrapping_add(1);
                let order = Ordering::Relaxed;
                let _ = self.turn.compare_exchange(turn, next, order, order);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
