//! How long things took, by a history.

use super::history::{At, History, What};

/// What lies in the middle of many values, near their end, and at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// How many there are.
    pub count: usize,
    /// Half are at most this.
    pub p50: At,
    /// 99 of 100 are at most this.
    pub p99: At,
    /// The largest.
    pub max: At,
}

impl Spread {
    /// That of some values; all zero where there are none.
    #[must_use]
    pub fn of(mut values: Vec<At>) -> Self {
        values.sort_unstable();
        let Some(&max) = values.last() else { return Self::default() };
        let count = values.len();
        let at = |percent: usize| values[(count * percent).div_ceil(100).max(1) - 1];
        Self { count, p50: at(50), p99: at(99), max }
    }

    /// For the artifact: milliseconds.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let ms = |at: At| at as f64 / 1_000.0;
        let Self { count, p50, p99, max } = *self;
        serde_json::json!({
            "count": count, "p50_ms": ms(p50), "p99_ms": ms(p99), "max_ms": ms(max),
        })
    }
}

/// How long acknowledged calls took that began in that time, of these publishers.
#[must_use]
pub fn answers(history: &History, from: At, until: At, of: impl Fn(u32) -> bool) -> Spread {
    let attempts = history.attempts.iter().filter(|attempt| attempt.status == 200);
    let attempts = attempts.filter(|attempt| (from..until).contains(&attempt.start));
    let attempts = attempts.filter(|attempt| of(attempt.key.publisher));
    Spread::of(attempts.map(|attempt| attempt.end - attempt.start).collect())
}

/// From the call to publish to the socket, for events that arrived in that time.
#[must_use]
pub fn deliveries(history: &History, from: At, until: At, of: impl Fn(u32) -> bool) -> Spread {
    let messages = history.messages();
    let mut took = Vec::new();
    for entry in history.sockets.iter().flat_map(|socket| &socket.entries) {
        let What::Event(key) = entry.what else { continue };
        if (from..until).contains(&entry.at) && of(key.publisher) {
            took.extend(messages.get(&key).map(|message| entry.at.saturating_sub(message.start)));
        }
    }
    Spread::of(took)
}

/// The longest that any socket has heard nothing of a channel that it is in, in a silence that
/// touches this time. Only channels of the first app in which there is always something going on: in the
/// other app's of the same name there is not.
#[must_use]
pub fn silence(history: &History, channels: &[u32], from: At, until: At) -> At {
    let mut longest = 0;
    for socket in history.sockets.iter().filter(|socket| socket.app == 0) {
        for channel in channels {
            let mut last = None;
            for entry in socket.entries.iter().filter(|entry| entry.channel == *channel) {
                let before = match entry.what {
                    What::Event(_) => last.replace(entry.at),
                    What::Subscribed | What::Entered(_) | What::Leaving => last.take(),
                    What::Added(_) | What::Removed(_) | What::Left | What::Strange(_) => continue,
                };
                let is_event = matches!(entry.what, What::Event(_));
                if let Some(before) = before.filter(|before| *before < until && is_event)
                    && entry.at > from
                {
                    longest = longest.max(entry.at - before);
                }
            }
        }
    }
    longest
}

/// Calls that were not acknowledged.
#[must_use]
pub fn refused(history: &History) -> usize {
    history.attempts.iter().filter(|attempt| attempt.status != 200).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::history::{Entry, Key, Socket};

    #[test]
    fn percentiles_are_values_that_occurred() {
        let spread = Spread::of((1..=200).rev().collect());
        assert_eq!(spread, Spread { count: 200, p50: 100, p99: 198, max: 200 });
        assert_eq!(Spread::of(vec![7]), Spread { count: 1, p50: 7, p99: 7, max: 7 });
        assert_eq!(Spread::of(Vec::new()), Spread::default());
    }

    #[test]
    fn the_longest_silence_is_one_that_touches_the_time() {
        let what = What::Event(Key { publisher: 0, sequence: 0 });
        let event = |at| Entry { at, channel: 0, what: what.clone() };
        let socket = Socket {
            number: 0,
            app: 0,
            node: 0,
            user: None,
            opened: 0,
            ended: None,
            entries: [10, 100, 110, 140, 150, 300].map(event).into(),
        };
        let history = History { sockets: vec![socket], ..History::default() };
        assert_eq!(silence(&history, &[0], 105, 145), 30);
        assert_eq!(silence(&history, &[0], 105, 160), 150);
        assert_eq!(silence(&history, &[1], 105, 160), 0);
    }
}
