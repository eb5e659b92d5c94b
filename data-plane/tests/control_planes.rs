//! A node and two control planes that are reduced to their mouths, over real sockets: a takeover.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::{Args as _, FromArgMatches as _};
use data_plane::{DataPlane, Surroundings, config::Options, identity::Identity};
use futures_util::Stream;
use model::{AppId, ShardId};
use proto::{
    convert,
    internal::{
        AttachRequest, AttachResponse, Claim, Delivered, Dispatch, DispatchedEvent,
        GetChannelRequest, GetChannelResponse, HeartbeatRequest, HeartbeatResponse, Hello,
        ListChannelUsersRequest, ListChannelUsersResponse, ListChannelsRequest,
        ListChannelsResponse, PublishBatchRequest, PublishBatchResponse, PublishRequest,
        PublishResponse, Replica, ShardEpoch, TerminateUserConnectionsRequest,
        TerminateUserConnectionsResponse, Welcome,
        attach_request::Up,
        attach_response::Down,
        dispatch_service_server::{DispatchService, DispatchServiceServer},
    },
    plane::operations::Operations,
    replicas::{Replicas, Seeds},
    watch::AppsReceiver,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_stream::{
    StreamExt as _,
    wrappers::{ReceiverStream, TcpListenerStream},
};
use tonic::{Request, Response, Status, Streaming};

/// One control plane: what it heard, and a way to say something.
#[derive(Clone, Debug)]
struct Mouth {
    owner: u64,
    replicas: Arc<Mutex<Vec<Replica>>>,
    heard: mpsc::Sender<Up>,
    attached: mpsc::Sender<mpsc::Sender<Result<AttachResponse, Status>>>,
    /// What heartbeats said last.
    owners: Arc<Mutex<Vec<u64>>>,
}

struct ControlPlane {
    mouth: Mouth,
    heard: mpsc::Receiver<Up>,
    attached: mpsc::Receiver<mpsc::Sender<Result<AttachResponse, Status>>>,
    address: String,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl ControlPlane {
    async fn start(owner: u64) -> Self {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", tcp.local_addr().unwrap());
        let (says, heard) = mpsc::channel(1_000);
        let (greets, attached) = mpsc::channel(10);
        let mouth = Mouth {
            owner,
            replicas: Arc::default(),
            heard: says,
            attached: greets,
            owners: Arc::default(),
        };
        let service = DispatchServiceServer::new(mouth.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        let serving = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(tcp)));
        Self { mouth, heard, attached, address, serving }
    }

    fn replica(&self) -> Replica {
        let (address, owner) = (self.address.clone(), self.mouth.owner);
        Replica { name: format!("cp-{owner}"), address, owner, eligible: true }
    }

    /// What the node says next that is wanted.
    async fn hear<T>(&mut self, wanted: impl Fn(Up) -> Option<T>) -> T {
        let heard = async {
            loop {
                if let Some(found) = wanted(self.heard.recv().await.unwrap()) {
                    return found;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), heard).await.expect("the node is silent")
    }
}

/// Attaches the node; returns what speaks to it, and its hello.
async fn attach(plane: &mut ControlPlane) -> (mpsc::Sender<Result<AttachResponse, Status>>, Hello) {
    let down = tokio::time::timeout(Duration::from_secs(5), plane.attached.recv()).await;
    let down = down.expect("the node does not attach").unwrap();
    let hello = plane.hear(|up| if let Up::Hello(hello) = up { Some(hello) } else { None }).await;
    let welcome = Welcome { owner: plane.mouth.owner, heartbeat_ms: 250, ..Welcome::default() };
    say(&down, Down::Welcome(welcome)).await;
    plane.hear(|up| matches!(up, Up::SnapshotEnd(_)).then_some(())).await;
    (down, hello)
}

async fn say(to: &mpsc::Sender<Result<AttachResponse, Status>>, down: Down) {
    to.send(Ok(AttachResponse { down: Some(down) })).await.unwrap();
}

fn event((epoch, owner): (u64, u64), id: u128) -> DispatchedEvent {
    let shard = ShardId::of(&AppId::parse("a").unwrap(), "room").number().into();
    DispatchedEvent {
        shard,
        epoch,
        owner,
        message_id: convert::id_bytes(id),
        app_id: "a".into(),
        channel: "room".into(),
        name: "x".into(),
        ..DispatchedEvent::default()
    }
}

fn dispatch(position: u64, event: DispatchedEvent) -> Down {
    Down::Dispatch(Dispatch { position, events: vec![event] })
}

/// Waits until the node has told that it has everything up to this position, and nothing more; what it
/// has refused by then.
async fn hear_up_to(plane: &mut ControlPlane, position: u64) -> Vec<u64> {
    let mut refused = Vec::new();
    loop {
        let told = plane.hear(delivered).await;
        refused.extend(told.refused);
        assert!(told.position <= position, "{} has not been sent", told.position);
        if told.position == position {
            return refused;
        }
    }
}

fn delivered(up: Up) -> Option<Delivered> {
    if let Up::Delivered(delivered) = up { Some(delivered) } else { None }
}

struct Node {
    _running: DataPlane,
    operations: Operations,
}

fn start_node(seed: &str) -> Node {
    let command = Options::augment_args(clap::Command::new("node").no_binary_name(true));
    let options = Options::from_arg_matches(&command.get_matches_from(["--shard-threads=1"]));
    let (_, apps): (_, AppsReceiver) = tokio::sync::watch::channel(None);
    let identity = Identity::new(Some("node".into()));
    let seeds = Seeds::at([seed]).unwrap();
    let replicas = Replicas::start(seeds, identity.caller());
    let surroundings = Surroundings { apps, replicas, identity, trusted_proxy_hops: 0 };
    let operations = Operations::default();
    let running = DataPlane::start(&options.unwrap(), surroundings, &operations).unwrap();
    Node { _running: running, operations }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let reached = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), reached).await.expect(what);
}

#[tokio::test]
async fn one_takes_over_what_another_has_not_seen_through() {
    let (mut first, mut second) = (ControlPlane::start(1).await, ControlPlane::start(2).await);
    let both = vec![first.replica(), second.replica()];
    first.mouth.replicas.lock().unwrap().clone_from(&both);
    second.mouth.replicas.lock().unwrap().clone_from(&both);
    let node = start_node(&first.address);
    let (to_first, hello) = attach(&mut first).await;
    assert!(hello.epochs.is_empty() && hello.owner == 0);
    let (to_second, _) = attach(&mut second).await;
    until("ready", || !node.operations.missing().contains(&"control plane")).await;
    let owners = |plane: &ControlPlane| plane.mouth.owners.lock().unwrap().clone();
    until("both are named", || owners(&first) == [1, 2] && owners(&second) == [1, 2]).await;

    for (position, id) in [(1, 10), (2, 11)] {
        say(&to_first, dispatch(position, event((1, 1), id))).await;
    }
    while first.hear(delivered).await.position < 2 {}
    let shard = event((0, 0), 0).shard;
    let claim = Claim { round: 7, shards: vec![ShardEpoch { shard, epoch: 2, owner: 2 }] };
    say(&to_second, Down::Claim(claim)).await;
    let claimed = second.hear(|up| if let Up::Claimed(it) = up { Some(it) } else { None }).await;
    assert_eq!((claimed.round, claimed.more, claimed.stale.len()), (7, false, 0));
    let told = claimed.events.into_iter().map(|mut event| {
        let origin = event.origin.take().expect("it says where it stood");
        assert_eq!((origin.epoch, origin.owner, origin.serial), (1, 1, event.serial));
        event
    });
    assert_eq!(told.collect::<Vec<_>>(), [event((1, 1), 10), event((1, 1), 11)]);

    say(&to_first, dispatch(3, event((1, 1), 12))).await;
    let refused = first.hear(delivered).await;
    assert_eq!((refused.position, &*refused.refused), (3, &[3][..]));
    assert_eq!(refused.stale, [ShardEpoch { shard, epoch: 2, owner: 2 }]);
    say(&to_second, dispatch(1, event((2, 2), 10))).await;
    let refused = hear_up_to(&mut second, 1).await;
    assert!(refused.is_empty(), "one that comes again is handled");

    // It has given the node up meanwhile, and counts from the beginning.
    for (position, id) in (2..=100).zip(20..) {
        say(&to_second, dispatch(position, event((2, 2), id))).await;
    }
    hear_up_to(&mut second, 100).await;
    drop(to_second);
    let (to_second, hello) = attach(&mut second).await;
    assert_eq!((hello.owner, hello.position), (2, 100));
    hear_up_to(&mut second, 0).await;
    say(&to_second, dispatch(1, event((2, 2), 200))).await;
    hear_up_to(&mut second, 1).await;

    first.serving.abort();
    drop(to_first);
    until("the dead one is not named", || owners(&second) == [2]).await;
}

type Downs = Pin<Box<dyn Stream<Item = Result<AttachResponse, Status>> + Send>>;
type Beats = Pin<Box<dyn Stream<Item = Result<HeartbeatResponse, Status>> + Send>>;

fn nothing<A>() -> Result<Response<A>, Status> {
    Err(Status::unimplemented("no gateways here"))
}

#[tonic::async_trait]
impl DispatchService for Mouth {
    type AttachStream = Downs;

    async fn attach(
        &self,
        request: Request<Streaming<AttachRequest>>,
    ) -> Result<Response<Downs>, Status> {
        let (down, says) = mpsc::channel(100);
        self.attached.send(down).await.unwrap();
        let (mut up, heard) = (request.into_inner(), self.heard.clone());
        tokio::spawn(async move {
            while let Some(Ok(AttachRequest { up: Some(up) })) = up.next().await {
                if heard.send(up).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(says))))
    }

    type HeartbeatStream = Beats;

    async fn heartbeat(
        &self,
        request: Request<Streaming<HeartbeatRequest>>,
    ) -> Result<Response<Beats>, Status> {
        let this = self.clone();
        let answers = request.into_inner().map(move |beat| {
            let HeartbeatRequest { sequence, owners, .. } = beat?;
            *this.owners.lock().unwrap() = owners;
            let replicas = this.replicas.lock().unwrap().clone();
            Ok(HeartbeatResponse { sequence, owner: this.owner, replicas, clock_ms: 0 })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn publish(
        &self,
        _: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        nothing()
    }

    async fn publish_batch(
        &self,
        _: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        nothing()
    }

    async fn list_channels(
        &self,
        _: Request<ListChannelsRequest>,
    ) -> Result<Response<ListChannelsResponse>, Status> {
        nothing()
    }

    async fn get_channel(
        &self,
        _: Request<GetChannelRequest>,
    ) -> Result<Response<GetChannelResponse>, Status> {
        nothing()
    }

    async fn list_channel_users(
        &self,
        _: Request<ListChannelUsersRequest>,
    ) -> Result<Response<ListChannelUsersResponse>, Status> {
        nothing()
    }

    async fn terminate_user_connections(
        &self,
        _: Request<TerminateUserConnectionsRequest>,
    ) -> Result<Response<TerminateUserConnectionsResponse>, Status> {
        nothing()
    }
}
