//! What all clients of a simulation have seen, by simulated time.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::reliable::Harm;
use model::SocketId;
use tests::chaos::history::{At, Attempt, End, Entry, History, Probe, Socket, What};

/// The names of all channels. Their shards are spread over the control planes.
pub(crate) const CHANNELS: [&str; 6] = ["a", "b", "private-c", "d", "presence-e", "presence-f"];

/// Shared by all hosts; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// What is judged.
    pub history: History,
    /// What was broken.
    pub harm: Harm,
    /// Since when there are no faults any more.
    pub calm: Option<At>,
    /// What is wrong with who owns what at the end; `None`: nobody has looked.
    pub ownership: Option<Vec<String>>,
    /// Sockets that were let in without an acknowledgement, and left.
    pub degraded: u32,
    /// Workload is over: nobody publishes or moves any more.
    pub hush: bool,
}

/// Microseconds since the simulation began.
pub(crate) fn now() -> At {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    elapsed.as_micros() as u64
}

impl Recorder {
    pub(crate) fn new() -> Self {
        let recorder = Self::default();
        recorder.record().history.channels = CHANNELS.map(str::to_owned).into();
        recorder
    }

    pub(crate) fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().expect("no holder panics")
    }

    /// A socket opens; returns its number.
    pub(crate) fn open(&self, node: usize, user: u32) -> u32 {
        let mut record = self.record();
        let number = record.history.sockets.len() as u32;
        record.history.sockets.push(Socket {
            number,
            app: 0,
            node,
            user: Some(user),
            opened: now(),
            ended: None,
            entries: Vec::new(),
        });
        number
    }

    /// It sees something.
    pub(crate) fn note(&self, socket: u32, channel: u32, what: What) {
        let mut record = self.record();
        let entries = &mut record.history.sockets[socket as usize].entries;
        entries.push(Entry { at: now(), channel, what });
    }

    /// It ends.
    pub(crate) fn end(&self, socket: u32, end: End) {
        let mut record = self.record();
        record.history.sockets[socket as usize].ended.get_or_insert((now(), end));
    }

    /// A node dies with all its sockets.
    pub(crate) fn end_all(&self, node: usize, at: At) {
        let mut record = self.record();
        for socket in record.history.sockets.iter_mut().filter(|socket| socket.node == node) {
            socket.ended.get_or_insert((at, End::Lost));
        }
    }

    /// A call to publish has been answered or given up.
    pub(crate) fn attempt(&self, attempt: Attempt) {
        self.record().history.attempts.push(attempt);
    }

    /// Something works after the faults.
    pub(crate) fn probe(&self, what: String) {
        let mut record = self.record();
        let took = record.calm.map(|calm| now() - calm);
        record.history.probes.push(Probe { what, took });
    }

    pub(crate) fn is_calm(&self) -> bool {
        self.record().calm.is_some()
    }

    pub(crate) fn is_hushed(&self) -> bool {
        self.record().hush
    }
}

/// The name that the server gives a socket.
pub(crate) fn socket_id(number: u32) -> SocketId {
    SocketId::from_random(u128::from(number) << 64 | u128::from(number))
}
