//! One app: its leaves that wait for their grace to end, its targets and what waits for them.

use std::{sync::Arc, time::Instant};

use model::{App, ChannelName, MessageId, MessageIds, Webhook};

use super::{
    call::{Call, Outcome},
    counts::Counts,
    event::{Happening, Moment, Told},
    grace::{Gone, Grace},
    target::{Fate, Target},
};

/// Events that wait for all targets of one app; over it the oldest of the target with most goes.
const EVENTS_MAX: usize = 10_000;
/// Their bytes.
const BYTES_MAX: usize = 32 << 20;

/// What an app's backend has still to be told.
#[derive(Debug)]
pub(super) struct Backlog {
    app: Arc<App>,
    ids: Arc<MessageIds>,
    targets: Vec<Target>,
    grace: Grace,
    counts: Counts,
    /// Events that were dropped since they were last asked for.
    pub(super) lost: Lost,
}

/// Events that no target will hear of, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lost {
    /// The queue was full.
    pub(super) overflow: usize,
    /// They became too old while others were tried.
    pub(super) expired: usize,
    /// Their target is gone.
    pub(super) removed: usize,
}

impl Backlog {
    pub(super) fn new(app: Arc<App>, ids: Arc<MessageIds>) -> Self {
        let targets = app.webhooks.iter().map(|one| Target::new(ids.next(), one)).collect();
        let (grace, counts, lost) = (Grace::default(), Counts::default(), Lost::default());
        Self { app, ids, targets, grace, counts, lost }
    }

    /// The app was changed. Returns the targets that are gone, with all that waited for them.
    pub(super) fn set_app(&mut self, app: &Arc<App>) -> Vec<MessageId> {
        if Arc::ptr_eq(&self.app, app) {
            return Vec::new();
        }
        self.app = Arc::clone(app);
        let mut former = std::mem::take(&mut self.targets);
        let mut take = |same: &dyn Fn(&Webhook) -> bool| {
            let place = former.iter().position(|target| same(&target.webhook))?;
            Some(former.remove(place))
        };
        // First those that are as they were: two targets may have one URL.
        let mut kept: Vec<_> =
            app.webhooks.iter().map(|webhook| take(&|former| former == webhook)).collect();
        for (webhook, kept) in app.webhooks.iter().zip(&mut kept) {
            if kept.is_none() {
                *kept = take(&|former| former.url == webhook.url);
                if let Some(changed) = kept {
                    changed.set_webhook(webhook);
                }
            }
        }
        let new = |webhook: &Webhook| Target::new(self.ids.next(), webhook);
        let pairs = app.webhooks.iter().zip(kept);
        self.targets = pairs.map(|(webhook, kept)| kept.unwrap_or_else(|| new(webhook))).collect();
        self.lost.removed += former.iter().map(Target::owed).sum::<usize>();
        former.iter().map(|target| target.id).collect()
    }

    /// Takes in what has happened.
    pub(super) fn tell(&mut self, channel: ChannelName, happening: &Happening, now: Moment) {
        let untold = match happening {
            Happening::Occupied => self.grace.come(&(channel.clone(), None)),
            Happening::MemberAdded(user) => self.grace.come(&(channel.clone(), Some(user.clone()))),
            Happening::Vacated => return self.hold((channel, None), now),
            Happening::MemberRemoved(user) => {
                return self.hold((channel, Some(user.clone())), now);
            }
            Happening::SubscriptionCount(count) => !self.counts.changed(&channel, *count, now.at),
            Happening::CacheMiss | Happening::ClientEvent { .. } => false,
        };
        if !untold {
            self.push(&channel, happening, now);
        }
    }

    fn hold(&mut self, gone: Gone, now: Moment) {
        if let Some(early) = self.grace.leave(gone, now.at) {
            self.push_gone(early, now);
        }
    }

    fn push_gone(&mut self, (channel, user): Gone, now: Moment) {
        let happening = user.map_or(Happening::Vacated, Happening::MemberRemoved);
        self.push(&channel, &happening, now);
    }

    /// For each target that wants it: filtered first, so that each signs what it gets.
    fn push(&mut self, channel: &ChannelName, happening: &Happening, now: Moment) {
        let kind = happening.kind();
        let mut told = None;
        for target in &mut self.targets {
            if target.wants(kind, channel.as_str()) {
                let told = told.get_or_insert_with(|| Arc::new(Told::new(channel, happening, now)));
                target.push(told);
            }
        }
        while self.waiting() > EVENTS_MAX || self.bytes() > BYTES_MAX {
            let most = self.targets.iter_mut().max_by_key(|target| target.queue.bytes());
            if most.and_then(|target| target.queue.pop()).is_none() {
                break;
            }
            self.lost.overflow += 1;
        }
    }

    /// The calls to make. In a hurry leaves have no grace and calls do not wait to become more.
    pub(super) fn calls(&mut self, now: Moment, hurry: bool) -> Vec<Call> {
        while let Some(gone) = if hurry { self.grace.pop() } else { self.grace.due(now.at) } {
            self.push_gone(gone, now);
        }
        while let Some((channel, count)) = self.counts.due(now.at, hurry) {
            self.push(&channel, &Happening::SubscriptionCount(count), now);
        }
        let mut calls = Vec::new();
        for target in &mut self.targets {
            self.lost.expired += target.queue.expire(now.at);
            if let Some(batch) = target.next_call(|| self.ids.next(), now.at, hurry) {
                let (app, webhook) = (Arc::clone(&self.app), Arc::clone(&target.webhook));
                calls.push(Call {
                    app,
                    webhook,
                    target: target.id,
                    batch,
                    failing: target.failing,
                });
            }
        }
        calls
    }

    /// A call has ended; `None` where its target is gone.
    pub(super) fn ended(
        &mut self,
        target: MessageId,
        outcome: &Outcome,
        share: f64,
        now: Instant,
    ) -> Option<(Fate, &mut Target)> {
        let target = self.targets.iter_mut().find(|one| one.id == target)?;
        Some((target.ended(outcome, share, now), target))
    }

    /// When there is something to do.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let targets = self.targets.iter().filter_map(Target::wake_at);
        targets.chain(self.grace.wake_at()).chain(self.counts.wake_at()).min()
    }

    /// Events in the targets' queues.
    pub(super) fn waiting(&self) -> usize {
        self.targets.iter().map(|target| target.queue.len()).sum()
    }

    fn bytes(&self) -> usize {
        self.targets.iter().map(|target| target.queue.bytes()).sum()
    }

    /// Events that wait or are under way.
    pub(super) fn owed(&self) -> usize {
        self.targets.iter().map(Target::owed).sum()
    }

    pub(super) fn targets(&mut self) -> &mut [Target] {
        &mut self.targets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::{event::tests::moment, grace::GRACE};
    use model::{AppId, AppSecret, Secrets, UserId, WebhookFilter, WebhookKind};
    use std::time::Duration;

    fn webhook(url: &str, kinds: &[WebhookKind]) -> Webhook {
        Webhook {
            url: url.into(),
            kinds: kinds.to_vec(),
            filter: WebhookFilter::default(),
            headers: Vec::new(),
            retry: None,
            timeout: Webhook::TIMEOUT,
        }
    }

    fn app(webhooks: &[Webhook]) -> Arc<App> {
        let secrets = Secrets::one(AppSecret::new("s"));
        let app = App::new(AppId::parse("a").unwrap(), "k", secrets);
        Arc::new(App { webhooks: webhooks.to_vec(), ..app })
    }

    fn backlog(webhooks: &[Webhook]) -> Backlog {
        Backlog::new(app(webhooks), Arc::new(MessageIds::new(1)))
    }

    fn room() -> ChannelName {
        ChannelName::trusted("presence-room")
    }

    fn later(now: Moment, by: Duration) -> Moment {
        Moment { at: now.at + by, time_ms: now.time_ms + by.as_millis() as u64 }
    }

    fn bodies(calls: &[Call]) -> Vec<String> {
        let text = |call: &Call| String::from_utf8(call.batch.body.to_vec()).unwrap();
        calls.iter().map(text).collect()
    }

    #[test]
    fn a_leave_is_told_when_its_grace_is_over() {
        let (mut backlog, now) = (backlog(&[webhook("http://a", &[])]), moment(1_000));
        backlog.tell(room(), &Happening::MemberRemoved(UserId::trusted("ann")), now);
        backlog.tell(room(), &Happening::Vacated, now);
        backlog.tell(room(), &Happening::Occupied, later(now, GRACE / 2));
        assert_eq!((backlog.waiting(), backlog.wake_at()), (0, Some(now.at + GRACE)));
        let end = later(now, GRACE);
        assert!(backlog.calls(end, false).is_empty(), "waits for more");
        let calls = backlog.calls(later(end, Duration::from_millis(50)), false);
        let told = r#"{"name":"member_removed","channel":"presence-room","user_id":"ann"}"#;
        assert_eq!(bodies(&calls), [format!(r#"{{"time_ms":4000,"events":[{told}]}}"#)]);
    }

    #[test]
    fn a_large_number_is_told_again_when_it_has_rested() {
        let (mut backlog, now) = (backlog(&[webhook("http://a", &[])]), moment(1_000));
        let channel = ChannelName::trusted("room");
        for count in [101, 102, 103] {
            backlog.tell(channel.clone(), &Happening::SubscriptionCount(count), now);
        }
        assert_eq!(backlog.calls(later(now, Duration::from_secs(1)), false).len(), 1);
        let wake = backlog.wake_at().unwrap();
        assert_eq!(wake - now.at, Duration::from_secs(5));
        backlog.calls(Moment { at: wake, ..now }, false);
        assert_eq!(backlog.waiting(), 1);
    }

    #[test]
    fn one_webhook_that_hears_only_of_leaves_is_spared_those_undone() {
        let mut backlog = backlog(&[webhook("http://a", &[WebhookKind::ChannelVacated])]);
        let now = moment(1);
        backlog.tell(room(), &Happening::Vacated, now);
        backlog.tell(room(), &Happening::Occupied, now);
        assert_eq!((backlog.waiting(), backlog.wake_at()), (0, None));
    }

    #[test]
    fn the_queue_is_bounded_and_the_target_with_most_pays() {
        let count = [WebhookKind::SubscriptionCount];
        let (all, misses) = (webhook("http://a", &count), webhook("http://b", &[]));
        let (mut backlog, now) = (backlog(&[all, misses]), moment(1));
        backlog.tell(room(), &Happening::CacheMiss, now);
        for number in 0..EVENTS_MAX {
            let channel = ChannelName::trusted(&format!("room-{number}"));
            backlog.tell(channel, &Happening::SubscriptionCount(1), now);
        }
        assert_eq!(backlog.waiting(), EVENTS_MAX);
        assert_eq!(backlog.lost.overflow, EVENTS_MAX + 1);
        let calls = backlog.calls(now, false);
        let oldest = format!(r#""channel":"room-{}","#, EVENTS_MAX / 2);
        assert!(
            bodies(&calls)[0].contains(&oldest),
            "the newest are kept: {:?}",
            bodies(&calls)[0]
        );
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (mut backlog, now) = (backlog(&[webhook("http://a", &[])]), moment(1));
        let large = Happening::ClientEvent {
            name: "client-x".into(),
            data: Some(vec![b'1'; 1 << 20].into()),
            socket: model::SocketId { left: 1, right: 2 },
            user: None,
        };
        for _ in 0..40 {
            backlog.tell(room(), &large, now);
        }
        assert_eq!((backlog.waiting(), backlog.lost.overflow), (31, 9));
    }

    #[test]
    fn changed_settings_keep_what_waits_for_a_target_that_stays() {
        let (a, b) = (webhook("http://a", &[]), webhook("http://b", &[]));
        let mut backlog = backlog(&[a.clone(), b.clone(), a.clone()]);
        let now = moment(1);
        backlog.tell(room(), &Happening::CacheMiss, now);
        let ids: Vec<_> = backlog.targets().iter().map(|target| target.id).collect();
        let changed = Webhook { timeout: Duration::from_secs(1), ..b };
        let gone = backlog.set_app(&app(&[webhook("http://c", &[]), a, changed]));
        assert_eq!(gone, [ids[2]]);
        let kept: Vec<_> = backlog.targets()[1..].iter().map(|target| target.id).collect();
        assert_eq!(kept, ids[..2]);
        assert_eq!((backlog.waiting(), backlog.lost.removed), (2, 1));
        let urls: Vec<_> =
            backlog.calls(now, true).iter().map(|call| call.webhook.url.clone()).collect();
        assert_eq!(urls, ["http://a", "http://b"]);
    }

    #[test]
    fn a_call_to_a_target_that_is_gone_ends_in_nothing() {
        let (mut backlog, now) = (backlog(&[webhook("http://a", &[])]), moment(1));
        backlog.tell(room(), &Happening::CacheMiss, now);
        let call = backlog.calls(now, true).remove(0);
        backlog.set_app(&app(&[webhook("http://b", &[])]));
        assert!(backlog.ended(call.target, &Outcome::Taken, 0.0, now.at).is_none());
        assert_eq!(backlog.owed(), 0);
    }
}
