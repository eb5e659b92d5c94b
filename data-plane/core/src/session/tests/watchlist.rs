use super::{users::welcome, *};

const CHANNEL: &str = "#server-to-user-u1";

/// A client that is signed in and watches u2 and u3.
fn watching() -> Client {
    let mut client = second_client();
    client.sign_in(r#"{"id":"u1"}"#, [Effect::SignIn(name(CHANNEL))]);
    client.confirm(CHANNEL, [welcome(r#"{"id":"u1"}"#)]);
    let deadline = client.now + Duration::from_millis(300);
    client.watch(&["u2", "u3"], [Effect::Watch(users(&["u2", "u3"])), Effect::Wake(deadline)]);
    client
}

impl Client {
    /// Signs in again with a watchlist.
    #[track_caller]
    fn watch<const N: usize>(&mut self, watchlist: &[&str], expected: [Effect; N]) {
        let user_data = serde_json::json!({ "id": "u1", "watchlist": watchlist }).to_string();
        let auth = self.auth(&format!("{}::user::{user_data}", self.session.id()));
        let data = serde_json::json!({ "auth": auth, "user_data": user_data });
        let text = format!(r#"{{"event":"pusher:signin","data":{data}}}"#);
        self.session.handle_text(&text, self.now, &mut self.effects);
        let all: Vec<_> = std::iter::once(welcome(&user_data)).chain(expected).collect();
        assert_eq!(std::mem::take(&mut self.effects), all);
    }

    #[track_caller]
    fn tell<const N: usize>(&mut self, user: &str, online: bool, expected: [Effect; N]) {
        self.session.handle_watched(&UserId::trusted(user), online, &mut self.effects);
        self.expect(expected);
    }

    #[track_caller]
    fn wake<const N: usize>(&mut self, after: Duration, expected: [Effect; N]) {
        self.session.handle_timeout(self.now + after, &self.config, &mut self.effects);
        self.expect(expected);
    }
}

fn users(ids: &[&str]) -> Vec<UserId> {
    ids.iter().map(|id| UserId::trusted(id)).collect()
}

fn told(online: &[&str], offline: &[&str]) -> Effect {
    let (online, offline) = (users(online), users(offline));
    let (online, offline): (Vec<_>, Vec<_>) = (online.iter().collect(), offline.iter().collect());
    Effect::Send(frame::watchlist_events(&online, &offline))
}

#[test]
fn one_frame_when_all_is_known_and_then_the_differences() {
    let mut client = watching();
    client.tell("u3", false, []);
    client.tell("u9", true, []);
    client.tell("u2", true, [told(&["u2"], &["u3"])]);
    assert_eq!(
        client.session.poll_timeout(&client.config),
        client.now + client.config.activity_timeout
    );
    client.wake(Duration::from_millis(300), []);
    client.tell("u2", true, []);
    client.tell("u2", false, [told(&[], &["u2"])]);
    client.tell("u3", false, []);
    client.tell("u3", true, [told(&["u3"], &[])]);
}

#[test]
fn who_is_unknown_for_too_long_counts_as_offline() {
    let mut client = watching();
    client.tell("u2", true, []);
    let patience = Duration::from_millis(300);
    assert_eq!(client.session.poll_timeout(&client.config), client.now + patience);
    client.wake(Duration::from_millis(299), []);
    client.wake(patience, [told(&["u2"], &["u3"])]);
    client.wake(patience, []);
    client.tell("u3", false, []);
    client.tell("u3", true, [told(&["u3"], &[])]);
}

#[test]
fn a_new_list_replaces_the_old_one() {
    let mut client = watching();
    client.tell("u2", true, []);
    client.tell("u3", false, [told(&["u2"], &["u3"])]);
    client
        .watch(&["u3", "u2", "u3"], [Effect::Watch(users(&["u3", "u2"])), told(&["u2"], &["u3"])]);
    let deadline = client.now + Duration::from_millis(300);
    client.watch(
        &["u4", "u3"],
        [
            Effect::Unwatch(users(&["u2"])),
            Effect::Watch(users(&["u4", "u3"])),
            Effect::Wake(deadline),
        ],
    );
    client.tell("u2", false, []);
    client.tell("u4", true, [told(&["u4"], &["u3"])]);
    client.watch(&[], [Effect::Unwatch(users(&["u4", "u3"]))]);
    assert!(client.session.watched().is_empty());
    client.tell("u4", false, []);
}

#[test]
fn a_long_list_is_cut() {
    let mut client = watching();
    let many: Vec<String> = (0..101).map(|number| format!("w{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let deadline = client.now + Duration::from_millis(300);
    client.watch(
        &many,
        [
            error(4302, "the watchlist names 101 users, the first 100 are watched"),
            Effect::Unwatch(users(&["u2", "u3"])),
            Effect::Watch(users(&many[..100])),
            Effect::Wake(deadline),
        ],
    );
    client.watch(&many[..100], [Effect::Watch(users(&many[..100])), Effect::Wake(deadline)]);
}

#[test]
fn an_app_may_have_no_watchlists() {
    let mut client = watching();
    let mut app = App::clone(client.session.app());
    client.change(Some(app.clone()), []);
    app.features.watchlist_events = false;
    client.change(Some(app.clone()), [Effect::Unwatch(users(&["u2", "u3"]))]);
    client.wake(Duration::from_millis(300), []);
    client.watch(&["u2"], []);
    client.tell("u2", true, []);
    assert!(client.session.watched().is_empty());
    app.features.watchlist_events = true;
    client.change(Some(app), []);
    let deadline = client.now + Duration::from_millis(300);
    client.watch(&["u2"], [Effect::Watch(users(&["u2"])), Effect::Wake(deadline)]);
}
