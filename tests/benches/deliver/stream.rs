//! A backend over gRPC: one stream, many publishes under way.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use proto::v1::{TriggerEventStreamRequest, trigger_event_stream_response::Outcome};
use tests::{
    grpc::{Events, event},
    rest::Credentials,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use crate::publish::{CHANNEL, EVENT, payload};

/// Publishes over one stream; returns when all have been answered.
pub(crate) fn publish(
    address: SocketAddr,
    events: u64,
    (under_way, payload_bytes): (usize, usize),
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let backend = Events::new(address, Credentials::default());
        let (requests, stream) = mpsc::channel(under_way);
        let window = Arc::new(Semaphore::new(under_way));
        let permits = Arc::clone(&window);
        let data = payload(payload_bytes);
        tokio::spawn(async move {
            for _ in 0..events {
                let request = TriggerEventStreamRequest {
                    app_id: "app-id".into(),
                    event: Some(event(&[CHANNEL], EVENT, &data)),
                };
                let permit = permits.acquire().await.expect("it is never closed");
                permit.forget();
                if requests.send(request).await.is_err() {
                    return;
                }
            }
        });
        let request = backend.basic(ReceiverStream::new(stream));
        let mut answers = backend.client.clone().trigger_event_stream(request).await?.into_inner();
        let mut answered = 0;
        while let Some(answer) = answers.message().await? {
            window.add_permits(1);
            match answer.outcome.context("an answer says something")? {
                Outcome::Response(_) => answered += 1,
                Outcome::Error(status) => bail!("refused: {}", status.message),
            }
        }
        ensure!(answered == events, "{answered} of {events} were answered");
        Ok(())
    })
}
