//! What an app's users may do how much of. Every number is enforced where its comment says.

/// Per-app limits. A `None` is no limit. Defaults are those of spec/http.md 3.1 and 6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open WebSockets of the app; over it a new one is closed with 4004.
    pub connections_max: Option<u32>,
    /// Channels one connection may be subscribed to; over it: `subscription_error` `LimitReached`.
    pub channels_per_connection_max: u32,
    /// Events a backend may publish per second, counted per channel; over it: 429.
    pub backend_events_per_second: Option<u32>,
    /// Read requests (channel lists and the like) per second; over it: 429.
    pub read_requests_per_second: Option<u32>,
    /// Client events per connection in one window; over it: `pusher:error` 4301.
    pub client_events_per_second: Option<u32>,
    /// Length of the client-event window, in seconds.
    pub client_events_window_seconds: u32,
    /// Whether a connection over its client-event limit is closed with 4301.
    pub client_events_terminate: bool,
    /// Messages of any kind from one connection.
    pub messages: Option<MessageLimit>,
    /// Characters (Unicode scalar values) of an event name.
    pub event_name_chars_max: u32,
    /// Bytes of a channel name (its characters are all one byte, but for user channels).
    pub channel_name_bytes_max: u32,
    /// Channels of one publish.
    pub channels_per_event_max: u32,
    /// Bytes of an event's data, measured as spec/http.md 3.2 says; over it: 413.
    pub event_payload_bytes_max: u32,
    /// Events of one batch.
    pub batch_events_max: u32,
    /// Users of one presence channel.
    pub presence_members_max: u32,
    /// Bytes of one member's `user_info`.
    pub presence_member_bytes_max: u32,
    /// Seconds a connection has to sign in, where the app demands it.
    pub user_authentication_timeout_seconds: u32,
}

/// So many messages in a window, then none until it has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageLimit {
    /// Messages in one window; over it: `pusher:error` 4301.
    pub attempts_max: u32,
    /// Length of the window, in seconds.
    pub window_seconds: u32,
    /// Whether a connection over its limit is closed with 4301.
    pub terminate: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: None,
            channels_per_connection_max: 1_000,
            backend_events_per_second: None,
            read_requests_per_second: None,
            client_events_per_second: None,
            client_events_window_seconds: 1,
            client_events_terminate: false,
            messages: None,
            event_name_chars_max: 200,
            channel_name_bytes_max: 200,
            channels_per_event_max: 100,
            event_payload_bytes_max: 100 * 1024,
            batch_events_max: 10,
            presence_members_max: 100,
            presence_member_bytes_max: 2 * 1024,
            user_authentication_timeout_seconds: 3_600,
        }
    }
}
