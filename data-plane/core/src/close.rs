//! Every reason we close a connection, with its number and text.

use crate::frame;

/// Why a connection is closed. What pusher-js does about it depends on the number: 4000-4099 never
/// retry, 4100-4199 retry after a second, 4200-4299 at once, from 4300 never; below 4000 retry.
/// Source: spec/websocket.md 1.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// Either side is done. 1000.
    Normal,
    /// A frame that RFC 6455 forbids. 1002.
    Protocol,
    /// A kind of message that is not served. 1003.
    Unsupported,
    /// A text message that is not UTF-8. 1007.
    InvalidUtf8,
    /// A message over the size limit. 1009.
    TooLarge,
    /// No app has the key, or it no longer has this key. 4001.
    UnknownApp,
    /// The app is switched off. 4003.
    AppDisabled,
    /// The app has as many connections as it may. 4004.
    ConnectionQuota,
    /// The protocol version is no number. 4006.
    NotANumberProtocol,
    /// The protocol version is not served. 4007.
    UnsupportedProtocol,
    /// The page's origin is not allowed. 4009.
    Unauthorized,
    /// Neither signed in nor in a channel that needs a signature when the time for it was over. 4009.
    NotSignedIn,
    /// The app's backend has ended all connections of the user. 4009.
    Terminated,
    /// The client reads more slowly than its channels speak. 4100.
    SlowConsumer,
    /// The node has as many connections as it can hold. 4100.
    OverCapacity,
    /// The node is about to stop. 4200.
    Drain,
    /// Silent for the activity timeout, and no answer to a ping. 4201.
    PongTimeout,
    /// Over the client-event limit of an app that closes for it. 4301.
    ClientEventLimit,
    /// Over the message limit of an app that closes for it. 4301.
    MessageLimit,
}

impl CloseCode {
    /// All reasons.
    pub const ALL: [Self; 19] = [
        Self::Normal,
        Self::Protocol,
        Self::Unsupported,
        Self::InvalidUtf8,
        Self::TooLarge,
        Self::UnknownApp,
        Self::AppDisabled,
        Self::ConnectionQuota,
        Self::NotANumberProtocol,
        Self::UnsupportedProtocol,
        Self::Unauthorized,
        Self::NotSignedIn,
        Self::Terminated,
        Self::SlowConsumer,
        Self::OverCapacity,
        Self::Drain,
        Self::PongTimeout,
        Self::ClientEventLimit,
        Self::MessageLimit,
    ];

    /// The number in the close frame.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::Protocol => 1002,
            Self::Unsupported => 1003,
            Self::InvalidUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::UnknownApp => 4001,
            Self::AppDisabled => 4003,
            Self::ConnectionQuota => 4004,
            Self::NotANumberProtocol => 4006,
            Self::UnsupportedProtocol => 4007,
            Self::Unauthorized | Self::NotSignedIn | Self::Terminated => 4009,
            Self::SlowConsumer | Self::OverCapacity => 4100,
            Self::Drain => 4200,
            Self::PongTimeout => 4201,
            Self::ClientEventLimit | Self::MessageLimit => 4301,
        }
    }

    /// The reason in the close frame: at most 123 bytes, which is what a close frame holds.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Protocol => "WebSocket protocol error",
            Self::Unsupported => "This kind of message is not supported",
            Self::InvalidUtf8 => "A text message must be UTF-8",
            Self::TooLarge => "Message too large",
            Self::UnknownApp => "Application does not exist",
            Self::AppDisabled => "Application disabled",
            Self::ConnectionQuota => "Application is over connection quota",
            Self::NotANumberProtocol => "The protocol version must be a number",
            Self::UnsupportedProtocol => "Unsupported protocol version",
            Self::Unauthorized => "Origin not allowed",
            Self::NotSignedIn => "Connection not authorized within timeout.",
            Self::Terminated => "You got disconnected by the app.",
            Self::SlowConsumer => "Connection too slow: too many unread messages",
            Self::OverCapacity => "Over capacity",
            Self::Drain => "Server closed. Please reconnect shortly.",
            Self::PongTimeout => "Pong reply not received in time",
            Self::ClientEventLimit => "Client event rejected due to rate limit",
            Self::MessageLimit => "Message rejected due to rate limit",
        }
    }

    /// The error frame to send before the close frame; `None` for the codes of RFC 6455.
    #[must_use]
    pub fn error_frame(self) -> Option<String> {
        (self.number() >= 4000).then(|| frame::error(self.number(), self.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fit_into_a_close_frame() {
        for code in CloseCode::ALL {
            assert!(code.text().len() <= 123, "{code:?}");
            assert_eq!(code.text().is_empty(), code == CloseCode::Normal, "{code:?}");
        }
    }

    #[test]
    fn pusher_codes_have_an_error_frame_and_rfc_codes_have_none() {
        assert_eq!(CloseCode::TooLarge.error_frame(), None);
        assert_eq!(
            CloseCode::Unauthorized.error_frame().as_deref(),
            Some(r#"{"event":"pusher:error","data":{"code":4009,"message":"Origin not allowed"}}"#)
        );
    }

    #[test]
    fn reconnects_as_spec_websocket_1_4_wants() {
        let retries = |code: CloseCode| matches!(code.number(), ..4000 | 4100..4300);
        for code in CloseCode::ALL {
            let refused = match code {
                CloseCode::UnknownApp
                | CloseCode::AppDisabled
                | CloseCode::ConnectionQuota
                | CloseCode::NotANumberProtocol
                | CloseCode::UnsupportedProtocol
                | CloseCode::Unauthorized
                | CloseCode::NotSignedIn
                | CloseCode::Terminated
                | CloseCode::ClientEventLimit
                | CloseCode::MessageLimit => true,
                CloseCode::Normal
                | CloseCode::Protocol
                | CloseCode::Unsupported
                | CloseCode::InvalidUtf8
                | CloseCode::TooLarge
                | CloseCode::SlowConsumer
                | CloseCode::OverCapacity
                | CloseCode::Drain
                | CloseCode::PongTimeout => false,
            };
            assert_eq!(retries(code), !refused, "{code:?}");
        }
    }
}
