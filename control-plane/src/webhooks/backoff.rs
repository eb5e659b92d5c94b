//! When a failed call is tried again.

use std::time::{Duration, Instant};

use model::WebhookRetry;

/// What has been tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tries {
    /// Calls so far.
    pub(super) count: u32,
    /// When the first began.
    pub(super) begun: Instant,
    /// After this nobody wants it.
    pub(super) deadline: Instant,
}

/// When to call again; `None`: not at all. `share` is random, 0 to 1: it spreads what failed together.
pub(super) fn next_try(
    retry: Option<&WebhookRetry>,
    tries: Tries,
    share: f64,
    now: Instant,
) -> Option<Instant> {
    let retry = retry?;
    if retry.attempts_max.is_some_and(|most| tries.count >= most) {
        return None;
    }
    let at = now + pause(retry, tries.count, share);
    let end = tries.deadline.min(tries.begun + retry.elapsed_max);
    Some(at).filter(|at| *at < end)
}

/// Twice as long after each call, up to the longest; of that at least the half.
fn pause(retry: &WebhookRetry, calls: u32, share: f64) -> Duration {
    let doublings = calls.saturating_sub(1).min(20);
    let whole = retry.backoff_min.saturating_mul(1 << doublings).min(retry.backoff_max);
    whole.mul_f64(0.5 + share.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let retry = WebhookRetry::default();
        let longest =
            [1, 2, 3, 4, 5, 6, 7, 8, 100].map(|calls| pause(&retry, calls, 1.0).as_secs());
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause(&retry, 3, 0.0), seconds(2), "at least the half");
        assert_eq!(pause(&retry, 3, 0.5), seconds(3));
    }

    #[test]
    fn there_is_an_end() {
        let now = tokio::time::Instant::now().into_std();
        let tries = |count| Tries { count, begun: now, deadline: now + seconds(300) };
        let retry = WebhookRetry::default();
        let next = |retry: &WebhookRetry, count, later| {
            next_try(Some(retry), tries(count), 1.0, now + seconds(later)).map(|at| at - now)
        };
        assert_eq!(next(&retry, 1, 0), Some(seconds(1)));
        assert_eq!(next(&retry, 9, 239), Some(seconds(299)));
        assert_eq!(next(&retry, 9, 240), None, "the deadline");
        let few = WebhookRetry { attempts_max: Some(3), ..retry };
        assert_eq!((next(&few, 2, 0), next(&few, 3, 0)), (Some(seconds(2)), None));
        let short = WebhookRetry { elapsed_max: seconds(10), ..retry };
        assert_eq!((next(&short, 3, 5), next(&short, 3, 6)), (Some(seconds(9)), None));
        assert_eq!(next_try(None, tries(1), 1.0, now), None);
    }
}
