//! What an operator wants to see of connections: all threads are asked, the last one answers.

use std::{
    cmp::Reverse,
    sync::{Arc, Mutex},
};

use futures_util::task::AtomicWaker;
use proto::internal::{ListSockets, SocketView, Sockets};

use crate::attach::Shared;

/// Sockets that are shown at most, whoever asks for more.
pub const SOCKETS_MAX: usize = 1_000;
/// Channels of one socket that are named.
pub const CHANNELS_MAX: usize = 20;

/// One question; threads share it.
#[derive(Debug)]
pub struct Inquiry {
    /// What is asked.
    pub wanted: ListSockets,
    said: Mutex<Said>,
    /// The stream that it came on, and what wakes it.
    way: (Arc<Shared>, Arc<AtomicWaker>),
}

#[derive(Debug)]
struct Said {
    threads_left: usize,
    answer: Sockets,
}

impl Inquiry {
    /// A question to so many threads.
    pub(crate) fn new(
        wanted: ListSockets,
        threads: usize,
        way: (Arc<Shared>, Arc<AtomicWaker>),
    ) -> Self {
        let answer = Sockets { id: wanted.id, ..Sockets::default() };
        Self { wanted, said: Mutex::new(Said { threads_left: threads, answer }), way }
    }

    /// Sockets that are shown.
    #[must_use]
    pub fn sockets_max(&self) -> usize {
        (self.wanted.sockets_max as usize).min(SOCKETS_MAX)
    }

    /// A thread says which of its sockets are the newest, and how many it has.
    pub fn say(&self, sockets: Vec<SocketView>, total: usize) {
        let mut said = self.said.lock().expect("no holder panics");
        said.answer.sockets.extend(sockets);
        said.answer.total = said.answer.total.saturating_add(total as u32);
        said.threads_left = said.threads_left.saturating_sub(1);
        if said.threads_left > 0 {
            return;
        }
        let mut answer = std::mem::take(&mut said.answer);
        drop(said);
        answer.sockets.sort_by_key(|socket| socket.age_ms);
        answer.sockets.truncate(self.sockets_max());
        let (shared, waker) = &self.way;
        shared.show(answer);
        waker.wake();
    }
}

/// The first so many of `items` by what is youngest, in no particular order.
pub fn newest<T, K: Ord>(items: &mut Vec<T>, most: usize, born: impl Fn(&T) -> K) {
    if most == 0 {
        items.clear();
    } else if items.len() > most {
        items.select_nth_unstable_by_key(most - 1, |item| Reverse(born(item)));
        items.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let kept = |most| {
            let mut items = vec![3, 9, 1, 7, 5];
            newest(&mut items, most, |item| *item);
            items.sort_unstable();
            items
        };
        assert_eq!(kept(2), [7, 9]);
        assert_eq!(kept(9), [1, 3, 5, 7, 9]);
        assert!(kept(0).is_empty());
    }

    #[test]
    fn the_last_thread_answers_for_all() {
        let shared = Arc::<Shared>::default();
        let wanted = ListSockets { id: 7, sockets_max: 3, ..ListSockets::default() };
        let inquiry = Inquiry::new(wanted, 2, (Arc::clone(&shared), Arc::default()));
        let aged = |ages: &[u64]| {
            ages.iter().map(|age| SocketView { age_ms: *age, ..SocketView::default() }).collect()
        };
        inquiry.say(aged(&[10, 30]), 2);
        assert_eq!(shared.next_shown(), None);
        inquiry.say(aged(&[20, 40]), 5);
        let answer = shared.next_shown().unwrap();
        let ages: Vec<_> = answer.sockets.iter().map(|socket| socket.age_ms).collect();
        assert_eq!((answer.id, answer.total, &*ages), (7, 7, &[10, 20, 30][..]));
    }
}
