//! What was done to a cluster and what was seen of it, by clients alone.

use std::collections::{BTreeMap, HashMap, HashSet};

/// Microseconds since the run began.
pub type At = u64;

/// Which event: its data says who has published it, and as which of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The publisher's number.
    pub publisher: u32,
    /// Counts its events.
    pub sequence: u32,
}

/// One call to publish an event.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The event.
    pub key: Key,
    /// For which app.
    pub app: u8,
    /// To which channel.
    pub channel: u32,
    /// When the call was made.
    pub start: At,
    /// When it was answered, or given up.
    pub end: At,
    /// The status; 0 where there was no answer.
    pub status: u16,
    /// The number of the socket that must not get it.
    pub excluded: Option<u32>,
}

/// One connection, from greeting to end.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Its number, of all connections.
    pub number: u32,
    /// Of which app.
    pub app: u8,
    /// At which node.
    pub node: usize,
    /// Who it is in presence channels.
    pub user: Option<u32>,
    /// When it was greeted.
    pub opened: At,
    /// When and how it ended; `None`: it was open when the run was over.
    pub ended: Option<(At, End)>,
    /// What it has seen, in order.
    pub entries: Vec<Entry>,
}

/// The close code that tells a client to connect again at once.
pub const COME_BACK: u16 = 4200;

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server closed it with this code.
    Closed(u16),
    /// It broke.
    Lost,
}

/// Something that a socket has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: At,
    /// Of which channel.
    pub channel: u32,
    /// What.
    pub what: What,
}

/// What a socket sees of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Its subscription is confirmed.
    Subscribed,
    /// The same in a presence channel, with who is there.
    Entered(Box<[u32]>),
    /// An event.
    Event(Key),
    /// A user has come.
    Added(u32),
    /// A user has gone.
    Removed(u32),
    /// It asks to leave.
    Leaving,
    /// The server has read that.
    Left,
    /// Something that nobody may be sent here.
    Strange(Box<str>),
}

/// Something that must not be allowed.
#[derive(Clone, Debug)]
pub struct Intrusion {
    /// What was tried.
    pub what: &'static str,
    /// Whether it was allowed.
    pub accepted: bool,
}

/// What REST says of a channel when nothing changes any more.
#[derive(Clone, Debug)]
pub struct RestView {
    /// Asked by which app.
    pub app: u8,
    /// Through which gateway.
    pub gateway: usize,
    /// Which channel.
    pub channel: u32,
    /// The users of a presence channel.
    pub users: Option<Vec<u32>>,
    /// Its `user_count`.
    pub user_count: Option<u64>,
    /// Its `subscription_count`.
    pub subscription_count: Option<u64>,
}

/// Something that has to work when all faults are over.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What.
    pub what: String,
    /// How long it took from the end of the faults; `None`: it did not work.
    pub took: Option<At>,
}

/// A figure and the bounds that it must keep.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What it is.
    pub what: String,
    /// What it was.
    pub value: f64,
    /// At least.
    pub least: Option<f64>,
    /// At most.
    pub most: Option<f64>,
}

/// A step of the fault plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub what: String,
    /// When it began.
    pub began: At,
    /// When it was done; `None`: the run ended before.
    pub done: Option<At>,
}

/// A time in which some publishers could not reach some nodes, nor anybody agree on an order.
#[derive(Clone, Debug)]
pub struct Cut {
    /// When it began.
    pub from: At,
    /// When everybody is to know that it is over.
    pub until: At,
    /// The publishers on one side.
    pub publishers: Vec<u32>,
    /// The nodes on the other side.
    pub nodes: Vec<usize>,
}

/// All of a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The names of channels, by number.
    pub channels: Vec<String>,
    /// Every call to publish.
    pub attempts: Vec<Attempt>,
    /// Every connection.
    pub sockets: Vec<Socket>,
    /// What strangers tried.
    pub intrusions: Vec<Intrusion>,
    /// What REST said at the end.
    pub views: Vec<RestView>,
    /// What worked after the faults.
    pub probes: Vec<Probe>,
    /// Memory, files, queues.
    pub bounds: Vec<Figure>,
    /// The figures of the contract.
    pub targets: Vec<Figure>,
    /// Whether there was enough to judge by.
    pub floors: Vec<Figure>,
    /// What was broken.
    pub plan: Vec<Step>,
    /// Who was cut off from whom.
    pub cuts: Vec<Cut>,
}

/// One stay of a socket in a channel.
#[derive(Debug)]
pub struct Stay {
    /// Which.
    pub channel: u32,
    /// When it began.
    pub since: At,
    /// When the socket left by itself; `None`: it was in until its connection ended, or the run.
    pub left: Option<At>,
    /// What came.
    pub received: HashSet<Key>,
}

impl Socket {
    /// Its stays in channels, those that have ended first.
    #[must_use]
    pub fn stays(&self) -> Vec<Stay> {
        let (mut present, mut past) = (BTreeMap::<u32, Stay>::new(), Vec::new());
        for entry in &self.entries {
            let channel = entry.channel;
            match entry.what {
                What::Subscribed | What::Entered(_) => {
                    let received = HashSet::new();
                    let stay = Stay { channel, since: entry.at, left: None, received };
                    past.extend(present.insert(channel, stay));
                }
                What::Event(key) => {
                    if let Some(stay) = present.get_mut(&channel) {
                        stay.received.insert(key);
                    }
                }
                What::Leaving => {
                    let stay = present.remove(&channel);
                    past.extend(stay.map(|stay| Stay { left: Some(entry.at), ..stay }));
                }
                What::Added(_) | What::Removed(_) | What::Left | What::Strange(_) => {}
            }
        }
        past.extend(present.into_values());
        past
    }
}

impl Cut {
    /// Whether an event was under way in this time.
    #[must_use]
    pub fn touches(&self, message: &Message) -> bool {
        message.start < self.until && message.acked.is_none_or(|acked| acked >= self.from)
    }

    /// Whether an event need not have come to a socket: it lies between them, or the socket was told
    /// of a gap by the time that the cut was over.
    #[must_use]
    pub fn excuses(&self, (key, message): (Key, &Message), socket: &Socket) -> bool {
        let apart = self.publishers.contains(&key.publisher) && self.nodes.contains(&socket.node);
        self.touches(message) && (apart || self.told(socket))
    }

    fn told(&self, socket: &Socket) -> bool {
        socket.ended.is_some_and(|(at, end)| {
            end == End::Closed(COME_BACK) && (self.from..self.until).contains(&at)
        })
    }
}

/// All attempts at one event, taken together.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// For which app.
    pub app: u8,
    /// To which channel.
    pub channel: u32,
    /// The first attempt's start.
    pub start: At,
    /// The end of the first attempt that was answered with 200.
    pub acked: Option<At>,
    /// The socket that must not get it.
    pub excluded: Option<u32>,
}

impl History {
    /// Every event that somebody tried to publish.
    #[must_use]
    pub fn messages(&self) -> HashMap<Key, Message> {
        let mut messages: HashMap<_, Message> = HashMap::with_capacity(self.attempts.len());
        for attempt in &self.attempts {
            let Attempt { app, channel, start, end, excluded, .. } = *attempt;
            let acked = (attempt.status == 200).then_some(end);
            messages
                .entry(attempt.key)
                .and_modify(|message| {
                    message.start = message.start.min(start);
                    message.acked = [message.acked, acked].into_iter().flatten().min();
                })
                .or_insert(Message { app, channel, start, acked, excluded });
        }
        messages
    }

    /// Whether a channel has members.
    #[must_use]
    pub fn is_presence(&self, channel: u32) -> bool {
        self.channels[channel as usize].starts_with("presence-")
    }

    /// Who is in which channel at the end: for each app and channel the sockets that are open and
    /// subscribed there.
    #[must_use]
    pub fn audience(&self) -> BTreeMap<(u8, u32), Vec<&Socket>> {
        let mut audience: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for socket in self.sockets.iter().filter(|socket| socket.ended.is_none()) {
            for channel in socket.subscribed() {
                audience.entry((socket.app, channel)).or_default().push(socket);
            }
        }
        audience
    }

    /// How many events have arrived, at all sockets together.
    #[must_use]
    pub fn frames(&self) -> usize {
        let entries = self.sockets.iter().flat_map(|socket| &socket.entries);
        entries.filter(|entry| matches!(entry.what, What::Event(_))).count()
    }
}

impl Socket {
    /// The channels that it is in at its end.
    fn subscribed(&self) -> Vec<u32> {
        let mut channels = Vec::new();
        for entry in &self.entries {
            match entry.what {
                What::Subscribed | What::Entered(_) => channels.push(entry.channel),
                What::Leaving => channels.retain(|channel| *channel != entry.channel),
                What::Event(_) | What::Added(_) | What::Removed(_) | What::Left => {}
                What::Strange(_) => {}
            }
        }
        channels
    }
}
