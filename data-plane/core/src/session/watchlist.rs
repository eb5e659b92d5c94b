//! Whom a user watches, and what it has been told of them. Source: spec/websocket.md 4.2.

use std::time::{Duration, Instant};

use model::UserId;

use crate::frame;

/// Users whom a connection watches.
#[derive(Debug)]
pub(super) struct Watchlist {
    users: Box<[UserId]>,
    /// Whether each is online, where that is known.
    online: Box<[Option<bool>]>,
    /// When the first frame is sent at the latest; `None` once it has been sent.
    deadline: Option<Instant>,
}

impl Watchlist {
    /// How long the first frame waits for what is not known yet.
    const PATIENCE: Duration = Duration::from_millis(300);

    /// A new list; what the one before it knew is known.
    pub(super) fn new(users: Vec<UserId>, before: Option<&Self>, now: Instant) -> Self {
        let online = users.iter().map(|user| before?.online[before?.place(user)?]).collect();
        Self { users: users.into(), online, deadline: Some(now + Self::PATIENCE) }
    }

    pub(super) fn users(&self) -> &[UserId] {
        &self.users
    }

    /// When the first frame is sent at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The first frame, as soon as everything is known.
    pub(super) fn begin(&mut self) -> Option<String> {
        self.online.iter().all(Option::is_some).then(|| self.tell_all())
    }

    /// A user is online or is not. Returns a frame where the client must be told.
    pub(super) fn set(&mut self, user: &UserId, online: bool) -> Option<String> {
        let place = self.place(user)?;
        let before = self.online[place].replace(online);
        if self.deadline.is_some() {
            return self.begin();
        }
        let user = [&self.users[place]];
        match (before == Some(online), online) {
            (true, _) => None,
            (false, true) => Some(frame::watchlist_events(&user, &[])),
            (false, false) => Some(frame::watchlist_events(&[], &user)),
        }
    }

    /// The deadline has come, or not yet. Of whom nothing is known counts as offline.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<String> {
        self.deadline.is_some_and(|deadline| deadline <= now).then(|| self.tell_all())
    }

    fn tell_all(&mut self) -> String {
        self.deadline = None;
        let mut lists = [Vec::new(), Vec::new()];
        for (user, online) in self.users.iter().zip(&mut self.online) {
            lists[usize::from(*online.get_or_insert(false))].push(user);
        }
        let [offline, online] = lists;
        frame::watchlist_events(&online, &offline)
    }

    fn place(&self, user: &UserId) -> Option<usize> {
        self.users.iter().position(|other| other == user)
    }
}
