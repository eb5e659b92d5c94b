//! A control plane reduced to its mouth: a real gRPC server that records what it is asked and says
//! what a test tells it to.

use std::{
    any::Any,
    collections::VecDeque,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use model::Rejection;
use proto::{
    internal::{
        AttachRequest, AttachResponse, GetChannelRequest, GetChannelResponse, HeartbeatRequest,
        HeartbeatResponse, ListChannelUsersRequest, ListChannelUsersResponse, ListChannelsRequest,
        ListChannelsResponse, PublishBatchRequest, PublishBatchResponse, PublishRequest,
        PublishResponse, Replica, TerminateUserConnectionsRequest,
        TerminateUserConnectionsResponse,
        dispatch_service_server::{DispatchService, DispatchServiceServer},
    },
    status,
};
use tokio::net::TcpListener;
use tokio_stream::{Empty, Stream, StreamExt as _, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What it does with the next call.
#[derive(Debug)]
pub(crate) enum Says {
    /// The call's own type of response.
    Answer(Box<dyn Any + Send>),
    Rejection(Rejection),
    Nothing,
}

impl Says {
    pub(crate) fn answer(response: impl Any + Send) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlPlane {
    asked: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
    says: Arc<Mutex<VecDeque<Says>>>,
    /// Whether heartbeats are not answered.
    pub silent: Arc<Mutex<bool>>,
    /// What heartbeats are answered with.
    pub replicas: Arc<Mutex<Vec<Replica>>>,
}

impl ControlPlane {
    /// Serves on a port of its own.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let service = DispatchServiceServer::new(self.clone()).max_decoding_message_size(64 << 20);
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(tcp)));
        address
    }

    /// Its life.
    pub(crate) fn owner(&self) -> u64 {
        Arc::as_ptr(&self.asked) as u64
    }

    /// Adds an answer; without any, a call is answered with the default.
    pub(crate) fn say(&self, says: Says) {
        self.says.lock().unwrap().push_back(says);
    }

    /// The requests of that type since the last look, which must be all there were.
    pub(crate) fn asked<Q: Any>(&self) -> Vec<Q> {
        let asked = std::mem::take(&mut *self.asked.lock().unwrap());
        asked.into_iter().map(|request| *request.downcast().expect("another call")).collect()
    }

    /// What was published since the last look.
    pub(crate) fn published(&self) -> Vec<PublishRequest> {
        self.asked()
    }

    async fn turn<Q: Any + Send, A: Any + Default>(
        &self,
        request: Request<Q>,
    ) -> Result<Response<A>, Status> {
        self.asked.lock().unwrap().push(Box::new(request.into_inner()));
        let says = self.says.lock().unwrap().pop_front();
        match says {
            None => Ok(Response::new(A::default())),
            Some(Says::Answer(answer)) => {
                Ok(Response::new(*answer.downcast().expect("an answer to another call")))
            }
            Some(Says::Rejection(rejection)) => Err(status::from_rejection(&rejection)),
            Some(Says::Nothing) => std::future::pending().await,
        }
    }
}

#[tonic::async_trait]
impl DispatchService for ControlPlane {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        self.turn(request).await
    }

    async fn publish_batch(
        &self,
        request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        self.turn(request).await
    }

    async fn list_channels(
        &self,
        request: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        self.turn(request).await
    }

    async fn get_channel(
        &self,
        request: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        self.turn(request).await
    }

    async fn list_channel_users(
        &self,
        request: Request<ListChannelUsersRequest>,
    ) -> Result<Response<ListChannelUsersResponse>, Status> {
        self.turn(request).await
    }

    async fn terminate_user_connections(
        &self,
        request: Request<TerminateUserConnectionsRequest>,
    ) -> Result<Response<TerminateUserConnectionsResponse>, Status> {
        self.turn(request).await
    }

    type AttachStream = Empty<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        _: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("no nodes here"))
    }

    type HeartbeatStream = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        let this = self.clone();
        let answers = request.into_inner().filter_map(move |beat| {
            let silent = *this.silent.lock().unwrap();
            let owner = this.owner();
            let answer = |beat: HeartbeatRequest| HeartbeatResponse {
                sequence: beat.sequence,
                owner,
                replicas: this.replicas.lock().unwrap().clone(),
                clock_ms: 0,
            };
            (!silent).then(|| beat.map(answer))
        });
        Ok(Response::new(Box::pin(answers)))
    }
}
