//! Channels and users of an app, and events made by hand.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use model::{App, ChannelKind, ChannelName, Draft, InfoWanted, Rejection};
use prost_types::FieldMask;
use proto::v1::{self, GetChannelRequest, ListChannelUsersRequest, ListChannelsRequest};
use serde::{Deserialize, Serialize};

use super::{
    Console,
    answer::{read, respond},
};

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    page_token: String,
}

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
    #[serde(default)]
    page_token: String,
}

#[derive(Serialize)]
struct Page<T> {
    entries: Vec<T>,
    next_page_token: String,
}

#[derive(Serialize)]
struct Channel {
    name: String,
    subscriptions: u32,
    /// Of presence channels.
    users: Option<u32>,
    /// The last event of a cache channel.
    cached: Option<Cached>,
}

#[derive(Serialize)]
struct Cached {
    event: String,
    data: String,
    ttl_ms: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct User {
    user_id: String,
}

/// An event as a person writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    data: String,
    #[serde(default)]
    channels: Vec<String>,
    /// Instead of channels: all connections of this user.
    #[serde(default)]
    user_id: String,
    #[serde(default)]
    socket_id: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Published {
    message_id: String,
    /// Connections subscribed, by channel.
    subscriptions: BTreeMap<String, u32>,
}

#[allow(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn list(
    State(console): State<Console>,
    Path(app): Path<String>,
    Query(Wanted { prefix, page_token }): Query<Wanted>,
) -> Response {
    let list = || {
        let app = console.readable(&app)?;
        let paths = vec!["subscription_count".to_owned()];
        let call = ListChannelsRequest {
            prefix,
            page_token,
            read_mask: Some(FieldMask { paths }),
            ..ListChannelsRequest::default()
        };
        let answer = console.reads.list_channels(&app, &call)?;
        let entries = answer.channels.into_iter().map(channel).collect();
        Ok(Page { entries, next_page_token: answer.next_page_token })
    };
    respond(list())
}

#[allow(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn get(
    State(console): State<Console>,
    Path(app): Path<String>,
    Query(Named { name, .. }): Query<Named>,
) -> Response {
    let get = || {
        let app = console.readable(&app)?;
        let parsed = ChannelName::trusted(&name);
        let mut paths = vec!["subscription_count".to_owned()];
        if parsed.kind() == ChannelKind::Presence {
            paths.push("user_count".to_owned());
        }
        if parsed.is_cache() {
            paths.push("cache".to_owned());
        }
        let read_mask = Some(FieldMask { paths });
        let call = GetChannelRequest { channel: name, read_mask, ..GetChannelRequest::default() };
        Ok(channel(console.reads.get_channel(&app, &call)?.channel.unwrap_or_default()))
    };
    respond(get())
}

#[allow(clippy::unused_async, reason = "handlers are async")]
pub(super) async fn users(
    State(console): State<Console>,
    Path(app): Path<String>,
    Query(Named { name, page_token }): Query<Named>,
) -> Response {
    let users = || {
        let app = console.readable(&app)?;
        let call = ListChannelUsersRequest {
            channel: name,
            page_token,
            ..ListChannelUsersRequest::default()
        };
        let answer = console.reads.list_users(&app, &call)?;
        let entries: Vec<_> = answer.users.into_iter().map(|user| user.user_id).collect();
        Ok(Page { entries, next_page_token: answer.next_page_token })
    };
    respond(users())
}

pub(super) async fn terminate(
    State(console): State<Console>,
    Path(app): Path<String>,
    body: Bytes,
) -> Response {
    let terminate = async {
        let User { user_id } = read(&body)?;
        let app = console.publisher.app(&app)?;
        console.publisher.terminate(&app, &user_id).await.map(|_| ())
    };
    respond(terminate.await)
}

pub(super) async fn publish(
    State(console): State<Console>,
    Path(app): Path<String>,
    body: Bytes,
) -> Response {
    let publish = async {
        let app = console.publisher.app(&app)?;
        write(&console, &app, read(&body)?).await
    };
    respond(publish.await)
}

async fn write(console: &Console, app: &App, written: Written) -> Result<Published, Rejection> {
    let Written { name, data, channels, user_id, socket_id, tags } = written;
    let info = Some(InfoWanted { subscription_count: true, user_count: false });
    let draft = Draft {
        name,
        data: Some(data.into()),
        channels,
        socket_id: Some(socket_id).filter(|id| !id.is_empty()),
        info,
        tags: Some(tags).filter(|tags| !tags.is_empty()),
        ..Draft::default()
    };
    let message_id = console.message_ids.next();
    let pending = match &*user_id {
        "" => console.publisher.publish(app, draft, message_id).await?,
        user => console.publisher.send_to_user(app, user, draft, message_id).await?,
    };
    let answer = pending.delivered().await?;
    let count = |info: v1::ChannelInfo| (info.channel, info.subscription_count.unwrap_or(0));
    let subscriptions = answer.channels.into_iter().map(count).collect();
    Ok(Published { message_id: message_id.to_string(), subscriptions })
}

fn channel(channel: v1::Channel) -> Channel {
    Channel {
        name: channel.name,
        subscriptions: channel.subscription_count.unwrap_or(0),
        users: channel.user_count,
        cached: channel.cache.map(|cached| Cached {
            event: cached.name,
            data: cached.data,
            ttl_ms: cached.ttl_ms,
        }),
    }
}
