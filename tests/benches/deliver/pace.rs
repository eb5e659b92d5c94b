//! The pace: an event begins only when few enough are under way.

use std::sync::{Condvar, Mutex, MutexGuard};

/// Counts events that begin and events that every socket has; shared by publishers and audience.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    planned: u64,
    begun: u64,
    received: u64,
    bytes: u64,
    stopped: Option<String>,
}

impl Pace {
    /// So many events more shall be published.
    pub(crate) fn plan(&self, events: u64) {
        self.state().planned += events;
    }

    /// Waits until the next event may begin with at most `under_way` not received by all; false when
    /// there is none left.
    pub(crate) fn begin(&self, under_way: u64) -> bool {
        let mut state = self
            .wait(|state| state.begun == state.planned || state.begun < state.received + under_way);
        let more = state.begun < state.planned;
        state.begun += u64::from(more);
        more
    }

    /// Waits until everything that was planned has been received.
    pub(crate) fn finish(&self) {
        drop(self.wait(|state| state.received == state.planned));
    }

    /// Bytes of all events that have been received.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    /// Every socket has so many events by now, and all of them together so many bytes.
    pub(crate) fn received(&self, events: u64, bytes: u64) {
        let mut state = self.state();
        (state.received, state.bytes) = (events, bytes);
        drop(state);
        self.changed.notify_all();
    }

    /// Something broke: whoever waits gives up.
    pub(crate) fn stop(&self, reason: &str) {
        self.state().stopped = Some(reason.to_owned());
        self.changed.notify_all();
    }

    fn wait(&self, enough: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let mut state = self.state();
        while !enough(&state) {
            if let Some(reason) = state.stopped.clone() {
                drop(state);
                panic!("{reason}");
            }
            state = self.changed.wait(state).expect("no holder panics");
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}
