//! A thread's sockets as operators see them.

use std::time::Instant;

use data_plane_core::Session;
use proto::internal::SocketView;

use super::Shard;
use crate::{
    inquiry::{CHANNELS_MAX, Inquiry, newest},
    socket::Socket,
};

impl Shard {
    /// Answers an operator's question for this thread.
    pub(super) fn list(&self, inquiry: &Inquiry, now: Instant) {
        let (app, channel) = (&*inquiry.wanted.app_id, &*inquiry.wanted.channel);
        let mut keys = Vec::new();
        match channel {
            "" => keys = self.keys(),
            _ => drop(self.hub.deliver(app, channel, None, |key| keys.push(key))),
        }
        let found = keys.into_iter().filter_map(|key| {
            let socket = self.sockets.get(key.index as usize)?;
            let session =
                socket.session.as_ref().filter(|_| socket.generation == key.generation)?;
            (session.app().id.as_str() == app).then_some((socket, session))
        });
        let mut found: Vec<_> = found.collect();
        let total = found.len();
        newest(&mut found, inquiry.sockets_max(), |(socket, _)| socket.opened);
        inquiry.say(found.into_iter().map(|one| view(one, now)).collect(), total);
    }
}

fn view((socket, session): (&Socket, &Session), now: Instant) -> SocketView {
    let mut channels: Vec<_> = session.subscriptions().map(|(name, _)| name.as_str()).collect();
    channels.sort_unstable();
    let channels_total = channels.len() as u32;
    channels.truncate(CHANNELS_MAX);
    SocketView {
        socket_id: session.id().to_string(),
        age_ms: now.saturating_duration_since(socket.opened).as_millis() as u64,
        user_id: session.user().map(|user| user.as_str().to_owned()).unwrap_or_default(),
        channels: channels.into_iter().map(str::to_owned).collect(),
        channels_total,
        waiting_bytes: socket.waiting_bytes() as u64,
    }
}
