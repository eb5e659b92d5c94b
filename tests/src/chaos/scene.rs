//! What publishers and listeners of one run share: the clock, names, and when it is over.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::history::At;

/// Shared by all clients of a run.
#[derive(Debug)]
pub struct Scene {
    began: Instant,
    channels: Mutex<Channels>,
    /// For each app and channel a socket that is in it: number and socket id.
    guests: Mutex<HashMap<(u8, u32), (u32, String)>>,
    sockets: AtomicU32,
    /// Sockets that are open with all their channels.
    seated: AtomicUsize,
    /// Nobody publishes any more.
    pub published: CancellationToken,
    /// All tell what they have seen.
    pub over: CancellationToken,
}

#[derive(Debug, Default)]
struct Channels {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Scene {
    /// It begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            channels: Mutex::default(),
            guests: Mutex::default(),
            sockets: AtomicU32::new(0),
            seated: AtomicUsize::new(0),
            published: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> At {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The number of a channel, given to it where it has none.
    #[must_use]
    pub fn channel(&self, name: &str) -> u32 {
        let mut channels = lock(&self.channels);
        if let Some(number) = channels.numbers.get(name) {
            return *number;
        }
        let number = channels.names.len() as u32;
        channels.names.push(name.to_owned());
        channels.numbers.insert(name.to_owned(), number);
        number
    }

    /// A channel's name.
    #[must_use]
    pub fn name(&self, channel: u32) -> String {
        lock(&self.channels).names[channel as usize].clone()
    }

    /// The names of all channels, by number.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        lock(&self.channels).names.clone()
    }

    /// The number of a new connection.
    #[must_use]
    pub fn next_socket(&self) -> u32 {
        self.sockets.fetch_add(1, Ordering::Relaxed)
    }

    /// A socket is in a channel, and may be left out of events.
    pub(super) fn enters(&self, app: u8, channel: u32, number: u32, socket_id: &str) {
        lock(&self.guests).insert((app, channel), (number, socket_id.to_owned()));
    }

    /// A socket that may be left out of an event.
    pub(super) fn guest(&self, app: u8, channel: u32) -> Option<(u32, String)> {
        lock(&self.guests).get(&(app, channel)).cloned()
    }

    /// A socket has all its channels, or is gone.
    pub(super) fn seat(&self, is_there: bool) {
        if is_there {
            self.seated.fetch_add(1, Ordering::Relaxed);
        } else {
            self.seated.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many sockets are open with all their channels.
    #[must_use]
    pub fn seated(&self) -> usize {
        self.seated.load(Ordering::Relaxed)
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
