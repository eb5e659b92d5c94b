//! Who is subscribed: lists, one channel, its users.

use std::time::Duration;

use gateway::config::Options;
use model::{Quota, Reason, Rejection};
use proto::{
    internal::{
        GetChannelRequest, GetChannelResponse, ListChannelUsersRequest, ListChannelUsersResponse,
        ListChannelsRequest, ListChannelsResponse,
    },
    v1::{self, CachedEvent, Channel, ChannelUser, RateLimit},
};

use crate::{
    control_plane::Says,
    fixture::{NOW, sign, start, start_with},
};

const RATE: Option<RateLimit> = Some(RateLimit { limit: 10, remaining: 4, reset_ms: 350 });
const EMPTY_MD5: &str = "&body_md5=d41d8cd98f00b204e9800998ecf8427e";

fn channel(name: &str, subscriptions: Option<u32>, users: Option<u32>) -> Channel {
    let (subscription_count, user_count) = (subscriptions, users);
    Channel { name: name.into(), occupied: true, subscription_count, user_count, cache: None }
}

fn channels(channels: Vec<Channel>, next: &str) -> Says {
    let next_page_token = next.to_owned();
    let answer = v1::ListChannelsResponse { channels, next_page_token, rate_limit: RATE };
    Says::answer(ListChannelsResponse { answer: Some(answer) })
}

fn one(channel: Channel) -> Says {
    let answer = v1::GetChannelResponse { channel: Some(channel), rate_limit: RATE };
    Says::answer(GetChannelResponse { answer: Some(answer) })
}

fn users(ids: &[&str], next: &str) -> Says {
    let users = ids.iter().map(|&id| ChannelUser { user_id: id.into() }).collect();
    let next_page_token = next.to_owned();
    let answer = v1::ListChannelUsersResponse { users, next_page_token, rate_limit: RATE };
    Says::answer(ListChannelUsersResponse { answer: Some(answer) })
}

fn mask(call: Option<prost_types::FieldMask>) -> Vec<String> {
    call.map(|mask| mask.paths).unwrap_or_default()
}

#[tokio::test]
async fn a_list_is_sorted_by_name() {
    let fixture = start().await;
    let check = async |more: &str, (prefix, asked): (&str, &[&str]), said, expected: &str| {
        fixture.control_plane.say(channels(said, ""));
        let response = fixture.get("/channels", more).await;
        assert_eq!((response.status, &*response.body), (200, expected), "{more}");
        assert_eq!(response.rate(), Some([10, 4, 1]));
        response.json();
        let request = fixture.control_plane.asked::<ListChannelsRequest>().remove(0);
        let call = request.call.unwrap();
        assert_eq!((&*call.app_id, &*call.prefix, call.page_size), ("app-1", prefix, 10_000));
        assert_eq!(mask(call.read_mask), asked, "{more}");
    };
    let none = r#"{"channels":{}}"#;
    check("", ("", &[]), vec![], none).await;
    check(EMPTY_MD5, ("", &[]), vec![], none).await;
    check("&filter_by_prefix=&info", ("", &[]), vec![], none).await;
    check("&filter_by_prefix=Room%20A%26B%2B%C3%A9", ("Room A&B+é", &[]), vec![], none).await;
    check("&FILTER_BY_PREFIX=Presence-&Info=User_Count", ("Presence-", &[]), vec![], none).await;
    check("&info=other,,users", ("", &[]), vec![], none).await;
    let said = vec![channel("b", None, None), channel("a;@=,", None, None)];
    check("", ("", &[]), said, r#"{"channels":{"a;@=,":{},"b":{}}}"#).await;
    let said = vec![channel("b", Some(2), None), channel("a", Some(1), None)];
    let expected = r#"{"channels":{"a":{"subscription_count":1},"b":{"subscription_count":2}}}"#;
    check("&info=+subscription_count+,x", ("", &["subscription_count"]), said, expected).await;
    let said = vec![channel("presence-a", Some(3), Some(2))];
    let expected = r#"{"channels":{"presence-a":{"subscription_count":3,"user_count":2}}}"#;
    let more = "&filter_by_prefix=presence-&info=user_count%2Csubscription_count";
    let asked = ["subscription_count", "user_count"].as_slice();
    check(more, ("presence-", asked), said, expected).await;
}

#[tokio::test]
async fn users_are_counted_behind_the_prefix_presence_only() {
    let fixture = start().await;
    for prefix in ["", "&filter_by_prefix=", "&filter_by_prefix=presence", "&filter_by_prefix=a"] {
        let response = fixture.get("/channels", &format!("{prefix}&info=user_count")).await;
        let text = response.refused(400, "invalid_input", Some("info"));
        assert!(text.contains("filter_by_prefix") && response.rate().is_some(), "{text}");
    }
    assert!(fixture.control_plane.asked::<ListChannelsRequest>().is_empty());
    let more = "&filter_by_prefix=presence-x&info=user_count";
    assert_eq!(fixture.get("/channels", more).await.status, 200);
}

#[tokio::test]
async fn pages_are_put_together() {
    let fixture = start().await;
    fixture.control_plane.say(channels(vec![channel("c", None, None)], "next"));
    fixture.control_plane.say(channels(vec![], "last"));
    let busy = Rejection::new(Reason::Unavailable, "starting");
    fixture.control_plane.say(Says::Rejection(busy));
    let last = vec![channel("a", None, None), channel("c", None, None)];
    fixture.control_plane.say(channels(last, ""));
    assert_eq!(fixture.get("/channels", "").await.body, r#"{"channels":{"a":{},"c":{}}}"#);
    let asked = fixture.control_plane.asked::<ListChannelsRequest>().into_iter();
    let tokens: Vec<_> = asked.map(|request| request.call.unwrap().page_token).collect();
    assert_eq!(tokens, ["", "next", "last", "last"]);

    fixture.control_plane.say(users(&["1", "2"], "next"));
    fixture.control_plane.say(users(&["3"], ""));
    let response = fixture.get("/channels/presence-room/users", "").await;
    assert_eq!(response.body, r#"{"users":[{"id":"1"},{"id":"2"},{"id":"3"}]}"#);
    let asked = fixture.control_plane.asked::<ListChannelUsersRequest>().into_iter();
    let tokens: Vec<_> = asked.map(|request| request.call.unwrap().page_token).collect();
    assert_eq!(tokens, ["", "next"]);
}

#[tokio::test]
async fn a_channel_tells_what_is_asked() {
    let fixture = start().await;
    let check =
        async |(path, more): (&str, &str), (name, asked): (&str, &[&str]), said, expected: &str| {
            fixture.control_plane.say(one(said));
            let response = fixture.get(&format!("/channels/{path}"), more).await;
            assert_eq!((response.status, &*response.body), (200, expected), "{path} {more}");
            assert_eq!(response.rate(), Some([10, 4, 1]));
            response.json();
            let call = fixture.control_plane.asked::<GetChannelRequest>().remove(0).call.unwrap();
            assert_eq!((&*call.app_id, &*call.channel), ("app-1", name));
            assert_eq!(mask(call.read_mask), asked, "{more}");
        };
    let occupied = r#"{"occupied":true}"#;
    let there = || channel("", None, None);
    check(("room", ""), ("room", &[]), Channel::default(), r#"{"occupied":false}"#).await;
    check(("room", EMPTY_MD5), ("room", &[]), there(), occupied).await;
    check(("room", "&info="), ("room", &[]), there(), occupied).await;
    let raw = "private-team@acme;x=1,2";
    check((raw, ""), (raw, &[]), there(), occupied).await;
    check(("private-team%40acme%3Bx%3D1%2C2", ""), (raw, &[]), there(), occupied).await;
    let user = ("#server-to-user-user-42", [].as_slice());
    check(("%23server-to-user-user-42", ""), user, there(), occupied).await;
    check(("%23server-to-user-%C3%BC%2F1", ""), ("#server-to-user-ü/1", &[]), there(), occupied)
        .await;
    check(("a+b", ""), ("a+b", &[]), there(), occupied).await;
    let counts = ["subscription_count", "user_count"].as_slice();
    let expected = r#"{"occupied":true,"subscription_count":42,"user_count":40}"#;
    let said = channel("", Some(42), Some(40));
    let info = "&info=user_count,subscription_count,nothing";
    check(("presence-a", info), ("presence-a", counts), said, expected).await;
    let said = Channel { subscription_count: Some(0), ..Channel::default() };
    let expected = r#"{"occupied":false,"subscription_count":0}"#;
    let asked = ["subscription_count"].as_slice();
    check(("room", "&info=subscription_count"), ("room", asked), said, expected).await;
    let cache = ["cache"].as_slice();
    let expected = r#"{"occupied":true,"cache":null}"#;
    check(("cache-a", "&info=cache"), ("cache-a", cache), there(), expected).await;
    let event =
        CachedEvent { name: "e".into(), data: r#"{"a":1}"#.into(), ttl_ms: 59_001, tags: None };
    let said = Channel { cache: Some(event), ..there() };
    let expected = r#"{"occupied":true,"cache":{"data":"{\"a\":1}","ttl":60}}"#;
    check(("private-cache-a", "&info=cache"), ("private-cache-a", cache), said, expected).await;
}

#[tokio::test]
async fn what_a_channel_has_not_cannot_be_asked() {
    let fixture = start().await;
    for (path, field) in [
        ("room?user_count", "info"),
        ("private-a?user_count", "info"),
        ("cache-a?subscription_count,user_count", "info"),
        ("%23server-to-user-u?user_count", "info"),
        ("room?cache", "info"),
        ("my-cache-x?cache", "info"),
        ("presence-a?user_count,cache", "info"),
        ("room/users?", "channel"),
        ("private-a/users?", "channel"),
        ("/users?", "channel"),
        ("%23server-to-user-u/users?", "channel"),
    ] {
        let (path, info) = path.split_once('?').unwrap();
        let response = fixture.get(&format!("/channels/{path}"), &format!("&info={info}")).await;
        response.refused(400, "invalid_input", Some(field));
        assert!(response.rate().is_some());
    }
    assert!(fixture.control_plane.asked::<GetChannelRequest>().is_empty());
    let not_utf8 = fixture.get("/channels/%ff", "").await;
    not_utf8.refused(400, "invalid_input", None);
}

#[tokio::test]
async fn users_are_objects_with_an_id() {
    let fixture = start().await;
    let check = async |path: &str, name: &str, ids: &[&str], expected: &str| {
        fixture.control_plane.say(users(ids, ""));
        let response = fixture.get(path, EMPTY_MD5).await;
        assert_eq!((response.status, &*response.body), (200, expected), "{path}");
        assert_eq!(response.rate(), Some([10, 4, 1]));
        response.json();
        let request = fixture.control_plane.asked::<ListChannelUsersRequest>().remove(0);
        let call = request.call.unwrap();
        assert_eq!((&*call.app_id, &*call.channel, call.page_size), ("app-1", name, 10_000));
    };
    check("/channels/presence-a/users", "presence-a", &[], r#"{"users":[]}"#).await;
    let expected = r#"{"users":[{"id":"1"},{"id":"\"ü\""}]}"#;
    check("/channels/presence-a%3Bb/users", "presence-a;b", &["1", "\"ü\""], expected).await;
    let odd = fixture.get("/channels/presence-a/users", "&with_user_info=1").await;
    assert_eq!(odd.body, r#"{"users":[]}"#);
}

#[tokio::test]
async fn reads_are_refused_as_publishes_are() {
    let options = Options { publish_timeout_ms: 200, ..Options::default() };
    let fixture = start_with(options, || NOW).await;
    for path in ["/channels", "/channels/room", "/channels/presence-a/users"] {
        for (reason, status, code) in [
            (Reason::InvalidInput, 400, "invalid_input"),
            (Reason::AppNotFound, 404, "app_not_found"),
            (Reason::RateLimited, 429, "rate_limited"),
            (Reason::Internal, 500, "internal_error"),
        ] {
            let quota = Some(Quota { limit: 5, remaining: 0, reset_ms: 1_001 });
            let rejection = Rejection { quota, ..Rejection::field(reason, "channel", "no") };
            fixture.control_plane.say(Says::Rejection(rejection));
            let response = fixture.get(path, "").await;
            assert_eq!(response.refused(status, code, Some("channel")), "no");
            assert_eq!(response.rate(), Some([5, 0, 2]));
            assert_eq!(response.header("retry-after"), (status == 429).then_some("2"));
        }
        fixture.control_plane.say(Says::Nothing);
        let began = tokio::time::Instant::now();
        let response = fixture.get(path, "").await;
        response.refused(503, "service_unavailable", None);
        assert_eq!(response.header("retry-after"), Some("1"));
        assert!(began.elapsed() < Duration::from_secs(2));
        let with_body = sign("GET", &format!("/apps/app-1{path}"), "", b"x");
        assert_eq!(fixture.request("GET", &with_body, &[], b"x").await.status, 200, "{path}");
        let disabled = sign("GET", &format!("/apps/off{path}"), "", b"");
        fixture.request("GET", &disabled, &[], b"").await.refused(403, "forbidden", None);
        let wrong = fixture.get(path, "&body_md5=00000000000000000000000000000000").await;
        wrong.refused(401, "auth_failed", None);
    }
}

#[tokio::test]
async fn a_page_with_the_longest_ids_is_not_too_large() {
    let fixture = start().await;
    let id = "日".repeat(200);
    fixture.control_plane.say(users(&vec![&*id; 10_000], ""));
    let response = fixture.get("/channels/presence-a/users", "").await;
    assert_eq!((response.status, response.body.len()), (200, 11 + 10_000 * 610));
}
