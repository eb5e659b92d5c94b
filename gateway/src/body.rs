//! Request bodies: JSON whatever the content type says, read field by field. Pure.

mod json;

use std::collections::BTreeMap;

use model::{Reason, Rejection};
use proto::v1::{Event, EventInfo, EventTags};
use serde_json::value::RawValue;

use crate::info::asks;
use json::{Kind, Members, compact};

/// More channels, and more events of a batch, than any app can be configured to allow; the app's own
/// limits are the control plane's to check.
const ELEMENTS_MAX: usize = 10_000;

/// Reads the body of `/events`. Unknown fields are ignored, and so is a field that is null, but for
/// `data`: there null is what is published.
pub(crate) fn event(body: &[u8]) -> Result<Event, Rejection> {
    read(members(body)?)
}

/// Reads the body of `/batch_events`. A refusal names the event by its place.
pub(crate) fn batch(body: &[u8]) -> Result<Vec<Event>, Rejection> {
    let batch = members(body)?.0.into_iter().find(|(key, _)| key == "batch");
    let batch = batch.map(|(_, value)| elements("batch", value, "an array of events"));
    let Some(batch) = batch.transpose()?.flatten() else {
        let message = "batch is required: an array of events";
        return Err(Rejection::field(Reason::InvalidInput, "batch", message));
    };
    let events = batch.into_iter().enumerate().map(|(place, value)| match Kind::of(value) {
        Kind::Object => {
            let event = Members::parse("", value.get()).and_then(read);
            event.map_err(|rejection| within(place, rejection))
        }
        found @ (Kind::Array | Kind::String | Kind::Number | Kind::Boolean | Kind::Null) => {
            Err(mistyped(&format!("batch[{place}]"), "an object", found))
        }
    });
    events.collect()
}

/// A body that says nothing: empty, or an object whose fields are ignored.
pub(crate) fn nothing(body: &[u8]) -> Result<(), Rejection> {
    match body {
        [] => Ok(()),
        _ => members(body).map(drop),
    }
}

fn members(body: &[u8]) -> Result<Members<'_>, Rejection> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let place = error.valid_up_to();
        Rejection::new(Reason::InvalidInput, format!("the body is not UTF-8 at byte {place}"))
    })?;
    Members::parse("", text)
}

fn read(members: Members<'_>) -> Result<Event, Rejection> {
    let mut event = Event::default();
    let (mut channel, mut channels) = (None, None);
    for (key, value) in members.0 {
        match &*key {
            "name" => event.name = string("name", value)?.unwrap_or_default(),
            "data" => event.data = Some(data(value)?),
            "channel" => channel = string("channel", value)?,
            "channels" => channels = names("channels", value)?,
            "socket_id" => event.socket_id = not_empty("socket_id", value)?.unwrap_or_default(),
            "info" => event.info = string("info", value)?.map(|list| info(&list)),
            "tags" => event.tags = tags(value)?,
            "delta" => event.delta = boolean("delta", value)?,
            "idempotency_key" => {
                event.idempotency_key = not_empty("idempotency_key", value)?.unwrap_or_default();
            }
            _ => {}
        }
    }
    event.channels = channels.unwrap_or_else(|| channel.into_iter().collect());
    Ok(event)
}

/// The text that clients receive: a string as it is, anything else as compact JSON.
fn data(value: &RawValue) -> Result<String, Rejection> {
    match Kind::of(value) {
        Kind::String => unescape("data", value),
        Kind::Object | Kind::Array | Kind::Number | Kind::Boolean | Kind::Null => {
            compact("data", value.get())
        }
    }
}

/// A string; `None` for null.
fn string(field: &str, value: &RawValue) -> Result<Option<String>, Rejection> {
    match Kind::of(value) {
        Kind::String => unescape(field, value).map(Some),
        Kind::Null => Ok(None),
        found @ (Kind::Object | Kind::Array | Kind::Number | Kind::Boolean) => {
            Err(mistyped(field, "a string", found))
        }
    }
}

fn not_empty(field: &'static str, value: &RawValue) -> Result<Option<String>, Rejection> {
    let text = string(field, value)?;
    if text.as_ref().is_some_and(String::is_empty) {
        let message = format!("{field} must not be empty; leave it out instead");
        return Err(Rejection::field(Reason::InvalidInput, field, message));
    }
    Ok(text)
}

fn boolean(field: &str, value: &RawValue) -> Result<Option<bool>, Rejection> {
    match Kind::of(value) {
        Kind::Boolean => Ok(Some(value.get() == "true")),
        Kind::Null => Ok(None),
        found @ (Kind::Object | Kind::Array | Kind::Number | Kind::String) => {
            Err(mistyped(field, "true or false", found))
        }
    }
}

/// An array of strings; `None` for null.
fn names(field: &str, value: &RawValue) -> Result<Option<Vec<String>>, Rejection> {
    let Some(values) = elements(field, value, "an array of strings")? else { return Ok(None) };
    let strings = values.into_iter().enumerate().map(|(place, value)| match Kind::of(value) {
        Kind::String => unescape(field, value),
        found @ (Kind::Object | Kind::Array | Kind::Number | Kind::Boolean | Kind::Null) => {
            Err(mistyped(&format!("{field}[{place}]"), "a string", found))
        }
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// The values of an array, not too many; `None` for null.
fn elements<'a>(
    field: &str,
    value: &'a RawValue,
    expected: &str,
) -> Result<Option<Vec<&'a RawValue>>, Rejection> {
    let values: Vec<&RawValue> = match Kind::of(value) {
        Kind::Array => serde_json::from_str(value.get()).expect("the array was parsed before"),
        Kind::Null => return Ok(None),
        found @ (Kind::Object | Kind::String | Kind::Number | Kind::Boolean) => {
            return Err(mistyped(field, expected, found));
        }
    };
    if values.len() > ELEMENTS_MAX {
        let message = format!("{field} has {} entries, at most {ELEMENTS_MAX}", values.len());
        return Err(Rejection::field(Reason::LimitExceeded, field.to_owned(), message));
    }
    Ok(Some(values))
}

/// An object of strings; `None` for null.
fn tags(value: &RawValue) -> Result<Option<EventTags>, Rejection> {
    match Kind::of(value) {
        Kind::Object => {}
        Kind::Null => return Ok(None),
        found @ (Kind::Array | Kind::String | Kind::Number | Kind::Boolean) => {
            return Err(mistyped("tags", "an object of strings", found));
        }
    }
    let mut pairs = BTreeMap::new();
    for (key, value) in Members::parse("tags.", value.get())?.0 {
        let text = match Kind::of(value) {
            Kind::String => unescape("tags", value)?,
            found @ (Kind::Object | Kind::Array | Kind::Number | Kind::Boolean | Kind::Null) => {
                return Err(mistyped(&format!("tags.{}", json::shown(&key)), "a string", found));
            }
        };
        pairs.insert(key.into_owned(), text);
    }
    Ok(Some(EventTags { pairs }))
}

fn info(list: &str) -> EventInfo {
    EventInfo {
        subscription_count: asks(list, "subscription_count"),
        user_count: asks(list, "user_count"),
    }
}

fn unescape(field: &str, value: &RawValue) -> Result<String, Rejection> {
    serde_json::from_str(value.get()).map_err(|_| {
        let message = format!("{field} has an escape that is no Unicode character");
        Rejection::field(Reason::InvalidInput, field.to_owned(), message)
    })
}

/// A refusal of one event of a batch.
fn within(place: usize, rejection: Rejection) -> Rejection {
    let field = match &*rejection.field {
        "" => format!("batch[{place}]"),
        field => format!("batch[{place}].{field}"),
    };
    Rejection { field: field.into(), ..rejection }
}

fn mistyped(field: &str, expected: &str, found: Kind) -> Rejection {
    let message = format!("{field} must be {expected}, not {}", found.named());
    Rejection::field(Reason::InvalidInput, field.to_owned(), message)
}

#[cfg(test)]
mod tests;
