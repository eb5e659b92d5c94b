//! `DispatchService`: gateways publish, nodes attach.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use model::{AppId, BootId, ChannelName, Draft, Reason, Rejection};
use proto::{
    convert,
    internal::{
        AttachRequest, AttachResponse, HeartbeatRequest, HeartbeatResponse, Hello, Interest,
        PublishRequest, PublishResponse, attach_request::Up,
        dispatch_service_server::DispatchService,
    },
    plane::operations::Condition,
    status::from_rejection,
};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};
use tracing::{info, warn};

use crate::{
    metrics::DispatchMetrics,
    node::Node,
    nodes::{Attached, Nodes},
    publisher::Publisher,
    shards::{Shards, Wanted},
};

/// How often the clock is looked at: lagging nodes, nodes that are gone, totals.
const TICK: Duration = Duration::from_millis(50);

/// The internal service; cheap to clone.
#[derive(Clone, Debug)]
pub struct Dispatcher {
    /// Admits and dispatches.
    pub publisher: Publisher,
    /// Channels by shard.
    pub shards: Arc<Shards>,
    /// Attached nodes.
    pub nodes: Arc<Nodes>,
    /// What is counted.
    pub metrics: DispatchMetrics,
}

impl Dispatcher {
    /// Looks at the clock until the process ends. `warm` holds once `expected` nodes are ready or
    /// `patience` is over.
    pub async fn tick(self, warm: Condition, expected: usize, patience: Duration) {
        let started = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = 0_u32;
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let found = self.nodes.tick(now.into_std());
            for node in &found.lagging {
                self.metrics.lagging.inc();
                warn!(node = %node.id, "node is silent; publishers do not wait for it");
            }
            for node in &found.gone {
                self.metrics.nodes_gone.inc();
                warn!(node = %node.id, "node is gone; its channels and counts are dropped");
                self.shards.forget(node, None);
            }
            let ready = self.nodes.ready();
            if !warm.holds() && (ready >= expected || now - started >= patience) {
                info!(nodes = ready, "ready to publish");
                warm.set(true);
            }
            round = round.wrapping_add(1);
            if round.is_multiple_of(20) {
                self.measure(ready);
            }
        }
    }

    fn measure(&self, ready: usize) {
        let (events, bytes) = self.nodes.depth();
        self.metrics.nodes.set(ready as i64);
        self.metrics.channels.set(self.shards.channels() as i64);
        self.metrics.queued_events.set(events as i64);
        self.metrics.queued_bytes.set(bytes as i64);
        self.publisher.retain_apps();
    }

    fn attach_node(&self, hello: &Hello) -> Result<Attached, Rejection> {
        if hello.node_id.is_empty() || hello.node_id.len() > 128 {
            let message =
                format!("node_id has {} bytes, allowed are 1 to 128", hello.node_id.len());
            return Err(Rejection::field(Reason::InvalidInput, "node_id", message));
        }
        let boot = boot_id(&hello.boot_id)?;
        self.shards.raise_epochs(&hello.epochs);
        let attached = self.nodes.attach(hello, boot, Instant::now().into_std());
        if let Some(former) = &attached.replaced {
            former.detach_any(Instant::now().into_std());
            self.shards.forget(former, None);
        }
        self.metrics.attached.inc();
        info!(node = %attached.node.id, attachment = attached.attachment, "node attached");
        Ok(attached)
    }

    /// Reads one node's stream to its end.
    async fn read_up(self, attached: (Arc<Node>, u32), mut up: Streaming<AttachRequest>) {
        let (node, attachment) = &attached;
        let reason = loop {
            match up.next().await {
                None => break "the node ended it".to_owned(),
                Some(Err(status)) => break status.message().to_owned(),
                Some(Ok(message)) => {
                    if let Some(up) = message.up
                        && let Err(rejection) = self.handle_up(&attached, up)
                    {
                        break rejection.to_string();
                    }
                }
            }
        };
        info!(node = %node.id, attachment, reason, "stream of a node ended");
        node.detach(*attachment, Instant::now().into_std());
    }

    fn handle_up(&self, attached: &(Arc<Node>, u32), up: Up) -> Result<(), Rejection> {
        let (node, attachment) = attached;
        match up {
            Up::Hello(_) => Err(Rejection::new(Reason::InvalidInput, "a second hello")),
            Up::Interest(interest) => self.handle_interest(attached, interest),
            Up::SnapshotEnd(_) => {
                self.nodes.set_eager(node, false);
                self.shards.forget(node, Some(*attachment));
                Ok(())
            }
            Up::ClientEvent(_) | Up::CacheMiss(_) | Up::Draining(_) => Ok(()),
            Up::Delivered(delivered) => {
                self.shards.raise_epochs(&delivered.stale);
                node.delivered(delivered.position, Instant::now().into_std());
                Ok(())
            }
        }
    }

    fn handle_interest(
        &self,
        (node, attachment): &(Arc<Node>, u32),
        interest: Interest,
    ) -> Result<(), Rejection> {
        let app_id = |text: &str| {
            AppId::parse(text).map_err(|error| {
                Rejection::field(Reason::InvalidInput, "app_id", error.to_string())
            })
        };
        for wanted in interest.channels {
            let app = app_id(&wanted.app_id)?;
            let channel = ChannelName::trusted(&wanted.channel);
            let number = Wanted { subscriptions: wanted.subscriptions, linger: wanted.linger };
            self.shards.set_interest((node, *attachment), (&app, &channel), number);
        }
        for count in interest.connections {
            self.nodes.set_connections(node, app_id(&count.app_id)?, count.connections);
        }
        node.acknowledge_interest(interest.sequence);
        Ok(())
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
        let request = request.into_inner();
        let admitted = self.publisher.app(&request.app_id).and_then(|app| {
            let message_id = convert::message_id(&request.message_id)?;
            let draft = request.event.map(Draft::from).unwrap_or_default();
            self.publisher.publish(&app, draft, message_id, Instant::now().into_std())
        });
        let answer = admitted.map_err(|rejection| from_rejection(&rejection))?.delivered().await;
        Ok(Response::new(PublishResponse {
            channels: answer.channels,
            rate_limit: answer.quota.map(Into::into),
        }))
    }

    async fn publish_batch(
        &self,
        _: Request<proto::internal::PublishBatchRequest>,
    ) -> Result<Response<proto::internal::PublishBatchResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_channels(
        &self,
        _: Request<proto::internal::ListChannelsRequest>,
    ) -> Result<Response<proto::internal::ListChannelsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn get_channel(
        &self,
        _: Request<proto::internal::GetChannelRequest>,
    ) -> Result<Response<proto::internal::GetChannelResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn list_channel_users(
        &self,
        _: Request<proto::internal::ListChannelUsersRequest>,
    ) -> Result<Response<proto::internal::ListChannelUsersResponse>, Status> {
        Err(Status::unimplemented("not yet"))
    }

    async fn terminate_user_connections(
        &self,
        _: Request<proto::internal::TerminateUserConnectionsRequest>,
    ) -> Result<Response<proto::internal::TerminateUserConnectionsResponse>, Status> {
        Err(Status::unimplemented("not yet"))
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
        let attached = self.attach_node(&hello).map_err(|rejection| from_rejection(&rejection))?;
        let (node, attachment) = (attached.node, attached.attachment);
        tokio::spawn(self.clone().read_up((Arc::clone(&node), attachment), up));
        Ok(Response::new(Down { node, attachment }))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let (nodes, owner) = (Arc::clone(&self.nodes), self.nodes.owner.0);
        let answers = request.into_inner().map(move |beat| {
            let beat = beat?;
            let boot = boot_id(&beat.boot_id).map_err(|rejection| from_rejection(&rejection))?;
            if let Some(node) = nodes.get(&beat.node_id, boot) {
                node.heard(Instant::now().into_std());
            }
            Ok(HeartbeatResponse { sequence: beat.sequence, owner })
        });
        Ok(Response::new(Box::pin(answers)))
    }
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
