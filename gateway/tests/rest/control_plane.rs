//! A control plane reduced to its mouth: a real gRPC server that records publishes and says what a
//! test tells it to.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use model::Rejection;
use proto::{
    internal::{
        AttachRequest, AttachResponse, HeartbeatRequest, HeartbeatResponse, PublishRequest,
        PublishResponse,
        dispatch_service_server::{DispatchService, DispatchServiceServer},
    },
    status,
};
use tokio::net::TcpListener;
use tokio_stream::{Empty, wrappers::TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

/// What it does with the next publish.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Response(PublishResponse),
    Rejection(Rejection),
    Nothing,
}

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlPlane {
    published: Arc<Mutex<Vec<PublishRequest>>>,
    says: Arc<Mutex<VecDeque<Says>>>,
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

    /// Adds an answer; without any, a publish is accepted.
    pub(crate) fn say(&self, says: Says) {
        self.says.lock().unwrap().push_back(says);
    }

    /// What was published since the last look.
    pub(crate) fn published(&self) -> Vec<PublishRequest> {
        std::mem::take(&mut *self.published.lock().unwrap())
    }
}

#[tonic::async_trait]
impl DispatchService for ControlPlane {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        self.published.lock().unwrap().push(request.into_inner());
        let says = self.says.lock().unwrap().pop_front();
        match says {
            None => Ok(Response::new(PublishResponse::default())),
            Some(Says::Response(response)) => Ok(Response::new(response)),
            Some(Says::Rejection(rejection)) => Err(status::from_rejection(&rejection)),
            Some(Says::Nothing) => std::future::pending().await,
        }
    }

    async fn publish_batch(
        &self,
        _: Request<proto::internal::PublishBatchRequest>,
    ) -> Result<Response<proto::internal::PublishBatchResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_channels(
        &self,
        _: Request<proto::internal::ListChannelsRequest>,
    ) -> Result<Response<proto::internal::ListChannelsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn get_channel(
        &self,
        _: Request<proto::internal::GetChannelRequest>,
    ) -> Result<Response<proto::internal::GetChannelResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn list_channel_users(
        &self,
        _: Request<proto::internal::ListChannelUsersRequest>,
    ) -> Result<Response<proto::internal::ListChannelUsersResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn terminate_user_connections(
        &self,
        _: Request<proto::internal::TerminateUserConnectionsRequest>,
    ) -> Result<Response<proto::internal::TerminateUserConnectionsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    type AttachStream = Empty<Result<AttachResponse, Status>>;

    async fn attach(
        &self,
        _: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        Err(Status::unimplemented("no nodes here"))
    }

    type HeartbeatStream = Empty<Result<HeartbeatResponse, Status>>;

    async fn heartbeat(
        &self,
        _: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Self::HeartbeatStream>, Status> {
        Err(Status::unimplemented("no nodes here"))
    }
}
