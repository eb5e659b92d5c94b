//! Questions about channels: one logic behind the internal and the public service.

mod mask;
mod page;

use std::{sync::Arc, time::Instant};

use model::{App, ChannelKind, ChannelName, Quota, Reason, Rejection};
use proto::v1::{
    Channel, ChannelUser, GetChannelRequest, GetChannelResponse, ListChannelUsersRequest,
    ListChannelUsersResponse, ListChannelsRequest, ListChannelsResponse,
};

use crate::{
    callers::Callers,
    content::Content,
    shards::{ChannelNow, Shards},
};
use mask::Mask;

/// Answers questions about any app's channels; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reads {
    callers: Arc<Callers>,
    shards: Arc<Shards>,
}

impl Reads {
    /// Reads from these shards.
    #[must_use]
    pub fn new(callers: Arc<Callers>, shards: Arc<Shards>) -> Self {
        Self { callers, shards }
    }

    /// Occupied channels, a page of them.
    pub fn list_channels(
        &self,
        app: &App,
        call: &ListChannelsRequest,
    ) -> Result<ListChannelsResponse, Rejection> {
        let content = || Content::of_texts(&["channels", &call.prefix]);
        self.limited(app, &call.page_token, content, |rate_limit| {
            let mask = Mask::parse(call.read_mask.as_ref(), &["subscription_count", "user_count"])?;
            if mask.user_count && !call.prefix.starts_with("presence-") {
                let message =
                    "user_count is for presence channels: the prefix must begin with presence-";
                return Err(invalid("read_mask", message));
            }
            let (size, after) = (page::size(call.page_size)?, page::cursor(&call.page_token)?);
            let (page, next) = self.shards.list(&app.id, &call.prefix, after.as_ref(), size);
            let channels = page.iter().map(|(name, now)| channel(name, *now, mask)).collect();
            let next_page_token = next.as_ref().map(page::cursor_token).unwrap_or_default();
            let rate_limit = rate_limit.map(Into::into);
            Ok(ListChannelsResponse { channels, next_page_token, rate_limit })
        })
    }

    /// One channel, occupied or not.
    pub fn get_channel(
        &self,
        app: &App,
        call: &GetChannelRequest,
    ) -> Result<GetChannelResponse, Rejection> {
        let content = || Content::of_texts(&["channel", &call.channel]);
        self.limited(app, "", content, |rate_limit| {
            let name = parse(app, &call.channel)?;
            let known = ["subscription_count", "user_count", "cache"];
            let mask = Mask::parse(call.read_mask.as_ref(), &known)?;
            if mask.user_count && name.kind() != ChannelKind::Presence {
                return Err(invalid("read_mask", "user_count is for presence channels only"));
            }
            if mask.cache && !name.is_cache() {
                return Err(invalid("read_mask", "cache is for cache channels only"));
            }
            let mut channel = channel(&name, self.shards.channel(&app.id, &name), mask);
            if mask.cache {
                channel.cache = self.shards.cached(&app.id, &name, now());
            }
            let rate_limit = rate_limit.map(Into::into);
            Ok(GetChannelResponse { channel: Some(channel), rate_limit })
        })
    }

    /// The users of a presence channel, a page of them.
    pub fn list_users(
        &self,
        app: &App,
        call: &ListChannelUsersRequest,
    ) -> Result<ListChannelUsersResponse, Rejection> {
        let content = || Content::of_texts(&["users", &call.channel]);
        self.limited(app, &call.page_token, content, |rate_limit| {
            let name = parse(app, &call.channel)?;
            if name.kind() != ChannelKind::Presence {
                return Err(invalid("channel", "only presence channels have users"));
            }
            let (size, after) = (page::size(call.page_size)?, page::text(&call.page_token)?);
            let mut users = self.shards.users(&app.id, &name, after.as_deref(), size + 1);
            let more = users.len() > size;
            users.truncate(size);
            let last = users.last().filter(|_| more);
            Ok(ListChannelUsersResponse {
                next_page_token: last.map(|id| page::token(id.as_str())).unwrap_or_default(),
                users: users.iter().map(|id| ChannelUser { user_id: id.to_string() }).collect(),
                rate_limit: rate_limit.map(Into::into),
            })
        })
    }

    /// Reads, if the app may at present. A list counts once, however many pages it has.
    fn limited<A>(
        &self,
        app: &App,
        page_token: &str,
        content: impl FnOnce() -> Content,
        read: impl FnOnce(Option<Quota>) -> Result<A, Rejection>,
    ) -> Result<A, Rejection> {
        self.callers.ready()?;
        let quota = match page_token {
            "" => self.callers.take_read(app, content, now())?,
            _ => self.callers.look_at_reads(app, now()),
        };
        read(quota).map_err(|rejection| Rejection { quota, ..rejection })
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn invalid(field: &'static str, message: &'static str) -> Rejection {
    Rejection::field(Reason::InvalidInput, field, message)
}

fn parse(app: &App, name: &str) -> Result<ChannelName, Rejection> {
    ChannelName::parse(name, app.limits.channel_name_bytes_max)
        .map_err(|error| Rejection::field(Reason::InvalidInput, "channel", error.to_string()))
}

fn channel(name: &ChannelName, now: ChannelNow, mask: Mask) -> Channel {
    Channel {
        name: name.to_string(),
        occupied: now.subscriptions > 0,
        subscription_count: mask.subscription_count.then_some(now.subscriptions),
        user_count: mask.user_count.then(|| now.users.unwrap_or_default()),
        cache: None,
    }
}
