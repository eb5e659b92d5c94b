//! Ten publishers at twice their app's limit, through two gateways.

use std::time::Duration;

use futures_util::future::join_all;
use proto::v1::{App, AppLimits};
use serde_json::json;
use tests::{
    cluster::{Cluster, Shape},
    rest::{Answer, Backend},
};
use tokio::time::{Instant, interval, sleep};

use crate::size::{say, size};

const PUBLISHERS: u32 = 10;
/// What was saved up before is used up by then.
const LEAD: Duration = Duration::from_secs(1);

/// One publisher, and how it takes a refusal.
struct Publisher {
    name: String,
    backend: Backend,
    /// It waits as long as it is told, and then says the same again; others go on with the next.
    honours: bool,
    every: Duration,
}

/// What became of a publisher's calls.
#[derive(Default)]
struct Outcome {
    admitted: Vec<Instant>,
    refused: usize,
    /// Refusals of who had waited as told.
    refused_again: usize,
    faults: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twice_the_limit_is_admitted_once_and_who_waits_is_not_refused_again() {
    let per_second = size(200, 500);
    let run = Duration::from_secs(size(6, 10));
    let limits = AppLimits { backend_events_per_second: Some(per_second), ..AppLimits::default() };
    let app = App { limits: Some(limits), ..App::default() };
    let cluster = Cluster::start(Shape { gateways: 2, app, ..Shape::default() }.alone()).await;
    for honouring in size(&[3][..], &[1, 3, 5, 10]) {
        let begun = Instant::now();
        let publishers = (0..PUBLISHERS).map(|number| {
            let publisher = Publisher {
                name: format!("{honouring}-{number}"),
                backend: cluster.backend(number as usize % 2),
                honours: number < *honouring,
                every: Duration::from_secs(1) * PUBLISHERS / (2 * per_second),
            };
            tokio::spawn(publisher.run(begun + LEAD + run))
        });
        let outcomes = join_all(publishers.collect::<Vec<_>>()).await;
        let outcomes: Vec<_> = outcomes.into_iter().map(Result::unwrap).collect();
        check(&outcomes, begun, f64::from(per_second) * run.as_secs_f64());
    }
}

impl Publisher {
    async fn run(self, end: Instant) -> Outcome {
        let (mut outcome, mut pace, mut number) = (Outcome::default(), interval(self.every), 0);
        let mut waited = false;
        while Instant::now() < end {
            if !waited {
                pace.tick().await;
                number += 1;
            }
            let said = format!("{}: {number}", self.name);
            let event = json!({ "name": "e", "channel": "room", "data": said });
            let answer = self.backend.publish(&event).await;
            if answer.status == 200 {
                outcome.admitted.push(Instant::now());
                waited = false;
                continue;
            }
            outcome.refused += 1;
            outcome.refused_again += usize::from(waited);
            let Some(wait) = outcome.read(&answer) else { continue };
            waited = self.honours;
            if self.honours {
                sleep(wait).await;
                pace.reset_immediately();
            }
        }
        outcome
    }
}

impl Outcome {
    /// A refusal says when to come back.
    fn read(&mut self, answer: &Answer) -> Option<Duration> {
        let wait = answer.header("retry-after").parse().ok().filter(|seconds| *seconds > 0);
        if answer.status != 429 || wait.is_none() {
            self.faults.push(format!("{answer:?}"));
        }
        wait.map(Duration::from_secs)
    }
}

/// Admitted after the lead-in, in what is `limit` in that time.
fn check(outcomes: &[Outcome], begun: Instant, limit: f64) {
    let faults: Vec<_> = outcomes.iter().flat_map(|outcome| &outcome.faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    let admitted = outcomes.iter().flat_map(|outcome| &outcome.admitted);
    let admitted = admitted.filter(|at| **at >= begun + LEAD).count() as f64;
    let refused: usize = outcomes.iter().map(|outcome| outcome.refused).sum();
    let again: usize = outcomes.iter().map(|outcome| outcome.refused_again).sum();
    let share = admitted / limit;
    say(&format!("{share:.3} of the limit admitted, {refused} refused, {again} in a row"));
    assert!((0.9..=1.1).contains(&share), "{admitted} admitted, the limit is {limit}");
    assert!(refused > 0, "it was too much");
    assert_eq!(again, 0, "nobody who waits as told is refused again");
}
