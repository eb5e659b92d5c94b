//! Publishes to channels that nobody is subscribed to, each to another one.

use std::ops::Range;

use futures_util::{StreamExt as _, stream};
use proto::v1::{TriggerEventStreamRequest, trigger_event_stream_response::Outcome};
use serde_json::json;
use tests::{fleet::Fleet, grpc::event, soon};
use tokio::time::Instant;

use crate::size::say;

/// Under way at once, over REST.
const AT_ONCE: usize = 16;
const KINDS: [&str; 3] = ["", "private-", "presence-"];

fn channel(number: usize) -> String {
    format!("{}nobody-{number}", KINDS[number % KINDS.len()])
}

/// Through the gateway.
pub(crate) async fn over_rest(fleet: &Fleet, numbers: Range<usize>) {
    let backend = fleet.backend(0);
    let publish = |number| {
        let backend = backend.clone();
        let event = json!({ "name": "e", "channel": channel(number), "data": "x" });
        async move { assert_eq!(backend.publish(&event).await.status, 200) }
    };
    stream::iter(numbers).map(publish).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// On one stream to the control plane, which keeps as many under way as it likes.
pub(crate) async fn over_grpc(fleet: &Fleet, numbers: Range<usize>) {
    let (begun, count) = (Instant::now(), numbers.len());
    let mut events = fleet.events();
    let app_id = events.credentials.app_id.clone();
    let requests = stream::iter(numbers.map(move |number| TriggerEventStreamRequest {
        app_id: app_id.clone(),
        event: Some(event(&[&channel(number)], "e", "x")),
    }));
    let request = events.basic(requests);
    let answers = soon("a stream", events.client.trigger_event_stream(request)).await;
    let mut answers = answers.unwrap().into_inner();
    let mut admitted = 0;
    while let Some(answer) = soon("an answer", answers.message()).await.unwrap() {
        assert!(matches!(answer.outcome, Some(Outcome::Response(_))), "{answer:?}");
        admitted += 1;
    }
    assert_eq!(admitted, count);
    let per_second = count as f64 / begun.elapsed().as_secs_f64();
    say(&format!("{count} publishes, {per_second:.0} a second"));
}
