//! A control plane, and a node that speaks the protocol of nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Parser;
use control_plane::{
    Cluster, ControlPlane,
    config::Options,
    settings::{self, FileStore, Settings},
};
use model::{Reason, Rejection};
use prost_types::FieldMask;
use proto::{
    convert,
    internal::{
        self, AttachRequest, ChannelInterest, Claimed, Delivered, DispatchedEvent, Hello, Interest,
        MemberInterest, PublishRequest, SnapshotEnd, attach_request::Up, attach_response::Down,
        dispatch_service_client::DispatchServiceClient,
    },
    link::{self, Link},
    plane::operations::Operations,
    status::to_rejection,
    v1::{
        App, AppLimits, Event, EventInfo, GetChannelRequest, TriggerEventRequest,
        TriggerEventResponse, event_service_client::EventServiceClient,
    },
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, transport::Channel};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Shorter than a node's silence that publishers do not wait for.
pub(crate) const MOMENT: Duration = Duration::from_millis(100);

pub(crate) type Internal = DispatchServiceClient<Link>;
pub(crate) type Public = EventServiceClient<Channel>;

#[derive(Parser)]
struct Flags {
    #[command(flatten)]
    options: Options,
}

/// One control plane with the app `a` and one node.
pub(crate) struct Fixture {
    pub(crate) internal: Internal,
    pub(crate) public: Public,
    up: mpsc::Sender<AttachRequest>,
    events: Mutex<mpsc::Receiver<DispatchedEvent>>,
    /// Whether the node acknowledges what it gets.
    acknowledges: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Fixture {
    pub(crate) async fn start(limits: AppLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).await.unwrap();
        let settings = Settings::start(Arc::new(store), settings::Options::default()).await;
        let settings = settings.unwrap();
        let app =
            App { app_id: "a".into(), key: "key".into(), limits: Some(limits), ..App::default() };
        assert!(settings.create_if_new(app, "secret").await.unwrap());
        let options = Flags::parse_from(["test", "--expect-nodes", "1"]).options;
        let control_plane =
            ControlPlane::start(&options, Cluster::default(), settings, &Operations::default());
        let internal = Internal::new(link::local(control_plane.dispatch_service()));
        let public = public(control_plane).await;
        let (up, messages) = mpsc::channel(64);
        let (seen, events) = mpsc::channel(1_024);
        let acknowledges = Arc::new(AtomicBool::new(true));
        let hello =
            Hello { node_id: "n".into(), boot_id: convert::id_bytes(1), ..Hello::default() };
        up.send(AttachRequest { up: Some(Up::Hello(hello)) }).await.unwrap();
        let mut attached = internal.clone();
        let down = attached.attach(ReceiverStream::new(messages)).await.unwrap().into_inner();
        let node = Node { up: up.clone(), seen, acknowledges: Arc::clone(&acknowledges) };
        tokio::spawn(node.read(down));
        let events = Mutex::new(events);
        let fixture = Self { internal, public, up, events, acknowledges, _folder: folder };
        fixture.say(Up::SnapshotEnd(SnapshotEnd {})).await;
        fixture.warm().await;
        fixture
    }

    async fn say(&self, up: Up) {
        self.up.send(AttachRequest { up: Some(up) }).await.unwrap();
    }

    async fn warm(&self) {
        let ready = async {
            while let Err(refused) = self.publish(event(&["nobody"])).await {
                assert_eq!(refused.reason, Reason::Unavailable, "{refused}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.unwrap();
    }

    /// The node has so many subscriptions of each channel from now on.
    pub(crate) async fn subscribe(&self, channels: &[(&str, u32)]) {
        let channels = channels.iter().map(|(channel, subscriptions)| ChannelInterest {
            app_id: "a".into(),
            channel: (*channel).to_owned(),
            subscriptions: *subscriptions,
            since: 1,
            ..ChannelInterest::default()
        });
        let interest =
            Interest { sequence: 1, channels: channels.collect(), ..Interest::default() };
        self.say(Up::Interest(interest)).await;
    }

    /// These users are in a presence channel on the node from now on.
    pub(crate) async fn join(&self, channel: &str, users: &[&str]) {
        let members = users.iter().map(|user| MemberInterest {
            app_id: "a".into(),
            channel: channel.into(),
            user_id: (*user).to_owned(),
            present: true,
            ..MemberInterest::default()
        });
        let interest = Interest { sequence: 1, members: members.collect(), ..Interest::default() };
        self.say(Up::Interest(interest)).await;
    }

    /// Until the channel has so many subscriptions.
    pub(crate) async fn until(&self, channel: &str, subscriptions: u32) {
        let (app_id, channel) = ("a".into(), channel.into());
        let read_mask = Some(FieldMask { paths: vec!["subscription_count".into()] });
        let call = Some(GetChannelRequest { app_id, channel, read_mask });
        let count = async || {
            let request = internal::GetChannelRequest { call: call.clone() };
            let answer = said(self.internal.clone().get_channel(request).await).unwrap();
            answer.answer.unwrap().channel.unwrap().subscription_count
        };
        let reached = async {
            while count().await != Some(subscriptions) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap();
    }

    /// From now on the node keeps its acknowledgements to itself, or does not.
    pub(crate) fn acknowledge(&self, acknowledges: bool) {
        self.acknowledges.store(acknowledges, Ordering::Relaxed);
    }

    /// The next event that reaches the node.
    pub(crate) async fn event(&self) -> DispatchedEvent {
        let mut events = self.events.lock().await;
        loop {
            let event = timeout(PATIENCE, events.recv()).await.unwrap().unwrap();
            let told = event.notice.as_ref().and_then(|notice| notice.notice.as_ref());
            if told.is_none_or(|notice| matches!(notice, internal::notice::Notice::Termination(_)))
            {
                return event;
            }
        }
    }

    /// Nothing more reaches the node.
    pub(crate) async fn nothing(&self) {
        let mut events = self.events.lock().await;
        assert!(timeout(MOMENT, events.recv()).await.is_err());
    }

    pub(crate) async fn publish(&self, event: Event) -> Result<TriggerEventResponse, Rejection> {
        let request = PublishRequest {
            app_id: "a".into(),
            event: Some(event),
            message_id: convert::id_bytes(77),
            traceparent: String::new(),
            forwarded: false,
        };
        let answer = said(self.internal.clone().publish(request).await)?;
        Ok(TriggerEventResponse { channels: answer.channels, rate_limit: answer.rate_limit })
    }

    pub(crate) async fn trigger(&self, event: Event) -> Result<TriggerEventResponse, Rejection> {
        let call = TriggerEventRequest { app_id: "a".into(), event: Some(event) };
        said(self.public.clone().trigger_event(signed(call)).await)
    }
}

/// The node's side of its stream.
struct Node {
    up: mpsc::Sender<AttachRequest>,
    seen: mpsc::Sender<DispatchedEvent>,
    acknowledges: Arc<AtomicBool>,
}

impl Node {
    async fn read(self, mut down: tonic::Streaming<internal::AttachResponse>) {
        while let Some(Ok(message)) = down.next().await {
            let dispatch = match message.down {
                Some(Down::Dispatch(dispatch)) => dispatch,
                Some(Down::Claim(claim)) => {
                    let claimed = Claimed { round: claim.round, ..Claimed::default() };
                    let up = Some(Up::Claimed(claimed));
                    if self.up.send(AttachRequest { up }).await.is_err() {
                        return;
                    }
                    continue;
                }
                Some(_) | None => continue,
            };
            for event in dispatch.events {
                self.seen.send(event).await.unwrap();
            }
            if self.acknowledges.load(Ordering::Relaxed) {
                let delivered = Delivered { position: dispatch.position, ..Delivered::default() };
                let up = Some(Up::Delivered(delivered));
                if self.up.send(AttachRequest { up }).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn public(control_plane: ControlPlane) -> Public {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, control_plane.public_router()).await });
    Public::connect(address).await.unwrap()
}

pub(crate) fn event(channels: &[&str]) -> Event {
    Event {
        name: "e".into(),
        data: Some("1".into()),
        channels: channels.iter().map(|channel| (*channel).to_owned()).collect(),
        ..Event::default()
    }
}

/// With all counts asked for.
pub(crate) fn counted(event: Event) -> Event {
    Event { info: Some(EventInfo { subscription_count: true, user_count: true }), ..event }
}

/// With the credentials of the app `a`.
pub(crate) fn signed<T>(call: T) -> Request<T> {
    let mut request = Request::new(call);
    let basic = format!("Basic {}", STANDARD.encode("key:secret"));
    request.metadata_mut().insert("authorization", basic.parse().unwrap());
    request
}

pub(crate) fn said<T>(answer: Result<Response<T>, Status>) -> Result<T, Rejection> {
    answer.map(Response::into_inner).map_err(|status| to_rejection(&status))
}

/// Refused for this reason, because of this field.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(
    answer: Result<T, Rejection>,
    reason: Reason,
    field: &str,
) -> Rejection {
    let rejection = answer.unwrap_err();
    assert_eq!((rejection.reason, &*rejection.field), (reason, field), "{rejection}");
    rejection
}
