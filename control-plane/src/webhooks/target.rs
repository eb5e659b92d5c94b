//! One webhook of one app: what waits for it, and the one call that is under way.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use model::{MessageId, Webhook, WebhookKind};

use super::{
    backoff::{Tries, next_try},
    batch::{Batch, Queue},
    call::Outcome,
    event::Told,
    filter::Filter,
};

/// The same complaint about the same target is made this seldom.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// What there is to complain about: what happened, and why.
pub(super) type Complaint = (&'static str, &'static str);

/// A target. Calls are made one after the other, so that it hears in order.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) id: MessageId,
    pub(super) webhook: Arc<Webhook>,
    /// `None`: the expression does not compile, and nothing matches it.
    filter: Option<Filter>,
    pub(super) queue: Queue,
    state: State,
    /// The last call did not succeed.
    pub(super) failing: bool,
    complaints: HashMap<Complaint, Instant>,
}

#[derive(Debug)]
enum State {
    Idle,
    Calling(Arc<Batch>, Tries),
    Resting(Arc<Batch>, Tries, Instant),
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// So many events were taken.
    Delivered(usize),
    /// It will be tried again.
    Again,
    /// So many events are lost.
    GivenUp(usize),
}

impl Target {
    pub(super) fn new(id: MessageId, webhook: &Webhook) -> Self {
        Self {
            id,
            webhook: Arc::new(webhook.clone()),
            filter: Filter::new(&webhook.filter).ok(),
            queue: Queue::default(),
            state: State::Idle,
            failing: false,
            complaints: HashMap::new(),
        }
    }

    /// The webhook was changed. What waits, waits on: it was for this URL.
    pub(super) fn set_webhook(&mut self, webhook: &Webhook) {
        self.filter = Filter::new(&webhook.filter).ok();
        self.webhook = Arc::new(webhook.clone());
    }

    /// Whether its filter cannot be used, so that it hears of nothing.
    pub(super) fn is_deaf(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether it hears of such a thing in that channel.
    pub(super) fn wants(&self, kind: WebhookKind, channel: &str) -> bool {
        self.webhook.tells(kind)
            && self.filter.as_ref().is_some_and(|filter| filter.matches(channel))
    }

    pub(super) fn push(&mut self, told: &Arc<Told>) {
        self.queue.push(Arc::clone(told));
    }

    /// The call to make, if it is time; in a hurry nothing waits to become more.
    pub(super) fn next_call(
        &mut self,
        id: impl FnOnce() -> MessageId,
        now: Instant,
        hurry: bool,
    ) -> Option<Arc<Batch>> {
        let (batch, tries) = match &self.state {
            State::Calling(..) => return None,
            State::Resting(batch, tries, until) => {
                if *until > now {
                    return None;
                }
                (Arc::clone(batch), Tries { count: tries.count + 1, ..*tries })
            }
            State::Idle => {
                if !hurry && self.queue.ready_at().is_none_or(|at| at > now) {
                    return None;
                }
                let batch = Arc::new(self.queue.batch(id())?);
                let tries = Tries { count: 1, begun: now, deadline: batch.deadline };
                (batch, tries)
            }
        };
        self.state = State::Calling(Arc::clone(&batch), tries);
        Some(batch)
    }

    /// A call has ended. `share` is random, 0 to 1.
    pub(super) fn ended(&mut self, outcome: &Outcome, share: f64, now: Instant) -> Fate {
        let State::Calling(batch, tries) = std::mem::replace(&mut self.state, State::Idle) else {
            return Fate::Again;
        };
        self.failing = *outcome != Outcome::Taken;
        let retry = match outcome {
            Outcome::Taken => return Fate::Delivered(batch.events),
            Outcome::Unreachable(_) | Outcome::Unwell(_) => self.webhook.retry.as_ref(),
            Outcome::Declined(_) | Outcome::Refused(_) => None,
        };
        match next_try(retry, tries, share, now) {
            Some(at) => {
                self.state = State::Resting(batch, tries, at);
                Fate::Again
            }
            None => Fate::GivenUp(batch.events),
        }
    }

    /// When there is something to do.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        match &self.state {
            State::Idle => self.queue.ready_at(),
            State::Calling(..) => None,
            State::Resting(_, _, until) => Some(*until),
        }
    }

    /// Events that wait or are under way.
    pub(super) fn owed(&self) -> usize {
        let under_way = match &self.state {
            State::Idle => 0,
            State::Calling(batch, _) | State::Resting(batch, ..) => batch.events,
        };
        self.queue.len() + under_way
    }

    /// Whether this complaint has not been made lately.
    pub(super) fn may_complain(&mut self, about: Complaint, now: Instant) -> bool {
        let lately = |then: &Instant| now.saturating_duration_since(*then) < COMPLAIN_EVERY;
        if self.complaints.get(&about).is_some_and(lately) {
            return false;
        }
        self.complaints.insert(about, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::event::{Happening, Moment, tests::moment};
    use model::{ChannelName, WebhookFilter, WebhookRetry};

    fn target(retry: Option<WebhookRetry>) -> Target {
        let webhook = Webhook {
            url: "http://example.com/".into(),
            kinds: vec![WebhookKind::ChannelOccupied],
            filter: WebhookFilter { prefix: "a".into(), ..WebhookFilter::default() },
            headers: Vec::new(),
            retry,
            timeout: Webhook::TIMEOUT,
        };
        Target::new(MessageId(7), &webhook)
    }

    fn push(target: &mut Target, now: Moment) {
        let told = Told::new(&ChannelName::trusted("a"), &Happening::Occupied, now);
        target.push(&Arc::new(told));
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_it_hears_of() {
        let mut target = target(None);
        assert!(target.wants(WebhookKind::ChannelOccupied, "ab"));
        assert!(!target.wants(WebhookKind::ChannelVacated, "ab"));
        assert!(!target.wants(WebhookKind::ChannelOccupied, "b"));
        let broken = WebhookFilter { pattern: Some("(".into()), ..WebhookFilter::default() };
        let webhook = Webhook { filter: broken, ..(*target.webhook).clone() };
        target.set_webhook(&webhook);
        assert!(!target.wants(WebhookKind::ChannelOccupied, "("), "matches nothing");
    }

    #[test]
    fn one_call_at_a_time_and_the_same_again_after_a_pause() {
        let (mut target, now) = (target(Some(WebhookRetry::default())), moment(1));
        let next =
            |target: &mut Target, later| target.next_call(|| MessageId(1), now.at + later, false);
        push(&mut target, now);
        assert_eq!(next(&mut target, Duration::ZERO), None, "waits for more");
        let first = next(&mut target, SECOND).unwrap();
        push(&mut target, now);
        assert_eq!((next(&mut target, 2 * SECOND), target.wake_at()), (None, None));
        let unwell = Outcome::Unwell(503);
        assert_eq!(target.ended(&unwell, 1.0, now.at + 2 * SECOND), Fate::Again);
        assert_eq!((target.wake_at(), target.owed()), (Some(now.at + 3 * SECOND), 2));
        assert_eq!(next(&mut target, 2 * SECOND), None);
        let again = next(&mut target, 3 * SECOND).unwrap();
        assert!(Arc::ptr_eq(&first, &again), "body and id are the same");
        assert!(target.failing);
        assert_eq!(target.ended(&Outcome::Taken, 1.0, now.at), Fate::Delivered(1));
        assert!(!target.failing && next(&mut target, 3 * SECOND).is_some());
    }

    #[test]
    fn what_will_not_help_is_not_tried_again() {
        for outcome in [Outcome::Declined(302), Outcome::Refused("no".into())] {
            let (mut target, now) = (target(Some(WebhookRetry::default())), moment(1));
            push(&mut target, now);
            target.next_call(|| MessageId(1), now.at, true).unwrap();
            assert_eq!(target.ended(&outcome, 0.0, now.at), Fate::GivenUp(1));
            assert_eq!(target.owed(), 0);
        }
        let (mut target, now) = (target(None), moment(1));
        push(&mut target, now);
        target.next_call(|| MessageId(1), now.at, true).unwrap();
        assert_eq!(target.ended(&Outcome::Unwell(500), 0.0, now.at), Fate::GivenUp(1));
    }

    #[test]
    fn complaints_are_seldom() {
        let (mut target, now) = (target(None), moment(1).at);
        assert!(target.may_complain(("x", ""), now) && target.may_complain(("x", "y"), now));
        assert!(!target.may_complain(("x", ""), now + SECOND));
        assert!(target.may_complain(("x", ""), now + COMPLAIN_EVERY));
    }
}
