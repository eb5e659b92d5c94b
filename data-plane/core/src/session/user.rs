//! Signing in as a user, and what follows from it. Source: spec/websocket.md 4.

use std::time::Instant;

use model::{ChannelName, UserId};

use super::{Effect, Member, Session, authorization::Authorization, watchlist::Watchlist};
use crate::frame;

/// `pusher:error` of a watchlist that is cut short.
const WATCHLIST_CUT: u16 = 4302;

/// Whom a connection is signed in as.
#[derive(Debug)]
pub(super) struct User {
    pub(super) member: Member,
    /// What is sent to the user arrives through this channel.
    pub(super) channel: ChannelName,
    /// The shell has put the socket into the channel.
    pub(super) confirmed: bool,
    /// The last sign-in, if it has not been answered.
    pub(super) sign_in: Option<SignIn>,
    /// The client has subscribed to the channel and has not been answered.
    pub(super) subscribing: bool,
    pub(super) watchlist: Option<Watchlist>,
}

/// What a client has shown to sign in.
#[derive(Debug)]
pub(super) struct SignIn {
    /// As received: the client reads it from the answer.
    pub(super) user_data: String,
    /// Whom it wants to watch.
    pub(super) watched: Vec<UserId>,
    /// How many users its watchlist named.
    pub(super) named: usize,
}

impl SignIn {
    /// Users of a watchlist that are watched: the first ones (Pusher's limit).
    pub(super) const WATCHED_MAX: usize = 100;
}

impl Session {
    /// The client has proven to be this user, who is the one that it was, if it was somebody.
    pub(super) fn become_user(&mut self, user: User, now: Instant, effects: &mut Vec<Effect>) {
        self.authorization = Authorization::Given;
        match self.user_mut() {
            Some(same) => {
                same.member = user.member;
                same.sign_in = user.sign_in;
            }
            None => {
                effects.push(Effect::SignIn(user.channel.clone()));
                self.identity.get_or_insert_default().user = Some(user);
            }
        }
        self.answer_user(now, effects);
    }

    /// The client subscribes to its user's channel.
    pub(super) fn subscribe_to_user(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        if let Some(user) = self.user_mut() {
            user.subscribing = true;
        }
        self.answer_user(now, effects);
    }

    /// The socket is in its user's channel.
    pub(super) fn confirm_user(
        &mut self,
        channel: &ChannelName,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(user) = self.user_mut()
            && user.channel == *channel
        {
            user.channel = channel.clone();
            user.confirmed = true;
        }
        self.answer_user(now, effects);
    }

    /// Answers what waits for the user's channel: nothing may be missed after a success frame.
    fn answer_user(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let watchlists = self.app.features.watchlist_events;
        let Some(user) = self.user_mut().filter(|user| user.confirmed) else {
            return;
        };
        let sign_in = user.sign_in.take();
        if let Some(sign_in) = &sign_in {
            effects.push(Effect::Send(frame::signin_success(&sign_in.user_data)));
        }
        if std::mem::take(&mut user.subscribing) {
            let succeeded = frame::subscription_succeeded(user.channel.as_str());
            effects.push(Effect::Send(succeeded));
        }
        if let Some(SignIn { watched, named, .. }) = sign_in.filter(|_| watchlists) {
            if named > SignIn::WATCHED_MAX {
                effects.push(watchlist_cut(named));
            }
            user.watch(watched, now, effects);
        }
    }

    /// A watched user has come online or gone offline, or it is known for the first time which.
    pub fn handle_watched(&mut self, user: &UserId, online: bool, effects: &mut Vec<Effect>) {
        let watchlist = self.user_mut().and_then(|user| user.watchlist.as_mut());
        let told = watchlist.and_then(|watchlist| watchlist.set(user, online));
        effects.extend(told.map(Effect::Send));
    }

    pub(super) fn signed_in(&self) -> Option<&User> {
        self.identity.as_ref()?.user.as_ref()
    }

    pub(super) fn user_mut(&mut self) -> Option<&mut User> {
        self.identity.as_mut()?.user.as_mut()
    }

    pub(super) fn watchlist(&self) -> Option<&Watchlist> {
        self.signed_in()?.watchlist.as_ref()
    }
}

impl User {
    pub(super) fn new(member: Member, channel: ChannelName, sign_in: SignIn) -> Self {
        Self {
            member,
            channel,
            confirmed: false,
            sign_in: Some(sign_in),
            subscribing: false,
            watchlist: None,
        }
    }

    /// Watches these users and no others.
    pub(super) fn watch(&mut self, users: Vec<UserId>, now: Instant, effects: &mut Vec<Effect>) {
        let before = self.watchlist.take();
        if let Some(before) = &before {
            let gone = before.users().iter().filter(|user| !users.contains(user));
            let gone: Vec<_> = gone.cloned().collect();
            effects.extend((!gone.is_empty()).then_some(Effect::Unwatch(gone)));
        }
        if users.is_empty() {
            return;
        }
        effects.push(Effect::Watch(users.clone()));
        let mut watchlist = Watchlist::new(users, before.as_ref(), now);
        effects.extend(watchlist.begin().map(Effect::Send));
        effects.extend(watchlist.deadline().map(Effect::Wake));
        self.watchlist = Some(watchlist);
    }
}

fn watchlist_cut(named: usize) -> Effect {
    let limit = SignIn::WATCHED_MAX;
    let message = format!("the watchlist names {named} users, the first {limit} are watched");
    Effect::Send(frame::error(WATCHLIST_CUT, &message))
}
