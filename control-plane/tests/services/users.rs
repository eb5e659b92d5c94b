//! What concerns a user on all connections: events and terminations.

use model::Reason;
use proto::{
    internal::{self, notice::Notice},
    v1::{AppLimits, Event, SendToUserRequest, TerminateUserConnectionsRequest},
};

use crate::fixture::{Fixture, counted, event, refused, said, signed};

#[tokio::test]
async fn an_event_for_a_user_goes_to_the_users_channel() {
    let fixture = Fixture::start(AppLimits::default()).await;
    fixture.subscribe(&[("#server-to-user-u", 2)]).await;
    fixture.until("#server-to-user-u", 2).await;
    let send = async |user: &str, event: Event| {
        let (app_id, user_id) = ("a".into(), user.into());
        let call = SendToUserRequest { app_id, user_id, event: Some(event) };
        said(fixture.public.clone().send_to_user(signed(call)).await)
    };
    let answer = send("u", counted(event(&[]))).await.unwrap();
    assert_eq!(fixture.event().await.channel, "#server-to-user-u");
    let [info] = &answer.channels[..] else { panic!("{answer:?}") };
    assert_eq!((info.subscription_count, info.user_count), (Some(2), None));
    let invalid = Reason::InvalidInput;
    refused(send("u", event(&["room"])).await, invalid, "channels");
    for user in ["", "a b", &"x".repeat(200)] {
        refused(send(user, event(&[])).await, invalid, "user_id");
    }
}

#[tokio::test]
async fn a_user_is_thrown_out_through_either_service() {
    let limits = AppLimits { backend_events_per_second: Some(9), ..AppLimits::default() };
    let fixture = Fixture::start(limits).await;
    fixture.subscribe(&[("#server-to-user-u", 1)]).await;
    fixture.until("#server-to-user-u", 1).await;
    let call =
        |user: &str| TerminateUserConnectionsRequest { app_id: "a".into(), user_id: user.into() };
    let outer = async |user: &str| {
        said(fixture.public.clone().terminate_user_connections(signed(call(user))).await)
    };
    let answer = outer("u").await.unwrap();
    assert!(answer.rate_limit.unwrap().remaining < 9);
    let request = internal::TerminateUserConnectionsRequest { call: Some(call("u")) };
    said(fixture.internal.clone().terminate_user_connections(request).await).unwrap();
    for _ in 0..2 {
        let event = fixture.event().await;
        assert_eq!(event.channel, "#server-to-user-u");
        assert!(matches!(event.notice.unwrap().notice, Some(Notice::Termination(_))));
    }
    outer("nobody").await.unwrap();
    fixture.nothing().await;
    refused(outer("a b").await, Reason::InvalidInput, "user_id");
}
