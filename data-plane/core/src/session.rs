//! One connection's protocol state: what it may do, what it is told, when it is silent for too long.

mod authorization;
mod client_event;
mod effect;
mod identity;
mod pulse;
mod sign_in;
mod subscribe;
mod terms;
#[cfg(test)]
mod tests;
mod user;
mod watchlist;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use model::{App, ChannelKind, ChannelName, MessageLimit, SocketId, UserId};
use smallvec::SmallVec;

use self::{
    authorization::Authorization, identity::Identity, pulse::Pulse, terms::Wishes,
    watchlist::Watchlist, window::Windows,
};
pub use self::{effect::Effect, identity::Member};
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

/// The protocol state of one connection. There is one per socket, idle or not: its size counts.
#[derive(Debug)]
pub struct Session {
    app: Arc<App>,
    id: SocketId,
    pulse: Pulse,
    authorization: Authorization,
    /// From the first one on that counts.
    windows: Option<Box<Windows>>,
    /// Sorted; without the user's own. A channel is in from [`Effect::Subscribe`] on, confirmed or
    /// not.
    channels: SmallVec<[ChannelName; 2]>,
    identity: Option<Box<Identity>>,
    wishes: Option<Box<Wishes>>,
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
            authorization: Authorization::NotDemanded.under(&app, now),
            app,
            id,
            pulse: Pulse::beat(now),
            windows: None,
            channels: SmallVec::new(),
            identity: None,
            wishes: None,
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

    /// The channels to leave when the connection ends, each with whom the client is there if it is
    /// a presence channel; those not yet confirmed included, the user's own not.
    pub fn subscriptions(&self) -> impl Iterator<Item = (&ChannelName, Option<&UserId>)> {
        self.channels.iter().map(|channel| (channel, self.membership(channel.as_str())))
    }

    /// Whom the connection is signed in as.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.signed_in().map(|user| &user.member.user)
    }

    /// The channel of its user, to be left too when the connection ends; confirmed or not.
    #[must_use]
    pub fn user_channel(&self) -> Option<&ChannelName> {
        self.signed_in().map(|user| &user.channel)
    }

    /// Whom its user watches: nobody any more when the connection ends.
    #[must_use]
    pub fn watched(&self) -> &[UserId] {
        self.watchlist().map_or(&[], Watchlist::users)
    }

    /// A text message. A bad one is answered with an error frame and closes nothing.
    pub fn handle_text(&mut self, text: &str, now: Instant, effects: &mut Vec<Effect>) {
        self.handle_activity(now);
        if let Some(refused) = self.count_message(now) {
            return effects.push(refused);
        }
        match frame::parse(text) {
            Ok(Inbound::Ping) => effects.push(Effect::Send(frame::pong())),
            Ok(Inbound::Subscribe { channel, auth, channel_data, filter, delta }) => {
                let request = subscribe::Request { auth, channel_data, filter, delta };
                self.subscribe(&channel, &request, now, effects);
            }
            Ok(Inbound::Unsubscribe { channel }) => self.unsubscribe(&channel, effects),
            Ok(Inbound::ClientEvent { name, channel, data }) => {
                effects.push(self.client_event(&name, channel.as_deref(), data, now));
            }
            Ok(Inbound::Signin { auth, user_data }) => {
                self.sign_in(auth.as_deref(), user_data, now, effects);
            }
            Ok(Inbound::EnableDeltaCompression { data }) => {
                self.enable_deltas(data.as_deref(), effects);
            }
            Ok(Inbound::DeltaSyncError { channel }) => {
                effects.extend(self.resync(&channel));
            }
            Ok(Inbound::Pong | Inbound::Unknown { .. }) => {}
            Err(bad) => effects.push(malformed(&bad)),
        }
    }

    /// Counts a message; returns what follows if it is one too many, and then it is dropped.
    fn count_message(&mut self, now: Instant) -> Option<Effect> {
        let limit = self.app.limits.messages?;
        let length = Duration::from_secs(limit.window_seconds.into());
        let windows = self.windows.get_or_insert_with(|| Box::new(Windows::new(now)));
        if windows.messages.admit(limit.attempts_max, length, now) {
            return None;
        }
        if limit.terminate {
            return Some(Effect::Close(CloseCode::MessageLimit));
        }
        let MessageLimit { attempts_max, window_seconds, .. } = limit;
        let text = CloseCode::MessageLimit.text();
        let text = format!("{text}: at most {attempts_max} messages in {window_seconds} s");
        Some(Effect::Send(frame::error(CloseCode::MessageLimit.number(), &text)))
    }

    /// A binary message: served if it holds what a text message would.
    pub fn handle_binary(&mut self, message: &[u8], now: Instant, effects: &mut Vec<Effect>) {
        match std::str::from_utf8(message) {
            Ok(text) => self.handle_text(text, now, effects),
            Err(_) => effects.push(Effect::Close(CloseCode::Unsupported)),
        }
    }

    /// Any other sign of life: a WebSocket ping or pong.
    pub fn handle_activity(&mut self, now: Instant) {
        self.pulse = Pulse::beat(now);
    }

    /// The time that [`Session::poll_timeout`] named has come, or not yet: asking early is harmless.
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        config: &SessionConfig,
        effects: &mut Vec<Effect>,
    ) {
        if self.authorization.deadline(&self.app).is_some_and(|deadline| deadline <= now) {
            effects.push(Effect::Close(CloseCode::NotSignedIn));
            return;
        }
        let watchlist = self.user_mut().and_then(|user| user.watchlist.as_mut());
        let told = watchlist.and_then(|watchlist| watchlist.handle_timeout(now));
        effects.extend(told.map(Effect::Send));
        effects.extend(self.pulse.handle_timeout(now, config));
    }

    /// When to look at this session again. It moves with each frame, so nobody needs to be told,
    /// but for the few times when it comes nearer: [`Effect::Wake`].
    #[must_use]
    pub fn poll_timeout(&self, config: &SessionConfig) -> Instant {
        let authorization = self.authorization.deadline(&self.app);
        let watchlist = self.watchlist().and_then(Watchlist::deadline);
        let sooner = authorization.into_iter().chain(watchlist);
        sooner.fold(self.pulse.deadline(config), Instant::min)
    }

    /// The hub serves the channel to this socket: a plain one, or its user's. Nothing happens if the
    /// client has left it again.
    pub fn handle_subscribed(
        &mut self,
        channel: &ChannelName,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if channel.kind() == ChannelKind::User {
            self.confirm_user(channel, now, effects);
        } else if self.share_name(channel) {
            effects.push(Effect::Send(frame::subscription_succeeded(channel.as_str())));
            effects.extend(self.confirm_deltas(channel));
        }
    }

    /// The hub serves the channel to this socket: a presence or cache channel, whose success frame,
    /// and whose last event, the shell has and has sent. Returns whether the client is still in it.
    pub fn handle_joined(&mut self, channel: &ChannelName, effects: &mut Vec<Effect>) -> bool {
        let joined = self.share_name(channel);
        if joined {
            effects.extend(self.confirm_deltas(channel));
        }
        joined
    }

    /// The app's settings have changed; `None` where the app is gone. What was allowed stays; new
    /// limits count from the next message on.
    pub fn handle_app(&mut self, app: Option<Arc<App>>, now: Instant, effects: &mut Vec<Effect>) {
        let Some(app) = app.filter(|app| app.key == self.app.key) else {
            effects.push(Effect::Close(CloseCode::UnknownApp));
            return;
        };
        if !app.enabled {
            effects.push(Effect::Close(CloseCode::AppDisabled));
            return;
        }
        let before = self.authorization.deadline(&self.app);
        self.authorization = self.authorization.under(&app, now);
        let deadline = self.authorization.deadline(&app);
        let sooner = deadline.filter(|deadline| before.is_none_or(|before| *deadline < before));
        effects.extend(sooner.map(Effect::Wake));
        if let Some(user) = self.user_mut().filter(|_| !app.features.watchlist_events) {
            user.watch(Vec::new(), now, effects);
        }
        let before = std::mem::replace(&mut self.app, app);
        self.renew_terms(&before, effects);
    }
}

fn malformed(bad: &BadFrame) -> Effect {
    Effect::Send(frame::error(BadFrame::NUMBER, &bad.to_string()))
}
