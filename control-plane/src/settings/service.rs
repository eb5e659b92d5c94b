//! `SettingsService`: tells gateways and nodes the apps, with their secrets.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use prost::Message as _;
use proto::internal::{
    AppRecord, WatchRequest, WatchResponse, settings_service_server::SettingsService,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tracing::info;

use super::{
    current::{Current, Cursor},
    watchers::Watchers,
    world::Step,
};

/// A watcher hears something at least once a second.
const HEARTBEAT: Duration = Duration::from_millis(900);
/// One message holds no more apps than this,
const MESSAGE_APPS_MAX: usize = 500;
/// and of those no more bytes than this, but for a single app that has more.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// The service.
#[derive(Clone, Debug)]
pub struct SettingsWatch {
    pub(super) current: Arc<Current>,
    pub(super) stopped: CancellationToken,
    pub(super) watchers: Watchers,
}

#[tonic::async_trait]
impl SettingsService for SettingsWatch {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let loaded = self.current.look(|_| ());
        loaded.map_err(|rejection| proto::status::from_rejection(&rejection))?;
        let watcher = request.into_inner().watcher;
        info!(watcher, "settings are watched");
        let watching = self.watchers.enter(watcher);
        let stream = messages(self.current.cursor()).map(move |message| {
            watching.told(message.revision);
            Ok(message)
        });
        let stopped = self.stopped.clone().cancelled_owned();
        Ok(Response::new(stream.take_until(stopped).boxed()))
    }
}

/// Messages as fast as the watcher takes them. One that is slow gets the latest of each app: only
/// the messages of one step are ever in memory.
fn messages(cursor: Cursor) -> impl Stream<Item = WatchResponse> {
    futures_util::stream::unfold((cursor, VecDeque::new()), |(mut cursor, mut queue)| async {
        if queue.is_empty() {
            match tokio::time::timeout(HEARTBEAT, cursor.next()).await {
                Ok(step) => queue.extend(split(step)),
                Err(_) => {
                    let revision = cursor.revision();
                    queue.push_back(WatchResponse { revision, ..WatchResponse::default() });
                }
            }
        }
        let next = queue.pop_front()?;
        Some((next, (cursor, queue)))
    })
}

/// A step in messages of bounded size.
fn split(step: Step) -> Vec<WatchResponse> {
    let message = || WatchResponse {
        revision: step.revision,
        reset: step.reset,
        more: true,
        ..WatchResponse::default()
    };
    let mut messages = vec![WatchResponse { removed_app_ids: step.removed, ..message() }];
    let mut bytes = 0;
    for record in step.upserts {
        let size = record.encoded_len();
        let last = messages.last().expect("there is one from the start");
        let full = last.upserts.len() == MESSAGE_APPS_MAX || bytes + size > MESSAGE_BYTES_MAX;
        if full && !last.upserts.is_empty() {
            messages.push(message());
            bytes = 0;
        }
        bytes += size;
        let last = messages.last_mut().expect("there is one from the start");
        last.upserts.push(AppRecord::clone(&record));
    }
    messages.last_mut().expect("there is one from the start").more = false;
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(apps: usize, secret_bytes: usize, expected: &[usize]) {
        let record = AppRecord { current_secret: "x".repeat(secret_bytes), ..AppRecord::default() };
        let step = Step {
            revision: 7,
            reset: true,
            upserts: std::iter::repeat_n(Arc::new(record), apps).collect(),
            removed: vec!["gone".into()],
            ..Step::default()
        };
        let messages = split(step);
        let sizes: Vec<_> = messages.iter().map(|message| message.upserts.len()).collect();
        assert_eq!(sizes, expected);
        let (last, others) = messages.split_last().unwrap();
        assert!(!last.more && others.iter().all(|message| message.more));
        assert!(messages.iter().all(|message| message.reset && message.revision == 7));
        assert_eq!(messages[0].removed_app_ids, ["gone"]);
    }

    #[test]
    fn a_step_is_split_by_apps_and_by_bytes() {
        check(0, 0, &[0]);
        check(500, 10, &[500]);
        check(1_001, 10, &[500, 500, 1]);
        check(3, 400 << 10, &[2, 1]);
        check(2, 2 << 20, &[1, 1]);
    }
}
