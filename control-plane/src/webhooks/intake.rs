//! The queue between those who tell and the courier: they never wait, and it is bounded.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

use super::event::News;

/// What is told waits here for microseconds; that many are a burst, and more are dropped.
const NEWS_MAX: usize = 65_536;
/// Bytes of the client events among them.
const BYTES_MAX: usize = 64 << 20;
/// Taken at once.
const AT_ONCE: usize = 256;

/// Where news are put; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    news: mpsc::Sender<News>,
    bytes: Arc<AtomicUsize>,
}

/// Where the courier takes them from.
#[derive(Debug)]
pub(super) struct Intake {
    news: mpsc::Receiver<News>,
    bytes: Arc<AtomicUsize>,
}

/// Both ends.
pub(super) fn open() -> (Slot, Intake) {
    let (tx, rx) = mpsc::channel(NEWS_MAX);
    let bytes = Arc::<AtomicUsize>::default();
    (Slot { news: tx, bytes: Arc::clone(&bytes) }, Intake { news: rx, bytes })
}

impl Slot {
    /// Puts it in, or gives it up; never waits.
    pub(super) fn put(&self, news: News) -> bool {
        let weight = news.happening.weight();
        let before = self.bytes.fetch_add(weight, Ordering::Relaxed);
        let put = before + weight <= BYTES_MAX && self.news.try_send(news).is_ok();
        if !put {
            self.bytes.fetch_sub(weight, Ordering::Relaxed);
        }
        put
    }

    /// News and bytes that wait.
    pub(super) fn depth(&self) -> (usize, usize) {
        let news = self.news.max_capacity() - self.news.capacity();
        (news, self.bytes.load(Ordering::Relaxed))
    }
}

impl Intake {
    /// Waits for news; 0 where there will be none any more.
    pub(super) async fn take(&mut self, news: &mut Vec<News>) -> usize {
        let count = self.news.recv_many(news, AT_ONCE).await;
        let weight: usize = news.iter().map(|one| one.happening.weight()).sum();
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
        count
    }

    pub(super) fn len(&self) -> usize {
        self.news.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::event::Happening;
    use bytes::Bytes;
    use model::{AppId, ChannelName, SocketId};

    fn news(bytes: usize) -> News {
        let happening = Happening::ClientEvent {
            name: String::new(),
            data: Some(vec![b'1'; bytes].into()),
            socket: SocketId { left: 1, right: 2 },
            user: None,
        };
        let (app, channel) = (AppId::parse("a").unwrap(), ChannelName::trusted("a"));
        News { app, channel, happening }
    }

    #[tokio::test]
    async fn it_is_bounded_in_bytes_and_free_again_when_they_are_taken() {
        let (slot, mut intake) = open();
        let large: Bytes = vec![b'1'; BYTES_MAX / 2].into();
        let put = |bytes: &Bytes| {
            let mut one = news(0);
            if let Happening::ClientEvent { data, .. } = &mut one.happening {
                *data = Some(bytes.clone());
            }
            slot.put(one)
        };
        assert!(put(&large) && put(&large) && !slot.put(news(1)));
        assert_eq!(slot.depth(), (2, BYTES_MAX));
        assert_eq!((intake.take(&mut Vec::new()).await, intake.len()), (2, 0));
        assert!(slot.put(news(1)));
    }

    #[test]
    fn it_is_bounded_in_number() {
        let (slot, intake) = open();
        let put = (0..NEWS_MAX + 10).filter(|_| slot.put(news(1))).count();
        assert_eq!((put, intake.len(), slot.depth().0), (NEWS_MAX, NEWS_MAX, NEWS_MAX));
    }
}
