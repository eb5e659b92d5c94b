//! What an app's backend is told over HTTP, where and how.

use std::time::Duration;

/// One HTTP target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Where to POST.
    pub url: String,
    /// What is told; empty: everything.
    pub kinds: Vec<WebhookKind>,
    /// Of which channels: all conditions must hold.
    pub filter: WebhookFilter,
    /// Added to each call; the protocol's own headers win.
    pub headers: Vec<(String, String)>,
    /// `None`: a failed call is not tried again.
    pub retry: Option<WebhookRetry>,
    /// For one call.
    pub timeout: Duration,
}

/// What can happen in an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebhookKind {
    /// The first subscription of a channel.
    ChannelOccupied,
    /// The last subscription of a channel has gone.
    ChannelVacated,
    /// A user came into a presence channel.
    MemberAdded,
    /// A user left a presence channel.
    MemberRemoved,
    /// A socket published.
    ClientEvent,
    /// Somebody subscribed to a cache channel that had nothing for them.
    CacheMiss,
    /// The number of a channel's subscriptions has changed.
    SubscriptionCount,
}

/// Conditions on a channel's name; an absent one holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookFilter {
    /// How the name begins.
    pub prefix: String,
    /// How it ends.
    pub suffix: String,
    /// A regular expression that matches somewhere in it.
    pub pattern: Option<String>,
    /// What stands before its first colon, without `private-`, `presence-` and `cache-`: one of
    /// these. Empty: anything.
    pub namespaces: Vec<String>,
}

/// How often a failed call is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookRetry {
    /// Calls in all; `None`: as many as there is time for.
    pub attempts_max: Option<u32>,
    /// Counted from the first call.
    pub elapsed_max: Duration,
    /// Before the second call; it doubles with each further one.
    pub backoff_min: Duration,
    /// Between calls at most.
    pub backoff_max: Duration,
}

impl Webhook {
    /// For one call, unless the webhook says otherwise.
    pub const TIMEOUT: Duration = Duration::from_secs(10);

    /// Whether this kind is told at all.
    #[must_use]
    pub fn tells(&self, kind: WebhookKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

impl Default for WebhookRetry {
    fn default() -> Self {
        Self {
            attempts_max: None,
            elapsed_max: Duration::from_secs(300),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

impl WebhookKind {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::ChannelOccupied,
        Self::ChannelVacated,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::ClientEvent,
        Self::CacheMiss,
        Self::SubscriptionCount,
    ];

    /// The name in the body of the call.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelOccupied => "channel_occupied",
            Self::ChannelVacated => "channel_vacated",
            Self::MemberAdded => "member_added",
            Self::MemberRemoved => "member_removed",
            Self::ClientEvent => "client_event",
            Self::CacheMiss => "cache_miss",
            Self::SubscriptionCount => "subscription_count",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// What undoes it: a channel that is occupied again was not vacated. Itself, where nothing does.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::ChannelOccupied => Self::ChannelVacated,
            Self::ChannelVacated => Self::ChannelOccupied,
            Self::MemberAdded => Self::MemberRemoved,
            Self::MemberRemoved => Self::MemberAdded,
            Self::ClientEvent | Self::CacheMiss | Self::SubscriptionCount => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in WebhookKind::ALL {
            assert_eq!(WebhookKind::parse(kind.name()), Some(kind));
            assert_eq!(kind.opposite().opposite(), kind);
        }
        assert_eq!(WebhookKind::parse("member_updated"), None);
    }
}
