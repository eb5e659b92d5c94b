use model::{ChannelDelta, ChannelPattern, DeltaAlgorithm};

use super::*;
use crate::Filter;
use DeltaAlgorithm::{Fossil, Xdelta3};

const GOALS: &str = r#"{"key":"type","cmp":"eq","val":"goal"}"#;
const SHOTS: &str = r#"{"key":"type","cmp":"eq","val":"shot"}"#;
const ENABLED: &str =
    r#"{"event":"pusher:delta_compression_enabled","data":{"enabled":true,"algorithm":"fossil"}}"#;
const NOT_ENABLED: &str =
    r#"{"event":"pusher:delta_compression_enabled","data":{"enabled":false}}"#;

/// An app with filters and deltas.
fn generous() -> App {
    let features = Features { tag_filtering: true, delta_compression: true, ..app().features };
    App { features, ..app() }
}

/// The same app with other settings for market channels.
fn with_market(algorithm: DeltaAlgorithm) -> App {
    let pattern = ChannelPattern::parse("market-*").unwrap();
    let market = ChannelDelta { algorithm, ..ChannelDelta::new(pattern) };
    App { channel_deltas: vec![market], ..generous() }
}

fn filtered(filter: &str) -> Terms {
    Terms { filter: Some(Filter::parse(filter).unwrap()), delta: None }
}

fn compressed(algorithm: DeltaAlgorithm) -> Terms {
    Terms { filter: None, delta: Some(algorithm.into()) }
}

fn subscribed_on(channel: &str, terms: Terms) -> Effect {
    Effect::Subscribe { channel: name(channel), member: None, terms }
}

fn changed(channel: &str, terms: Terms) -> Effect {
    Effect::SetTerms { channel: name(channel), terms }
}

fn confirmed(channel: &str, algorithm: &str) -> Effect {
    sent(&format!(
        r#"{{"event":"pusher:delta_compression_enabled","channel":"{channel}","data":{{"enabled":true,"algorithm":"{algorithm}","channel":"{channel}"}}}}"#
    ))
}

impl Client {
    /// Asks for a channel, with more members in the data.
    #[track_caller]
    fn ask<const N: usize>(&mut self, channel: &str, more: &str, expected: [Effect; N]) {
        let auth = self.auth(&format!("1234.1234:{channel}"));
        self.subscribe(&format!(r#"{{"channel":"{channel}","auth":"{auth}",{more}}}"#), expected);
    }

    #[track_caller]
    fn enable<const N: usize>(&mut self, data: &str, expected: [Effect; N]) {
        self.check(
            &format!(r#"{{"event":"pusher:enable_delta_compression","data":{data}}}"#),
            expected,
        );
    }

    #[track_caller]
    fn lose<const N: usize>(&mut self, channel: &str, expected: [Effect; N]) {
        self.check(
            &format!(r#"{{"event":"pusher:delta_sync_error","data":{{"channel":"{channel}"}}}}"#),
            expected,
        );
    }

    fn terms(&self, channel: &str) -> Terms {
        self.session.terms(&name(channel))
    }
}

#[test]
fn a_subscription_has_the_filter_that_came_last() {
    let mut client = Client::open(generous());
    client.ask("m", &format!(r#""tags_filter":{GOALS}"#), [subscribed_on("m", filtered(GOALS))]);
    assert_eq!(client.terms("m"), filtered(GOALS));
    assert_eq!(client.terms("other"), Terms::default());
    client.confirm("m", [succeeded("m")]);
    client.ask("m", &format!(r#""tags_filter":{GOALS},"filter":{SHOTS}"#), {
        [subscribed_on("m", filtered(SHOTS))]
    });
    client.enter("m");
    assert_eq!(client.terms("m"), Terms::default());
    assert!(client.session.wishes.is_none(), "what nobody needs is kept");

    client.ask("m", &format!(r#""filter":{GOALS}"#), [subscribed_on("m", filtered(GOALS))]);
    client.unsubscribe("m", [unsubscribed("m")]);
    assert_eq!(client.terms("m"), Terms::default());
    client.enter("m");
}

#[test]
fn filters_on_every_kind_of_channel() {
    let mut client = Client::open(generous());
    for channel in ["private-x", "private-encrypted-x", "cache-x"] {
        let goals = format!(r#""filter":{GOALS}"#);
        client.ask(channel, &goals, [subscribed_on(channel, filtered(GOALS))]);
        client.unsubscribe(channel, [unsubscribed(channel)]);
    }
    let member = r#"{"user_id":"u1"}"#;
    let auth = client.auth(&format!("1234.1234:presence-x:{member}"));
    let quoted = serde_json::to_string(member).unwrap();
    let data = format!(
        r#"{{"channel":"presence-x","auth":"{auth}","channel_data":{quoted},"filter":{GOALS}}}"#
    );
    let member = Member { user: UserId::trusted("u1"), info: "".into() };
    client.subscribe(&data, {
        let member = Some(Box::new(member));
        [Effect::Subscribe { channel: name("presence-x"), member, terms: filtered(GOALS) }]
    });
    client.session.handle_full(&name("presence-x"), 100, &mut client.effects);
    client.effects.clear();
    assert!(client.session.wishes.is_none(), "what nobody needs is kept");
}

#[test]
fn a_filter_that_is_not_understood_refuses_the_subscription() {
    let frames = |detail: &str| {
        [
            sent(&format!(
                r#"{{"event":"pusher:subscription_error","channel":"m","data":{{"type":"InvalidFilter","error":"Invalid tags filter: {detail}","status":400}}}}"#
            )),
            sent(&format!(
                r#"{{"event":"pusher:error","data":{{"code":4000,"message":"Invalid message format: Invalid tags filter: {detail}"}}}}"#
            )),
        ]
    };
    for app in [generous(), app()] {
        let mut client = Client::open(app);
        let like = r#""tags_filter":{"key":"a","cmp":"like","val":"b"}"#;
        client.ask("m", like, frames("unknown comparison operator: like"));
        let nested = r#""filter":{"op":"or","nodes":[{"key":"a","cmp":"ex"},{"key":""}]}"#;
        client.ask("m", nested, frames("Child node 1: Leaf node requires a non-empty key"));
        for bad in ["null", "7", "[]", r#""{}""#] {
            let bad = format!(r#""filter":{bad},"tags_filter":{GOALS}"#);
            client.ask("m", &bad, frames("a node must be a JSON object"));
        }
        assert!(client.channels().is_empty());
    }
}

#[test]
fn a_bad_filter_leaves_the_old_subscription_as_it_is() {
    let mut client = Client::open(generous());
    let good = format!(r#""filter":{GOALS},"delta":true"#);
    let terms = Terms { delta: Some(Fossil.into()), ..filtered(GOALS) };
    client.ask("private-x", &good, [subscribed_on("private-x", terms.clone())]);
    let message = "Invalid tags filter: Leaf node requires a comparison operator";
    client.ask("private-x", r#""filter":{"key":"a"},"delta":false"#, {
        [
            refused("private-x", "InvalidFilter", message, 400),
            error(4000, &format!("Invalid message format: {message}")),
        ]
    });
    assert_eq!(client.terms("private-x"), terms);
    let denied = refused("private-x", "AuthError", &Denied::Missing.to_string(), 401);
    client.subscribe(r#"{"channel":"private-x","filter":{}}"#, [denied]);
    assert_eq!(client.terms("private-x"), terms);
}

#[test]
fn deltas_of_one_subscription() {
    let mut client = Client::open(with_market(Xdelta3));
    for (wish, algorithm) in [("true", Fossil), (r#""other""#, Fossil), (r#""vcdiff""#, Xdelta3)] {
        let wish = format!(r#""delta":{wish}"#);
        client.ask("m", &wish, [subscribed_on("m", compressed(algorithm))]);
        client.confirm("m", [succeeded("m"), confirmed("m", algorithm.name())]);
    }
    client.ask("market-x", r#""delta":{"enabled":true}"#, {
        [subscribed_on("market-x", compressed(Xdelta3))]
    });
    client.confirm("market-x", [succeeded("market-x"), confirmed("market-x", "xdelta3")]);
    client.unsubscribe("market-x", [unsubscribed("market-x")]);
    client.confirm("market-x", []);

    client.ask("m", r#""delta":"none""#, [subscribed("m")]);
    client.confirm("m", [succeeded("m")]);
    client.ask("m", r#""delta":null"#, [subscribed("m")]);
    assert!(client.session.wishes.is_none(), "what nobody needs is kept");

    let channel = name("cache-x");
    client.ask("cache-x", r#""delta":"fossil""#, [subscribed_on("cache-x", compressed(Fossil))]);
    assert!(client.let_in(&channel, [confirmed("cache-x", "fossil")]));
    client.unsubscribe("cache-x", [unsubscribed("cache-x")]);
    assert!(!client.let_in(&channel, []));
}

#[test]
fn channels_and_apps_without_deltas() {
    let mut client = Client::open(generous());
    client.ask("private-encrypted-x", r#""delta":true"#, [subscribed("private-encrypted-x")]);
    client.confirm("private-encrypted-x", [succeeded("private-encrypted-x")]);
    client.enable("{}", [sent(ENABLED)]);
    client.lose("private-encrypted-x", []);
    let mut client = Client::open(app());
    client.enable(r#"{"algorithms":["fossil"]}"#, []);
    client.ask("m", r#""delta":"fossil""#, [subscribed("m")]);
    client.confirm("m", [succeeded("m")]);
    client.lose("m", []);
}

#[test]
fn a_connection_may_agree_on_deltas() {
    let mut client = Client::open(generous());
    client.ask("a", r#""delta":false"#, [subscribed("a")]);
    client.enter("b");
    let c = Terms { delta: Some(Xdelta3.into()), ..filtered(GOALS) };
    client.ask("c", &format!(r#""delta":"xdelta3","filter":{GOALS}"#), {
        [subscribed_on("c", c.clone())]
    });
    client.enable(r#"{"algorithms":["xdelta3","fossil"]}"#, {
        [sent(ENABLED), changed("b", compressed(Fossil)), changed("c", c.clone())]
    });
    client.confirm("b", [succeeded("b")]);
    client.unsubscribe("a", [unsubscribed("a")]);
    client.ask("a", r#""x":1"#, [subscribed_on("a", compressed(Fossil))]);
    client.confirm("a", [succeeded("a")]);

    let other = ENABLED.replace("fossil", "xdelta3");
    client.enable(r#""{\"algorithms\":[\"gzip\",\"vcdiff\"]}""#, {
        [
            sent(&other),
            changed("a", compressed(Xdelta3)),
            changed("b", compressed(Xdelta3)),
            changed("c", c.clone()),
        ]
    });
    client.enable(r#"{"algorithms":["gzip"]}"#, {
        [
            sent(NOT_ENABLED),
            changed("a", Terms::default()),
            changed("b", Terms::default()),
            changed("c", c),
        ]
    });
    client.unsubscribe("c", [unsubscribed("c")]);
    assert!(client.session.wishes.is_none(), "what nobody needs is kept");
    client.enable(r#"{"algorithms":["gzip"]}"#, [sent(NOT_ENABLED)]);
    assert!(client.session.wishes.is_none(), "what nobody needs is kept");
}

#[test]
fn what_a_connection_agreed_on_lasts() {
    let mut client = Client::open(generous());
    client.enable("{}", [sent(ENABLED)]);
    assert_eq!(client.terms("m"), Terms::default(), "it is not in the channel");
    client.ask("m", r#""delta":"vcdiff""#, [subscribed_on("m", compressed(Xdelta3))]);
    client.unsubscribe("m", [unsubscribed("m")]);
    client.ask("m", r#""auth":"""#, [subscribed_on("m", compressed(Fossil))]);
    assert_eq!(client.terms("m"), compressed(Fossil));
}

#[test]
fn a_client_that_has_lost_its_base() {
    let mut client = Client::open(generous());
    client.ask("a", r#""delta":true"#, [subscribed_on("a", compressed(Fossil))]);
    client.enter("b");
    client.lose("a", [Effect::Resync(name("a"))]);
    client.lose("b", []);
    client.lose("other", []);
    client.enable("null", {
        [sent(ENABLED), changed("a", compressed(Fossil)), changed("b", compressed(Fossil))]
    });
    client.lose("b", [Effect::Resync(name("b"))]);
    client.unsubscribe("b", [unsubscribed("b")]);
    client.lose("b", []);
}

#[test]
fn filters_and_deltas_may_be_switched_off_and_on() {
    let mut client = Client::open(app());
    client.ask("a", &format!(r#""filter":{GOALS},"delta":"xdelta3""#), [subscribed("a")]);
    client.enter("b");
    client.enable("{}", []);
    client.change(Some(App { revision: 2, ..app() }), []);

    let features = Features { tag_filtering: true, ..app().features };
    client.change(Some(App { features, ..app() }), [changed("a", filtered(GOALS))]);
    let a = Terms { delta: Some(Xdelta3.into()), ..filtered(GOALS) };
    let on = [changed("a", a), changed("b", compressed(Fossil))];
    client.change(Some(generous()), on);
    client.change(Some(App { revision: 2, ..generous() }), []);
    client.change(Some(app()), [changed("a", Terms::default()), changed("b", Terms::default())]);
}

#[test]
fn a_channel_may_get_another_algorithm() {
    let mut client = Client::open(generous());
    client.ask("market-a", r#""delta":true"#, [subscribed_on("market-a", compressed(Fossil))]);
    let terms = compressed(Fossil);
    client.ask("market-b", r#""delta":"fossil""#, [subscribed_on("market-b", terms)]);
    client.change(Some(with_market(Fossil)), []);
    client.change(Some(with_market(Xdelta3)), [changed("market-a", compressed(Xdelta3))]);
    assert_eq!(client.terms("market-a"), compressed(Xdelta3));
}

#[test]
fn names_are_shared_with_the_hub() {
    let mut client = Client::open(generous());
    client.ask("m", r#""delta":true"#, [subscribed_on("m", compressed(Fossil))]);
    let shared = name("m");
    assert!(client.let_in(&shared, [confirmed("m", "fossil")]));
    let (kept, _) = &client.session.wishes.as_ref().unwrap().channels[0];
    assert!(std::ptr::eq(kept.as_str(), shared.as_str()), "the name is not shared");
}

#[test]
fn the_users_channel_is_always_plain() {
    let channel = "#server-to-user-u1";
    let mut client = Client::open(generous());
    client.sign_in(r#"{"id":"u1"}"#, [Effect::SignIn(name(channel))]);
    client.confirm(channel, [users::welcome(r#"{"id":"u1"}"#)]);
    client.ask(channel, &format!(r#""delta":true,"filter":{GOALS}"#), [succeeded(channel)]);
    client.enable("{}", [sent(ENABLED)]);
    client.lose(channel, []);
    assert_eq!(client.terms(channel), Terms::default());
    let message = "Invalid tags filter: a node must be a JSON object";
    client.ask(channel, r#""filter":null"#, {
        [
            refused(channel, "InvalidFilter", message, 400),
            error(4000, &format!("Invalid message format: {message}")),
        ]
    });
}

#[test]
fn the_filters_of_a_connection_are_bounded_together() {
    let limits = Limits { channels_per_connection_max: 100, ..app().limits };
    let mut client = Client::open(App { limits, ..generous() });
    let value = "x".repeat(1_000);
    let values: Vec<_> = (0..100).map(|n| format!(r#""{n}{value}""#)).collect();
    let large = format!(r#"{{"key":"k","cmp":"in","vals":[{}]}}"#, values.join(","));
    for channel in ["a", "b"] {
        client.ask(
            channel,
            &format!(r#""filter":{large}"#),
            [subscribed_on(channel, filtered(&large))],
        );
    }
    let bytes = 3 * large.len();
    let text = format!("the filters of this connection have {bytes} bytes, the limit is 262144");
    let refused = sent(&frame::subscription_error("c", "LimitReached", &text, 4100));
    client.ask("c", &format!(r#""filter":{large}"#), [refused]);
    // Another filter for a channel takes the place of the one before.
    client.ask("b", &format!(r#""filter":{GOALS}"#), [subscribed_on("b", filtered(GOALS))]);
    client.ask("c", &format!(r#""filter":{large}"#), [subscribed_on("c", filtered(&large))]);
}
