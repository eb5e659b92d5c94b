//! What clients say.

use std::{array, borrow::Cow, fmt};

use serde_json::value::RawValue;

use super::json;
use crate::delta::DeltaWish;

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
        /// `filter`, else `tags_filter`: JSON, not looked into. `Some` even where it is `null`.
        filter: Option<Cow<'a, str>>,
        /// What it says about deltas, if that makes sense.
        delta: Option<DeltaWish>,
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
    /// `pusher:enable_delta_compression`.
    EnableDeltaCompression {
        /// JSON, not looked into.
        data: Option<Cow<'a, str>>,
    },
    /// `pusher:delta_sync_error`: the client lacks what a delta is based on.
    DeltaSyncError {
        /// The channel as given.
        channel: Cow<'a, str>,
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
        Some("subscribe") => subscribe(data),
        Some("unsubscribe") => Ok(Inbound::Unsubscribe { channel: channel_in(data)? }),
        Some("signin") => {
            let [auth, user_data] = members(data, [("auth", TEXT), ("user_data", TEXT)])?;
            Ok(Inbound::Signin { auth, user_data })
        }
        Some("enable_delta_compression") => {
            let data = data.map(|data| json::text(data).unwrap_or(Cow::Borrowed(data.get())));
            Ok(Inbound::EnableDeltaCompression { data })
        }
        Some("delta_sync_error") => Ok(Inbound::DeltaSyncError { channel: channel_in(data)? }),
        None if event.starts_with("client-") => {
            let channel = channel.and_then(json::text);
            Ok(Inbound::ClientEvent { name: event, channel, data })
        }
        Some(_) | None => Ok(Inbound::Unknown { event }),
    }
}

fn subscribe(data: Option<&RawValue>) -> Result<Inbound<'_>, BadFrame> {
    let [channel, auth, channel_data, filter, tags_filter, delta] = members(
        data,
        [
            ("channel", TEXT),
            ("auth", TEXT),
            ("channel_data", TEXT),
            ("filter", JSON),
            ("tags_filter", JSON),
            ("delta", JSON),
        ],
    )?;
    Ok(Inbound::Subscribe {
        channel: channel.ok_or(BadFrame::Channel)?,
        auth,
        channel_data,
        filter: filter.or(tags_filter),
        delta: delta.and_then(|delta| DeltaWish::parse(serde_json::from_str(&delta).ok()?)),
    })
}

fn channel_in(data: Option<&RawValue>) -> Result<Cow<'_, str>, BadFrame> {
    let [channel] = members(data, [("channel", TEXT)])?;
    channel.ok_or(BadFrame::Channel)
}

/// How a member is read; `None` counts as absent.
type Reading = for<'a> fn(&'a RawValue) -> Option<Cow<'a, str>>;

/// The text of a string.
const TEXT: Reading = json::text;
/// Any value as it stands.
const JSON: Reading = |value| Some(Cow::Borrowed(value.get()));

/// The named members of `data`, which is an object or a string that holds an object.
fn members<'a, const N: usize>(
    data: Option<&'a RawValue>,
    wanted: [(&str, Reading); N],
) -> Result<[Option<Cow<'a, str>>; N], BadFrame> {
    let data = data.ok_or(BadFrame::Data)?;
    let (names, readings) = (wanted.map(|(name, _)| name), wanted.map(|(_, reading)| reading));
    let Some(inner) = json::text(data) else {
        let found = json::members(data.get(), names).map_err(|_| BadFrame::Data)?;
        return Ok(array::from_fn(|place| found[place].and_then(readings[place])));
    };
    let found = json::members(&inner, names).map_err(|_| BadFrame::Data)?;
    let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    Ok(array::from_fn(|place| found[place].and_then(readings[place]).map(owned)))
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
        let expected = r#"Subscribe { channel: "a\"b", auth: Some("k:s"), channel_data: Some("{}"), filter: None, delta: None }"#;
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
            r#"Subscribe { channel: "m", auth: None, channel_data: None, filter: None, delta: None }"#,
        );
        check(
            r#"{"data":{"channel":"m","channel":"n"},"event":"x","event":"pusher:unsubscribe"}"#,
            r#"Unsubscribe { channel: "n" }"#,
        );
    }

    #[test]
    fn subscribe_with_filter_and_delta() {
        let subscribe = |more: &str, filter: &str, delta: &str| {
            let expected = format!(
                r#"Subscribe {{ channel: "m", auth: None, channel_data: None, filter: {filter}, delta: {delta} }}"#
            );
            let data = format!(r#"{{"channel":"m"{more}}}"#);
            check(&format!(r#"{{"event":"pusher:subscribe","data":{data}}}"#), &expected);
            let data = serde_json::to_string(&data).unwrap();
            check(&format!(r#"{{"event":"sockudo:subscribe","data":{data}}}"#), &expected);
        };
        subscribe(r#","tags_filter": {"key":"\"" }"#, r#"Some("{\"key\":\"\\\"\" }")"#, "None");
        subscribe(r#","tags_filter":1,"filter":[ 2 ]"#, r#"Some("[ 2 ]")"#, "None");
        subscribe(r#","tags_filter":1,"filter":null"#, r#"Some("null")"#, "None");
        subscribe(r#","delta":true"#, "None", "Some(On(None))");
        subscribe(r#","delta":"vcdiff""#, "None", "Some(On(Some(Text(Xdelta3))))");
        subscribe(r#","delta":{"enabled":false}"#, "None", "Some(Off)");
        subscribe(r#","delta":null"#, "None", "None");
        subscribe(r#","delta":[]"#, "None", "None");
    }

    #[test]
    fn news_about_deltas() {
        let enable = |data: &str, expected: &str| {
            let expected = format!("EnableDeltaCompression {{ data: {expected} }}");
            check(&format!(r#"{{"event":"pusher:enable_delta_compression"{data}}}"#), &expected);
            check(&format!(r#"{{"event":"sockudo:enable_delta_compression"{data}}}"#), &expected);
        };
        enable("", "None");
        enable(r#","data":null"#, r#"Some("null")"#);
        enable(r#","data":{"algorithms":[]}"#, r#"Some("{\"algorithms\":[]}")"#);
        enable(r#","data":"{\"x\":1}""#, r#"Some("{\"x\":1}")"#);
        let lost = r#"DeltaSyncError { channel: "m" }"#;
        check(r#"{"event":"pusher:delta_sync_error","data":{"channel":"m"}}"#, lost);
        check(r#"{"event":"sockudo:delta_sync_error","data":"{\"channel\":\"m\"}"}"#, lost);
        check(r#"{"event":"pusher:delta_sync_error","data":{}}"#, "Channel");
        check(r#"{"event":"pusher:delta_sync_error"}"#, "Data");
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
