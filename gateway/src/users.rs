//! `POST /apps/{appId}/users/{userId}/terminate_connections`: a user is thrown out.

use model::{ChannelName, Rejection, ShardId};
use proto::{internal::TerminateUserConnectionsRequest, v1};

use crate::{body, gateway::Gateway, response::Answer, signed::Signed};

/// Closes every connection that is signed in as the user of the path; no connection is fine too.
pub(crate) async fn terminate(gateway: Gateway, signed: Signed) -> Result<Answer, Rejection> {
    body::nothing(&signed.body)?;
    let user = signed.parameter("user_id")?.into_owned();
    let shard = ShardId::of(&signed.app.id, ChannelName::of_user(&user).as_str());
    let call = v1::TerminateUserConnectionsRequest { app_id: signed.app_id(), user_id: user };
    let request = TerminateUserConnectionsRequest { call: Some(call) };
    let terminate =
        gateway.control_planes().call(shard, request, |mut client, request| async move {
            client.terminate_user_connections(request).await
        });
    Ok(Answer::ok(terminate.await?.answer.unwrap_or_default().rate_limit))
}
