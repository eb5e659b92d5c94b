use super::*;

const CHANNEL: &str = "#server-to-user-u1";

impl Client {
    /// With any `user_data` and a good signature.
    #[track_caller]
    pub(super) fn sign_in<const N: usize>(&mut self, user_data: &str, expected: [Effect; N]) {
        let auth = self.auth(&format!("{}::user::{user_data}", self.session.id()));
        self.sign_in_with(&auth, user_data, expected);
    }

    #[track_caller]
    fn sign_in_with<const N: usize>(&mut self, auth: &str, user_data: &str, expected: [Effect; N]) {
        let data = serde_json::json!({ "auth": auth, "user_data": user_data });
        self.check(&format!(r#"{{"event":"pusher:signin","data":{data}}}"#), expected);
    }
}

pub(super) fn welcome(user_data: &str) -> Effect {
    Effect::Send(frame::signin_success(user_data))
}

fn denied(detail: &str) -> [Effect; 1] {
    [error(4009, &format!("Authentication error: {detail}"))]
}

/// spec/websocket.md A.1, rows 3 and 10.
#[test]
fn vectors() {
    let mut client = Client::open(app());
    let auth =
        "278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba";
    let user_data = r#"{"id":"12345"}"#;
    client.sign_in_with(auth, user_data, [Effect::SignIn(name("#server-to-user-12345"))]);
    assert_eq!(client.session.user().map(UserId::as_str), Some("12345"));
    client.confirm(
        "#server-to-user-12345",
        [sent(r#"{"event":"pusher:signin_success","data":{"user_data":"{\"id\":\"12345\"}"}}"#)],
    );

    let mut client = second_client();
    let auth = "app-key:3a6aff7d475c4ad4a544d8723dabf7dc8d6aa0f675f177d452f9260f554017f0";
    let user_data = r#"{"id":"u1","user_info":{"name":"Ann"},"watchlist":["u2","u3"]}"#;
    client.sign_in_with(auth, user_data, [Effect::SignIn(name(CHANNEL))]);
    let deadline = client.now + Duration::from_millis(300);
    let watched = vec![UserId::trusted("u2"), UserId::trusted("u3")];
    client.confirm(
        CHANNEL,
        [welcome(user_data), Effect::Watch(watched.clone()), Effect::Wake(deadline)],
    );
    assert_eq!(client.session.watched(), watched);
    client.sign_in_with(auth, &user_data.replace("u2", "u4"), {
        denied(
            "Connection not authorized for signin: the signature must be the HMAC-SHA256 of \
             socket id, '::user::' and user_data with the app's secret",
        )
    });
}

#[test]
fn the_users_channel_is_for_the_user() {
    let mut client = Client::open(App {
        limits: Limits { channels_per_connection_max: 0, ..Limits::default() },
        ..app()
    });
    let subscribe = format!(r#"{{"auth":"","channel":"{CHANNEL}"}}"#);
    let others = "a user's channel is only for connections that are signed in as this user";
    client.subscribe(&subscribe, [refused(CHANNEL, "AuthError", others, 401)]);
    assert_eq!(client.session.user_channel(), None);

    client.sign_in(r#"{"id":"u1"}"#, [Effect::SignIn(name(CHANNEL))]);
    client.subscribe(&subscribe, []);
    client.confirm("#server-to-user-u2", []);
    client.confirm(CHANNEL, [welcome(r#"{"id":"u1"}"#), succeeded(CHANNEL)]);
    client.confirm(CHANNEL, []);
    client.subscribe(&subscribe, [succeeded(CHANNEL)]);
    client.unsubscribe(CHANNEL, []);
    client.subscribe(&subscribe, [succeeded(CHANNEL)]);
    let other = "#server-to-user-u12";
    client.subscribe(&format!(r#"{{"channel":"{other}"}}"#), {
        [refused(other, "AuthError", others, 401)]
    });
    assert_eq!(client.session.user_channel(), Some(&name(CHANNEL)));
    assert!(client.channels().is_empty(), "it counts as no channel");
    client.check(
        &format!(r#"{{"event":"client-x","channel":"{CHANNEL}"}}"#),
        [error(4301, {
            "Client event error: This connection is not subscribed to the event's channel"
        })],
    );
}

#[test]
fn signing_in_again() {
    let mut client = Client::open(app());
    client.sign_in(r#"{"id":"u1"}"#, [Effect::SignIn(name(CHANNEL))]);
    client.sign_in(r#"{"id":"u1","x":1}"#, []);
    client.confirm(CHANNEL, [welcome(r#"{"id":"u1","x":1}"#)]);
    let other = "this connection is signed in as another user, and stays so until it is closed";
    client.sign_in(r#"{"id":"u2"}"#, denied(other));
    let again = r#"{"id":"u1","user_info":7}"#;
    client.sign_in(again, [welcome(again)]);
    let auth = client.auth("1234.1234:presence-x");
    client.subscribe(&format!(r#"{{"channel":"presence-x","auth":"{auth}"}}"#), {
        [presence::in_as("presence-x", "u1", "7")]
    });
    client.unsubscribe(
        "presence-x",
        [Effect::Unsubscribe { channel: name("presence-x"), user: Some(UserId::trusted("u1")) }],
    );
    assert_eq!(client.session.user().map(UserId::as_str), Some("u1"));
}

#[test]
fn bad_signatures() {
    let mut client = Client::open(app());
    let user = r#"{"id":"u1"}"#;
    client.sign_in_with("", user, denied("'auth' must be a string"));
    client.sign_in_with("x", user, denied(&Denied::Malformed.to_string()));
    client.sign_in_with("other:x", user, denied(&Denied::WrongKey.to_string()));
    let missing = r#"{"event":"pusher:signin","data":{"auth":"k:s"}}"#;
    client.check(missing, denied("'user_data' must be a string"));
    let channel = client.auth("1234.1234:u1");
    let wrong = "Connection not authorized for signin: the signature must be the HMAC-SHA256 of \
                 socket id, '::user::' and user_data with the app's secret";
    client.sign_in_with(&channel, user, denied(wrong));
    assert_eq!(client.session.user(), None);
}

#[test]
fn user_data_that_names_no_user() {
    let mut client = Client::open(app());
    client.sign_in("u1", denied("user_data must be the text of a JSON object"));
    let string = "'id' in user_data must be a string";
    client.sign_in("{}", denied(string));
    client.sign_in(r#"{"id":12345}"#, denied(string));
    let rule = "a user id has 1 to 128 characters and no control characters (this one has ";
    client.sign_in(r#"{"id":""}"#, denied(&format!("'id' in user_data: {rule}0)")));
    let long = "x".repeat(129);
    client.sign_in(
        &format!(r#"{{"id":"{long}"}}"#),
        denied(&format!("'id' in user_data: {rule}129)")),
    );
    client.sign_in(r#"{"id":"a b"}"#, {
        denied("'id' in user_data: a user id must not have blanks, this one has ' '")
    });
    let long = "€".repeat(62);
    client.sign_in(&format!(r#"{{"id":"{long}"}}"#), {
        denied("'id' in user_data: its channel's name has 202 bytes, the limit is 200")
    });
    client.sign_in(r#"{"id":"u1","watchlist":["u 2"]}"#, {
        denied("'watchlist' in user_data: a user id must not have blanks, this one has ' '")
    });
    client.sign_in(r#"{"id":"u1","watchlist":"u2"}"#, {
        denied("'watchlist' in user_data must be an array of user ids")
    });
    let limits = Limits { presence_member_bytes_max: 4, ..app().limits };
    let mut client = Client::open(App { limits, ..app() });
    client.sign_in(r#"{"id":"u1","user_info":12345}"#, {
        denied("'user_info' in user_data has 5 bytes, the limit is 4")
    });
    client.sign_in(r#"{"id":"u1","user_info":1234}"#, [Effect::SignIn(name(CHANNEL))]);
}
