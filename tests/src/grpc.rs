//! The gRPC APIs as a backend and as an operator see them.

use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};
use prost::Message;
use proto::{
    link::{self, Link},
    v1::{
        App, CreateAppRequest, Event, TriggerEventRequest, TriggerEventResponse, UpdateAppRequest,
        app_service_client::AppServiceClient, event_service_client::EventServiceClient,
    },
};
use tonic::{Request, Status};

use crate::{
    eventually,
    rest::{Credentials, unix_seconds},
};

/// A link to a plane in this process or beside it.
#[must_use]
pub fn link(address: SocketAddr) -> Link {
    link::remote(&format!("http://{address}")).expect("the address is valid")
}

/// `EventService`, called as one app's backend.
#[derive(Clone, Debug)]
pub struct Events {
    /// The generated client.
    pub client: EventServiceClient<Link>,
    /// Who calls.
    pub credentials: Credentials,
}

impl Events {
    /// A client with no connection yet.
    #[must_use]
    pub fn new(control_plane: SocketAddr, credentials: Credentials) -> Self {
        Self { client: EventServiceClient::new(link(control_plane)), credentials }
    }

    /// Publishes with key and secret.
    pub async fn trigger(&self, event: Event) -> Result<TriggerEventResponse, Status> {
        let request =
            TriggerEventRequest { app_id: self.credentials.app_id.clone(), event: Some(event) };
        let mut client = self.client.clone();
        let answer = client.trigger_event(self.basic(request)).await?;
        Ok(answer.into_inner())
    }

    /// A request with key and secret, as grpcurl's users send them.
    pub fn basic<T>(&self, message: T) -> Request<T> {
        let Credentials { key, secret, .. } = &self.credentials;
        let encoded = STANDARD.encode(format!("{key}:{secret}"));
        with(message, &[("authorization", &format!("Basic {encoded}"))])
    }

    /// A request signed by the REST scheme.
    pub fn signed<T: Message>(&self, method: &str, message: T) -> Request<T> {
        let md5 = hex::encode(Md5::digest(message.encode_to_vec()));
        self.signed_with(method, message, Some(&md5))
    }

    /// A request signed by the REST scheme, with this MD5 or none.
    pub fn signed_with<T>(&self, method: &str, message: T, md5: Option<&str>) -> Request<T> {
        let timestamp = unix_seconds().to_string();
        let key = &self.credentials.key;
        let body = md5.map_or(String::new(), |md5| format!("&body_md5={md5}"));
        let query = format!("auth_key={key}&auth_timestamp={timestamp}&auth_version=1.0{body}");
        let text = format!("POST\n/carillon.v1.EventService/{method}\n{query}");
        let signature = self.credentials.sign(&text);
        let mut metadata = vec![
            ("auth-key", key.as_str()),
            ("auth-timestamp", &timestamp),
            ("auth-version", "1.0"),
            ("auth-signature", &signature),
        ];
        metadata.extend(md5.map(|md5| ("body-md5", md5)));
        with(message, &metadata)
    }
}

/// An event with a text for some channels.
#[must_use]
pub fn event(channels: &[&str], name: &str, data: &str) -> Event {
    Event {
        name: name.to_owned(),
        data: Some(data.to_owned()),
        channels: channels.iter().map(|&name| name.to_owned()).collect(),
        ..Event::default()
    }
}

/// `AppService`, called as an operator.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The generated client.
    pub client: AppServiceClient<Link>,
    token: String,
}

impl Admin {
    /// A client with no connection yet.
    #[must_use]
    pub fn new(operations: SocketAddr, token: &str) -> Self {
        Self { client: AppServiceClient::new(link(operations)), token: token.to_owned() }
    }

    /// A request with the token.
    pub fn request<T>(&self, message: T) -> Request<T> {
        with(message, &[("authorization", &format!("Bearer {}", self.token))])
    }

    /// Creates an app; goes on asking while the store is not there yet.
    pub async fn create(&self, app: App, secret: &str) -> App {
        let created = || async {
            let request = self
                .request(CreateAppRequest { app: Some(app.clone()), secret: secret.to_owned() });
            match self.client.clone().create_app(request).await {
                Ok(created) => created.into_inner().app,
                Err(status) if status.code() == tonic::Code::Unavailable => None,
                Err(status) => panic!("{status:?}"),
            }
        };
        eventually("an app is created", created).await
    }

    /// Changes the fields that are present in `app`.
    pub async fn update(&self, app: App) -> Result<App, Status> {
        let request = self.request(UpdateAppRequest { app: Some(app), update_mask: None });
        let updated = self.client.clone().update_app(request).await?;
        Ok(updated.into_inner().app.unwrap_or_default())
    }
}

/// A request with metadata.
pub fn with<T>(message: T, metadata: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in metadata {
        let value = value.parse().expect("the test's metadata is ASCII");
        request.metadata_mut().insert(*name, value);
    }
    request
}
