//! `GET /apps/{appId}/channels` and what is below it: who is subscribed at present.

use std::collections::BTreeMap;

use model::{ChannelKind, Reason, Rejection, ShardId};
use prost_types::FieldMask;
use proto::{
    internal::{GetChannelRequest, ListChannelUsersRequest, ListChannelsRequest},
    v1,
};

use crate::{
    gateway::Gateway,
    info,
    response::{Answer, Cached, ChannelBody, ChannelsBody, Counts, UserBody, UsersBody},
    signed::Signed,
};

/// What the control plane gives at once. The answer of ours has no pages: Pusher's has none.
const PAGE_SIZE: i32 = 10_000;

/// All occupied channels, by name.
pub(crate) async fn list(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let query = signed.query()?;
    let prefix = query.get("filter_by_prefix").unwrap_or_default();
    let asked = info::asked(query.get("info"), &["subscription_count", "user_count"]);
    if asked.contains(&"user_count") && !prefix.starts_with("presence-") {
        let message =
            "user_count is for presence channels: filter_by_prefix must begin with presence-";
        return Err(Rejection::field(Reason::InvalidInput, "info", message));
    }
    let mut call = v1::ListChannelsRequest {
        app_id: signed.app_id(),
        prefix: prefix.to_owned(),
        read_mask: mask(&asked),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    // No channel owns a list: all its pages come from one control plane while it lives.
    let shard = ShardId::of(&signed.app.id, "");
    let mut channels = BTreeMap::new();
    loop {
        let request = ListChannelsRequest { call: Some(call.clone()) };
        let list =
            gateway.control_planes().call(shard, request, |mut client, request| async move {
                client.list_channels(request).await
            });
        let page = list.await?.answer.unwrap_or_default();
        channels.extend(page.channels.into_iter().map(|channel| {
            let counts = Counts::new(channel.subscription_count, channel.user_count);
            (channel.name, counts)
        }));
        if page.next_page_token.is_empty() {
            return Ok(Answer::json(&ChannelsBody { channels }, page.rate_limit));
        }
        call.page_token = page.next_page_token;
    }
}

/// One channel, occupied or not.
pub(crate) async fn get(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let (channel, query) = (signed.channel()?, signed.query()?);
    let known = ["subscription_count", "user_count", "cache"];
    let asked = info::asked(query.get("info"), &known);
    if asked.contains(&"user_count") && channel.kind() != ChannelKind::Presence {
        let message = "user_count is for presence channels only";
        return Err(Rejection::field(Reason::InvalidInput, "info", message));
    }
    if asked.contains(&"cache") && !channel.is_cache() {
        let message = "cache is for cache channels only";
        return Err(Rejection::field(Reason::InvalidInput, "info", message));
    }
    let call = v1::GetChannelRequest {
        app_id: signed.app_id(),
        channel: channel.as_str().to_owned(),
        read_mask: mask(&asked),
    };
    let request = GetChannelRequest { call: Some(call) };
    let shard = ShardId::of(&signed.app.id, channel.as_str());
    let get = gateway.control_planes().call(shard, request, |mut client, request| async move {
        client.get_channel(request).await
    });
    let answer = get.await?.answer.unwrap_or_default();
    let channel = answer.channel.unwrap_or_default();
    let body = ChannelBody {
        occupied: channel.occupied,
        counts: Counts::new(channel.subscription_count, channel.user_count),
        cache: asked.contains(&"cache").then(|| channel.cache.map(Cached::from)),
    };
    Ok(Answer::json(&body, answer.rate_limit))
}

/// The users of a presence channel, by id.
pub(crate) async fn users(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    let channel = signed.channel()?;
    if channel.kind() != ChannelKind::Presence {
        let message = "only presence channels, whose names begin with presence-, have users";
        return Err(Rejection::field(Reason::InvalidInput, "channel", message));
    }
    let mut call = v1::ListChannelUsersRequest {
        app_id: signed.app_id(),
        channel: channel.as_str().to_owned(),
        page_size: PAGE_SIZE,
        page_token: String::new(),
    };
    let shard = ShardId::of(&signed.app.id, channel.as_str());
    let mut users = Vec::new();
    loop {
        let request = ListChannelUsersRequest { call: Some(call.clone()) };
        let list =
            gateway.control_planes().call(shard, request, |mut client, request| async move {
                client.list_channel_users(request).await
            });
        let page = list.await?.answer.unwrap_or_default();
        users.extend(page.users.into_iter().map(|user| UserBody { id: user.user_id }));
        if page.next_page_token.is_empty() {
            return Ok(Answer::json(&UsersBody { users }, page.rate_limit));
        }
        call.page_token = page.next_page_token;
    }
}

fn mask(asked: &[&str]) -> Option<FieldMask> {
    let paths: Vec<_> = asked.iter().map(|&path| path.to_owned()).collect();
    (!paths.is_empty()).then_some(FieldMask { paths })
}
