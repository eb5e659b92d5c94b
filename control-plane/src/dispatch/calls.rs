//! What gateways call: each call is for an app that the gateway has authenticated.

use model::{Draft, Rejection};
use proto::{
    convert,
    internal::{
        GetChannelRequest, GetChannelResponse, ListChannelUsersRequest, ListChannelUsersResponse,
        ListChannelsRequest, ListChannelsResponse, PublishBatchRequest, PublishBatchResponse,
        PublishRequest, PublishResponse, TerminateUserConnectionsRequest,
        TerminateUserConnectionsResponse,
    },
    plane::traces::Span,
};

use super::Dispatcher;

impl Dispatcher {
    pub(super) async fn publish_one(
        &self,
        request: PublishRequest,
    ) -> Result<PublishResponse, Rejection> {
        let app = self.publisher.app(&request.app_id)?;
        let message_id = convert::message_id(&request.message_id)?;
        let mut span = Span::child("control plane publish", &request.traceparent);
        span.set("carillon.message_id", || message_id.to_string());
        let mut draft = request.event.map(Draft::from).unwrap_or_default();
        draft.traceparent = span.traceparent();
        let answer = self.publisher.publish(&app, draft, message_id).await?.delivered().await;
        Ok(PublishResponse { channels: answer.channels, rate_limit: answer.rate_limit })
    }

    pub(super) async fn publish_several(
        &self,
        request: PublishBatchRequest,
    ) -> Result<PublishBatchResponse, Rejection> {
        let app = self.publisher.app(&request.app_id)?;
        let message_id = convert::message_id(&request.message_id)?;
        let mut span = Span::child("control plane publish", &request.traceparent);
        span.set("carillon.message_id", || message_id.to_string());
        let traceparent = span.traceparent();
        let draft = |event| Draft { traceparent: traceparent.clone(), ..Draft::from(event) };
        let drafts = request.events.into_iter().map(draft).collect();
        let key = &request.idempotency_key;
        let pending = self.publisher.publish_batch(&app, drafts, key, message_id).await?;
        Ok(PublishBatchResponse { answer: Some(pending.delivered().await) })
    }

    pub(super) fn list(
        &self,
        request: ListChannelsRequest,
    ) -> Result<ListChannelsResponse, Rejection> {
        let call = request.call.unwrap_or_default();
        let app = self.publisher.app(&call.app_id)?;
        Ok(ListChannelsResponse { answer: Some(self.reads.list_channels(&app, &call)?) })
    }

    pub(super) fn get(&self, request: GetChannelRequest) -> Result<GetChannelResponse, Rejection> {
        let call = request.call.unwrap_or_default();
        let app = self.publisher.app(&call.app_id)?;
        Ok(GetChannelResponse { answer: Some(self.reads.get_channel(&app, &call)?) })
    }

    pub(super) fn users(
        &self,
        request: ListChannelUsersRequest,
    ) -> Result<ListChannelUsersResponse, Rejection> {
        let call = request.call.unwrap_or_default();
        let app = self.publisher.app(&call.app_id)?;
        Ok(ListChannelUsersResponse { answer: Some(self.reads.list_users(&app, &call)?) })
    }

    pub(super) fn terminate(
        &self,
        request: TerminateUserConnectionsRequest,
    ) -> Result<TerminateUserConnectionsResponse, Rejection> {
        let call = request.call.unwrap_or_default();
        let app = self.publisher.app(&call.app_id)?;
        let answer = self.publisher.terminate(&app, &call.user_id)?;
        Ok(TerminateUserConnectionsResponse { answer: Some(answer) })
    }
}
