//! One connection's protocol state: what it may do, what it is told, when it is silent for too long.

mod client_event;
mod subscribe;
#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{App, ChannelName, SocketId};
use smallvec::SmallVec;

use self::client_event::Window;
use crate::{
    CloseCode,
    frame::{self, BadFrame, Inbound},
};

/// What all connections of a node have in common.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// A client silent for this long is pinged. Told to clients in whole seconds.
    pub activity_timeout: Duration,
    /// How long it may then take to answer.
    pub pong_timeout: Duration,
}

impl Default for SessionConfig {
    /// Pusher's own numbers.
    fn default() -> Self {
        Self { activity_timeout: Duration::from_secs(120), pong_timeout: Duration::from_secs(30) }
    }
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a frame to the client.
    Send(String),
    /// Put the socket into the channel; [`Session::handle_subscribed`] once that is confirmed.
    Subscribe(ChannelName),
    /// Take the socket out of the channel.
    Unsubscribe(ChannelName),
    /// Publish to the channel's other subscribers. All rules have been applied.
    ClientEvent {
        /// A private or presence channel that the socket is in.
        channel: ChannelName,
        /// Begins with `client-`.
        name: String,
        /// JSON text whose type must be kept; `None` where the client sent no data.
        data: Option<String>,
    },
    /// Close the connection: the code's error frame, then its close frame. Nothing follows.
    Close(CloseCode),
}

/// The protocol state of one connection. There is one per socket, idle or not: its size counts.
#[derive(Debug)]
pub struct Session {
    app: Arc<App>,
    id: SocketId,
    /// When the client last sent a frame of any kind.
    last_activity: Instant,
    /// When the unanswered ping was sent, if one is under way.
    pinged: Option<Instant>,
    client_events: Window,
    /// Sorted. A channel is in from [`Effect::Subscribe`] on, confirmed or not.
    channels: SmallVec<[ChannelName; 2]>,
}

impl Session {
    /// Greets the client.
    pub fn open(
        app: Arc<App>,
        id: SocketId,
        config: &SessionConfig,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let seconds = config.activity_timeout.as_secs();
        effects.push(Effect::Send(frame::connection_established(id, seconds)));
        Self {
            app,
            id,
            last_activity: now,
            pinged: None,
            client_events: Window::new(now),
            channels: SmallVec::new(),
        }
    }

    /// The connection's Pusher name.
    #[must_use]
    pub fn id(&self) -> SocketId {
        self.id
    }

    /// The app it belongs to, with the settings in force.
    #[must_use]
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The channels to leave when the connection ends; those not yet confirmed included.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelName> {
        self.channels.iter()
    }

    /// A text message. A bad one is answered with an error frame and closes nothing.
    pub fn handle_text(&mut self, text: &str, now: Instant, effects: &mut Vec<Effect>) {
        self.handle_activity(now);
        match frame::parse(text) {
            Ok(Inbound::Ping) => effects.push(Effect::Send(frame::pong())),
            Ok(Inbound::Subscribe { channel, auth, channel_data }) => {
                let signed = subscribe::Signed { auth, channel_data };
                effects.push(self.subscribe(&channel, &signed));
            }
            Ok(Inbound::Unsubscribe { channel }) => self.unsubscribe(&channel, effects),
            Ok(Inbound::ClientEvent { name, channel, data }) => {
                effects.push(self.client_event(&name, channel.as_deref(), data, now));
            }
            Ok(Inbound::Signin { .. }) => effects.push(Effect::Send(frame::error(
                CloseCode::Unauthorized.number(),
                "Authentication error: this version of the server has no user sign-in",
            ))),
            Ok(Inbound::Pong | Inbound::Unknown { .. }) => {}
            Err(bad) => effects.push(malformed(&bad)),
        }
    }

    /// A binary message: served if it holds what a text message would.
    pub fn handle_binary(&mut self, message: &[u8], now: Instant, effects: &mut Vec<Effect>) {
        let Ok(text) = std::str::from_utf8(message) else {
            self.handle_activity(now);
            effects.push(malformed(&BadFrame::NotUtf8));
            return;
        };
        self.handle_text(text, now, effects);
    }

    /// Any other sign of life: a WebSocket ping or pong.
    pub fn handle_activity(&mut self, now: Instant) {
        self.last_activity = now;
        self.pinged = None;
    }

    /// The time that [`Session::poll_timeout`] named has come, or not yet: asking early is harmless.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        config: &SessionConfig,
        effects: &mut Vec<Effect>,
    ) {
        if now < self.poll_timeout(config) {
            return;
        }
        if self.pinged.is_some() {
            effects.push(Effect::Close(CloseCode::PongTimeout));
        } else {
            self.pinged = Some(now);
            effects.push(Effect::Send(frame::ping()));
        }
    }

    /// When to look at this session again. It moves with each frame, so nobody needs to be told.
    #[must_use]
    pub fn poll_timeout(&self, config: &SessionConfig) -> Instant {
        match self.pinged {
            Some(pinged) => pinged + config.pong_timeout,
            None => self.last_activity + config.activity_timeout,
        }
    }

    /// The hub serves the channel to this socket. Nothing happens if the client has left it again.
    pub fn handle_subscribed(&mut self, channel: &ChannelName, effects: &mut Vec<Effect>) {
        if let Ok(place) = self.channels.binary_search(channel) {
            // The hub's copy of the name is the one that all its sockets share.
            self.channels[place] = channel.clone();
            effects.push(Effect::Send(frame::subscription_succeeded(channel.as_str())));
        }
    }

    /// The app's settings have changed; `None` where the app is gone. What was allowed stays; new
    /// limits count from the next message on.
    pub fn handle_app(&mut self, app: Option<Arc<App>>, effects: &mut Vec<Effect>) {
        let Some(app) = app.filter(|app| app.key == self.app.key) else {
            effects.push(Effect::Close(CloseCode::UnknownApp));
            return;
        };
        if !app.enabled {
            effects.push(Effect::Close(CloseCode::AppDisabled));
        }
        self.app = app;
    }
}

fn malformed(bad: &BadFrame) -> Effect {
    Effect::Send(frame::error(BadFrame::NUMBER, &bad.to_string()))
}
