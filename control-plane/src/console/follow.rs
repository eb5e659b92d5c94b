//! Follows the events of a channel as they are dispatched, by whichever control plane: server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::{Path, Query, State},
    response::{
        IntoResponse as _, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{Stream, StreamExt as _, stream};
use model::{Reason, Rejection};
use serde::{Deserialize, Serialize};

use super::{Console, answer::refused};
use crate::tap::{
    Following, Seen, Wanted,
    elsewhere::{Elsewhere, Heard},
};

const KEEP_ALIVE: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
pub(super) struct Which {
    channel: String,
}

/// One event, as the page shows it.
#[derive(Serialize)]
struct Shown<'a> {
    channel: &'a str,
    name: &'a str,
    data: &'a str,
    data_bytes: usize,
    tags: &'a Option<model::Tags>,
    message_id: &'a str,
    subscriptions: u32,
    nodes: u32,
    by_client: bool,
    /// Events that came before this one and were not shown.
    missed: u64,
}

pub(super) async fn follow(
    State(console): State<Console>,
    Path(app): Path<String>,
    Query(Which { channel }): Query<Which>,
) -> Response {
    let app = match console.publisher.known_app(&app) {
        Ok(app) => app,
        Err(rejection) => return refused(&rejection),
    };
    let wanted = Wanted { app: app.id.clone(), channel };
    let Some(following) = console.taps.follow(wanted.clone()) else {
        let message = "as many consoles follow events as may at once";
        return refused(&Rejection::new(Reason::RateLimited, message));
    };
    let elsewhere = Elsewhere::open(console.replicas, wanted).await;
    let events = events(following, elsewhere).take_until(console.stopped.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// What this control plane dispatches, and what the others do.
fn events(
    following: Following,
    elsewhere: Elsewhere,
) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    // The first comment says at once that the following has begun.
    let begun = stream::once(async { Ok(sse::Event::default().comment("following")) });
    let seen = stream::unfold(following, |mut following| async {
        let (seen, missed) = following.next().await?;
        Some((Ok(event(&seen, missed)), following))
    });
    let elsewhere = elsewhere.heard().map(|heard| {
        Ok(match heard {
            Heard::Event(seen, missed) => event(&seen, missed),
            Heard::Unheard(names) => unheard(&names),
        })
    });
    begun.chain(stream::select(seen, elsewhere))
}

/// Names the control planes of which nothing is shown; none: all is shown again.
fn unheard(names: &[String]) -> sse::Event {
    let text = serde_json::to_string(names).expect("texts are JSON");
    sse::Event::default().event("unheard").data(text)
}

fn event(seen: &Seen, missed: u64) -> sse::Event {
    let shown = Shown {
        channel: seen.channel.as_str(),
        name: &seen.name,
        data: std::str::from_utf8(&seen.data).unwrap_or_default(),
        data_bytes: seen.data_bytes,
        tags: &seen.tags,
        message_id: &seen.message_id,
        subscriptions: seen.subscriptions,
        nodes: seen.nodes,
        by_client: seen.by_client,
        missed,
    };
    let text = serde_json::to_string(&shown).expect("texts, numbers and maps of text are JSON");
    sse::Event::default().data(text)
}
