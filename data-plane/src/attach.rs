//! The stream to a control plane: interest up, events down, acknowledgements, heartbeats.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use data_plane_core::CloseCode;
use futures_util::{Stream, StreamExt as _};
use model::{BootId, NodeId};
use proto::{
    convert,
    internal::{
        AttachRequest, AttachResponse, Delivered, Dispatch, Draining, HeartbeatRequest, Hello,
        ShardEpoch, SnapshotEnd, Welcome, attach_request::Up as UpMessage, attach_response::Down,
        dispatch_service_client::DispatchServiceClient,
    },
    link::Link,
    plane::operations::Condition,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tracing::{debug, info, warn};

use crate::{
    deliver::Batch,
    fence::Fence,
    inbox::{Command, Progress},
    interest::{Confirmed, Threads},
    node::Node,
};

const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// Time between heartbeats.
const HEARTBEAT: Duration = Duration::from_millis(250);
/// A control plane that answers no heartbeat for this long has stopped, whatever TCP says.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How often waiting and lingering interest is looked at.
const TICK: Duration = Duration::from_millis(50);
/// A message down: a roster may have 32 MiB of what users say of themselves, and their names.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Keeps a node attached to one control plane.
#[derive(Debug)]
pub struct Attachment {
    /// The node.
    pub node: Arc<Node>,
    /// For interest and events.
    pub link: Link,
    /// For heartbeats, so that they do not wait behind events.
    pub heartbeats: Link,
    /// The node's name.
    pub id: NodeId,
    /// This life of the node.
    pub boot: BootId,
    /// Holds once the node has attached: it serves on when the control plane is gone.
    pub attached: Condition,
}

/// Where the last stream was when it ended.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    owner: u64,
    position: u64,
}

impl Attachment {
    /// Attaches, and again after each loss, until it is dropped.
    pub async fn run(self) {
        tokio::join!(self.stay_attached(), self.keep_time());
    }

    async fn stay_attached(&self) {
        let mut fence = Fence::new();
        let mut last = Last::default();
        let mut backoff = BACKOFF_MIN;
        loop {
            let started = Instant::now();
            let ended = self.follow(&mut fence, &mut last).await;
            self.node.metrics.detached.inc();
            self.node.interest().unattach();
            self.node.reports().close();
            let reason = ended.err().map(|status| status.message().to_owned());
            debug!(?reason, "detached from the control plane");
            if started.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self, fence: &mut Fence, last: &mut Last) -> Result<(), Status> {
        let state = Arc::new(UpState::default());
        let up = Up {
            hello: Some(self.hello(fence, *last)),
            node: Arc::clone(&self.node),
            state: Arc::clone(&state),
            reported: 0,
            snapshot_ended: false,
            draining: false,
            delivered: last.position,
        };
        let mut client = DispatchServiceClient::new(self.link.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        let opened = tokio::time::timeout(SILENCE_MAX, client.attach(up)).await;
        let mut down = opened.map_err(silent)??.into_inner();
        let heartbeats = self.beat();
        tokio::pin!(heartbeats);
        let ended = loop {
            tokio::select! {
                biased;
                message = down.next() => match message {
                    None => break Err(Status::unavailable("the control plane ended the stream")),
                    Some(Err(status)) => break Err(status),
                    Some(Ok(AttachResponse { down })) => {
                        if let Some(down) = down {
                            self.handle_down(down, (fence, last), &state);
                        }
                    }
                },
                beaten = &mut heartbeats => break beaten,
            }
        };
        state.end();
        self.node.up.wake();
        ended
    }

    fn hello(&self, fence: &Fence, last: Last) -> Hello {
        Hello {
            node_id: self.id.to_string(),
            boot_id: convert::id_bytes(self.boot.0),
            epochs: fence.seen(),
            owner: last.owner,
            position: last.position,
        }
    }

    fn handle_down(&self, down: Down, (fence, last): (&mut Fence, &mut Last), state: &UpState) {
        match down {
            Down::Welcome(welcome) => {
                *last = Last { owner: welcome.owner, position: welcome.position };
                self.welcome(&welcome, state);
            }
            Down::Dispatch(dispatch) => {
                last.position = dispatch.position;
                self.deliver(dispatch, fence, state);
            }
            Down::InterestAck(ack) => {
                let confirmed = self.node.interest().acknowledge(ack.sequence);
                self.confirm(confirmed);
            }
            Down::Totals(totals) => self.node.interest().set_others(&totals.connections),
        }
    }

    fn welcome(&self, welcome: &Welcome, state: &UpState) {
        let threads = self.node.inboxes.len();
        let up = Arc::clone(&self.node.up);
        let _ = state.progress.set(Progress::new(threads, welcome.position, up));
        info!(owner = welcome.owner, gap = welcome.gap, "attached to the control plane");
        self.attached.set(true);
        self.node.reports().open();
        if welcome.gap {
            self.node.metrics.gaps.inc();
            self.node.interest().renew();
            warn!("events for this node were lost; its subscribed sockets are told to reconnect");
            self.node.tell_all(|| Command::CloseSubscribed(CloseCode::Drain));
        }
    }

    fn deliver(&self, dispatch: Dispatch, fence: &mut Fence, state: &UpState) {
        let Some(progress) = state.progress.get() else {
            return;
        };
        let Dispatch { position, events } = dispatch;
        self.node.metrics.events.inc_by(events.len() as u64);
        let mut batch = Batch::new(&self.node, &events, Instant::now().into_std());
        let threads: Vec<Threads> = {
            let interest = self.node.interest();
            events.iter().map(|event| interest.threads(&event.app_id, &event.channel)).collect()
        };
        for (event, threads) in events.into_iter().zip(threads) {
            match fence.admit(&event) {
                Ok(()) => batch.add(event, threads),
                Err(stale) => {
                    self.node.metrics.stale.inc();
                    state.refuse(stale);
                }
            }
        }
        batch.send(|thread, steps| {
            progress.send(thread, position);
            let command = Command::Deliver(steps, Arc::clone(progress), position);
            self.node.inboxes[thread].push(command);
        });
        progress.receive(position);
    }

    /// Attached or not: who waits for an acknowledgement waits for a bounded time.
    async fn keep_time(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick();
        }
    }

    fn tick(&self) {
        self.confirm(self.node.expire(Instant::now().into_std()));
        self.node.up.wake();
        self.node.metrics.channels.set(self.node.interest().len() as i64);
    }

    fn confirm(&self, confirmed: Vec<Confirmed>) {
        for Confirmed { channel, threads } in confirmed {
            for (thread, inbox) in self.node.inboxes.iter().enumerate() {
                if threads & (1 << thread) != 0 {
                    inbox.push(Command::Confirm(channel.clone()));
                }
            }
        }
    }

    /// Beats until the control plane falls silent.
    async fn beat(&self) -> Result<(), Status> {
        let id = self.id.to_string();
        let boot = convert::id_bytes(self.boot.0);
        let beats = futures_util::stream::unfold(0_u64, move |sequence| {
            let beat = HeartbeatRequest {
                node_id: id.clone(),
                boot_id: boot.clone(),
                sequence,
                draining: false,
            };
            async move {
                if sequence > 0 {
                    tokio::time::sleep(HEARTBEAT).await;
                }
                Some((beat, sequence + 1))
            }
        });
        // Without an end of its own the stream up would outlive this call, answers read or not.
        let ended = CancellationToken::new();
        let beats = beats.take_until(ended.clone().cancelled_owned());
        let _ended = ended.drop_guard();
        let mut client = DispatchServiceClient::new(self.heartbeats.clone());
        let opened = tokio::time::timeout(SILENCE_MAX, client.heartbeat(beats)).await;
        let mut answers = opened.map_err(silent)??.into_inner();
        loop {
            let answer = tokio::time::timeout(SILENCE_MAX, answers.next()).await.map_err(silent)?;
            match answer {
                None => return Err(Status::unavailable("the heartbeats ended")),
                Some(answer) => drop(answer?),
            }
        }
    }
}

fn silent(_: tokio::time::error::Elapsed) -> Status {
    Status::deadline_exceeded("the control plane is silent")
}

/// What the two directions of one stream share.
#[derive(Debug, Default)]
struct UpState {
    progress: OnceLock<Arc<Progress>>,
    rest: Mutex<UpRest>,
}

#[derive(Debug, Default)]
struct UpRest {
    stale: Vec<ShardEpoch>,
    ended: bool,
}

impl UpState {
    fn rest(&self) -> std::sync::MutexGuard<'_, UpRest> {
        self.rest.lock().expect("no holder panics")
    }

    /// A dispatch was refused; the control plane is told with the next acknowledgement. One entry per
    /// shard at most.
    fn refuse(&self, stale: ShardEpoch) {
        let mut rest = self.rest();
        if !rest.stale.iter().any(|other| other.shard == stale.shard) {
            rest.stale.push(stale);
        }
    }

    fn end(&self) {
        self.rest().ended = true;
    }
}

/// The stream up: it is asked for the next message when there is room for one, and looks then.
struct Up {
    hello: Option<Hello>,
    node: Arc<Node>,
    state: Arc<UpState>,
    reported: u64,
    snapshot_ended: bool,
    /// The control plane knows that the node closes its sockets.
    draining: bool,
    delivered: u64,
}

impl Up {
    fn next(&mut self) -> Option<UpMessage> {
        if let Some(hello) = self.hello.take() {
            return Some(UpMessage::Hello(hello));
        }
        if self.node.is_draining() && !std::mem::replace(&mut self.draining, true) {
            return Some(UpMessage::Draining(Draining {}));
        }
        if let Some(report) = self.node.interest().report(self.reported) {
            self.reported = report.sequence;
            return Some(UpMessage::Interest(report));
        }
        if !std::mem::replace(&mut self.snapshot_ended, true) {
            return Some(UpMessage::SnapshotEnd(SnapshotEnd {}));
        }
        if let Some(report) = self.node.reports().pop() {
            return Some(report);
        }
        let delivered = self.state.progress.get()?.delivered();
        let stale = std::mem::take(&mut self.state.rest().stale);
        if delivered > self.delivered || !stale.is_empty() {
            self.delivered = delivered.max(self.delivered);
            return Some(UpMessage::Delivered(Delivered { position: self.delivered, stale }));
        }
        None
    }
}

impl Stream for Up {
    type Item = AttachRequest;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<AttachRequest>> {
        let up = self.get_mut();
        up.node.up.register(context.waker());
        if up.state.rest().ended {
            return Poll::Ready(None);
        }
        match up.next() {
            Some(message) => Poll::Ready(Some(AttachRequest { up: Some(message) })),
            None => Poll::Pending,
        }
    }
}
