//! What can happen, and how it is told.

use std::time::Instant;

use bytes::Bytes;
use model::{AppId, ChannelKind, ChannelName, SocketId, UserId, WebhookKind};
use serde::Serialize;

/// Something that happened in a channel, cluster-wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The first subscription has come.
    Occupied,
    /// The last subscription has gone.
    Vacated,
    /// A user came into the presence channel.
    MemberAdded(UserId),
    /// A user left it.
    MemberRemoved(UserId),
    /// There are this many subscriptions now.
    SubscriptionCount(u32),
    /// Somebody subscribed to a cache channel that had nothing for them.
    CacheMiss,
    /// A socket published.
    ClientEvent {
        /// The event's name.
        name: String,
        /// JSON as the socket sent it.
        data: Option<Bytes>,
        /// The socket.
        socket: SocketId,
        /// Its user in a presence channel.
        user: Option<UserId>,
    },
}

/// A happening with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) app: AppId,
    pub(super) channel: ChannelName,
    pub(super) happening: Happening,
}

/// A moment, on the clock that never goes back and on the one that people read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) at: Instant,
    pub(super) time_ms: u64,
}

/// An event as the body of a call has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) json: Bytes,
    pub(super) at: Instant,
    pub(super) time_ms: u64,
}

/// The members and their order are spec/http.md 7.2.
#[derive(Serialize)]
struct Members<'a> {
    name: &'static str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscription_count: Option<u32>,
}

impl Happening {
    /// Which webhooks hear of it.
    #[must_use]
    pub fn kind(&self) -> WebhookKind {
        match self {
            Self::Occupied => WebhookKind::ChannelOccupied,
            Self::Vacated => WebhookKind::ChannelVacated,
            Self::MemberAdded(_) => WebhookKind::MemberAdded,
            Self::MemberRemoved(_) => WebhookKind::MemberRemoved,
            Self::SubscriptionCount(_) => WebhookKind::SubscriptionCount,
            Self::CacheMiss => WebhookKind::CacheMiss,
            Self::ClientEvent { .. } => WebhookKind::ClientEvent,
        }
    }

    /// Whether it is told at all: a user's own channel is nobody's business, and the count of a
    /// presence channel is told by its members.
    pub(super) fn is_told_of(&self, channel: &ChannelName) -> bool {
        match channel.kind() {
            ChannelKind::User => false,
            ChannelKind::Presence => self.kind() != WebhookKind::SubscriptionCount,
            ChannelKind::Public | ChannelKind::Private | ChannelKind::Encrypted => true,
        }
    }

    /// Bytes that it keeps while it waits, besides its own size.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::ClientEvent { name, data, .. } => {
                name.len() + data.as_ref().map_or(0, Bytes::len)
            }
            Self::Occupied
            | Self::Vacated
            | Self::MemberAdded(_)
            | Self::MemberRemoved(_)
            | Self::SubscriptionCount(_)
            | Self::CacheMiss => 0,
        }
    }
}

impl Told {
    pub(super) fn new(channel: &ChannelName, happening: &Happening, now: Moment) -> Self {
        let mut members = Members {
            name: happening.kind().name(),
            channel: channel.as_str(),
            event: None,
            data: None,
            socket_id: None,
            user_id: None,
            subscription_count: None,
        };
        match happening {
            Happening::Occupied | Happening::Vacated | Happening::CacheMiss => {}
            Happening::MemberAdded(user) | Happening::MemberRemoved(user) => {
                members.user_id = Some(user.as_str());
            }
            Happening::SubscriptionCount(count) => members.subscription_count = Some(*count),
            Happening::ClientEvent { name, data, socket, user } => {
                let present = channel.kind() == ChannelKind::Presence;
                members.event = Some(name);
                members.data = data.as_deref().map(text);
                members.socket_id = Some(socket.to_string());
                members.user_id = user.as_ref().filter(|_| present).map(UserId::as_str);
            }
        }
        let json = serde_json::to_vec(&members).expect("text and numbers are JSON");
        Self { json: json.into(), at: now.at, time_ms: now.time_ms }
    }
}

/// A JSON string as the text that it means; anything else as the JSON text that it is.
fn text(data: &[u8]) -> String {
    serde_json::from_slice(data).unwrap_or_else(|_| String::from_utf8_lossy(data).into_owned())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn moment(time_ms: u64) -> Moment {
        Moment { at: tokio::time::Instant::now().into_std(), time_ms }
    }

    fn told(channel: &str, happening: &Happening) -> String {
        let told = Told::new(&ChannelName::trusted(channel), happening, moment(1));
        String::from_utf8(told.json.to_vec()).unwrap()
    }

    fn client_event(data: Option<&'static str>) -> Happening {
        Happening::ClientEvent {
            name: "client-typing".into(),
            data: data.map(|data| data.as_bytes().into()),
            socket: SocketId { left: 123, right: 456 },
            user: Some(UserId::trusted("user-42")),
        }
    }

    #[test]
    fn members_in_their_order() {
        let check = |channel: &str, happening: &Happening, expected: &str| {
            assert_eq!(told(channel, happening), expected);
        };
        check("a", &Happening::Vacated, r#"{"name":"channel_vacated","channel":"a"}"#);
        check("cache-a", &Happening::CacheMiss, r#"{"name":"cache_miss","channel":"cache-a"}"#);
        check(
            "presence-a",
            &Happening::MemberAdded(UserId::trusted("7")),
            r#"{"name":"member_added","channel":"presence-a","user_id":"7"}"#,
        );
        check(
            "a",
            &Happening::SubscriptionCount(3),
            r#"{"name":"subscription_count","channel":"a","subscription_count":3}"#,
        );
    }

    #[test]
    fn data_is_a_string_and_the_user_is_named_in_presence_channels_only() {
        let head = r#"{"name":"client_event","channel":"private-a","event":"client-typing","#;
        let check = |data: Option<&'static str>, expected: &str| {
            let expected = format!(r#"{head}{expected}"socket_id":"123.456"}}"#);
            assert_eq!(told("private-a", &client_event(data)), expected);
        };
        check(None, "");
        check(Some(r#""a \"b\"""#), r#""data":"a \"b\"","#);
        check(Some(r#"{"a":1.0}"#), r#""data":"{\"a\":1.0}","#);
        check(Some("null"), r#""data":"null","#);
        assert!(told("presence-a", &client_event(None)).ends_with(r#","user_id":"user-42"}"#));
    }

    #[test]
    fn what_is_nobodys_business() {
        let check = |channel: &str, happening: &Happening, expected: bool| {
            assert_eq!(happening.is_told_of(&ChannelName::trusted(channel)), expected);
        };
        check("a", &Happening::SubscriptionCount(1), true);
        check("presence-a", &Happening::SubscriptionCount(1), false);
        check("presence-a", &Happening::Occupied, true);
        check("#server-to-user-1", &Happening::Occupied, false);
    }
}
