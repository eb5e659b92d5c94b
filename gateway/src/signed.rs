//! A request under `/apps` that an app's backend has signed.

mod claim;
mod query;

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
};
use bytes::Bytes;
use http::{Extensions, header, request::Parts};
use http_body::Body as _;
use model::{App, AppId, AppSecret, ChannelName, Reason, Rejection, Secrets};

pub use claim::string_to_sign;
pub use query::Query;

use crate::{call::Ids, content, gateway::Gateway, in_flight::Room};
use claim::{BodyClaim, Claim};
use query::{Plus, decode};

/// Proof that a request comes from a backend of `app`: there is no other way to make one.
#[derive(Debug)]
pub(crate) struct Signed {
    /// Whose.
    pub app: Arc<App>,
    /// The request without its body.
    pub head: Parts,
    /// The bytes that were signed.
    pub body: Bytes,
    /// How the request is named.
    pub ids: Ids,
    /// The app's place among the requests in flight, with room for the body.
    _room: Room,
}

impl Signed {
    /// Reads a request. The query alone decides whether the body is read at all: it covers the
    /// body's MD5.
    pub(crate) async fn read(
        gateway: &Gateway,
        request: Request,
        ids: Ids,
    ) -> Result<Self, Rejection> {
        let (head, mut body) = request.into_parts();
        let bytes_max = gateway.options().request_body_bytes_max as usize;
        match Self::read_body(gateway, &head, &mut body, bytes_max).await {
            Ok((app, (body, _room))) => Ok(Self { app, head, body, ids, _room }),
            Err(rejection) => {
                content::discard(&head.headers, body, bytes_max);
                Err(rejection)
            }
        }
    }

    /// The app's id, for a call.
    pub(crate) fn app_id(&self) -> String {
        self.app.id.as_str().to_owned()
    }

    /// The parameters behind the `?`.
    pub(crate) fn query(&self) -> Result<Query<'_>, Rejection> {
        Query::parse(self.head.uri.query().unwrap_or_default())
    }

    /// A part of the path by its name in the route table.
    pub(crate) fn parameter(&self, name: &str) -> Result<Cow<'_, str>, Rejection> {
        parameter(self.head.uri.path(), &self.head.extensions, name)
    }

    /// The channel of the path. Its kind is known; its name is the control plane's to check.
    pub(crate) fn channel(&self) -> Result<ChannelName, Rejection> {
        self.parameter("channel").map(|name| ChannelName::trusted(&name))
    }

    async fn read_body(
        gateway: &Gateway,
        head: &Parts,
        body: &mut Body,
        bytes_max: usize,
    ) -> Result<(Arc<App>, (Bytes, Room)), Rejection> {
        let (app, claimed) = verify(gateway, head)?;
        claimed.check_announced(body.size_hint().lower())?;
        let mut room = gateway.in_flight().room(&app.id)?;
        let read = content::read(&head.headers, body, (bytes_max, &mut room)).await;
        let bytes = read.inspect_err(|rejection| {
            if rejection.reason == Reason::PayloadTooLarge {
                gateway.metrics().bodies_over_cap.inc();
            }
        })?;
        claimed.check(&bytes)?;
        if !app.enabled {
            let message = format!("app {} is disabled", app.id);
            return Err(Rejection::new(Reason::Forbidden, message));
        }
        Ok((app, (bytes, room)))
    }
}

/// An app that nobody can sign for: what it takes to refuse an unknown app is what it takes to refuse
/// a bad signature.
static NOBODY: LazyLock<App> = LazyLock::new(|| {
    let id = AppId::parse("nobody").expect("six letters are an app id");
    App { enabled: false, ..App::new(id, "", Secrets::one(AppSecret::new(""))) }
});

/// Finds the app of the path and verifies the query against it.
fn verify(gateway: &Gateway, head: &Parts) -> Result<(Arc<App>, BodyClaim), Rejection> {
    let (path, prefix) = (head.uri.path(), gateway.options().path_prefix.as_deref());
    let app = gateway.app(&parameter(path, &head.extensions, "app_id")?)?;
    let verified = Query::parse(head.uri.query().unwrap_or_default()).and_then(|query| {
        let authorization = head.headers.get(header::AUTHORIZATION);
        let authorization = authorization.and_then(|value| value.to_str().ok());
        let claim = Claim { method: head.method.as_str(), path, prefix, query, authorization };
        claim.verify(app.as_deref().unwrap_or(&NOBODY), gateway.now())
    });
    let app = app.ok_or_else(|| {
        Rejection::new(Reason::AppNotFound, "there is no app with the id in the path")
    })?;
    verified.map(|body| (app, body))
}

/// The segment of the path that the route table calls `{name}`, percent-decoded.
pub(crate) fn parameter<'a>(
    path: &'a str,
    extensions: &Extensions,
    name: &str,
) -> Result<Cow<'a, str>, Rejection> {
    let route = extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let named = format!("{{{name}}}");
    let mut pairs = route.split('/').zip(path.split('/'));
    let found = pairs.find(|(segment, _)| *segment == named);
    decode(found.map_or("", |(_, text)| text), Plus::IsPlus)
}

#[cfg(test)]
mod tests;
