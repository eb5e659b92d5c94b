//! Lets operators follow events as they are dispatched. Nobody waits for who follows: who does not
//! keep up misses events and is told how many.

use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use bytes::Bytes;
use model::{AppId, ChannelName, MessageId, Publish, Tags};
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use proto::{
    internal::ClientEvent,
    plane::metrics::reading::{self, Name},
};
use tokio::sync::mpsc;

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
    /// Names it.
    pub message_id: MessageId,
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

    /// A backend's event has been dispatched to one of its channels.
    pub fn published(
        &self,
        app: &AppId,
        (publish, index): (&Publish, usize),
        (subscriptions, nodes): (u32, u32),
    ) {
        let channel = &publish.channels[index];
        self.show(app, channel, || Seen {
            channel: channel.clone(),
            name: publish.event.name.0.clone(),
            data: shown(&publish.event.data),
            data_bytes: publish.event.data.len(),
            tags: publish.event.tags.clone(),
            message_id: publish.message_id,
            subscriptions,
            nodes,
            by_client: false,
        });
    }

    /// A client's event has been dispatched.
    pub fn relayed(
        &self,
        (app, channel): (&AppId, &ChannelName),
        (event, message_id): (&ClientEvent, MessageId),
        (subscriptions, nodes): (u32, u32),
    ) {
        let data = event.data.as_ref();
        self.show(app, channel, || Seen {
            channel: channel.clone(),
            name: event.name.clone(),
            data: data.map(shown).unwrap_or_default(),
            data_bytes: data.map_or(0, Bytes::len),
            tags: None,
            message_id,
            subscriptions,
            nodes,
            by_client: true,
        });
    }

    /// Names what is measured.
    pub fn register(&self, registry: &mut Registry) {
        let help = "Events that those who follow them were too slow for";
        registry.register("tap_events_missed", help, self.0.missed.clone());
        let (taps, name) = (self.clone(), Name::new("taps", "Consoles that follow events"));
        reading::gauge(registry, name, move || Some(taps.0.open.load(Ordering::Relaxed) as f64));
    }

    fn show(&self, app: &AppId, channel: &ChannelName, see: impl Fn() -> Seen) {
        if self.0.open.load(Ordering::Relaxed) == 0 {
            return;
        }
        for tap in self.taps().iter().filter(|tap| tap.wanted.has(app, channel)) {
            if tap.sender.try_send(see()).is_err() {
                tap.missed.fetch_add(1, Ordering::Relaxed);
                self.0.missed.inc();
            }
        }
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
    use model::{Event, EventName};

    use super::*;

    fn app(id: &str) -> AppId {
        AppId::parse(id).unwrap()
    }

    fn publish(taps: &Taps, app_id: &str, channel: &str) {
        let data = Bytes::from_static(b"1");
        let event = Event { name: EventName("e".into()), data, tags: None, delta: None };
        let publish = Publish {
            event,
            channels: vec![ChannelName::trusted(channel)],
            excluded: None,
            info: None,
            message_id: MessageId(1),
            traceparent: String::new(),
        };
        taps.published(&app(app_id), (&publish, 0), (2, 1));
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
