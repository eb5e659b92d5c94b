//! What clients say and backends hear of: it goes to the owner of the channel, and nobody is told whether
//! it arrived.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use model::{AppId, ChannelName, Rejection, ShardId, UserId};
use proto::internal::{CacheMiss, ClientEvent, DataForm, DispatchedEvent};
use tokio::time::Instant;

use super::{Dispatcher, up::app_id};
use crate::{
    replicas::forward::Forward,
    shards::{Sending, event},
    webhooks::Happening,
};

/// Events that wait for an owner; when there are more, the oldest are dropped and counted.
const WAITING_MAX: usize = 4_096;

/// Clients' events in shards that nobody owns at present, in order.
#[derive(Debug, Default)]
pub struct Relays {
    waiting: Mutex<VecDeque<DispatchedEvent>>,
}

impl Relays {
    fn waiting(&self) -> MutexGuard<'_, VecDeque<DispatchedEvent>> {
        self.waiting.lock().expect("no code in this module panics while it holds them")
    }
}

impl Dispatcher {
    /// A client's event goes the way of any other.
    pub(super) fn relay(&self, said: &ClientEvent) -> Result<(), Rejection> {
        let app = app_id(&said.app_id)?;
        let channel = ChannelName::trusted(&said.channel);
        let event = event::relayed((&app, &channel), said, self.message_ids.next());
        self.flush_relays();
        if let Some(event) = self.relay_from((&app, &channel), event) {
            self.wait_for_owner(event);
        }
        Ok(())
    }

    /// Another control plane has sent a client's event on to this one, as the owner. Where it is not, the
    /// event has met a change of owners and waits for the end of it.
    pub fn relay_forwarded(&self, event: DispatchedEvent) {
        let Some((app, channel)) = event.names() else { return };
        if let Some(event) = self.dispatch_relayed((&app, &channel), event) {
            self.wait_for_owner(event);
        }
    }

    /// Sends what waits for an owner, as far as there is one.
    pub(super) fn flush_relays(&self) {
        let mut waiting = self.relays.waiting();
        while let Some(event) = waiting.pop_front() {
            let Some((app, channel)) = event.names() else { continue };
            if let Some(event) = self.relay_from((&app, &channel), event) {
                waiting.push_front(event);
                return;
            }
        }
    }

    fn wait_for_owner(&self, event: DispatchedEvent) {
        let mut waiting = self.relays.waiting();
        waiting.push_back(event);
        if waiting.len() > WAITING_MAX {
            waiting.pop_front();
            self.metrics.forwards_dropped.inc();
        }
    }

    /// Dispatches here, or sends on; the event comes back where nobody owns its shard.
    fn relay_from(
        &self,
        key: (&AppId, &ChannelName),
        event: DispatchedEvent,
    ) -> Option<DispatchedEvent> {
        let event = self.dispatch_relayed(key, event)?;
        let Some(owner) = self.replicas.forwarder(ShardId::of(key.0, key.1.as_str())) else {
            return Some(event);
        };
        owner.tell(Forward::Relayed(event));
        None
    }

    fn dispatch_relayed(
        &self,
        (app, channel): (&AppId, &ChannelName),
        event: DispatchedEvent,
    ) -> Option<DispatchedEvent> {
        if self.nodes.are_crowded_by(app) {
            self.metrics.relays_dropped.inc();
            return None;
        }
        let happening = event.excluded.map(|socket| Happening::ClientEvent {
            name: event.name.clone(),
            data: (event.data_form() == DataForm::Json).then(|| event.data.clone()),
            socket: socket.into(),
            user: event.user_id.as_deref().map(UserId::trusted),
        });
        let (eager, now) = (self.nodes.eager(), Instant::now().into_std());
        let sending = Sending { eager: &eager, ack: None, keepers: None, now };
        let seen = self.metrics.taps.look((app, channel), &event);
        match self.shards.dispatch((app, channel), event, sending) {
            Ok(dispatched) => {
                self.metrics.relayed(app, seen, dispatched);
                self.metrics.dispatched.inc_by(dispatched.nodes.into());
                self.metrics.overflowed.inc_by(dispatched.overflowed.into());
                if let Some(happening) = happening {
                    self.webhooks.tell(app, channel, happening);
                }
                None
            }
            Err(event) => Some(*event),
        }
    }

    /// Somebody found nothing in a cache channel: the owner tells backends, once.
    pub(super) fn miss(&self, miss: CacheMiss) -> Result<(), Rejection> {
        let app = app_id(&miss.app_id)?;
        match self.replicas.forwarder(ShardId::of(&app, &miss.channel)) {
            Some(owner) => owner.tell(Forward::CacheMiss(miss)),
            None => self.miss_forwarded(miss),
        }
        Ok(())
    }

    /// This control plane is the owner, or there is none.
    pub fn miss_forwarded(&self, miss: CacheMiss) {
        let Ok(app) = AppId::parse(&miss.app_id) else { return };
        self.webhooks.tell(&app, &ChannelName::trusted(&miss.channel), Happening::CacheMiss);
    }
}
