//! V5: nothing comes that nobody has sent there.

use std::collections::HashSet;

use super::{Messages, Verdict};
use crate::chaos::history::{Entry, History, Key, Socket, What};

/// Each event was published to that channel of that app, not from this socket, and to a subscriber.
pub(super) fn judge(history: &History, messages: &Messages) -> Verdict {
    let mut verdict = Verdict::of("V5 contained");
    for socket in &history.sockets {
        let mut subscribed = HashSet::new();
        for entry in &socket.entries {
            let wrong = match &entry.what {
                What::Subscribed | What::Entered(_) => {
                    subscribed.insert(entry.channel);
                    continue;
                }
                What::Left => {
                    subscribed.remove(&entry.channel);
                    continue;
                }
                What::Leaving => continue,
                What::Event(key) => wrong(messages, socket, entry, *key),
                What::Added(_) | What::Removed(_) => None,
                What::Strange(text) => Some(text.to_string()),
            };
            let stranger = !subscribed.contains(&entry.channel);
            let wrong = wrong.or_else(|| stranger.then(|| "it is not in the channel".to_owned()));
            verdict.check(wrong.is_none(), || {
                let channel = &history.channels[entry.channel as usize];
                let (number, at) = (socket.number, entry.at);
                let wrong = wrong.unwrap_or_default();
                format!("socket {number}, {channel}, {at}: {:?}: {wrong}", entry.what)
            });
        }
    }
    verdict
}

fn wrong(messages: &Messages, socket: &Socket, entry: &Entry, key: Key) -> Option<String> {
    let Some(message) = messages.get(&key) else {
        return Some("nobody has published it".to_owned());
    };
    if message.app != socket.app {
        return Some(format!("published for app {}", message.app));
    }
    if message.channel != entry.channel {
        return Some(format!("published to channel {}", message.channel));
    }
    if message.excluded == Some(socket.number) {
        return Some("it was not for this socket".to_owned());
    }
    (entry.at < message.start).then(|| "it came before it was published".to_owned())
}
