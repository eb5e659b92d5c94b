//! Lists of channels, single channels, users: the same over both services.

use std::collections::BTreeSet;

use model::{Reason, Rejection};
use prost_types::FieldMask;
use proto::{
    internal,
    v1::{
        AppLimits, Channel, GetChannelRequest, GetChannelResponse, ListChannelUsersRequest,
        ListChannelUsersResponse, ListChannelsRequest, ListChannelsResponse,
    },
};

use crate::fixture::{Fixture, event, refused, said, signed};

fn mask(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

/// Both services must say the same.
#[track_caller]
fn same<T: PartialEq + std::fmt::Debug>(
    one: Result<T, Rejection>,
    other: Result<T, Rejection>,
) -> Result<T, Rejection> {
    assert_eq!(one, other);
    one
}

impl Fixture {
    async fn list(&self, call: ListChannelsRequest) -> Result<ListChannelsResponse, Rejection> {
        let call = ListChannelsRequest { app_id: "a".into(), ..call };
        let request = internal::ListChannelsRequest { call: Some(call.clone()) };
        let inner = said(self.internal.clone().list_channels(request).await);
        let outer = said(self.public.clone().list_channels(signed(call)).await);
        same(inner.map(|answer| answer.answer.unwrap()), outer)
    }

    async fn channel(&self, name: &str, paths: &[&str]) -> Result<Channel, Rejection> {
        let (app_id, channel) = ("a".into(), name.into());
        let call = GetChannelRequest { app_id, channel, read_mask: mask(paths) };
        let request = internal::GetChannelRequest { call: Some(call.clone()) };
        let inner = said(self.internal.clone().get_channel(request).await);
        let outer = said(self.public.clone().get_channel(signed(call)).await);
        // The time that a cached event has left goes on between the two.
        let channel = |answer: GetChannelResponse| {
            let mut channel = answer.channel.unwrap();
            let cached = channel.cache.as_mut();
            cached.into_iter().for_each(|cached| cached.ttl_ms = cached.ttl_ms.min(3_000_000));
            channel
        };
        same(inner.map(|answer| channel(answer.answer.unwrap())), outer.map(channel))
    }

    async fn users(
        &self,
        channel: &str,
        page_size: i32,
        page_token: &str,
    ) -> Result<ListChannelUsersResponse, Rejection> {
        let (app_id, channel, page_token) = ("a".into(), channel.into(), page_token.into());
        let call = ListChannelUsersRequest { app_id, channel, page_size, page_token };
        let request = internal::ListChannelUsersRequest { call: Some(call.clone()) };
        let inner = said(self.internal.clone().list_channel_users(request).await);
        let outer = said(self.public.clone().list_channel_users(signed(call)).await);
        same(inner.map(|answer| answer.answer.unwrap()), outer)
    }
}

#[tokio::test]
async fn occupied_channels_are_listed_in_pages() {
    let fixture = Fixture::start(AppLimits::default()).await;
    let names: Vec<String> = (0..25).map(|number| format!("room-{number}")).collect();
    let rooms: Vec<_> = names.iter().map(|name| (name.as_str(), 2)).collect();
    fixture.subscribe(&rooms).await;
    fixture.subscribe(&[("#server-to-user-u", 1), ("other", 1)]).await;
    fixture.until("other", 1).await;
    let mut call = ListChannelsRequest {
        prefix: "room-".into(),
        page_size: 10,
        read_mask: mask(&["subscription_count"]),
        ..ListChannelsRequest::default()
    };
    let (mut seen, mut pages) = (BTreeSet::new(), 0);
    loop {
        let page = fixture.list(call.clone()).await.unwrap();
        assert!(page.channels.len() <= 10);
        for channel in page.channels {
            assert_eq!((channel.occupied, channel.subscription_count), (true, Some(2)));
            assert_eq!(channel.user_count, None);
            assert!(seen.insert(channel.name), "each once");
        }
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        call.page_token = page.next_page_token;
    }
    assert_eq!(seen, names.into_iter().collect());
    assert!((3..=4).contains(&pages), "{pages}");
    let all = fixture.list(ListChannelsRequest::default()).await.unwrap();
    assert_eq!(all.channels.len(), 26, "all but the user's own");
    assert_eq!(all.channels[0].subscription_count, None);
}

#[tokio::test]
async fn lists_are_asked_for_properly() {
    let fixture = Fixture::start(AppLimits::default()).await;
    let check = async |field: &str, call: ListChannelsRequest| {
        refused(fixture.list(call).await, Reason::InvalidInput, field);
    };
    let call = ListChannelsRequest::default;
    check("read_mask", ListChannelsRequest { read_mask: mask(&["cache"]), ..call() }).await;
    check("read_mask", ListChannelsRequest { read_mask: mask(&["user_count"]), ..call() }).await;
    check("page_size", ListChannelsRequest { page_size: -1, ..call() }).await;
    check("page_token", ListChannelsRequest { page_token: "?".into(), ..call() }).await;
    let users = ListChannelsRequest {
        prefix: "presence-".into(),
        read_mask: mask(&["user_count"]),
        ..call()
    };
    assert_eq!(fixture.list(users).await.unwrap().channels, []);
    let unknown = ListChannelsRequest { app_id: "b".into(), ..call() };
    let request = internal::ListChannelsRequest { call: Some(unknown) };
    let answer = said(fixture.internal.clone().list_channels(request).await);
    refused(answer, Reason::AppNotFound, "app_id");
}

#[tokio::test]
async fn one_channel_with_what_is_asked_for() {
    let fixture = Fixture::start(AppLimits::default()).await;
    fixture.subscribe(&[("presence-cache-x", 3)]).await;
    fixture.join("presence-cache-x", &["u1", "u2"]).await;
    fixture.until("presence-cache-x", 3).await;
    let all = ["subscription_count", "user_count", "cache"];
    let empty = fixture.channel("presence-cache-x", &all).await.unwrap();
    assert!(empty.occupied && empty.cache.is_none());
    assert_eq!((empty.subscription_count, empty.user_count), (Some(3), Some(2)));

    fixture.publish(event(&["presence-cache-x"])).await.unwrap();
    let cached = fixture.channel("presence-cache-x", &all).await.unwrap().cache.unwrap();
    assert_eq!((&*cached.name, &*cached.data), ("e", "1"));
    assert!(cached.ttl_ms > 0);
    let plain = fixture.channel("presence-cache-x", &[]).await.unwrap();
    let nothing = (plain.subscription_count, plain.user_count, plain.cache);
    assert_eq!(nothing, (None, None, None));
    let nobody = fixture.channel("room", &["subscription_count"]).await.unwrap();
    assert_eq!((nobody.occupied, nobody.subscription_count), (false, Some(0)));
    assert!(!fixture.channel("#server-to-user-u", &[]).await.unwrap().occupied);

    for (name, path, field) in [
        ("room", "user_count", "read_mask"),
        ("my-cache-x", "cache", "read_mask"),
        ("room", "members", "read_mask"),
        ("#room", "cache", "channel"),
        ("", "cache", "channel"),
    ] {
        refused(fixture.channel(name, &[path]).await, Reason::InvalidInput, field);
    }
}

#[tokio::test]
async fn users_of_a_presence_channel_in_pages() {
    let fixture = Fixture::start(AppLimits::default()).await;
    fixture.subscribe(&[("presence-x", 3)]).await;
    fixture.join("presence-x", &["c", "a", "b"]).await;
    fixture.until("presence-x", 3).await;
    let ids = |page: &ListChannelUsersResponse| -> Vec<String> {
        page.users.iter().map(|user| user.user_id.clone()).collect()
    };
    let first = fixture.users("presence-x", 2, "").await.unwrap();
    assert_eq!(ids(&first), ["a", "b"]);
    let last = fixture.users("presence-x", 2, &first.next_page_token).await.unwrap();
    assert_eq!((ids(&last), &*last.next_page_token), (vec!["c".to_owned()], ""));
    let whole = fixture.users("presence-x", 3, "").await.unwrap();
    assert_eq!((whole.users.len(), &*whole.next_page_token), (3, ""));
    assert_eq!(fixture.users("presence-nobody", 0, "").await.unwrap().users, []);
    for (channel, size, token, field) in [
        ("room", 0, "", "channel"),
        ("presence-ü", 0, "", "channel"),
        ("presence-x", -1, "", "page_size"),
        ("presence-x", 0, "?", "page_token"),
    ] {
        let answer = fixture.users(channel, size, token).await;
        refused(answer, Reason::InvalidInput, field);
    }
}
