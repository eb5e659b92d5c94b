//! One line in the log for each change of an app that somebody asks for: who, what, how it ended.
//! Never a secret.

use std::sync::Arc;

use model::Rejection;
use proto::{
    plane::{identity::Identity, serve::Peer},
    v1::{
        CreateAppRequest, DeleteAppRequest, RetireAppSecretRequest, RotateAppSecretRequest,
        UpdateAppRequest,
    },
};
use tonic::{Request, Status};
use tracing::info;

use super::admin::{AdminTokens, authorize};

/// The target of the lines; they are logged whatever the level.
const TARGET: &str = "audit";
/// Characters of an app id that a caller can put into the log.
const APP_ID_CHARS_MAX: usize = 100;

/// Who asks.
#[derive(Debug)]
struct Caller {
    /// The address of the socket.
    peer: String,
    /// The owner of the client certificate, if one was shown.
    identity: Option<Arc<Identity>>,
    /// Which token was shown.
    token: String,
}

/// A request for a change.
pub(super) trait Asked {
    /// The method that takes it.
    const METHOD: &'static str;

    /// The app to change; empty where the request names none.
    fn app_id(&self) -> &str;
}

impl Asked for CreateAppRequest {
    const METHOD: &'static str = "CreateApp";

    fn app_id(&self) -> &str {
        self.app.as_ref().map_or("", |app| &app.app_id)
    }
}

impl Asked for UpdateAppRequest {
    const METHOD: &'static str = "UpdateApp";

    fn app_id(&self) -> &str {
        self.app.as_ref().map_or("", |app| &app.app_id)
    }
}

impl Asked for DeleteAppRequest {
    const METHOD: &'static str = "DeleteApp";

    fn app_id(&self) -> &str {
        &self.app_id
    }
}

impl Asked for RotateAppSecretRequest {
    const METHOD: &'static str = "RotateAppSecret";

    fn app_id(&self) -> &str {
        &self.app_id
    }
}

impl Asked for RetireAppSecretRequest {
    const METHOD: &'static str = "RetireAppSecret";

    fn app_id(&self) -> &str {
        &self.app_id
    }
}

/// A change that has been asked for. One that is dropped before its end counts as abandoned: the
/// caller is gone, and the store may have taken the change or not.
#[derive(Debug)]
pub(super) struct Mutation {
    caller: Caller,
    method: &'static str,
    app_id: String,
    ended: bool,
}

/// What a change did: the app's revision before and after (0: there was none) and the settings that
/// differ, separated by spaces.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) app_id: String,
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) paths: String,
}

impl Mutation {
    /// Admits the caller; who shows no valid token is refused, which is a line too.
    pub(super) fn admit<T: Asked>(
        tokens: &AdminTokens,
        request: Request<T>,
    ) -> Result<(Self, T), Status> {
        let authorized = authorize(request.metadata(), tokens);
        let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
        let caller = Caller {
            peer: peer.unwrap_or_else(|| "this process".to_owned()),
            identity: request.extensions().get::<Arc<Identity>>().cloned(),
            token: authorized.clone().unwrap_or_else(|_| "none that is valid".to_owned()),
        };
        let request = request.into_inner();
        let app_id = request.app_id().chars().take(APP_ID_CHARS_MAX).collect();
        let mutation = Self { caller, method: T::METHOD, app_id, ended: false };
        match authorized {
            Ok(_) => Ok((mutation, request)),
            Err(rejection) => Err(mutation.refuse(&rejection)),
        }
    }

    /// Writes the line, and makes the service's answer of the result.
    pub(super) fn end<T>(
        mut self,
        result: Result<T, Rejection>,
        effect: impl FnOnce(&T) -> Effect,
    ) -> Result<T, Status> {
        match result {
            Ok(done) => {
                let effect = effect(&done);
                self.app_id.clone_from(&effect.app_id);
                self.write("ok", "", &effect);
                Ok(done)
            }
            Err(rejection) => Err(self.refuse(&rejection)),
        }
    }

    /// The reason and the field, not the message: that may quote what was sent.
    fn refuse(mut self, rejection: &Rejection) -> Status {
        self.write(rejection.reason.slug(), &rejection.field, &Effect::default());
        proto::status::from_rejection(rejection)
    }

    fn write(&mut self, outcome: &str, field: &str, effect: &Effect) {
        self.ended = true;
        let Self { caller: Caller { peer, identity, token }, method, app_id, .. } = self;
        let (role, name, certificate) = identity.as_ref().map_or(("none", "", ""), |identity| {
            (identity.role_name(), &*identity.name, &*identity.fingerprint)
        });
        let Effect { from, to, paths, .. } = effect;
        info!(
            target: TARGET,
            peer, token, role, name, certificate, method, app_id, outcome, field, from, to, paths,
            "an app's settings"
        );
    }
}

impl Drop for Mutation {
    fn drop(&mut self) {
        if !self.ended {
            self.write("abandoned", "", &Effect::default());
        }
    }
}
