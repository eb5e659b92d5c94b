//! `EventService`: backends publish over gRPC.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use model::{App, Draft, MessageIds, Rejection};
use proto::{
    status::from_rejection,
    v1::{
        Event, TriggerEventBatchRequest, TriggerEventBatchResponse, TriggerEventBatchResult,
        TriggerEventRequest, TriggerEventResponse, TriggerEventStreamRequest,
        TriggerEventStreamResponse, event_service_server::EventService,
        trigger_event_stream_response::Outcome,
    },
};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    credentials::{self, Call},
    publisher::{Answer, Pending, Publisher},
};

/// Publishes of one stream that are not answered yet; then the stream is not read further.
const IN_FLIGHT_MAX: usize = 1_024;

/// The public service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    /// Admits and dispatches.
    pub publisher: Publisher,
    /// Names publishes.
    pub message_ids: Arc<MessageIds>,
    /// Whether a peer that is not loopback may send credentials in clear text.
    pub plaintext_allowed: bool,
}

impl Events {
    /// The app of a call, if the call proves to be that app's.
    fn authenticate<T>(
        &self,
        app_id: &str,
        request: &Request<T>,
        (method, signs_body): (&str, bool),
    ) -> Result<Arc<App>, Rejection> {
        let app = self.publisher.known_app(app_id);
        let path = format!("/carillon.v1.EventService/{method}");
        let call = Call {
            path: &path,
            signs_body,
            now: unix_seconds(),
            plaintext_allowed: self.plaintext_allowed,
        };
        let verified = credentials::verify(app.as_ref().ok().map(|app| &**app), request, call);
        // Where there is no such app the caller hears that, as over REST.
        let app = app?;
        verified?;
        self.publisher.app(app.id.as_str())
    }

    fn publish(&self, app: &App, event: Option<Event>) -> Result<Pending, Rejection> {
        let draft = event.map(Draft::from).unwrap_or_default();
        let now = Instant::now().into_std();
        self.publisher.publish(app, draft, self.message_ids.next(), now)
    }

    /// Reads a stream and dispatches as it goes; answers wait in `pending`, in order.
    async fn read_stream(
        self,
        app: Arc<App>,
        first: TriggerEventStreamRequest,
        mut requests: Streaming<TriggerEventStreamRequest>,
        pending: mpsc::Sender<Result<Pending, Rejection>>,
    ) {
        let app_id = app.id.to_string();
        let mut next = Some(first);
        while let Some(request) = next {
            // A place first: when the caller does not read its answers, nothing more is published.
            let Ok(place) = pending.reserve().await else {
                return;
            };
            let named = request.app_id.is_empty() || request.app_id == app_id;
            let published = if named {
                // The app may have been changed since the stream began.
                self.publisher.app(&app_id).and_then(|app| self.publish(&app, request.event))
            } else {
                Err(Rejection::field(
                    model::Reason::InvalidInput,
                    "app_id",
                    format!("app_id must be {app_id:?} throughout this stream, or absent"),
                ))
            };
            place.send(published);
            next = requests.next().await.and_then(Result::ok);
        }
    }
}

fn unix_seconds() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

fn response(answer: Answer) -> TriggerEventResponse {
    TriggerEventResponse { channels: answer.channels, rate_limit: answer.quota.map(Into::into) }
}

async fn stream_response(published: Result<Pending, Rejection>) -> TriggerEventStreamResponse {
    let outcome = match published {
        Ok(pending) => Outcome::Response(response(pending.delivered().await)),
        Err(rejection) => {
            let status = from_rejection(&rejection);
            Outcome::Error(tonic_types::Status {
                code: status.code() as i32,
                message: status.message().to_owned(),
                details: details(&status),
            })
        }
    };
    TriggerEventStreamResponse { outcome: Some(outcome) }
}

/// The details that a status carries in encoded form.
fn details(status: &Status) -> Vec<prost_types::Any> {
    use prost::Message as _;
    tonic_types::Status::decode(status.details()).map(|status| status.details).unwrap_or_default()
}

#[tonic::async_trait]
impl EventService for Events {
    async fn trigger_event(
        &self,
        request: Request<TriggerEventRequest>,
    ) -> Result<Response<TriggerEventResponse>, Status> {
        let app_id = request.get_ref().app_id.clone();
        let published = self
            .authenticate(&app_id, &request, ("TriggerEvent", true))
            .and_then(|app| self.publish(&app, request.into_inner().event))
            .map_err(|rejection| from_rejection(&rejection))?;
        Ok(Response::new(response(published.delivered().await)))
    }

    async fn trigger_event_batch(
        &self,
        request: Request<TriggerEventBatchRequest>,
    ) -> Result<Response<TriggerEventBatchResponse>, Status> {
        let app_id = request.get_ref().app_id.clone();
        let published = self
            .authenticate(&app_id, &request, ("TriggerEventBatch", true))
            .and_then(|app| {
                let drafts = request.into_inner().events.into_iter().map(Draft::from).collect();
                let now = Instant::now().into_std();
                self.publisher.publish_batch(&app, drafts, || self.message_ids.next(), now)
            })
            .map_err(|rejection| from_rejection(&rejection))?;
        let mut batch = TriggerEventBatchResponse::default();
        for pending in published {
            let answer = pending.delivered().await;
            batch.rate_limit = answer.quota.map(Into::into);
            batch.results.push(TriggerEventBatchResult { channels: answer.channels });
        }
        Ok(Response::new(batch))
    }

    async fn send_to_user(
        &self,
        _: Request<proto::v1::SendToUserRequest>,
    ) -> Result<Response<proto::v1::SendToUserResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_channels(
        &self,
        _: Request<proto::v1::ListChannelsRequest>,
    ) -> Result<Response<proto::v1::ListChannelsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn get_channel(
        &self,
        _: Request<proto::v1::GetChannelRequest>,
    ) -> Result<Response<proto::v1::GetChannelResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_channel_users(
        &self,
        _: Request<proto::v1::ListChannelUsersRequest>,
    ) -> Result<Response<proto::v1::ListChannelUsersResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn terminate_user_connections(
        &self,
        _: Request<proto::v1::TerminateUserConnectionsRequest>,
    ) -> Result<Response<proto::v1::TerminateUserConnectionsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    type TriggerEventStreamStream =
        Pin<Box<dyn Stream<Item = Result<TriggerEventStreamResponse, Status>> + Send>>;

    async fn trigger_event_stream(
        &self,
        mut request: Request<Streaming<TriggerEventStreamRequest>>,
    ) -> Result<Response<Self::TriggerEventStreamStream>, Status> {
        let Some(first) = request.get_mut().next().await.transpose()? else {
            return Ok(Response::new(Box::pin(tokio_stream::empty())));
        };
        let app = self
            .authenticate(&first.app_id, &request, ("TriggerEventStream", false))
            .map_err(|rejection| from_rejection(&rejection))?;
        let (sender, receiver) = mpsc::channel(IN_FLIGHT_MAX);
        tokio::spawn(self.clone().read_stream(app, first, request.into_inner(), sender));
        let answers = ReceiverStream::new(receiver).then(stream_response).map(Ok);
        Ok(Response::new(Box::pin(answers)))
    }
}
