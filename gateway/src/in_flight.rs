//! What a gateway has in its hands at once: so many requests, so many bytes of bodies. Beyond that the
//! answer is 503 at once, rather than a queue in which everybody waits. Of either an app has at most
//! three times what is free, so that others find a place beside it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
};

use model::{AppId, Reason, Rejection};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An app may have so many times what is free: alone three quarters, as one of two three sevenths each.
const SHARE: usize = 3;

/// Places for requests and room for bodies.
#[derive(Clone, Debug)]
pub(crate) struct InFlight {
    requests: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    by_app: Arc<Mutex<HashMap<AppId, Used>>>,
    refused: Counter,
}

/// What an app has.
#[derive(Debug, Default)]
struct Used {
    requests: usize,
    bytes: usize,
}

/// A request's place, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(#[allow(dead_code, reason = "it is held, not read")] OwnedSemaphorePermit);

/// An app's place for one of its requests, and room for what has arrived of its body, until this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Room {
    of: InFlight,
    app: AppId,
    taken: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    pub(crate) fn new(requests_max: u32, bytes_max: u32, refused: Counter) -> Self {
        let semaphore = |permits: u32| Arc::new(Semaphore::new(permits as usize));
        let (requests, bytes) = (semaphore(requests_max), semaphore(bytes_max));
        Self { requests, bytes, by_app: Arc::default(), refused }
    }

    /// A place for a request, or a refusal.
    pub(crate) fn enter(&self) -> Result<Place, Rejection> {
        let place = Arc::clone(&self.requests).try_acquire_owned();
        place.map(Place).map_err(|_| self.refuse("this gateway has all the requests"))
    }

    /// Room for the body of a request that has its place, and is known to be this app's.
    pub(crate) fn room(&self, app: &AppId) -> Result<Room, Rejection> {
        let mut by_app = self.by_app();
        let used = by_app.entry(app.clone()).or_default();
        // Who has nothing is never refused: no entry is left behind.
        if used.requests > SHARE * self.requests.available_permits() {
            return Err(self.refuse("of this app the gateway has all the requests"));
        }
        used.requests += 1;
        Ok(Room { of: self.clone(), app: app.clone(), taken: None })
    }

    fn by_app(&self) -> MutexGuard<'_, HashMap<AppId, Used>> {
        self.by_app.lock().expect("no code in this module panics while it holds them")
    }

    fn refuse(&self, all: &str) -> Rejection {
        self.refused.inc();
        let message = format!("{all} in its hands that it can; try again");
        Rejection::new(Reason::Unavailable, message)
    }
}

impl Room {
    /// Takes room for that many more bytes, or refuses.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Rejection> {
        let more = u32::try_from(bytes).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.of.bytes).try_acquire_many_owned(more);
        let more = more.map_err(|_| self.of.refuse("this gateway has all the bytes of bodies"))?;
        if let Some(used) = self.of.by_app().get_mut(&self.app) {
            // A single request may have all there is.
            let free = self.of.bytes.available_permits();
            if used.requests > 1 && used.bytes > SHARE * free {
                return Err(self.of.refuse("of this app the gateway has all the bytes of bodies"));
            }
            used.bytes += bytes;
        }
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            None => self.taken = Some(more),
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut by_app = self.of.by_app();
        if let Some(used) = by_app.get_mut(&self.app) {
            used.requests -= 1;
            used.bytes -= self.taken.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            if used.requests == 0 {
                by_app.remove(&self.app);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        AppId::parse(id).unwrap()
    }

    #[test]
    fn places_come_back() {
        let in_flight = InFlight::new(2, 100, Counter::default());
        let first = in_flight.enter().unwrap();
        let _second = in_flight.enter().unwrap();
        assert_eq!(in_flight.enter().unwrap_err().reason, Reason::Unavailable);
        drop(first);
        let _third = in_flight.enter().unwrap();
        assert_eq!(in_flight.refused.get(), 1);
    }

    #[test]
    fn a_single_body_may_have_all_the_room_and_gives_it_back() {
        let in_flight = InFlight::new(2, 100, Counter::default());
        let mut room = in_flight.room(&app("a")).unwrap();
        room.take(60).unwrap();
        room.take(40).unwrap();
        assert!(room.take(1).is_err());
        assert!(in_flight.room(&app("b")).unwrap().take(1).is_err());
        drop(room);
        in_flight.room(&app("b")).unwrap().take(100).unwrap();
        assert!(in_flight.by_app().is_empty(), "nothing is left of who has nothing");
        assert_eq!(in_flight.refused.get(), 2);
    }

    #[test]
    fn an_app_leaves_places_and_room_for_others() {
        let in_flight = InFlight::new(16, 100, Counter::default());
        let stay = |id| Ok::<_, Rejection>((in_flight.enter()?, in_flight.room(&app(id))?));
        let greedy: Vec<_> = std::iter::from_fn(|| stay("a").ok()).collect();
        assert_eq!(greedy.len(), 12, "three quarters");
        let others: Vec<_> = std::iter::from_fn(|| stay("b").ok()).collect();
        assert_eq!(others.len(), 3, "three quarters of the rest");
        drop((greedy, others));

        let [mut first, mut second] = ["a", "a"].map(|id| in_flight.room(&app(id)).unwrap());
        first.take(80).unwrap();
        assert!(second.take(1).is_err(), "80 is more than three times what is free");
        in_flight.room(&app("b")).unwrap().take(20).unwrap();
        drop(first);
        second.take(90).unwrap();
    }
}
