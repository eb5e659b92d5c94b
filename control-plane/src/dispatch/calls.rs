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
use crate::publisher::traced;

impl Dispatcher {
    pub(super) async fn publish_one(
        &self,
        request: PublishRequest,
    ) -> Result<PublishResponse, Rejection> {
        let app = self.publisher.app(&request.app_id)?;
        let message_id = convert::message_id(&request.message_id)?;
        let mut span = Span::child("control plane publish", &request.traceparent);
        span.set("carillon.message_id", || message_id.to_string());
        let (event, traceparent) = (request.event.unwrap_or_default(), span.traceparent());
        let answer = match request.forwarded {
            false => {
                let traced = (message_id, &*traceparent);
                self.publisher.publish_at_home(&app, event, traced).await?
            }
            true => {
                let draft = Draft { traceparent, ..Draft::from(event) };
                self.publisher.publish(&app, draft, message_id).await?.delivered().await?
            }
        };
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
        let (events, traceparent) = (request.events, span.traceparent());
        let key = (&*request.idempotency_key, &*traceparent);
        let answer = match request.forwarded {
            false => self.publisher.publish_batch_at_home(&app, events, key, message_id).await?,
            true => {
                let drafts = traced(events, key.1);
                let pending = self.publisher.publish_batch(&app, drafts, key.0, message_id).await?;
                pending.delivered().await?
            }
        };
        Ok(PublishBatchResponse { answer: Some(answer) })
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

    pub(super) async fn terminate(
        &self,
        request: TerminateUserConnectionsRequest,
    ) -> Result<TerminateUserConnectionsResponse, Rejection> {
        let call = request.call.unwrap_or_default();
        let app = self.publisher.app(&call.app_id)?;
        let answer = self.publisher.terminate(&app, &call.user_id).await?;
        Ok(TerminateUserConnectionsResponse { answer: Some(answer) })
    }
}
