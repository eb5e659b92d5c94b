//! A user is thrown out.

use model::{Quota, Reason, Rejection};
use proto::{
    internal::{TerminateUserConnectionsRequest, TerminateUserConnectionsResponse},
    v1::{self, RateLimit},
};

use crate::{
    control_plane::Says,
    fixture::{sign, start},
};

const PATH: &str = "/users/user-42/terminate_connections";

#[tokio::test]
async fn the_user_of_the_path_is_named() {
    let fixture = start().await;
    let rate_limit = Some(RateLimit { limit: 10, remaining: 4, reset_ms: 350 });
    for (path, user) in [("user-42", "user-42"), ("a%2Fb%20c+d", "a/b c+d"), ("%C3%BC@;", "ü@;")] {
        let answer = Some(v1::TerminateUserConnectionsResponse { rate_limit });
        fixture.control_plane.say(Says::answer(TerminateUserConnectionsResponse { answer }));
        let response = fixture.post(&PATH.replace("user-42", path), &[], "{}").await;
        assert_eq!((response.status, &*response.body), (200, r#"{"ok":true}"#), "{path}");
        assert_eq!(response.rate(), Some([10, 4, 1]));
        let asked = fixture.control_plane.asked::<TerminateUserConnectionsRequest>();
        let call =
            v1::TerminateUserConnectionsRequest { app_id: "app-1".into(), user_id: user.into() };
        assert_eq!(asked, [TerminateUserConnectionsRequest { call: Some(call) }]);
    }
}

#[tokio::test]
async fn the_body_says_nothing() {
    let fixture = start().await;
    for body in ["", "{}", " {\n}", r#"{"reason":"spam"}"#] {
        assert_eq!(fixture.post(PATH, &[], body).await.status, 200, "{body}");
    }
    let md5 = "&body_md5=d41d8cd98f00b204e9800998ecf8427e";
    let target = sign("POST", &format!("/apps/app-1{PATH}"), md5, b"");
    assert_eq!(fixture.request("POST", &target, &[], b"").await.status, 200);
    for body in ["[]", "null", "{", "x"] {
        fixture.post(PATH, &[], body).await.refused(400, "invalid_input", None);
    }
    let asked = fixture.control_plane.asked::<TerminateUserConnectionsRequest>();
    assert_eq!(asked.len(), 5);
    let unsigned_body = sign("POST", &format!("/apps/app-1{PATH}"), "", b"");
    let response = fixture.request("POST", &unsigned_body, &[], b"{}").await;
    response.refused(401, "auth_failed", None);
    let get = fixture.get(PATH, "").await;
    get.refused(405, "method_not_allowed", None);
}

#[tokio::test]
async fn refusals_have_their_status() {
    let fixture = start().await;
    for (reason, status, code) in [
        (Reason::InvalidInput, 400, "invalid_input"),
        (Reason::Forbidden, 403, "forbidden"),
        (Reason::RateLimited, 429, "rate_limited"),
    ] {
        let quota = Some(Quota { limit: 5, remaining: 0, reset_ms: 1_001 });
        let rejection = Rejection { quota, ..Rejection::field(reason, "user_id", "no") };
        fixture.control_plane.say(Says::Rejection(rejection));
        let response = fixture.post(PATH, &[], "").await;
        assert_eq!(response.refused(status, code, Some("user_id")), "no");
        assert_eq!(response.header("retry-after"), (status == 429).then_some("2"));
        assert_eq!(response.rate(), Some([5, 0, 2]));
    }
}
