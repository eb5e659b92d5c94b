use model::UserInfo;

use super::*;

pub(super) fn in_as(channel: &str, user: &str, info: &str) -> Effect {
    let member = Member { user: UserId::trusted(user), info: UserInfo::from(info) };
    Effect::Subscribe {
        channel: name(channel),
        member: Some(Box::new(member)),
        terms: Terms::default(),
    }
}

fn out_as(channel: &str, user: &str) -> Effect {
    Effect::Unsubscribe { channel: name(channel), user: Some(UserId::trusted(user)) }
}

impl Client {
    /// Into a presence channel with any `channel_data` and a good signature.
    #[track_caller]
    fn join_with<const N: usize>(
        &mut self,
        channel: &str,
        channel_data: &str,
        expected: [Effect; N],
    ) {
        let auth = self.auth(&format!("{}:{channel}:{channel_data}", self.session.id()));
        let quoted = serde_json::to_string(channel_data).unwrap();
        self.subscribe(
            &format!(r#"{{"channel":"{channel}","auth":"{auth}","channel_data":{quoted}}}"#),
            expected,
        );
    }

    #[track_caller]
    pub(super) fn join<const N: usize>(
        &mut self,
        channel: &str,
        user: &str,
        expected: [Effect; N],
    ) {
        self.join_with(channel, &format!(r#"{{"user_id":"{user}"}}"#), expected);
    }

    fn members(&self) -> Vec<(&str, Option<&str>)> {
        let members = self.session.subscriptions();
        members.map(|(channel, user)| (channel.as_str(), user.map(UserId::as_str))).collect()
    }
}

/// spec/websocket.md A.1, rows 2, 8 and 9.
#[test]
fn vectors() {
    let mut client = Client::open(app());
    client.subscribe(
        r#"{"channel":"presence-foobar","auth":"278d425bdf160c739803:31935e7d86dba64c2a90aed31fdc61869f9b22ba9d8863bba239c03ca481bc80","channel_data":"{\"user_id\":10,\"user_info\":{\"name\":\"Mr. Channels\"}}"}"#,
        [in_as("presence-foobar", "10", r#"{"name":"Mr. Channels"}"#)],
    );
    let mut client = second_client();
    let unicode = |channel_data: &str| {
        let auth = "app-key:a2e8789cd1b55b767002f339523a8bd739c265aaa78fb83f335926417e825a20";
        format!(r#"{{"auth":"{auth}","channel_data":"{channel_data}","channel":"presence-room"}}"#)
    };
    let zoe = in_as("presence-room", "u1", r#"{"name":"Zoë"}"#);
    let data = r#"{\"user_id\":\"u1\",\"user_info\":{\"name\":\"Zoë\"}}"#;
    client.subscribe(&unicode(data), [zoe.clone()]);
    client.subscribe(&unicode(&data.replace('ë', r"\u00eb")), [zoe]);
    let wrong = Denied::WrongSignature.to_string();
    client.subscribe(
        &unicode(&data.replace('ë', r"\\u00eb")),
        [refused("presence-room", "AuthError", &wrong, 401)],
    );
    client.subscribe(
        r#"{"channel":"presence-cache-room","auth":"app-key:610b6a928dd86c262937d4d44451dfdc53936f590c998c3a6963f0915446ae8b","channel_data":"{\"user_id\":\"u1\"}"}"#,
        [in_as("presence-cache-room", "u1", "")],
    );
    assert_eq!(
        client.members(),
        [("presence-cache-room", Some("u1")), ("presence-room", Some("u1"))]
    );
}

/// spec/websocket.md A.1, row 7.
#[test]
fn a_signed_in_client_needs_no_channel_data() {
    let auth = "app-key:bb02376914569b96819d4cfdecded396a3cf15584c63d8ab0a685fee7e5e209d";
    let mut client = second_client();
    for data in ["", r#","channel_data":"""#, r#","channel_data":null"#] {
        let nobody = "a presence channel needs channel_data, or a connection that is signed in";
        client.subscribe(
            &format!(r#"{{"channel":"presence-room","auth":"{auth}"{data}}}"#),
            [refused("presence-room", "AuthError", nobody, 401)],
        );
    }
    let user = r#"{"id":"u1","user_info":{ "name" : "Ann" }}"#;
    client.sign_in(user, [Effect::SignIn(name("#server-to-user-u1"))]);
    client.subscribe(
        &format!(r#"{{"channel":"presence-room","auth":"{auth}"}}"#),
        [in_as("presence-room", "u1", r#"{ "name" : "Ann" }"#)],
    );
    let wrong = Denied::WrongSignature.to_string();
    client.subscribe(
        &format!(r#"{{"channel":"presence-other","auth":"{auth}"}}"#),
        [refused("presence-other", "AuthError", &wrong, 401)],
    );
    client.join("presence-other", "u2", [in_as("presence-other", "u2", "")]);
}

#[test]
fn channel_data_that_names_no_member() {
    let mut client = Client::open(app());
    let invalid = |message: &str| [refused("presence-x", "InvalidChannelData", message, 400)];
    let object = "channel_data must be the text of a JSON object";
    client.join_with("presence-x", "u1", invalid(object));
    client.join_with("presence-x", r#"["u1"]"#, invalid(object));
    let id = "'user_id' in channel_data must be a string or an integer";
    for data in [r#"{}"#, r#"{"user_id":null}"#, r#"{"user_id":1e3}"#, r#"{"user_id":1.0}"#] {
        client.join_with("presence-x", data, invalid(id));
    }
    let rule = "a user id has 1 to 128 characters and no control characters (this one has ";
    client.join("presence-x", "", invalid(&format!("{rule}0)")));
    client.join("presence-x", &"ü".repeat(129), invalid(&format!("{rule}129)")));
    client.join("presence-x", r"a\n", invalid(&format!("{rule}2)")));
    let digits = "9".repeat(129);
    client.join_with("presence-x", &format!(r#"{{"user_id":{digits}}}"#), {
        invalid(&format!("{rule}129)"))
    });
    assert!(client.members().is_empty());

    client.join("presence-x", &"ü".repeat(128), [in_as("presence-x", &"ü".repeat(128), "")]);
    let last = r#"{"user_id":"eve","user_info":1,"user_id":-7,"user_info": [ 1.10 ] }"#;
    client.join_with("presence-y", last, [in_as("presence-y", "-7", "[ 1.10 ]")]);
}

#[test]
fn what_members_say_of_themselves_is_bounded() {
    let limits = Limits { presence_member_bytes_max: 4, ..app().limits };
    let mut client = Client::open(App { limits, ..app() });
    let data = |info: &str| format!(r#"{{"user_id":"u1","user_info":{info},"x":"{info}"}}"#);
    client.join_with("presence-x", &data("1234"), [in_as("presence-x", "u1", "1234")]);
    let message = "the user_info has 5 bytes, the limit is 4";
    client.join_with("presence-y", &data("12345"), {
        [refused("presence-y", "LimitReached", message, 4301)]
    });
}

#[test]
fn joining_again_and_as_somebody_else() {
    let mut client = Client::open(app());
    client.join("presence-b", "u1", [in_as("presence-b", "u1", "")]);
    client.join("presence-a", "u1", [in_as("presence-a", "u1", "")]);
    client.join("presence-b", "u1", [in_as("presence-b", "u1", "")]);
    client.join("presence-b", "u2", [out_as("presence-b", "u1"), in_as("presence-b", "u2", "")]);
    client.enter("public");
    assert_eq!(
        client.members(),
        [("presence-a", Some("u1")), ("presence-b", Some("u2")), ("public", None)]
    );
    client.subscribe(r#"{"channel":"presence-b"}"#, {
        [refused("presence-b", "AuthError", &Denied::Missing.to_string(), 401)]
    });

    let shared = name("presence-b");
    assert!(client.let_in(&shared, []));
    let (kept, _) = client.session.subscriptions().nth(1).unwrap();
    assert!(std::ptr::eq(kept.as_str(), shared.as_str()), "the name is not shared");

    client.unsubscribe("presence-b", [out_as("presence-b", "u2")]);
    client.unsubscribe("presence-b", []);
    assert!(!client.let_in(&shared, []));
    client.unsubscribe("presence-a", [out_as("presence-a", "u1")]);
    assert!(client.session.identity.is_none(), "what nobody needs is kept");
}

#[test]
fn a_full_channel() {
    let mut client = Client::open(app());
    client.join("presence-x", "u1", [in_as("presence-x", "u1", "")]);
    let channel = name("presence-x");
    client.session.handle_full(&channel, 100, &mut client.effects);
    let message = "the presence channel has 100 members, which is the limit";
    client.expect([refused("presence-x", "LimitReached", message, 4100)]);
    assert!(client.members().is_empty());
    assert!(!client.let_in(&channel, []));
    client.session.handle_full(&channel, 100, &mut client.effects);
    client.expect([]);
    client.join("presence-x", "u2", [in_as("presence-x", "u2", "")]);
}
