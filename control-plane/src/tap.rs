//! Lets operators follow events as they are dispatched. Nobody waits for who follows: who does not
//! keep up misses events and is told how many.

pub mod elsewhere;

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use model::{AppId, ChannelName, Tags};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use proto::{
    convert::Hex,
    internal::{DataForm, DispatchedEvent},
    plane::metrics::reading::{self, Name},
};
use tokio::sync::mpsc;
use tracing::debug;

/// Who follows at once.
const TAPS_MAX: usize = 32;
/// Events that wait for one who follows.
const QUEUE_EVENTS_MAX: usize = 256;
/// Of an event's data this much is shown.
const DATA_BYTES_MAX: usize = 16 << 10;

/// All who follow; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Taps(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// So many follow: with none, an event costs a look at this.
    open: AtomicUsize,
    taps: Mutex<Vec<Arc<Tap>>>,
    missed: Counter,
}

#[derive(Debug)]
struct Tap {
    wanted: Wanted,
    sender: mpsc::Sender<Seen>,
    missed: AtomicU64,
}

/// What somebody wants to follow.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Events of this app.
    pub app: AppId,
    /// In channels of this name; `prefix*` follows all that begin so.
    pub channel: String,
}

/// An event as it was dispatched.
#[derive(Clone, Debug)]
pub struct Seen {
    /// In which channel.
    pub channel: ChannelName,
    /// Its name.
    pub name: String,
    /// Its data, from the beginning.
    pub data: Bytes,
    /// Bytes of the whole data.
    pub data_bytes: usize,
    /// Its tags.
    pub tags: Option<Tags>,
    /// Names it: hexadecimal.
    pub message_id: String,
    /// Connections subscribed to the channel.
    pub subscriptions: u32,
    /// Nodes that it was sent to.
    pub nodes: u32,
    /// A client published it.
    pub by_client: bool,
}

/// One who follows; it ends when this is dropped.
#[derive(Debug)]
pub struct Following {
    taps: Taps,
    tap: Arc<Tap>,
    receiver: mpsc::Receiver<Seen>,
}

impl Wanted {
    fn has(&self, app: &AppId, channel: &ChannelName) -> bool {
        let named = match self.channel.strip_suffix('*') {
            Some(prefix) => channel.as_str().starts_with(prefix),
            None => channel.as_str() == self.channel,
        };
        named && self.app == *app
    }
}

impl Taps {
    /// Follows; `None` where as many do as may.
    #[must_use]
    pub fn follow(&self, wanted: Wanted) -> Option<Following> {
        let (sender, receiver) = mpsc::channel(QUEUE_EVENTS_MAX);
        let tap = Arc::new(Tap { wanted, sender, missed: AtomicU64::new(0) });
        let mut taps = self.taps();
        if taps.len() >= TAPS_MAX {
            return None;
        }
        taps.push(Arc::clone(&tap));
        self.0.open.store(taps.len(), Ordering::Relaxed);
        drop(taps);
        Some(Following { taps: self.clone(), tap, receiver })
    }

    /// An event is about to be dispatched: what of it will be shown to those who follow. Nothing where
    /// nobody does.
    #[must_use]
    pub fn look(
        &self,
        (app, channel): (&AppId, &ChannelName),
        event: &DispatchedEvent,
    ) -> Option<Seen> {
        let message_id = Hex(&event.message_id);
        debug!(%message_id, app_id = %app, %channel, "event is dispatched");
        if self.0.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let wanted = self.taps().iter().any(|tap| tap.wanted.has(app, channel));
        wanted.then(|| Seen {
            channel: channel.clone(),
            name: event.name.clone(),
            data: shown(&event.data),
            data_bytes: event.data.len(),
            tags: event.tags.as_ref().map(|tags| tags.pairs.clone()),
            message_id: message_id.to_string(),
            subscriptions: 0,
            nodes: 0,
            by_client: event.data_form() != DataForm::Unspecified,
        })
    }

    /// It has been dispatched: to so many subscriptions and nodes.
    pub fn show(&self, app: &AppId, seen: Option<Seen>, (subscriptions, nodes): (u32, u32)) {
        let Some(seen) = seen else {
            return;
        };
        let seen = Seen { subscriptions, nodes, ..seen };
        for tap in self.taps().iter().filter(|tap| tap.wanted.has(app, &seen.channel)) {
            if tap.sender.try_send(seen.clone()).is_err() {
                tap.missed.fetch_add(1, Ordering::Relaxed);
                self.0.missed.inc();
            }
        }
    }

    /// Names what is measured.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Events that those who follow them were too slow for";
        registry.register("tap_events_missed", help, self.0.missed.clone());
        let (taps, name) = (self.clone(), Name::new("taps", "Consoles that follow events"));
        reading::gauge(registry, name, move || Some(taps.0.open.load(Ordering::Relaxed) as f64));
    }

    fn taps(&self) -> MutexGuard<'_, Vec<Arc<Tap>>> {
        self.0.taps.lock().expect("no holder panics")
    }
}

impl Following {
    /// The next event, and how many were missed before it.
    pub async fn next(&mut self) -> Option<(Seen, u64)> {
        let seen = self.receiver.recv().await?;
        Some((seen, self.tap.missed.swap(0, Ordering::Relaxed)))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let mut taps = self.taps.taps();
        taps.retain(|tap| !Arc::ptr_eq(tap, &self.tap));
        self.taps.0.open.store(taps.len(), Ordering::Relaxed);
    }
}

/// The beginning of some data, without half a character at its end.
fn shown(data: &Bytes) -> Bytes {
    let mut end = data.len().min(DATA_BYTES_MAX);
    while end < data.len() && end > 0 && data[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    data.slice(..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(id: &str) -> AppId {
        AppId::parse(id).unwrap()
    }

    fn publish(taps: &Taps, app_id: &str, channel: &str) {
        let (app, channel) = (app(app_id), ChannelName::trusted(channel));
        let data = Bytes::from_static(b"1");
        let event = DispatchedEvent { name: "e".into(), data, ..DispatchedEvent::default() };
        let seen = taps.look((&app, &channel), &event);
        taps.show(&app, seen, (2, 1));
    }

    fn wanted(channel: &str) -> Wanted {
        Wanted { app: app("a"), channel: channel.into() }
    }

    #[tokio::test]
    async fn who_follows_sees_what_they_want_and_hears_what_they_missed() {
        let taps = Taps::default();
        let mut exact = taps.follow(wanted("room")).unwrap();
        let mut prefix = taps.follow(wanted("ro*")).unwrap();
        for (app, channel) in [("b", "room"), ("a", "rooms"), ("a", "x"), ("a", "room")] {
            publish(&taps, app, channel);
        }
        assert_eq!(exact.next().await.unwrap().0.channel.as_str(), "room");
        assert_eq!(prefix.next().await.unwrap().0.channel.as_str(), "rooms");
        for _ in 0..QUEUE_EVENTS_MAX + 7 {
            publish(&taps, "a", "room");
        }
        assert_eq!(exact.next().await.unwrap().1, 7);
        assert_eq!(exact.next().await.unwrap().1, 0);
        drop((exact, prefix));
        assert_eq!(taps.0.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn taps_and_data_are_bounded() {
        let taps = Taps::default();
        let all: Vec<_> = (0..TAPS_MAX).map(|_| taps.follow(wanted("*")).unwrap()).collect();
        assert!(taps.follow(wanted("*")).is_none());
        drop(all);
        assert!(taps.follow(wanted("*")).is_some());
        let text = "ü".repeat(DATA_BYTES_MAX);
        let text = Bytes::from(format!("x{text}"));
        assert!(std::str::from_utf8(&shown(&text)).is_ok());
        assert_eq!(shown(&text).len(), DATA_BYTES_MAX - 1);
    }
}
