//! `DispatchService`: gateways publish, nodes attach.

mod calls;
mod clock;
mod relays;
mod up;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use model::{Apps, BootId, MessageIds, OwnerId, Reason, Rejection};
use proto::{
    convert,
    internal::{
        AttachRequest, AttachResponse, GetChannelRequest, GetChannelResponse, HeartbeatRequest,
        HeartbeatResponse, Hello, ListChannelUsersRequest, ListChannelUsersResponse,
        ListChannelsRequest, ListChannelsResponse, PublishBatchRequest, PublishBatchResponse,
        PublishRequest, PublishResponse, TerminateUserConnectionsRequest,
        TerminateUserConnectionsResponse, attach_request::Up,
        dispatch_service_server::DispatchService,
    },
    replicas::age,
    status::from_rejection,
    watch::AppsReceiver,
};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::info;

pub use relays::Relays;

use crate::{
    inquiries::Inquiries,
    metrics::DispatchMetrics,
    node::{Attachment, Node},
    nodes::{Attached, Nodes},
    publisher::Publisher,
    reads::Reads,
    replicas::Replicas,
    shards::{Happened, Shards},
    webhooks::Webhooks,
};

/// The internal service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    /// Admits and dispatches.
    pub publisher: Publisher,
    /// Answers questions about channels.
    pub reads: Reads,
    /// Channels by shard.
    pub shards: Arc<Shards>,
    /// Attached nodes.
    pub nodes: Arc<Nodes>,
    /// All control planes.
    pub replicas: Arc<Replicas>,
    /// What clients say in channels that nobody owns at present.
    pub relays: Arc<Relays>,
    /// The apps' settings.
    pub apps: AppsReceiver,
    /// Tells backends what happens.
    pub webhooks: Webhooks,
    /// What operators ask nodes.
    pub inquiries: Arc<Inquiries>,
    /// Names what clients publish.
    pub message_ids: Arc<MessageIds>,
    /// What is counted.
    pub metrics: DispatchMetrics,
    /// Ends heartbeats.
    pub stopped: CancellationToken,
}

impl Dispatcher {
    fn attach_node(&self, hello: &Hello) -> Result<Attachment, Rejection> {
        if hello.node_id.is_empty() || hello.node_id.len() > 128 {
            let message =
                format!("node_id has {} bytes, allowed are 1 to 128", hello.node_id.len());
            return Err(Rejection::field(Reason::InvalidInput, "node_id", message));
        }
        let boot = boot_id(&hello.boot_id)?;
        let now = Instant::now().into_std();
        let Attached { attachment, replaced } = self.nodes.attach(hello, boot, now);
        if let Some(former) = &replaced {
            former.detach_any(now);
            self.forget(former, None, now);
        }
        self.replicas.greet(&attachment.node, &hello.epochs, now);
        self.metrics.attached.inc();
        info!(node = %attachment.node.id, attachment = attachment.number, "node attached");
        Ok(attachment)
    }

    fn answer(&self, beat: HeartbeatRequest) -> Result<HeartbeatResponse, Rejection> {
        let (owner, replicas) = (self.nodes.owner.0, self.replicas.list());
        let clock_ms = age::clock_ms();
        let answer = HeartbeatResponse { sequence: beat.sequence, owner, replicas, clock_ms };
        if beat.node_id.is_empty() {
            return Ok(answer);
        }
        let boot = boot_id(&beat.boot_id)?;
        if let Some(node) = self.nodes.get(&beat.node_id, boot) {
            let now = Instant::now().into_std();
            node.heard(now);
            if beat.draining {
                node.drain();
            }
            let owners = beat.owners.into_iter().map(OwnerId).collect();
            if node.set_owners(owners, now) {
                self.replicas.look(now);
            }
        }
        Ok(answer)
    }

    /// Drops what a node contributed, but for what it named in the attachment `kept`.
    fn forget(&self, node: &Arc<Node>, kept: Option<u32>, now: std::time::Instant) {
        let apps = self.apps();
        self.shards.forget(node, kept, (&apps, now), &mut |happened| self.tell(happened));
    }

    /// The apps as they are; none before the settings are loaded.
    fn apps(&self) -> Arc<Apps> {
        self.apps.borrow().clone().unwrap_or_default()
    }

    /// Tells backends what happened; it does not wait for them.
    fn tell(&self, Happened { app, channel, what }: Happened) {
        self.webhooks.tell(&app, &channel, what);
    }
}

fn boot_id(bytes: &[u8]) -> Result<BootId, Rejection> {
    convert::id_from_bytes(bytes).map(BootId).ok_or_else(|| {
        let message = format!("boot_id has {} bytes, not 16", bytes.len());
        Rejection::field(Reason::InvalidInput, "boot_id", message)
    })
}

#[tonic::async_trait]
impl DispatchService for Dispatcher {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        fresh(&request)?;
        respond(self.publish_one(request.into_inner()).await)
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        fresh(&request)?;
        respond(self.publish_several(request.into_inner()).await)
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        respond(self.list(request.into_inner()))
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        respond(self.get(request.into_inner()))
    }

    async fn list_channel_users(
        &self,
        request: Request<ListChannelUsersRequest>,
    ) -> Result<Response<ListChannelUsersResponse>, Status> {
        respond(self.users(request.into_inner()))
    }

    async fn terminate_user_connections(
        &self,
        request: Request<TerminateUserConnectionsRequest>,
    ) -> Result<Response<TerminateUserConnectionsResponse>, Status> {
        fresh(&request)?;
        respond(self.terminate(request.into_inner()).await)
    }

    type AttachStream = Down;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Down>, Status> {
        let mut up = request.into_inner();
        let first = tokio::time::timeout(Duration::from_secs(5), up.next()).await;
        let Ok(Some(Ok(AttachRequest { up: Some(Up::Hello(hello)) }))) = first else {
            return Err(Status::invalid_argument("a stream begins with hello"));
        };
        let attachment =
            self.attach_node(&hello).map_err(|rejection| from_rejection(&rejection))?;
        let down = Down { node: Arc::clone(&attachment.node), attachment: attachment.number };
        tokio::spawn(self.clone().read_up(attachment, up));
        Ok(Response::new(down))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let dispatcher = self.clone();
        let answers = request.into_inner().map(move |beat| {
            dispatcher.answer(beat?).map_err(|rejection| from_rejection(&rejection))
        });
        // Without an end of their own they would outlive a shutdown.
        let ended = self.stopped.clone().cancelled_owned();
        Ok(Response::new(Box::pin(futures_util::StreamExt::take_until(answers, ended))))
    }
}

/// A call that arrives long after it was made has been given up, and is made elsewhere by now.
fn fresh<T>(request: &Request<T>) -> Result<(), Status> {
    if !age::is_stale(age::called_ms(request.metadata())) {
        return Ok(());
    }
    let message = "the call arrived more than two seconds after it was made; it may be tried again";
    Err(from_rejection(&Rejection::new(Reason::Unavailable, message)))
}

fn respond<A>(answer: Result<A, Rejection>) -> Result<Response<A>, Status> {
    answer.map(Response::new).map_err(|rejection| from_rejection(&rejection))
}

/// The stream down to one node.
#[derive(Debug)]
pub struct Down {
    node: Arc<Node>,
    attachment: u32,
}

impl Stream for Down {
    type Item = Result<AttachResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.node.poll_down(self.attachment, context).map(|down| down.map(Ok))
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        self.node.detach(self.attachment, Instant::now().into_std());
    }
}
