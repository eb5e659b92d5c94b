//! What we say of users: rosters, sign-ins, watchlists.

use model::{UserId, UserInfo};

use super::{
    encode::{escaped, event, event_into},
    escape::{Writer, escaped_max},
};

/// The subscription to a presence channel is in force; these users are there, the client itself
/// included. They must be given in the order of their ids.
#[must_use]
pub fn presence_succeeded<'a>(
    channel: &str,
    users: impl Iterator<Item = (&'a UserId, &'a UserInfo)>,
    count: usize,
) -> String {
    let mut frame = Vec::new();
    presence_succeeded_into(&mut frame, channel, users, count);
    String::from_utf8(frame).expect("texts with ASCII between them are a text")
}

/// Appends what [`presence_succeeded`] returns to `out`.
pub fn presence_succeeded_into<'a>(
    out: &mut Vec<u8>,
    channel: &str,
    users: impl Iterator<Item = (&'a UserId, &'a UserInfo)>,
    count: usize,
) {
    let (mut ids, mut hash) = (String::new(), String::new());
    for (user, info) in users {
        let (id, info, comma) = (quoted(user.as_str()), or_empty(info), comma(&ids));
        ids.extend([comma, &id]);
        hash.extend([comma, &id, ":", info]);
    }
    let data = format!(r#"{{"presence":{{"ids":[{ids}],"hash":{{{hash}}},"count":{count}}}}}"#);
    event_into(out, "pusher_internal:subscription_succeeded", channel, &data, None);
}

/// A user has come to a presence channel.
#[must_use]
pub fn member_added(channel: &str, user: &UserId, info: &UserInfo) -> String {
    let (id, info) = (quoted(user.as_str()), or_empty(info));
    let data = format!(r#"{{"user_id":{id},"user_info":{info}}}"#);
    event("pusher_internal:member_added", channel, &data, None)
}

/// A user's last connection has left a presence channel.
#[must_use]
pub fn member_removed(channel: &str, user: &UserId) -> String {
    let data = format!(r#"{{"user_id":{}}}"#, quoted(user.as_str()));
    event("pusher_internal:member_removed", channel, &data, None)
}

/// The client is signed in; it reads its own `user_data` from this.
#[must_use]
pub fn signin_success(user_data: &str) -> String {
    let user_data = quoted(user_data);
    format!(r#"{{"event":"pusher:signin_success","data":{{"user_data":{user_data}}}}}"#)
}

/// Watched users who have come and who have gone. An empty list is left out.
#[must_use]
pub fn watchlist_events(online: &[&UserId], offline: &[&UserId]) -> String {
    let mut events = String::new();
    for (name, users) in [("online", online), ("offline", offline)] {
        let mut ids = String::new();
        for user in users {
            ids.extend([comma(&ids), &quoted(user.as_str())]);
        }
        if !ids.is_empty() {
            let comma = comma(&events);
            events.push_str(&format!(r#"{comma}{{"name":"{name}","user_ids":[{ids}]}}"#));
        }
    }
    let data = escaped(&format!(r#"{{"events":[{events}]}}"#));
    format!(r#"{{"event":"pusher_internal:watchlist_events","data":"{data}"}}"#)
}

/// What stands before the next item of a list.
fn comma(list: &str) -> &'static str {
    if list.is_empty() { "" } else { "," }
}

/// What a user who said nothing of itself is shown as.
fn or_empty(info: &UserInfo) -> &str {
    if info.is_empty() { "{}" } else { info }
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, escaped_max(text) + "\"\"".len());
    writer.plain("\"");
    writer.escaped(text);
    writer.plain("\"");
    writer.finish();
    String::from_utf8(out).expect("an escaped text is a text")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn roster(users: &[(&str, &str)]) -> String {
        let users: Vec<(UserId, UserInfo)> =
            users.iter().map(|(id, info)| (UserId::trusted(id), UserInfo::from(*info))).collect();
        presence_succeeded("presence-room", users.iter().map(|(id, info)| (id, info)), users.len())
    }

    #[test]
    fn rosters() {
        assert_eq!(
            roster(&[("u1", r#"{"name":"Zoë"}"#), ("u2", "")]),
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":{\"ids\":[\"u1\",\"u2\"],\"hash\":{\"u1\":{\"name\":\"Zoë\"},\"u2\":{}},\"count\":2}}"}"#
        );
        assert_eq!(
            roster(&[]),
            r#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-room","data":"{\"presence\":{\"ids\":[],\"hash\":{},\"count\":0}}"}"#
        );
        let mut out = vec![0x81];
        let user = UserId::trusted("u1");
        let info = UserInfo::from("7");
        presence_succeeded_into(&mut out, "presence-a", std::iter::once((&user, &info)), 1);
        assert_eq!(
            out[1..],
            *br#"{"event":"pusher_internal:subscription_succeeded","channel":"presence-a","data":"{\"presence\":{\"ids\":[\"u1\"],\"hash\":{\"u1\":7},\"count\":1}}"}"#
        );
    }

    #[test]
    fn members_come_and_go() {
        let ann = UserId::trusted("u2");
        assert_eq!(
            member_added("presence-room", &ann, &r#"{"name":"Ann"}"#.into()),
            r#"{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\"user_id\":\"u2\",\"user_info\":{\"name\":\"Ann\"}}"}"#
        );
        assert_eq!(
            member_added("presence-room", &ann, &UserInfo::default()),
            r#"{"event":"pusher_internal:member_added","channel":"presence-room","data":"{\"user_id\":\"u2\",\"user_info\":{}}"}"#
        );
        assert_eq!(
            member_removed("presence-room", &ann),
            r#"{"event":"pusher_internal:member_removed","channel":"presence-room","data":"{\"user_id\":\"u2\"}"}"#
        );
    }

    #[test]
    fn sign_ins_and_watchlists() {
        assert_eq!(
            signin_success(r#"{"id":"u1","watchlist":["u2"]}"#),
            r#"{"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"u1\",\"watchlist\":[\"u2\"]}"}}"#
        );
        let (ann, bob, eve) = (UserId::trusted("u2"), UserId::trusted("u3"), UserId::trusted("u4"));
        assert_eq!(
            watchlist_events(&[&ann], &[&bob, &eve]),
            r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"online\",\"user_ids\":[\"u2\"]},{\"name\":\"offline\",\"user_ids\":[\"u3\",\"u4\"]}]}"}"#
        );
        assert_eq!(
            watchlist_events(&[], &[&ann]),
            r#"{"event":"pusher_internal:watchlist_events","data":"{\"events\":[{\"name\":\"offline\",\"user_ids\":[\"u2\"]}]}"}"#
        );
    }

    /// Escaped once as part of `data`, and once more as `data` is a string.
    #[test]
    fn every_id_survives_both_escapes() {
        let awkward = "a\"b\\c \u{7f}ü\u{2028}🎉";
        let user = UserId::trusted(awkward);
        let inner = |frame: &str| -> Value {
            let frame: Value = serde_json::from_str(frame).unwrap();
            serde_json::from_str(frame["data"].as_str().unwrap()).unwrap()
        };
        let data = inner(&roster(&[(awkward, "{\n\"a\": \"\\u00eb\"}")]));
        assert_eq!(data["presence"]["ids"][0], awkward);
        assert_eq!(data["presence"]["hash"][awkward]["a"], "ë");
        let data = inner(&member_added("presence-a", &user, &UserInfo::default()));
        assert_eq!(data["user_id"], awkward);
        assert_eq!(inner(&member_removed("presence-a", &user))["user_id"], awkward);
        let data = inner(&watchlist_events(&[&user], &[]));
        assert_eq!(data["events"][0]["user_ids"][0], awkward);
    }
}
