//! `EventService`: backends publish and look at channels over gRPC.

use std::{pin::Pin, sync::Arc};

use futures_util::Stream;
use model::{App, Draft, MessageIds, Reason, Rejection};
use prometheus_client::metrics::gauge::Gauge;
use proto::{
    plane::traces::Span,
    status::from_rejection,
    v1::{
        Event, GetChannelRequest, GetChannelResponse, ListChannelUsersRequest,
        ListChannelUsersResponse, ListChannelsRequest, ListChannelsResponse, SendToUserRequest,
        SendToUserResponse, TerminateUserConnectionsRequest, TerminateUserConnectionsResponse,
        TriggerEventBatchRequest, TriggerEventBatchResponse, TriggerEventRequest,
        TriggerEventResponse, TriggerEventStreamRequest, TriggerEventStreamResponse,
        event_service_server::EventService, trigger_event_stream_response::Outcome,
    },
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use crate::{
    credentials::{self, Call},
    publisher::{Pending, Publisher, traced},
    reads::Reads,
};

/// Publishes of one stream that are not answered yet; then the stream is not read further.
const IN_FLIGHT_MAX: usize = 1_024;

/// The public service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events {
    /// Admits and dispatches.
    pub publisher: Publisher,
    /// Answers questions about channels.
    pub reads: Reads,
    /// Names publishes.
    pub message_ids: Arc<MessageIds>,
    /// Whether a peer that is not loopback may send credentials in clear text.
    pub plaintext_allowed: bool,
    /// Publishes of streams that are not answered yet.
    pub in_flight: Gauge,
}

/// A publish of a stream, and its place among those that are not answered yet.
type Published = (Result<Pending<TriggerEventResponse>, Rejection>, InFlight);

/// Counts while it lives.
#[derive(Debug)]
struct InFlight(Gauge);

impl InFlight {
    fn begin(count: &Gauge) -> Self {
        count.inc();
        Self(count.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
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

    /// Answers a unary call, if it proves to be of the app that it names.
    fn answer<T, A>(
        &self,
        request: Request<T>,
        app_id: impl FnOnce(&T) -> &str,
        method: &str,
        answer: impl FnOnce(&App, T) -> Result<A, Rejection>,
    ) -> Result<Response<A>, Status> {
        self.authenticate(app_id(request.get_ref()), &request, (method, true))
            .and_then(|app| answer(&app, request.into_inner()))
            .map(Response::new)
            .map_err(|rejection| from_rejection(&rejection))
    }

    async fn publish(
        &self,
        app: &App,
        event: Option<Event>,
        traceparent: String,
    ) -> Result<Pending<TriggerEventResponse>, Rejection> {
        let draft = Draft { traceparent, ..event.map(Draft::from).unwrap_or_default() };
        self.publisher.publish(app, draft, self.message_ids.next()).await
    }

    /// Reads a stream and dispatches as it goes; answers wait in `pending`, in order.
    async fn read_stream(
        self,
        app: Arc<App>,
        first: TriggerEventStreamRequest,
        mut requests: Streaming<TriggerEventStreamRequest>,
        pending: mpsc::Sender<Published>,
    ) {
        let app_id = app.id.to_string();
        let mut next = Some(first);
        while let Some(request) = next {
            // A place first: when the caller does not read its answers, nothing more is published.
            let Ok(place) = pending.reserve().await else {
                return;
            };
            let named = request.app_id.is_empty() || request.app_id == app_id;
            // The app may have been changed since the stream began.
            let published = match self.publisher.app(&app_id) {
                Ok(app) if named => self.publish(&app, request.event, String::new()).await,
                Ok(_) => Err(Rejection::field(
                    Reason::InvalidInput,
                    "app_id",
                    format!("app_id must be {app_id:?} throughout this stream, or absent"),
                )),
                Err(rejection) => Err(rejection),
            };
            place.send((published, InFlight::begin(&self.in_flight)));
            next = requests.next().await.and_then(Result::ok);
        }
    }
}

/// The trace that a publish of a backend begins, or goes on with.
fn span<T>(request: &Request<T>) -> Span {
    let parent = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
    Span::root("control plane publish", parent)
}

fn unix_seconds() -> u64 {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

async fn stream_response((published, _in_flight): Published) -> TriggerEventStreamResponse {
    let answered = match published {
        Ok(pending) => pending.delivered().await,
        Err(rejection) => Err(rejection),
    };
    let outcome = match answered {
        Ok(response) => Outcome::Response(response),
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
        let span = span(&request);
        let call = async {
            let app_id = &request.get_ref().app_id;
            let app = self.authenticate(app_id, &request, ("TriggerEvent", true))?;
            let event = request.into_inner().event.unwrap_or_default();
            let traceparent = span.traceparent();
            let traced = (self.message_ids.next(), &*traceparent);
            self.publisher.publish_at_home(&app, event, traced).await
        };
        call.await.map(Response::new).map_err(|rejection| from_rejection(&rejection))
    }

    async fn trigger_event_batch(
        &self,
        request: Request<TriggerEventBatchRequest>,
    ) -> Result<Response<TriggerEventBatchResponse>, Status> {
        let span = span(&request);
        let call = async {
            let app_id = &request.get_ref().app_id;
            let app = self.authenticate(app_id, &request, ("TriggerEventBatch", true))?;
            let drafts = traced(request.into_inner().events, &span.traceparent());
            let id = self.message_ids.next();
            self.publisher.publish_batch(&app, drafts, "", id).await?.delivered().await
        };
        call.await.map(Response::new).map_err(|rejection| from_rejection(&rejection))
    }

    async fn send_to_user(
        &self,
        request: Request<SendToUserRequest>,
    ) -> Result<Response<SendToUserResponse>, Status> {
        let span = span(&request);
        let call = async {
            let app_id = &request.get_ref().app_id;
            let app = self.authenticate(app_id, &request, ("SendToUser", true))?;
            let SendToUserRequest { user_id, event, .. } = request.into_inner();
            let mut draft = event.map(Draft::from).unwrap_or_default();
            draft.traceparent = span.traceparent();
            let id = self.message_ids.next();
            self.publisher.send_to_user(&app, &user_id, draft, id).await?.delivered().await
        };
        let answer = call.await.map_err(|rejection| from_rejection(&rejection))?;
        let TriggerEventResponse { channels, rate_limit } = answer;
        Ok(Response::new(SendToUserResponse { channels, rate_limit }))
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        self.answer(
            request,
            |call| &call.app_id,
            "ListChannels",
            |app, call| self.reads.list_channels(app, &call),
        )
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        self.answer(
            request,
            |call| &call.app_id,
            "GetChannel",
            |app, call| self.reads.get_channel(app, &call),
        )
    }

    async fn list_channel_users(
        &self,
        request: Request<ListChannelUsersRequest>,
    ) -> Result<Response<ListChannelUsersResponse>, Status> {
        self.answer(
            request,
            |call| &call.app_id,
            "ListChannelUsers",
            |app, call| self.reads.list_users(app, &call),
        )
    }

    async fn terminate_user_connections(
        &self,
        request: Request<TerminateUserConnectionsRequest>,
    ) -> Result<Response<TerminateUserConnectionsResponse>, Status> {
        let call = async {
            let app_id = &request.get_ref().app_id;
            let app = self.authenticate(app_id, &request, ("TerminateUserConnections", true))?;
            self.publisher.terminate(&app, &request.get_ref().user_id).await
        };
        call.await.map(Response::new).map_err(|rejection| from_rejection(&rejection))
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
