//! What clients say.

use std::{borrow::Cow, fmt};

use serde_json::value::RawValue;

use super::json;

/// One message of a client. Texts are borrowed from the message where they hold no escapes.
#[derive(Debug)]
pub enum Inbound<'a> {
    /// `pusher:ping`, whatever its data.
    Ping,
    /// `pusher:pong`.
    Pong,
    /// `pusher:subscribe`. Absent, `null` and non-string members are `None`.
    Subscribe {
        /// The channel as given.
        channel: Cow<'a, str>,
        /// `key:signature`; pusher-js sends it empty for public channels.
        auth: Option<Cow<'a, str>>,
        /// The exact text that was signed along.
        channel_data: Option<Cow<'a, str>>,
    },
    /// `pusher:unsubscribe`.
    Unsubscribe {
        /// The channel as given.
        channel: Cow<'a, str>,
    },
    /// `pusher:signin`.
    Signin {
        /// `key:signature`.
        auth: Option<Cow<'a, str>>,
        /// The exact text that was signed.
        user_data: Option<Cow<'a, str>>,
    },
    /// An event whose name begins with `client-`.
    ClientEvent {
        /// The event's name.
        name: Cow<'a, str>,
        /// The channel as given.
        channel: Option<Cow<'a, str>>,
        /// The data with its JSON type; `None` where there is none.
        data: Option<&'a RawValue>,
    },
    /// Anything else. Newer clients may say things that this server does not know.
    Unknown {
        /// The event's name.
        event: Cow<'a, str>,
    },
}

/// Why a message is no frame. Prints as the message of the error frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// Not JSON.
    NotJson {
        /// Line of the first fault, from 1.
        line: usize,
        /// Column of the first fault, from 1.
        column: usize,
    },
    /// JSON, but no object.
    NotAnObject,
    /// `event` is missing or no string.
    Event,
    /// `data` is neither an object nor a string that holds one.
    Data,
    /// `data.channel` is missing or no string.
    Channel,
}

/// Reads one message. Unknown members are ignored; of members with the same name the last counts.
pub fn parse(text: &str) -> Result<Inbound<'_>, BadFrame> {
    let [event, channel, data] = json::members(text, ["event", "channel", "data"])
        .map_err(|error| BadFrame::of_message(&error))?;
    let event = event.and_then(json::text).ok_or(BadFrame::Event)?;
    let action = event.strip_prefix("pusher:").or_else(|| event.strip_prefix("sockudo:"));
    match action {
        Some("ping") => Ok(Inbound::Ping),
        Some("pong") => Ok(Inbound::Pong),
        Some("subscribe") => {
            let [channel, auth, channel_data] = strings(data, ["channel", "auth", "channel_data"])?;
            let channel = channel.ok_or(BadFrame::Channel)?;
            Ok(Inbound::Subscribe { channel, auth, channel_data })
        }
        Some("unsubscribe") => {
            let [channel] = strings(data, ["channel"])?;
            Ok(Inbound::Unsubscribe { channel: channel.ok_or(BadFrame::Channel)? })
        }
        Some("signin") => {
            let [auth, user_data] = strings(data, ["auth", "user_data"])?;
            Ok(Inbound::Signin { auth, user_data })
        }
        None if event.starts_with("client-") => {
            let channel = channel.and_then(json::text);
            Ok(Inbound::ClientEvent { name: event, channel, data })
        }
        Some(_) | None => Ok(Inbound::Unknown { event }),
    }
}

/// The named string members of `data`, which is an object or a string that holds an object.
fn strings<'a, const N: usize>(
    data: Option<&'a RawValue>,
    names: [&str; N],
) -> Result<[Option<Cow<'a, str>>; N], BadFrame> {
    let data = data.ok_or(BadFrame::Data)?;
    let Some(inner) = json::text(data) else {
        let found = json::members(data.get(), names).map_err(|_| BadFrame::Data)?;
        return Ok(found.map(|value| value.and_then(json::text)));
    };
    let found = json::members(&inner, names).map_err(|_| BadFrame::Data)?;
    Ok(found.map(|value| value.and_then(json::text).map(|text| Cow::Owned(text.into_owned()))))
}

/// The size of an event's data as limits measure it: the text of a string, the JSON of anything
/// else. Source: spec/http.md 3.2.
#[must_use]
pub fn payload_bytes(data: &RawValue) -> usize {
    json::text(data).map_or(data.get().len(), |text| text.len())
}

impl BadFrame {
    /// The code of the error frame. Never that of a close frame: pusher-js would switch to TLS.
    pub const NUMBER: u16 = 4000;

    fn of_message(error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::NotAnObject;
        }
        Self::NotJson { line: error.line(), column: error.column() }
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid message format: ")?;
        match self {
            Self::NotJson { line, column } => {
                write!(f, "not JSON (line {line}, column {column})")
            }
            Self::NotAnObject => f.write_str("a message must be a JSON object"),
            Self::Event => f.write_str("'event' must be a string"),
            Self::Data => f.write_str("'data' must be an object, or a string that holds one"),
            Self::Channel => f.write_str("'channel' in 'data' must be a string"),
        }
    }
}

impl std::error::Error for BadFrame {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Prints as debug text, in which borrowed and owned texts look the same.
    fn check(text: &str, expected: &str) {
        let found = match parse(text) {
            Ok(inbound) => format!("{inbound:?}"),
            Err(bad) => format!("{bad:?}"),
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn pings_of_every_shape() {
        for data in ["", r#","data":{}"#, r#","data":null"#, r#","data":"{}""#, r#","data":[1]"#] {
            check(&format!(r#"{{"event":"pusher:ping"{data}}}"#), "Ping");
        }
        check(r#"{"event":"pusher:pong","data":{}}"#, "Pong");
        check(r#"{"event":"sockudo:ping"}"#, "Ping");
    }

    #[test]
    fn subscribe_with_data_as_object_and_as_string() {
        let expected =
            r#"Subscribe { channel: "a\"b", auth: Some("k:s"), channel_data: Some("{}") }"#;
        check(
            r#"{"event":"pusher:subscribe","data":{"auth":"k:s","channel":"a\"b","channel_data":"{}","x":[]}}"#,
            expected,
        );
        check(
            r#"{"event":"pusher:subscribe","data":"{\"auth\":\"k:s\",\"channel\":\"a\\\"b\",\"channel_data\":\"{}\"}"}"#,
            expected,
        );
        check(
            r#"{"event":"pusher:subscribe","data":{"channel":"m","auth":null,"channel_data":{}}}"#,
            r#"Subscribe { channel: "m", auth: None, channel_data: None }"#,
        );
        check(
            r#"{"data":{"channel":"m","channel":"n"},"event":"x","event":"pusher:unsubscribe"}"#,
            r#"Unsubscribe { channel: "n" }"#,
        );
    }

    #[test]
    fn signin_and_client_events() {
        check(
            r#"{"event":"pusher:signin","data":{"auth":"k:s","user_data":"{\"id\":\"u1\"}"}}"#,
            r#"Signin { auth: Some("k:s"), user_data: Some("{\"id\":\"u1\"}") }"#,
        );
        check(
            r#"{"event":"client-x","channel":"private-a","data": {"on": true} }"#,
            r#"ClientEvent { name: "client-x", channel: Some("private-a"), data: Some(RawValue({"on": true})) }"#,
        );
        check(
            r#"{"event":"client-x"}"#,
            r#"ClientEvent { name: "client-x", channel: None, data: None }"#,
        );
    }

    #[test]
    fn bad_frames_and_unknown_events() {
        check("", "NotJson { line: 1, column: 0 }");
        check("{", "NotJson { line: 1, column: 1 }");
        check("[]", "NotAnObject");
        check("7", "NotAnObject");
        check("{}", "Event");
        check(r#"{"event":7}"#, "Event");
        check(r#"{"event":"\ud800"}"#, "Event");
        check(r#"{"event":"pusher:subscribe"}"#, "Data");
        check(r#"{"event":"pusher:subscribe","data":[]}"#, "Data");
        check(r#"{"event":"pusher:subscribe","data":"nope"}"#, "Data");
        check(r#"{"event":"pusher:subscribe","data":{}}"#, "Channel");
        check(r#"{"event":"pusher:subscribe","data":{"channel":7}}"#, "Channel");
        check(r#"{"event":"pusher:unsubscribe","data":{}}"#, "Channel");
        check(r#"{"event":"pusher:new"}"#, r#"Unknown { event: "pusher:new" }"#);
        check(r#"{"event":"price"}"#, r#"Unknown { event: "price" }"#);
    }
}
