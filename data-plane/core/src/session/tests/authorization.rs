use super::*;

const CLOSED: [Effect; 1] = [Effect::Close(CloseCode::NotSignedIn)];

/// Whoever does not sign in within 20 seconds is closed.
fn strict() -> App {
    let app = app();
    App {
        limits: Limits { user_authentication_timeout_seconds: 20, ..app.limits },
        features: Features { user_authentication: true, ..app.features },
        ..app
    }
}

fn at(client: &Client, seconds: u64) -> Instant {
    client.now + Duration::from_secs(seconds)
}

#[test]
fn nobody_is_closed_when_the_time_is_over() {
    let mut client = Client::open(strict());
    assert_eq!(client.session.poll_timeout(&client.config), at(&client, 20));
    client.enter("public");
    client.enter("cache-x");
    client.check_at(19, []);
    client.check_at(20, CLOSED);
}

#[test]
fn a_signature_is_enough() {
    for channel in ["private-x", "private-encrypted-x", "private-cache-x"] {
        let mut client = Client::open(strict());
        client.enter(channel);
        assert_eq!(client.session.poll_timeout(&client.config), at(&client, 120));
        client.unsubscribe(channel, [unsubscribed(channel)]);
        client.check_at(20, []);
    }
    let mut client = Client::open(strict());
    client.join("presence-x", "u1", [presence::in_as("presence-x", "u1", "")]);
    client.check_at(20, []);
    let mut client = Client::open(strict());
    client.sign_in(r#"{"id":"u1"}"#, [Effect::SignIn(name("#server-to-user-u1"))]);
    client.check_at(20, []);
}

#[test]
fn a_bad_signature_is_not_enough() {
    let mut client = Client::open(strict());
    let denied = Denied::Missing.to_string();
    client
        .subscribe(r#"{"channel":"private-x"}"#, [refused("private-x", "AuthError", &denied, 401)]);
    client.check_at(20, CLOSED);
}

#[test]
fn an_app_may_begin_to_demand_it_and_cease_to() {
    let mut client = Client::open(app());
    client.now += Duration::from_secs(10);
    let deadline = at(&client, 20);
    client.change(Some(strict()), [Effect::Wake(deadline)]);
    client.change(Some(strict()), []);
    client.check_at(19, []);
    let limits = Limits { user_authentication_timeout_seconds: 5, ..strict().limits };
    let sooner = at(&client, 5);
    client.change(Some(App { limits, ..strict() }), [Effect::Wake(sooner)]);
    client.change(Some(strict()), []);
    client.check_at(20, CLOSED);
    client.change(Some(App { features: app().features, ..strict() }), []);
    client.check_at(20, []);
}

#[test]
fn who_is_somebody_already_need_not_prove_it_again() {
    let mut client = Client::open(app());
    client.enter("private-x");
    client.change(Some(strict()), []);
    client.check_at(60, []);
}
