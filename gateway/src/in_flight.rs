//! What a gateway has in its hands at once: so many requests, so many bytes of bodies. Beyond that the
//! answer is 503 at once, rather than a queue in which everybody waits.

use std::sync::Arc;

use model::{Reason, Rejection};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for requests and room for bodies.
#[derive(Debug)]
pub(crate) struct InFlight {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    refused: Counter,
}

/// A request's place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[allow(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// Room for what has arrived of a body, until this is dropped.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    of: &'a InFlight,
    taken: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    pub(crate) fn new(requests_max: u32, bytes_max: u32, refused: Counter) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        Self { requests: semaphore(requests_max), bytes: semaphore(bytes_max), refused }
    }

    /// A place for a request, or a refusal.
    pub(crate) fn enter(&self) -> Result<Place, Rejection> {
        let place = Arc::clone(&self.requests).try_acquire_owned();
        place.map(Place).map_err(|_| self.refuse("requests"))
    }

    /// Room for a body that has yet to arrive.
    pub(crate) fn room(&self) -> Room<'_> {
        Room { of: self, taken: None }
    }

    fn refuse(&self, what: &str) -> Rejection {
        self.refused.inc();
        let message =
            format!("this gateway has all the {what} in its hands that it can; try again");
        Rejection::new(Reason::Unavailable, message)
    }
}

impl Room<'_> {
    /// Takes room for that many more bytes, or refuses.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Rejection> {
        let more = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.of.bytes).try_acquire_many_owned(more);
        let more = more.map_err(|_| self.of.refuse("bytes of bodies"))?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }

    /// What has been taken, to be kept as long as the bytes.
    pub(crate) fn keep(self) -> Option<OwnedSemaphorePermit> {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_room_come_back() {
        let in_flight = InFlight::new(2, 100, Counter::default());
        let first = in_flight.enter().unwrap();
        let _second = in_flight.enter().unwrap();
        assert_eq!(in_flight.enter().unwrap_err().reason, Reason::Unavailable);
        drop(first);
        let _third = in_flight.enter().unwrap();

        let mut room = in_flight.room();
        room.take(60).unwrap();
        room.take(40).unwrap();
        assert!(room.take(1).is_err() && in_flight.room().take(1).is_err());
        let kept = room.keep();
        assert!(in_flight.room().take(1).is_err(), "kept is kept");
        drop(kept);
        in_flight.room().take(100).unwrap();
        assert_eq!(in_flight.refused.get(), 4);
    }
}
