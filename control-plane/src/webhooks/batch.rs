//! What waits for one target, and the calls that are made of it.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use model::MessageId;

use super::event::Told;

/// The first event of a call waits this long for more.
const PATIENCE: Duration = Duration::from_millis(50);
/// A call that is full waits no longer.
const EVENTS_MAX: usize = 100;
/// The events of one call, unless it has but one.
const BYTES_MAX: usize = 1 << 20;
/// Pusher's Python SDK throws away what is older than this (spec/http.md 7.1).
const AGE_MAX: Duration = Duration::from_secs(300);

/// The events that wait for one target, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Arc<Told>>,
    bytes: usize,
}

/// One body: it is the same in each try.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) id: MessageId,
    pub(super) body: Bytes,
    pub(super) events: usize,
    /// When its oldest event is too old.
    pub(super) deadline: Instant,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, told: Arc<Told>) {
        self.bytes += told.json.len();
        self.waiting.push_back(told);
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Told>> {
        let told = self.waiting.pop_front()?;
        self.bytes -= told.json.len();
        Some(told)
    }

    /// When the next call may be made: at once where it would be full.
    pub(super) fn ready_at(&self) -> Option<Instant> {
        let oldest = self.waiting.front()?.at;
        let full = self.waiting.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX;
        Some(if full { oldest } else { oldest + PATIENCE })
    }

    /// Drops what is too old; tells how many that were.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.len();
        while self.waiting.front().is_some_and(|told| told.at + AGE_MAX <= now) {
            self.pop();
        }
        before - self.len()
    }

    /// The next call; `None` where nothing waits.
    pub(super) fn batch(&mut self, id: MessageId) -> Option<Batch> {
        let first = self.pop()?;
        let (mut time_ms, mut events) = (first.time_ms, 1);
        let mut list = first.json.to_vec();
        while let Some(told) = self.waiting.front() {
            if events == EVENTS_MAX || list.len() + told.json.len() >= BYTES_MAX {
                break;
            }
            time_ms = time_ms.min(told.time_ms);
            list.push(b',');
            list.extend_from_slice(&told.json);
            events += 1;
            self.pop();
        }
        let mut body = format!(r#"{{"time_ms":{time_ms},"events":["#).into_bytes();
        body.append(&mut list);
        body.extend_from_slice(b"]}");
        Some(Batch { id, body: body.into(), events, deadline: first.at + AGE_MAX })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::event::{Happening, Moment, tests::moment};
    use model::{AppSecret, ChannelName, Signature, SocketId, UserId};

    fn queue(events: &[(&str, Happening)], now: Moment) -> Queue {
        let mut queue = Queue::default();
        for (channel, happening) in events {
            queue.push(Arc::new(Told::new(&ChannelName::trusted(channel), happening, now)));
        }
        queue
    }

    fn check_vector(queue: &mut Queue, body: &str, signatures: &[(&str, &str)]) {
        let batch = queue.batch(MessageId(1)).unwrap();
        assert_eq!(batch.body, body);
        for (secret, expected) in signatures {
            let signature = Signature::sign(&AppSecret::new(secret), &batch.body);
            assert_eq!(signature.as_str(), *expected);
        }
    }

    #[test]
    fn vectors_w1_and_w2() {
        let mut one = queue(&[("my-channel", Happening::Occupied)], moment(1_327_078_148_132));
        let body = concat!(
            r#"{"time_ms":1327078148132,"events":["#,
            r#"{"name":"channel_occupied","channel":"my-channel"}]}"#
        );
        let w1 = "e9ea3bd210dd97133a5b221229cbee6d5cf2f42f34877c7d3ae84be2353449ba";
        let w1_official = "c19001ae3963ccb13bf618e5b16ba9848e7e74df0993aa0689168e341c6833cf";
        check_vector(&mut one, body, &[("app-secret", w1), ("7ad3773142a6692b25b8", w1_official)]);

        let user = UserId::trusted("user-42");
        let typing = Happening::ClientEvent {
            name: "client-typing".into(),
            data: Some(Bytes::from_static(r#"{"who":"Zoë"}"#.as_bytes())),
            socket: SocketId { left: 123, right: 456 },
            user: Some(user.clone()),
        };
        let events = [("presence-room", typing), ("presence-room", Happening::MemberRemoved(user))];
        let mut two = queue(&events, moment(1_700_000_000_123));
        let body = concat!(
            r#"{"time_ms":1700000000123,"events":[{"name":"client_event","#,
            r#""channel":"presence-room","event":"client-typing","#,
            r#""data":"{\"who\":\"Zoë\"}","socket_id":"123.456","user_id":"user-42"},"#,
            r#"{"name":"member_removed","channel":"presence-room","user_id":"user-42"}]}"#
        );
        assert_eq!(body.len(), 252);
        let w2 = "8084eac0a597e946b544233f20c262012c8d2041ca95f28cb5cb388fdbea676e";
        check_vector(&mut two, body, &[("app-secret", w2)]);
    }

    #[test]
    fn a_call_waits_for_more_until_it_is_full() {
        let now = moment(5);
        let many = |count| vec![("a", Happening::Occupied); count];
        assert_eq!(queue(&[], now).ready_at(), None);
        assert_eq!(queue(&many(99), now).ready_at(), Some(now.at + PATIENCE));
        assert_eq!(queue(&many(100), now).ready_at(), Some(now.at));
        let mut queue = queue(&many(250), now);
        let sizes = [1, 2, 3].map(|id| queue.batch(MessageId(id)).unwrap().events);
        assert_eq!((sizes, queue.len(), queue.bytes()), ([100, 100, 50], 0, 0));
        assert_eq!(queue.batch(MessageId(4)), None);
    }

    #[test]
    fn a_call_is_bounded_in_bytes() {
        let event =
            |bytes: usize| Told { json: vec![b'1'; bytes].into(), at: moment(1).at, time_ms: 1 };
        let mut queue = Queue::default();
        for bytes in [400 << 10, 600 << 10, 500 << 10, 2 << 20, 10] {
            queue.push(Arc::new(event(bytes)));
        }
        let mut sizes = Vec::new();
        while let Some(batch) = queue.batch(MessageId(1)) {
            sizes.push(batch.events);
        }
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn the_oldest_gives_the_time_and_the_deadline() {
        let now = moment(1_000);
        let mut queue = queue(&[("a", Happening::Occupied)], now);
        let later = Moment { at: now.at + Duration::from_secs(9), time_ms: 900 };
        queue.push(Arc::new(Told::new(&ChannelName::trusted("b"), &Happening::Vacated, later)));
        let batch = queue.batch(MessageId(1)).unwrap();
        assert!(batch.body.starts_with(br#"{"time_ms":900,"#), "the clock was set back");
        assert_eq!(batch.deadline, now.at + AGE_MAX);
    }

    #[test]
    fn what_is_too_old_is_dropped() {
        let now = moment(1);
        let mut queue = queue(&[("a", Happening::Occupied), ("b", Happening::Occupied)], now);
        assert_eq!(queue.expire(now.at + AGE_MAX - Duration::from_millis(1)), 0);
        assert_eq!(queue.expire(now.at + AGE_MAX), 2);
    }
}
