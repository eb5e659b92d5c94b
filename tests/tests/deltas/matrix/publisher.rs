//! A backend with one gRPC stream.

use proto::v1::{TriggerEventStreamRequest, trigger_event_stream_response::Outcome};
use tests::grpc::Events;
use tokio_stream::StreamExt as _;

use super::message::Message;

/// Publishes in this order; returns when all have been answered.
pub(super) async fn publish(backend: &Events, channel: &str, messages: &[Message]) {
    let requests: Vec<_> = messages
        .iter()
        .map(|message| TriggerEventStreamRequest {
            app_id: backend.credentials.app_id.clone(),
            event: Some(message.event(channel)),
        })
        .collect();
    let expected = requests.len();
    let request = backend.basic(tokio_stream::iter(requests));
    let answers = backend.client.clone().trigger_event_stream(request).await.unwrap();
    let mut answers = answers.into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.next().await {
        let outcome = answer.unwrap().outcome.unwrap();
        assert!(matches!(outcome, Outcome::Response(_)), "{outcome:?}");
        answered += 1;
    }
    assert_eq!(answered, expected, "each publish is answered");
}
