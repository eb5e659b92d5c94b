//! The task that owns all backlogs: takes in what has happened, follows the settings, makes calls.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use model::{AppId, MessageIds};
use proto::{chance, watch::AppsReceiver};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::{debug, info, warn};

use super::{
    backlog::Backlog,
    call::Outcome,
    calls::{Calls, Ended},
    event::{Moment, News},
    intake::Intake,
    metrics::WebhookMetrics,
    target::{Fate, Target},
};

/// Where nothing is due, the clock is looked at this seldom.
const NOTHING_DUE: Duration = Duration::from_secs(3_600);

/// Owns what is to be told.
#[derive(Debug)]
pub(super) struct Courier {
    intake: Intake,
    apps: AppsReceiver,
    /// The settings can still change.
    following: bool,
    backlogs: HashMap<AppId, Kept>,
    alarms: BTreeSet<(Instant, AppId)>,
    calls: Calls,
    ids: Arc<MessageIds>,
    metrics: WebhookMetrics,
    stop: watch::Receiver<Option<Instant>>,
}

/// A backlog, and what is known of it outside.
#[derive(Debug)]
struct Kept {
    backlog: Backlog,
    alarm: Option<Instant>,
    waiting: usize,
}

impl Courier {
    pub(super) fn new(
        intake: Intake,
        apps: AppsReceiver,
        calls: Calls,
        metrics: WebhookMetrics,
        stop: watch::Receiver<Option<Instant>>,
    ) -> Self {
        let ids = Arc::new(MessageIds::new(chance::number()));
        let (backlogs, alarms) = (HashMap::new(), BTreeSet::new());
        Self { intake, apps, following: true, backlogs, alarms, calls, ids, metrics, stop }
    }

    /// Works until it is asked to stop, and then until all is told or the time for it is over.
    pub(super) async fn run(mut self) {
        let mut taken = Vec::new();
        loop {
            let deadline = *self.stop.borrow_and_update();
            if deadline.is_some_and(|deadline| self.is_done(deadline)) {
                break;
            }
            let due = self.alarms.first().map(|(at, _)| *at);
            let wake = due.into_iter().chain(deadline).min();
            tokio::select! {
                count = self.intake.take(&mut taken) => {
                    if count == 0 {
                        break;
                    }
                    self.take(&mut taken);
                }
                changed = self.apps.changed(), if self.following => {
                    self.following = changed.is_ok();
                    self.follow();
                }
                ended = self.calls.next() => self.ended(&ended),
                () = sleep_until(wake.unwrap_or_else(|| Instant::now() + NOTHING_DUE)) => self.ring(),
                // Nobody can ask any more where this fails, nor tell anything: the intake ends too.
                Ok(()) = self.stop.changed() => self.hurry(),
            }
            self.metrics.calls.set(self.calls.len() as i64);
        }
        self.give_up();
    }

    fn is_done(&self, deadline: Instant) -> bool {
        let nothing_owed = || self.backlogs.values().all(|kept| kept.backlog.owed() == 0);
        Instant::now() >= deadline || (self.intake.len() == 0 && nothing_owed())
    }

    fn take(&mut self, taken: &mut Vec<News>) {
        // Who told of these may have known newer settings.
        if self.apps.has_changed().unwrap_or(false) {
            self.follow();
        }
        let now = now();
        let mut touched = BTreeSet::new();
        for News { app, channel, happening } in taken.drain(..) {
            if let Some(kept) = self.backlog_of(&app) {
                kept.backlog.tell(channel, &happening, now);
                touched.insert(app);
            }
        }
        for app in touched {
            self.look_after(&app, now);
        }
    }

    fn backlog_of(&mut self, app_id: &AppId) -> Option<&mut Kept> {
        if !self.backlogs.contains_key(app_id) {
            let apps = self.apps.borrow();
            let app = apps.as_ref()?.by_id(app_id.as_str())?;
            if app.webhooks.is_empty() {
                return None;
            }
            let mut backlog = Backlog::new(Arc::clone(app), Arc::clone(&self.ids));
            warn_of_deaf(app_id, &mut backlog);
            let kept = Kept { backlog, alarm: None, waiting: 0 };
            drop(apps);
            self.backlogs.insert(app_id.clone(), kept);
        }
        self.backlogs.get_mut(app_id)
    }

    /// The settings have changed: in force from the next call on.
    fn follow(&mut self) {
        let Some(apps) = self.apps.borrow_and_update().clone() else { return };
        let known: Vec<_> = self.backlogs.keys().cloned().collect();
        for app_id in known {
            let app = apps.by_id(app_id.as_str()).filter(|app| !app.webhooks.is_empty());
            let Some(app) = app else {
                self.drop_app(&app_id);
                continue;
            };
            let kept = self.backlogs.get_mut(&app_id).expect("its key was just there");
            for gone in kept.backlog.set_app(app) {
                self.calls.abort(gone);
            }
            warn_of_deaf(&app_id, &mut kept.backlog);
            self.look_after(&app_id, now());
        }
    }

    fn drop_app(&mut self, app_id: &AppId) {
        let Some(mut kept) = self.backlogs.remove(app_id) else { return };
        if let Some(alarm) = kept.alarm {
            self.alarms.remove(&(alarm, app_id.clone()));
        }
        self.metrics.queued.dec_by(kept.waiting as i64);
        self.metrics.lose("removed", kept.backlog.owed());
        for target in kept.backlog.targets() {
            self.calls.abort(target.id);
        }
    }

    fn ring(&mut self) {
        let now = now();
        while let Some((_, app)) = self.alarms.first().filter(|(at, _)| at.into_std() <= now.at) {
            let app = app.clone();
            self.look_after(&app, now);
        }
    }

    fn hurry(&mut self) {
        let known: Vec<_> = self.backlogs.keys().cloned().collect();
        for app in known {
            self.look_after(&app, now());
        }
    }

    /// Starts the calls of one app that are due, and sees when to look again.
    fn look_after(&mut self, app: &AppId, now: Moment) {
        let hurry = self.stop.borrow().is_some();
        let Some(kept) = self.backlogs.get_mut(app) else { return };
        for call in kept.backlog.calls(now, hurry) {
            self.calls.start(call);
        }
        let lost = std::mem::take(&mut kept.backlog.lost);
        self.metrics.lose("overflow", lost.overflow);
        self.metrics.lose("expired", lost.expired);
        self.metrics.lose("removed", lost.removed);
        let waiting = kept.backlog.waiting();
        self.metrics.queued.inc_by(waiting as i64 - kept.waiting as i64);
        kept.waiting = waiting;
        let alarm = kept.backlog.wake_at().map(Instant::from_std);
        if alarm != kept.alarm {
            if let Some(former) = kept.alarm {
                self.alarms.remove(&(former, app.clone()));
            }
            self.alarms.extend(alarm.map(|at| (at, app.clone())));
            kept.alarm = alarm;
        }
    }

    fn ended(&mut self, ended: &Ended) {
        let now = now();
        let Some(kept) = self.backlogs.get_mut(&ended.app) else { return };
        let fate = kept.backlog.ended(ended.target, &ended.outcome, chance::share(), now.at);
        let Some((fate, target)) = fate else { return };
        if ended.outcome != Outcome::Taken {
            self.metrics.failed.inc();
        }
        if let Outcome::Refused(_) = ended.outcome {
            self.metrics.refused.inc();
        }
        match fate {
            Fate::Delivered(events) => {
                self.metrics.sent.inc();
                self.metrics.events_sent.inc_by(events as u64);
            }
            Fate::Again => {
                self.metrics.retried.inc();
                complain(ended, target, "a webhook does not take its calls; trying again", now);
            }
            Fate::GivenUp(events) => {
                self.metrics.lose(ended.outcome.reason(), events);
                complain(ended, target, "events for a webhook are given up", now);
            }
        }
        self.look_after(&ended.app, now);
    }

    /// What is still there when the process ends is lost.
    fn give_up(&mut self) {
        let owed: usize = self.backlogs.values().map(|kept| kept.backlog.owed()).sum();
        let owed = owed + self.intake.len();
        self.metrics.lose("stopped", owed);
        if owed > 0 {
            warn!(events = owed, "webhooks were not told of everything before the end");
        } else {
            info!("webhooks have ended");
        }
    }
}

/// An expression that does not compile is refused by `AppService`, but may be in the store.
fn warn_of_deaf(app: &AppId, backlog: &mut Backlog) {
    for target in backlog.targets().iter_mut().filter(|target| target.is_deaf()) {
        if target.may_complain(("deaf", ""), now().at) {
            let webhook = origin(target);
            warn!(%app, webhook, "the filter's expression does not compile and matches nothing");
        }
    }
}

/// A target that fails does so often: it is a warning seldom, and for debugging else.
fn complain(ended: &Ended, target: &mut Target, what: &'static str, now: Moment) {
    let loud = target.may_complain((what, ended.outcome.reason()), now.at);
    let (app, webhook, why) = (&ended.app, origin(target), &ended.outcome);
    if loud {
        warn!(%app, webhook, ?why, "{what}");
    } else {
        debug!(%app, webhook, ?why, "{what}");
    }
}

/// Scheme, host and port: what follows may hold a secret.
fn origin(target: &Target) -> &str {
    let url = target.webhook.url.as_str();
    let host = url.find("://").map_or(0, |place| place + 3);
    let end = url[host..].find(['/', '?']).map_or(url.len(), |length| host + length);
    &url[..end]
}

fn now() -> Moment {
    #[allow(clippy::disallowed_methods, reason = "the shell reads the clock")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let time_ms = since.map_or(0, |since| since.as_millis() as u64);
    Moment { at: Instant::now().into_std(), time_ms }
}
