use std::collections::BTreeMap;

use super::*;

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn call(number: u64) -> Content {
    Content::of_texts(&[&number.to_string()])
}

/// A stream of numbers below 1 that is the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn up_to(&mut self, most: u32) -> u32 {
        1 + (self.next() * f64::from(most)) as u32
    }
}

#[test]
fn admits_the_limit_then_refuses_then_refills() {
    let now = start();
    let mut bucket = Bucket::new(10, now);
    assert_eq!(bucket.take(10, now), Ok(Quota { limit: 10, remaining: 0, reset_ms: 1_000 }));
    assert_eq!(bucket.take(1, now), Err(Quota { limit: 10, remaining: 0, reset_ms: 100 }));
    let later = now + Duration::from_millis(100);
    assert!(bucket.take(1, later).is_ok());
    assert!(bucket.take(1, later).is_err());
}

#[test]
fn a_limit_of_one_admits_one_at_once_and_one_a_second() {
    let now = start();
    let mut bucket = Bucket::new(1, now);
    assert_eq!(bucket.take(1, now), Ok(Quota { limit: 1, remaining: 0, reset_ms: 1_000 }));
    assert_eq!(bucket.take(1, now), Err(Quota { limit: 1, remaining: 0, reset_ms: 1_000 }));
    assert!(bucket.take(1, now + Duration::from_secs(1)).is_ok());
}

#[test]
fn what_costs_more_than_the_bucket_holds_is_admitted_when_it_is_full() {
    let now = start();
    let mut bucket = Bucket::new(40, now);
    assert_eq!(bucket.take(100, now), Ok(Quota { limit: 40, remaining: 0, reset_ms: 2_500 }));
    let Quota { reset_ms, .. } = bucket.take(100, now).unwrap_err();
    assert_eq!(reset_ms, 2_500);
    assert!(bucket.take(100, now + Duration::from_millis(2_499)).is_err());
    assert!(bucket.take(100, now + Duration::from_millis(2_500)).is_ok());
}

#[test]
fn waiting_as_told_is_enough() {
    for per_second in [1, 2, 7, 30, 1_000] {
        let mut numbers = Numbers(per_second.into());
        let mut now = start();
        let mut bucket = Bucket::new(per_second, now);
        for number in 0..500 {
            let cost = numbers.up_to(2 * per_second);
            if let Err(quota) = bucket.take_as_promised(cost, call(number), now) {
                assert!(quota.reset_ms > 0);
                now += Duration::from_millis(quota.reset_ms.into());
                let again = bucket.take_as_promised(cost, call(number), now);
                assert!(again.is_ok(), "{per_second}/s, cost {cost}: {again:?}");
            }
        }
    }
}

#[test]
fn a_changed_limit_is_in_force_at_once() {
    let now = start();
    let mut bucket = Bucket::new(5, now);
    bucket.take(5, now).unwrap();
    bucket.set_limit(8, 1.0, now);
    assert!(bucket.take(3, now).is_ok());
    assert!(bucket.take(1, now).is_err());
}

#[test]
fn looking_takes_nothing() {
    let now = start();
    let mut bucket = Bucket::new(5, now);
    bucket.take(2, now).unwrap();
    assert_eq!(bucket.look(now), bucket.look(now));
    assert_eq!(bucket.look(now).remaining, 3);
}

/// Publishers that go at the same pace together, for ten seconds.
struct Crowd {
    per_second: u32,
    publishers: u32,
    /// How much more than the limit they offer.
    over: f64,
    /// So many of them come back when they are told; the others do not care.
    honest: u32,
    /// Whether they are told in whole seconds, as over REST.
    whole_seconds: bool,
}

#[derive(Debug, Default)]
struct Seen {
    admitted: u32,
    refused: u32,
    /// Refusals of a call that had waited as told.
    broken_promises: u32,
}

impl Crowd {
    fn run(&self, seed: u64) -> Seen {
        let (begin, mut numbers) = (start(), Numbers(seed));
        let mut bucket = Bucket::new(self.per_second, begin);
        let gap = f64::from(self.publishers) / (f64::from(self.per_second) * self.over);
        // By time: who, and the call that was refused.
        let mut due: BTreeMap<(Duration, u32), Option<u64>> = (0..self.publishers)
            .map(|who| ((Duration::from_secs_f64(numbers.next() * gap), who), None))
            .collect();
        let (mut seen, mut fresh) = (Seen::default(), 0);
        while let Some(((at, who), again)) = due.pop_first()
            && at < Duration::from_secs(10)
        {
            fresh += 1;
            let number = again.unwrap_or(fresh);
            let pause = Duration::from_secs_f64(gap * (0.9 + 0.2 * numbers.next()));
            let next = match bucket.take_as_promised(1, call(number), begin + at) {
                Ok(_) => {
                    seen.admitted += 1;
                    (pause, None)
                }
                Err(quota) if who < self.honest => {
                    seen.refused += 1;
                    seen.broken_promises += u32::from(again.is_some());
                    let wait = match self.whole_seconds {
                        true => Duration::from_secs(quota.reset_seconds().into()),
                        false => Duration::from_millis(quota.reset_ms.into()),
                    };
                    (wait + Duration::from_secs_f64(numbers.next() * 0.003), Some(number))
                }
                Err(_) => {
                    seen.refused += 1;
                    (pause, None)
                }
            };
            due.insert((at + next.0, who), next.1);
        }
        seen
    }
}

#[test]
fn ten_publishers_at_twice_the_limit_get_the_limit_and_promises_are_kept() {
    for per_second in [20, 50, 100, 1_000] {
        for (honest, whole_seconds) in
            [(0, true), (1, true), (1, false), (5, true), (5, false), (10, true), (10, false)]
        {
            for seed in 1..4 {
                let crowd = Crowd { per_second, publishers: 10, over: 2.0, honest, whole_seconds };
                let seen = crowd.run(seed);
                let share = f64::from(seen.admitted) / f64::from(10 * per_second);
                let what = format!("{per_second}/s, {honest} honest, {whole_seconds}: {seen:?}");
                assert!((0.9..=1.1).contains(&share), "{what}");
                assert!(seen.refused > 0 && seen.broken_promises == 0, "{what}");
            }
        }
    }
}

#[test]
fn no_ten_seconds_admit_more_than_a_tenth_above_the_limit() {
    for per_second in [11, 99, 400] {
        for seed in 0..2 {
            let (begin, mut numbers) = (start(), Numbers(seed));
            let mut bucket = Bucket::new(per_second, begin);
            let (mut at, mut admitted) = (Duration::ZERO, Vec::new());
            let mut refused: Vec<(Duration, u64)> = Vec::new();
            for number in 0..15_000 {
                // Long silences, bursts, and calls that come back when they may.
                let pause = if number % 997 == 0 { 4.0 } else { 0.002 };
                at += Duration::from_secs_f64(numbers.next() * pause);
                let back = refused.iter().position(|(due, _)| *due <= at);
                let number = back.map_or(number, |place| refused.swap_remove(place).1);
                match bucket.take_as_promised(1, call(number), begin + at) {
                    Ok(_) => admitted.push(at),
                    Err(quota) => {
                        refused.push((at + Duration::from_millis(quota.reset_ms.into()), number));
                    }
                }
            }
            let most = (0..admitted.len()).map(|first| {
                let end = admitted[first] + Duration::from_secs(10);
                admitted[first..].partition_point(|time| *time < end)
            });
            let most = most.max().unwrap() as f64;
            assert!(most <= 1.1 * f64::from(10 * per_second), "{per_second}/s: {most}");
        }
    }
}

#[test]
fn promises_are_bounded_and_forgotten() {
    let now = start();
    let mut bucket = Bucket::new(1, now);
    for number in 0..10_000 {
        let _ = bucket.take_as_promised(1, call(number), now);
    }
    assert!(bucket.take_as_promised(1, call(1), now + Duration::from_secs(2)).is_ok());
    bucket.forget_expired(now + Duration::from_secs(6));
    assert_eq!(bucket.promises.due(call(2), now), None);
}
