//! `PeerService`: what other control planes ask of this one.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use model::AppId;
use proto::{
    internal::{
        Admitted, DispatchedEvent, FollowRequest, FollowResponse, ForwardRequest, ForwardResponse,
        Reach, TapRequest, TapResponse, forward_request::Forwarded,
        peer_service_server::PeerService,
    },
    replicas::age,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{Replicas, discovery::Told};
use crate::{
    ack::Ack,
    dispatch::Dispatcher,
    shards::{Dispatched, Sending},
    tap::{Wanted, elsewhere},
};

/// Time between two states where nothing changes.
const BEAT: Duration = Duration::from_millis(100);
/// Answers that wait for one peer; beyond it nothing more of it is read.
const ANSWERS_MAX: usize = 8_192;

/// The service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Peering {
    /// All control planes.
    pub replicas: Arc<Replicas>,
    /// Takes what is sent on.
    pub dispatcher: Dispatcher,
    /// Who calls is called back.
    pub told: Told,
    /// Ends the streams.
    pub stopped: CancellationToken,
}

/// One stream of states.
struct Follower {
    peering: Peering,
    changes: watch::Receiver<u64>,
    version: Option<u64>,
}

impl Follower {
    async fn next(&mut self) -> FollowResponse {
        if self.version.is_some() {
            // An error says that nothing changes any more; then it is the time that counts.
            let _ = timeout(BEAT, self.changes.changed()).await;
        }
        self.changes.mark_unchanged();
        let demands = self.peering.dispatcher.publisher.demands();
        let (state, version) =
            self.peering.replicas.describe(self.version, demands, Instant::now().into_std());
        self.version = Some(version);
        state
    }
}

#[tonic::async_trait]
impl PeerService for Peering {
    type FollowStream = Pin<Box<dyn Stream<Item = Result<FollowResponse, Status>> + Send>>;

    async fn follow(
        &self,
        request: Request<FollowRequest>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        if let Some(caller) = request.into_inner().caller {
            let _ = self.told.try_send(caller.address);
        }
        let follower =
            Follower { peering: self.clone(), changes: self.replicas.changes(), version: None };
        let states = futures_util::stream::unfold(follower, |mut follower| async move {
            let state = follower.next().await;
            Some((Ok(state), follower))
        });
        let stopped = self.stopped.clone().cancelled_owned();
        Ok(Response::new(Box::pin(futures_util::StreamExt::take_until(states, stopped))))
    }

    type TapStream = Pin<Box<dyn Stream<Item = Result<TapResponse, Status>> + Send>>;

    async fn tap(&self, request: Request<TapRequest>) -> Result<Response<Self::TapStream>, Status> {
        let TapRequest { app_id, channel } = request.into_inner();
        let app = AppId::parse(&app_id).map_err(|_| Status::invalid_argument("app_id"))?;
        let following = self.dispatcher.metrics.taps.follow(Wanted { app, channel });
        let full = || Status::resource_exhausted("as many follow events as may at once");
        let events =
            futures_util::stream::unfold(following.ok_or_else(full)?, |mut following| async move {
                let seen = following.next().await?;
                Some((Ok(elsewhere::response(seen)), following))
            });
        let stopped = self.stopped.clone().cancelled_owned();
        Ok(Response::new(Box::pin(futures_util::StreamExt::take_until(events, stopped))))
    }

    type ForwardStream = ReceiverStream<Result<ForwardResponse, Status>>;

    async fn forward(
        &self,
        request: Request<Streaming<ForwardRequest>>,
    ) -> Result<Response<Self::ForwardStream>, Status> {
        let (answers, stream) = mpsc::channel(ANSWERS_MAX);
        let reading = self.clone().read(request.into_inner(), answers);
        tokio::spawn(self.stopped.clone().run_until_cancelled_owned(reading));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl Peering {
    /// Takes what comes, in order; a place for the answer first.
    async fn read(
        self,
        mut requests: Streaming<ForwardRequest>,
        answers: mpsc::Sender<Result<ForwardResponse, Status>>,
    ) {
        while let Some(Ok(ForwardRequest { id, forwarded, clock_ms })) = requests.next().await {
            match forwarded {
                Some(Forwarded::Admitted(_)) if age::is_stale(clock_ms) => {
                    let Ok(place) = answers.clone().reserve_owned().await else { return };
                    place.send(Ok(answer(id, None)));
                }
                Some(Forwarded::Admitted(admitted)) => {
                    let Ok(place) = answers.clone().reserve_owned().await else { return };
                    let channels: Vec<_> =
                        admitted.events.iter().filter_map(DispatchedEvent::names).collect();
                    let since = Instant::now().into_std();
                    let (ack, reached) = self.dispatch(admitted);
                    let shards = Arc::clone(&self.dispatcher.shards);
                    tokio::spawn(async move {
                        let queued = ack.paid().await;
                        if queued && reached.is_some() {
                            let keys = channels.iter().map(|(app, channel)| (app, channel));
                            keys.for_each(|key| shards.see_through(key, since));
                        }
                        place.send(Ok(answer(id, reached.filter(|_| queued))));
                    });
                }
                Some(Forwarded::Relayed(event)) => self.dispatcher.relay_forwarded(event),
                Some(Forwarded::CacheMiss(miss)) => self.dispatcher.miss_forwarded(miss),
                Some(Forwarded::Cached(event)) => self.keep(&event),
                None => {}
            }
        }
    }

    fn dispatch(&self, admitted: Admitted) -> (Arc<Ack>, Option<Vec<Dispatched>>) {
        let (ack, eager) = (Ack::new(), self.dispatcher.nodes.eager());
        let now = Instant::now().into_std();
        let keepers = Some(&*self.dispatcher.nodes);
        let sending = Sending { eager: &eager, ack: Some(&ack), keepers, now };
        let events = admitted.events.into_iter();
        let reached = events.map(|event| self.dispatcher.publisher.send_one(event, sending));
        let reached = reached.collect();
        ack.pay();
        (ack, reached)
    }

    fn keep(&self, event: &DispatchedEvent) {
        let Some((app, channel)) = event.names() else { return };
        self.dispatcher.shards.keep((&app, &channel), event, Instant::now().into_std());
    }
}

fn answer(id: u64, reached: Option<Vec<Dispatched>>) -> ForwardResponse {
    let refused = reached.is_none();
    let reach = |one: Dispatched| Reach { subscriptions: one.subscriptions, users: one.users };
    let reached = reached.unwrap_or_default().into_iter().map(reach).collect();
    ForwardResponse { id, reached, refused }
}
