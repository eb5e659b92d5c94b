use super::*;

const KEPT: Duration = Duration::from_secs(120);

struct Fixture {
    keys: Idempotency,
    app: AppId,
    now: Instant,
}

impl Fixture {
    fn new(keys_max: usize, keys_per_app_max: usize) -> Self {
        let keys = Idempotency::new(Bounds { keys_max, keys_per_app_max });
        let now = tokio::time::Instant::now().into_std();
        Self { keys, app: AppId::parse("a").unwrap(), now }
    }

    fn claim(&mut self, key: &str, content: &str) -> Claim {
        self.counted(key, content).0
    }

    fn counted(&mut self, key: &str, content: &str) -> (Claim, usize) {
        let names = (text(key), text(content));
        self.keys.claim(&self.app, names, (self.now, KEPT))
    }

    /// Claims and completes.
    fn publish(&mut self, key: &str, content: &str) {
        let Claim::First { number, .. } = self.claim(key, content) else {
            panic!("{key} is taken");
        };
        self.keys.complete(&self.app, (text(key), number), results(content));
    }
}

fn text(text: &str) -> Content {
    Content::of_texts(&[text])
}

fn results(name: &str) -> Results {
    let channel = proto::v1::ChannelInfo { channel: name.into(), ..Default::default() };
    [TriggerEventBatchResult { channels: vec![channel] }].into()
}

#[test]
fn the_second_gets_the_answer_of_the_first() {
    let mut fixture = Fixture::new(9, 9);
    fixture.publish("k", "one");
    for _ in 0..2 {
        let Claim::Done(answer) = fixture.claim("k", "one") else { panic!() };
        assert_eq!(answer, results("one"));
    }
    assert!(matches!(fixture.claim("k", "two"), Claim::Conflict));
    assert!(matches!(fixture.claim("other", "two"), Claim::First { .. }));
}

#[test]
fn apps_do_not_share_keys() {
    let mut fixture = Fixture::new(9, 9);
    fixture.publish("k", "one");
    fixture.app = AppId::parse("b").unwrap();
    assert!(matches!(fixture.claim("k", "two"), Claim::First { .. }));
}

#[test]
fn who_comes_while_the_first_runs_waits_for_it() {
    let mut fixture = Fixture::new(9, 9);
    let Claim::First { number, outcome } = fixture.claim("k", "one") else { panic!() };
    let Claim::Running(waiting) = fixture.claim("k", "one") else { panic!() };
    assert!(matches!(fixture.claim("k", "two"), Claim::Conflict));
    assert!(matches!(*waiting.borrow(), Outcome::Running));
    fixture.keys.complete(&fixture.app, (text("k"), number), results("one"));
    outcome.send_replace(Outcome::Done(results("one")));
    assert!(matches!(*waiting.borrow(), Outcome::Done(_)));
}

#[test]
fn a_refused_publish_frees_its_key() {
    let mut fixture = Fixture::new(9, 9);
    let Claim::First { number, .. } = fixture.claim("k", "one") else { panic!() };
    fixture.keys.release(&fixture.app, (text("k"), number));
    assert!(fixture.keys.is_empty());
    fixture.publish("k", "two");
    // A late word about the first claim changes nothing.
    fixture.keys.release(&fixture.app, (text("k"), number));
    fixture.keys.complete(&fixture.app, (text("k"), number), results("one"));
    let Claim::Done(answer) = fixture.claim("k", "two") else { panic!() };
    assert_eq!(answer, results("two"));
}

#[test]
fn a_key_is_free_again_after_its_time() {
    let mut fixture = Fixture::new(9, 9);
    fixture.publish("k", "one");
    fixture.now += KEPT - Duration::from_millis(1);
    assert!(matches!(fixture.claim("k", "two"), Claim::Conflict));
    fixture.now += Duration::from_millis(1);
    assert!(matches!(fixture.claim("k", "two"), Claim::First { .. }));
    fixture.now += KEPT;
    fixture.keys.forget_expired(fixture.now);
    assert!(fixture.keys.is_empty() && fixture.keys.apps.is_empty());
}

#[test]
fn the_oldest_key_of_the_app_makes_room() {
    let mut fixture = Fixture::new(5, 3);
    for key in ["1", "2", "3"] {
        fixture.publish(key, key);
    }
    assert_eq!(fixture.counted("4", "4").1, 1);
    assert!(matches!(fixture.claim("2", "2"), Claim::Done(_)));
    assert!(matches!(fixture.claim("1", "1"), Claim::First { .. }));
    assert_eq!(fixture.keys.len(), 3);
    // When all apps together have too many, the one that has most loses one.
    fixture.app = AppId::parse("b").unwrap();
    let evicted: Vec<_> = ["x", "y", "z"].map(|key| fixture.counted(key, key).1).into();
    assert_eq!(evicted, [0, 0, 1]);
    assert_eq!(fixture.keys.len(), 5);
    assert!(matches!(fixture.claim("x", "x"), Claim::Running(_)));
}
