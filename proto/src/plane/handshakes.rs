//! Connections on their way to their first request: so many at once, each with a deadline. Who takes
//! his time holds up nobody: where all places are taken, the oldest makes room for the next.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// At once; one more is accepted and waits, others in the kernel's backlog.
const HANDSHAKES_MAX: usize = 512;
/// From accept to the head of the first request.
const DEADLINE: Duration = Duration::from_secs(10);
/// One that has taken this long gives its place up where somebody waits for it. Under a storm of
/// honest clients a handshake waits for its turn on the processor, but not as long as this.
const PATIENCE: Duration = Duration::from_secs(2);

/// The places of one listener; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshakes(Arc<Places>);

#[derive(Debug, Default)]
struct Places {
    taken: Mutex<Taken>,
    freed: Notify,
    evicted: Counter,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By number: the oldest first.
    places: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// One that has begun; its place is free again when it is finished or dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    number: u64,
    began: Instant,
    evicted: CancellationToken,
    finished: AtomicBool,
    places: Arc<Places>,
}

impl Handshakes {
    /// `evicted` counts those that gave up their place.
    pub(super) fn new(evicted: Counter) -> Self {
        Self(Arc::new(Places { evicted, ..Places::default() }))
    }

    /// Waits for a place.
    pub(super) async fn begin(&self) -> Handshake {
        loop {
            let freed = self.0.freed.notified();
            match self.try_begin(Instant::now()) {
                Ok(begun) => return begun,
                Err(patient_until) => drop(timeout_at(patient_until, freed).await),
            }
        }
    }

    /// A place, or when the oldest will give up its own.
    fn try_begin(&self, now: Instant) -> Result<Handshake, Instant> {
        let mut taken = self.0.lock();
        if taken.places.len() >= HANDSHAKES_MAX
            && let Some(oldest) = taken.places.first_entry()
        {
            let patient_until = oldest.get().0 + PATIENCE;
            if now < patient_until {
                return Err(patient_until);
            }
            oldest.remove().1.cancel();
            self.0.evicted.inc();
        }
        let (number, evicted) = (taken.next, CancellationToken::new());
        taken.next += 1;
        taken.places.insert(number, (now, evicted.clone()));
        let (places, finished) = (Arc::clone(&self.0), AtomicBool::new(false));
        Ok(Handshake { number, began: now, evicted, finished, places })
    }
}

impl Places {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handshake {
    /// The first request is there. Said at every request; the first time counts.
    pub(super) fn finish(&self) {
        if !self.finished.load(Ordering::Relaxed) && !self.finished.swap(true, Ordering::Relaxed) {
            self.places.lock().places.remove(&self.number);
            self.places.freed.notify_one();
        }
    }

    /// Waits until it has to be given up; for ever where it is finished in time.
    pub(super) async fn lost(&self) {
        tokio::select! {
            () = self.evicted.cancelled() => {}
            () = sleep_until(self.began + DEADLINE) => {}
        }
        if self.finished.load(Ordering::Relaxed) {
            pending().await
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods, reason = "some instant to count from")]
    fn start() -> Instant {
        Instant::from_std(std::time::Instant::now())
    }

    #[test]
    fn the_oldest_makes_room_when_it_has_had_its_time() {
        let (handshakes, start) = (Handshakes::default(), start());
        let mut begun: Vec<_> =
            (0..HANDSHAKES_MAX).map(|_| handshakes.try_begin(start).unwrap()).collect();
        assert_eq!(handshakes.try_begin(start).unwrap_err(), start + PATIENCE);
        begun[7].finish();
        begun[7].finish();
        begun.push(handshakes.try_begin(start).unwrap());
        assert!(handshakes.try_begin(start).is_err(), "one place was freed, and not two");
        begun.push(handshakes.try_begin(start + PATIENCE).unwrap());
        assert!(begun[0].evicted.is_cancelled() && !begun[1].evicted.is_cancelled());
        assert_eq!(handshakes.0.evicted.get(), 1);
        drop(begun);
        assert!(handshakes.0.lock().places.is_empty());
    }
}
