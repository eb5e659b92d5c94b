//! What a node says on its stream.

use std::sync::Arc;

use model::{AppId, ChannelName, Reason, Rejection, UserId, UserInfo};
use proto::internal::{AttachRequest, Interest, MemberInterest, attach_request::Up};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tonic::Streaming;
use tracing::{info, warn};

use super::Dispatcher;
use crate::{
    node::Attachment,
    shards::{MemberReport, Report, Tell, Wanted},
};

impl Dispatcher {
    /// Reads one node's stream to its end.
    pub(super) async fn read_up(self, attachment: Attachment, mut up: Streaming<AttachRequest>) {
        let node = &attachment.node;
        let reason = loop {
            match up.next().await {
                None => break "the node ended it".to_owned(),
                Some(Err(status)) => break status.message().to_owned(),
                Some(Ok(_)) if !node.is_current(attachment.number) => {
                    break "the node has another one".to_owned();
                }
                Some(Ok(message)) => {
                    if let Some(up) = message.up
                        && let Err(rejection) = self.handle_up(&attachment, up)
                    {
                        break rejection.to_string();
                    }
                }
            }
        };
        info!(node = %node.id, attachment = attachment.number, reason, "stream of a node ended");
        let now = Instant::now().into_std();
        node.detach(attachment.number, now);
        self.nodes.detached();
        // It may have been given up while its last words were heard.
        if self.nodes.get(&node.id.0, node.boot).is_none_or(|known| !Arc::ptr_eq(&known, node)) {
            self.forget(node, None, now);
        }
    }

    fn handle_up(&self, from: &Attachment, up: Up) -> Result<(), Rejection> {
        let now = Instant::now().into_std();
        match up {
            Up::Hello(_) => return Err(Rejection::new(Reason::InvalidInput, "a second hello")),
            Up::Interest(interest) => self.handle_interest(from, interest, now)?,
            Up::SnapshotEnd(_) => {
                from.node.set_snapshot();
                self.nodes.set_eager(&from.node, from.node.is_late());
                self.forget(&from.node, Some(from.number), now);
            }
            Up::ClientEvent(event) => self.relay(&event)?,
            Up::CacheMiss(miss) => self.miss(miss)?,
            Up::Draining(_) => {
                info!(node = %from.node.id, "node shuts down; who leaves it is kept for a while");
                from.node.drain();
            }
            Up::Delivered(delivered) => {
                if from.node.delivered(&delivered, now) {
                    self.metrics.holes.inc();
                    warn!(node = %from.node.id, "node refused what nobody sends again: a gap");
                }
                if !delivered.stale.is_empty() {
                    self.replicas.refused(&delivered.stale, now);
                }
            }
            Up::Sockets(sockets) => self.inquiries.answered(sockets),
            Up::Claimed(claimed) => self.replicas.claimed(&from.node, claimed, now),
        }
        Ok(())
    }

    /// Channels before users: a node hears the roster of a channel before its own users change it.
    fn handle_interest(
        &self,
        from: &Attachment,
        interest: Interest,
        now: std::time::Instant,
    ) -> Result<(), Rejection> {
        let apps = self.apps();
        let report = Report { from, apps: &apps, now };
        let tell: Tell<'_> = &mut |happened| self.tell(happened);
        let mut dispatched = Vec::new();
        for wanted in interest.channels {
            let app = app_id(&wanted.app_id)?;
            let channel = ChannelName::trusted(&wanted.channel);
            let wanted = Wanted {
                subscriptions: wanted.subscriptions,
                linger: wanted.linger,
                watched: wanted.watched,
                since: wanted.since,
            };
            let last = self.shards.set_interest(&report, (&app, &channel), wanted, tell);
            dispatched.extend(last);
        }
        for member in interest.members {
            let app = app_id(&member.app_id)?;
            let channel = ChannelName::trusted(&member.channel);
            let member = member_report(&member)?;
            self.shards.set_member(&report, (&app, &channel), &member, tell);
        }
        for count in interest.connections {
            self.nodes.set_connections(&from.node, app_id(&count.app_id)?, count.connections);
        }
        from.node.acknowledge_interest(interest.sequence, &dispatched);
        Ok(())
    }
}

pub(super) fn app_id(text: &str) -> Result<AppId, Rejection> {
    AppId::parse(text)
        .map_err(|error| Rejection::field(Reason::InvalidInput, "app_id", error.to_string()))
}

fn member_report(member: &MemberInterest) -> Result<MemberReport, Rejection> {
    let user = UserId::trusted(&member.user_id);
    if !member.present {
        return Ok(MemberReport::Absent(user));
    }
    let info: UserInfo = std::str::from_utf8(&member.user_info).map(Arc::from).map_err(|_| {
        Rejection::field(Reason::InvalidInput, "user_info", "user_info is no UTF-8 text")
    })?;
    Ok(MemberReport::Present(user, info, member.since))
}
