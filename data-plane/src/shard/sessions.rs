//! What sessions decide, done: frames sent, channels joined and left, sockets closed.

use std::{sync::Arc, time::Instant};

use data_plane_core::{CloseCode, Effect, Session, SocketKey, frame};
use model::{App, SocketId};
use proto::internal::{ClientEvent, attach_request::Up};

use super::{CLOSE_TIMEOUT, Shard};
use crate::{outbox::Frame, reports::Full, wire};

impl Shard {
    pub(super) fn open_session(
        &mut self,
        key: SocketKey,
        (app, id): (Arc<App>, SocketId),
        now: Instant,
    ) {
        // The settings may have changed since the upgrade was answered; later changes are told.
        let current = self
            .node
            .apps
            .borrow()
            .as_ref()
            .and_then(|apps| apps.by_key(app.key.as_str()).cloned());
        let app = match current {
            None => return self.close(key, CloseCode::UnknownApp, now),
            Some(app) if !app.enabled => return self.close(key, CloseCode::AppDisabled, now),
            Some(app) => app,
        };
        let limit = app.limits.connections_max;
        if !self.node.interest().connect(&app.id, limit) {
            return self.close(key, CloseCode::ConnectionQuota, now);
        }
        self.node.report();
        let config = self.node.session.clone();
        let mut effects = std::mem::take(&mut self.effects);
        let lane = self.dirty.lane(&app.id);
        let session = Session::open(app, id, &config, now, &mut effects);
        let wake_at = session.poll_timeout(&config);
        if let Some(socket) = self.socket(key) {
            socket.session = Some(session);
            socket.lane = lane;
        }
        self.wake(key, wake_at);
        self.effects = effects;
        self.apply_effects(key, now);
    }

    pub(super) fn handle_text(&mut self, key: SocketKey, text: &str, now: Instant) {
        self.node.metrics.received.inc();
        self.with_session(key, now, |session, effects| session.handle_text(text, now, effects));
    }

    pub(super) fn handle_binary(&mut self, key: SocketKey, bytes: &[u8], now: Instant) {
        self.node.metrics.received.inc();
        self.with_session(key, now, |session, effects| session.handle_binary(bytes, now, effects));
    }

    pub(super) fn handle_alive(&mut self, key: SocketKey, now: Instant) {
        self.with_session(key, now, |session, _| session.handle_activity(now));
    }

    pub(super) fn with_session(
        &mut self,
        key: SocketKey,
        now: Instant,
        decide: impl FnOnce(&mut Session, &mut Vec<Effect>),
    ) {
        let mut effects = std::mem::take(&mut self.effects);
        if let Some(session) = self.socket(key).and_then(|socket| socket.session.as_mut()) {
            decide(session, &mut effects);
        }
        self.effects = effects;
        self.apply_effects(key, now);
    }

    /// Does what a session decided, in its order.
    pub(super) fn apply_effects(&mut self, key: SocketKey, now: Instant) {
        if self.effects.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            match effect {
                Effect::Send(text) => self.send(key, &text, now),
                Effect::Subscribe { channel, member, terms } => {
                    self.subscribe(key, &channel, (member.as_deref(), terms), now);
                }
                Effect::SetTerms { channel, terms } => self.set_terms(key, &channel, terms),
                Effect::Resync(channel) => self.resync(key, &channel),
                Effect::Unsubscribe { channel, user } => {
                    self.unsubscribe(key, &channel, user.as_ref(), now);
                }
                Effect::ClientEvent { channel, name, data, user } => {
                    let event = ClientEvent {
                        app_id: String::new(),
                        channel: channel.to_string(),
                        name,
                        data: data.map(Into::into),
                        socket: None,
                        user_id: user.map(|user| user.to_string()),
                    };
                    self.send_client_event(key, event, now);
                }
                Effect::SignIn(channel) => self.sign_in(key, &channel, now),
                Effect::Watch(users) => self.watch(key, &users, now),
                Effect::Unwatch(users) => {
                    if let Some((app, _)) = self.session_of(key) {
                        self.unwatch(key, &app, &users);
                    }
                }
                Effect::Wake(at) => self.wake_by(key, at),
                Effect::Close(code) => self.close(key, code, now),
            }
        }
        if self.effects.is_empty() {
            self.effects = effects;
        }
    }

    pub(super) fn send(&mut self, key: SocketKey, text: &str, now: Instant) {
        self.send_frame(key, wire::text(text).into(), now);
    }

    pub(super) fn send_frame(&mut self, key: SocketKey, frame: Frame, now: Instant) {
        let limits = self.node.limits;
        let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) else {
            return;
        };
        let pushed = socket.push(Frame::clone(&frame), limits);
        self.ledger.enter(&frame);
        self.mark_dirty(key);
        if pushed.is_err() {
            self.close(key, CloseCode::SlowConsumer, now);
        }
    }

    pub(super) fn mark_dirty(&mut self, key: SocketKey) {
        if let Some(socket) = self.socket(key)
            && !socket.dirty
        {
            socket.dirty = true;
            let lane = socket.lane;
            self.dirty.push(lane, key);
        }
    }

    /// Ends a session: says why, and gives the peer two seconds to take note.
    pub(super) fn close(&mut self, key: SocketKey, code: CloseCode, now: Instant) {
        self.end_session(key, now);
        let until = now + CLOSE_TIMEOUT;
        let Some(socket) = self.socket(key).filter(|socket| socket.closing.is_none()) else {
            return;
        };
        socket.close(code, until);
        self.node.metrics.closed(code);
        self.wheel.insert(key, until);
        self.mark_dirty(key);
    }

    /// The peer said goodbye, and so have we: the answer is in the outbox.
    pub(super) fn say_goodbye(&mut self, key: SocketKey, now: Instant) {
        self.end_session(key, now);
        let until = now + CLOSE_TIMEOUT;
        if let Some(socket) = self.socket(key) {
            socket.closing = Some(until);
            self.wheel.insert(key, until);
            self.mark_dirty(key);
        }
    }

    /// The socket is gone, with all it held.
    pub(super) fn drop_socket(&mut self, key: SocketKey) {
        self.end_session(key, super::clock());
        if self.socket(key).is_none() {
            return;
        }
        let mut socket = self.sockets.remove(key.index as usize);
        self.forget_outbox(&mut socket);
        let _ = self.poll.registry().deregister(socket.transport.tcp());
        self.node.metrics.sockets.dec();
    }

    fn end_session(&mut self, key: SocketKey, now: Instant) {
        let Some(session) = self.socket(key).and_then(|socket| socket.session.take()) else {
            return;
        };
        let app = session.app().id.clone();
        for (channel, user) in session.subscriptions() {
            self.leave(key, (&app, channel), user, now);
        }
        if let Some(channel) = session.user_channel() {
            self.leave(key, (&app, channel), None, now);
        }
        self.unwatch(key, &app, session.watched());
        self.node.interest().disconnect(&app);
        self.node.report();
    }

    /// A client event goes up, or its sender hears that it does not.
    fn send_client_event(&mut self, key: SocketKey, event: ClientEvent, now: Instant) {
        let Some((app, id)) = self.session_of(key) else {
            return;
        };
        let event = ClientEvent { app_id: app.to_string(), socket: Some(id.into()), ..event };
        let channel = event.channel.clone();
        match self.node.say((&app, &channel), Up::ClientEvent(event)) {
            Ok(()) => drop(self.node.metrics.client_events.inc()),
            Err(Full) => {
                self.node.metrics.reports_dropped.inc();
                let refusal = "Client event error: the server cannot take it at present; try again";
                self.send(key, &frame::error(4_301, refusal), now);
            }
        }
    }
}
