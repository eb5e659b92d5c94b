//! Limits per second: publishes by channel, reads by call, and what answers say of them.

use model::Reason;
use proto::{
    internal,
    v1::{AppLimits, GetChannelRequest, ListChannelsRequest, RateLimit},
};

use crate::fixture::{Fixture, event, refused, said};

fn tokens(rate_limit: Option<RateLimit>) -> (u32, u32) {
    let limit = rate_limit.unwrap();
    (limit.limit, limit.remaining)
}

#[tokio::test]
async fn publishes_count_by_channel_and_refusals_say_when() {
    let limits = AppLimits { backend_events_per_second: Some(4), ..AppLimits::default() };
    let fixture = Fixture::start(limits).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let answer = fixture.publish(event(&["x", "y", "z"])).await.unwrap();
    assert_eq!(tokens(answer.rate_limit), (4, 1));
    let refusal = refused(fixture.trigger(event(&["x", "y", "z"])).await, Reason::RateLimited, "");
    let quota = refusal.quota.unwrap();
    assert!(quota.limit == 4 && (1..=500).contains(&quota.reset_ms), "{quota:?}");
    tokio::time::sleep(std::time::Duration::from_millis(quota.reset_ms.into())).await;
    fixture.trigger(event(&["x", "y", "z"])).await.unwrap();
    let invalid = fixture.publish(event(&["#"])).await.unwrap_err();
    assert!(invalid.quota.is_some(), "refusals of other kinds have the state too");
}

#[tokio::test]
async fn reads_count_by_call_and_lists_once() {
    let limits = AppLimits { read_requests_per_second: Some(2), ..AppLimits::default() };
    let fixture = Fixture::start(limits).await;
    fixture.publish(event(&["x"])).await.unwrap();
    let list = async |page_token: &str| {
        let call = ListChannelsRequest {
            app_id: "a".into(),
            page_token: page_token.into(),
            ..ListChannelsRequest::default()
        };
        let request = internal::ListChannelsRequest { call: Some(call) };
        let answer = said(fixture.internal.clone().list_channels(request).await);
        answer.map(|answer| answer.answer.unwrap())
    };
    assert_eq!(tokens(list("").await.unwrap().rate_limit), (2, 1));
    for _ in 0..5 {
        assert_eq!(tokens(list("MC9h").await.unwrap().rate_limit).0, 2);
    }
    let channel = async || {
        let call = GetChannelRequest {
            app_id: "a".into(),
            channel: "room".into(),
            ..GetChannelRequest::default()
        };
        let request = internal::GetChannelRequest { call: Some(call) };
        said(fixture.internal.clone().get_channel(request).await)
    };
    channel().await.unwrap();
    let refusal = refused(channel().await, Reason::RateLimited, "");
    assert_eq!(refusal.quota.unwrap().limit, 2);
    fixture.publish(event(&["x"])).await.unwrap();
}
