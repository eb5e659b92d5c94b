//! Hands a call to a control plane that answers.

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use model::{Reason, Rejection};
use prometheus_client::metrics::counter::Counter;
use proto::{internal::dispatch_service_client::DispatchServiceClient, link::Link, status};
use tonic::{Response, Status};

/// Bytes of one answer: a page of 10,000 users with the longest ids, and room.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Pauses between rounds in which no control plane took the call.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What calls a control plane.
pub(crate) type Client = DispatchServiceClient<Link>;

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

    /// Calls. While control planes are unavailable it goes round among them with the same request: a
    /// publish or batch carries its message id, so that it is delivered once although two may have
    /// seen it; the other calls may be answered twice.
    pub(crate) async fn call<Q, A, F>(
        &self,
        request: Q,
        rpc: impl Fn(Client, Q) -> F,
    ) -> Result<A, Rejection>
    where
        Q: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut last = None;
        let go_round = self.go_round(|client| rpc(client, request.clone()), &mut last);
        let answered = tokio::time::timeout(self.timeout, go_round).await;
        answered.unwrap_or_else(|_| {
            Err(last.unwrap_or_else(|| {
                let milliseconds = self.timeout.as_millis();
                let message = format!("no control plane answered within {milliseconds} ms");
                Rejection::new(Reason::Unavailable, message)
            }))
        })
    }

    async fn go_round<A, F>(
        &self,
        rpc: impl Fn(Client) -> F,
        last: &mut Option<Rejection>,
    ) -> Result<A, Rejection>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let mut pause = PAUSE_MIN;
        loop {
            for _ in &self.links {
                let turn = self.turn.load(Ordering::Relaxed);
                let link = self.links[turn % self.links.len()].clone();
                let client = Client::new(link).max_decoding_message_size(ANSWER_BYTES_MAX);
                let refused = match rpc(client).await {
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
