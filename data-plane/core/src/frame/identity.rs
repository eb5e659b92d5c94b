//! What backends sign of users: `channel_data` and `user_data`.

use std::{borrow::Cow, fmt};

use serde_json::value::RawValue;

use super::json;

/// Who a client is in a presence channel.
#[derive(Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    /// The user's id; an integer is the text of its digits.
    pub user_id: Cow<'a, str>,
    /// What the user says of itself: JSON as written, empty where it says nothing.
    pub user_info: &'a str,
}

/// Who a connection is.
#[derive(Debug, PartialEq, Eq)]
pub struct UserData<'a> {
    /// The user's id.
    pub id: Cow<'a, str>,
    /// What the user says of itself: JSON as written, empty where it says nothing.
    pub user_info: &'a str,
    /// Ids of the users whom it watches; an integer is the text of its digits.
    pub watchlist: Vec<Cow<'a, str>>,
}

/// Why a text names no user. Prints as the reason for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIdentity {
    /// It is not JSON, or no object.
    NotAnObject {
        /// What the text is called.
        name: &'static str,
    },
    /// `user_id` is missing, or neither a string nor an integer.
    UserId,
    /// `id` is missing or no string.
    Id,
    /// `watchlist` is no array of ids.
    Watchlist,
}

/// Reads a `channel_data`. Other members are ignored; of members with one name the last counts.
pub fn channel_data(text: &str) -> Result<ChannelData<'_>, BadIdentity> {
    let [user_id, user_info] = json::members(text, ["user_id", "user_info"])
        .map_err(|_| BadIdentity::NotAnObject { name: "channel_data" })?;
    let user_id = user_id.and_then(id).ok_or(BadIdentity::UserId)?;
    Ok(ChannelData { user_id, user_info: user_info.map_or("", RawValue::get) })
}

/// Reads a `user_data`, by the rules of [`channel_data`]. Its `id` must be a string, because the
/// clients' libraries take no other.
pub fn user_data(text: &str) -> Result<UserData<'_>, BadIdentity> {
    let [user, user_info, watchlist] = json::members(text, ["id", "user_info", "watchlist"])
        .map_err(|_| BadIdentity::NotAnObject { name: "user_data" })?;
    Ok(UserData {
        id: user.and_then(json::text).ok_or(BadIdentity::Id)?,
        user_info: user_info.map_or("", RawValue::get),
        watchlist: watchlist.map_or(Some(Vec::new()), ids).ok_or(BadIdentity::Watchlist)?,
    })
}

/// A string, or the digits of an integer as they are written.
fn id(value: &RawValue) -> Option<Cow<'_, str>> {
    let written = value.get();
    let digits = written.strip_prefix('-').unwrap_or(written);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Cow::Borrowed(written));
    }
    json::text(value)
}

/// `null` is no list, and thus an empty one.
fn ids(value: &RawValue) -> Option<Vec<Cow<'_, str>>> {
    let values: Option<Vec<&RawValue>> = serde_json::from_str(value.get()).ok()?;
    values.unwrap_or_default().into_iter().map(id).collect()
}

impl fmt::Display for BadIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject { name } => write!(f, "{name} must be the text of a JSON object"),
            Self::UserId => f.write_str("'user_id' in channel_data must be a string or an integer"),
            Self::Id => f.write_str("'id' in user_data must be a string"),
            Self::Watchlist => f.write_str("'watchlist' in user_data must be an array of user ids"),
        }
    }
}

impl std::error::Error for BadIdentity {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str), BadIdentity>) {
        let found = channel_data(text);
        let found = found.as_ref().map(|data| (&*data.user_id, data.user_info)).map_err(|bad| *bad);
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn members_of_presence_channels() {
        check(r#"{"user_id":"u1"}"#, Ok(("u1", "")));
        check(r#" {"x":[1], "user_id" : "u1" , "user_info": { "a" : 1.10 } } "#, {
            Ok(("u1", r#"{ "a" : 1.10 }"#))
        });
        check(r#"{"user_id":"Zo\u00eb \"\ud83c\udf89\"","user_info":"\u00eb"}"#, {
            Ok(("Zoë \"🎉\"", r#""\u00eb""#))
        });
        check(r#"{"user_id":"a","user_id":"b","user_info":1,"user_info":2}"#, Ok(("b", "2")));
        check(r#"{"user\u005fid":"u1","user_info":null}"#, Ok(("u1", "null")));
        check(r#"{"user_id":""}"#, Ok(("", "")));
    }

    #[test]
    fn integers_are_ids_as_they_are_written() {
        for written in ["10", "0", "-7", "123456789012345678901234567890"] {
            check(&format!(r#"{{"user_id": {written} }}"#), Ok((written, "")));
        }
        for other in ["1e3", "1E3", "1.0", "-1.5", "true", "null", "{}", "[1]", r#""\ud800""#] {
            check(&format!(r#"{{"user_id":{other}}}"#), Err(BadIdentity::UserId));
        }
    }

    #[test]
    fn what_names_no_member() {
        let not_an_object = Err(BadIdentity::NotAnObject { name: "channel_data" });
        for text in
            ["", "x", "[]", "7", "null", r#""{}""#, r#"{"user_id":01}"#, r#"{"user_id":1}x"#]
        {
            check(text, not_an_object);
        }
        check("{}", Err(BadIdentity::UserId));
        check(r#"{"USER_ID":"u1"}"#, Err(BadIdentity::UserId));
    }

    #[test]
    fn user_data_of_the_appendix() {
        let text = r#"{"id":"u1","user_info":{"name":"Ann"},"watchlist":["u2","u3"]}"#;
        let watchlist = vec!["u2".into(), "u3".into()];
        let user_info = r#"{"name":"Ann"}"#;
        assert_eq!(user_data(text), Ok(UserData { id: "u1".into(), user_info, watchlist }));
    }

    #[test]
    fn user_data_of_every_shape() {
        let watchlist = |list: &str| {
            let text = format!(r#"{{"id":"u1","watchlist":{list}}}"#);
            user_data(&text).map(|data| data.watchlist.join(" "))
        };
        assert_eq!(watchlist("[]"), Ok(String::new()));
        assert_eq!(watchlist("null"), Ok(String::new()));
        assert_eq!(watchlist(r#"[ "u\u0032" , 3 ]"#), Ok("u2 3".to_owned()));
        for bad in ["7", "{}", r#""u2""#, "[null]", "[1.5]", "[[]]"] {
            assert_eq!(watchlist(bad), Err(BadIdentity::Watchlist), "{bad}");
        }
        for bad in ["{}", r#"{"id":7}"#, r#"{"id":null}"#, r#"{"user_id":"u1"}"#] {
            assert_eq!(user_data(bad), Err(BadIdentity::Id), "{bad}");
        }
        let not_an_object = Err(BadIdentity::NotAnObject { name: "user_data" });
        assert_eq!(user_data("u1"), not_an_object);
    }
}
