//! `carillon apps`: the admin API from a terminal.

use std::{error::Error as _, path::PathBuf};

use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};
use proto::{
    link::{self, Link},
    plane::{
        mtls::{Mtls, MtlsFiles},
        tls::TlsFiles,
    },
    v1::{
        App, CreateAppRequest, DeleteAppRequest, GetAppRequest, ListAppsRequest,
        RetireAppSecretRequest, RotateAppSecretRequest, UpdateAppRequest, WatchAppsRequest,
        app_service_client::AppServiceClient, watch_apps_response::Change,
    },
};
use serde_json::{Value, json};
use tonic::{Request, Status, metadata::MetadataValue};

/// Create, read, change and delete apps
#[derive(Args, Debug)]
pub(crate) struct Apps {
    /// The operations listener of a control plane; https:// where it is encrypted
    #[arg(long, default_value = "http://127.0.0.1:9601", value_name = "URL", global = true)]
    admin: String,
    /// The admin token; absent: the one that the all-in-one keeps under --data
    #[arg(long, value_name = "TOKEN", global = true)]
    admin_token: Option<String>,
    /// Where the all-in-one keeps its data
    #[arg(long, default_value = "data", value_name = "FOLDER", global = true)]
    data: PathBuf,
    /// Certificate of the role admin, PEM, for an encrypted operations listener
    #[arg(long, requires_all = ["admin_key", "admin_ca"], value_name = "FILE", global = true)]
    admin_certificate: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long, value_name = "FILE", global = true)]
    admin_key: Option<PathBuf>,
    /// Certificate authority of the operations listener, PEM
    #[arg(long, value_name = "FILE", global = true)]
    admin_ca: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All apps, one JSON object per line
    List,
    /// One app
    Get { app_id: String },
    /// A new app; settings as JSON, such as {"limits":{"connections_max":100}}
    Create {
        app_id: String,
        /// The public key; made where absent
        #[arg(long)]
        key: Option<String>,
        /// The secret; made where absent
        #[arg(long, default_value = "")]
        secret: String,
        #[arg(long, default_value = "{}", value_name = "JSON")]
        settings: String,
    },
    /// Change settings: JSON with what to change; --mask names fields to set to their default too
    Update {
        app_id: String,
        settings: String,
        /// Fields to set, such as limits.connections_max; absent: those in the JSON
        #[arg(long, value_delimiter = ',')]
        mask: Vec<String>,
        /// Change only this revision
        #[arg(long, default_value_t = 0)]
        revision: u64,
    },
    /// Delete an app; its sockets are closed
    Delete { app_id: String },
    /// A new secret; the old one stays valid until it is retired
    RotateSecret { app_id: String },
    /// End the validity of the old secret
    RetireSecret { app_id: String },
    /// All apps, then every change
    Watch,
}

impl Apps {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let admin = self.admin.clone();
        self.ask().await.map_err(|error| match error.downcast_ref::<Status>() {
            // What was answered speaks for itself; only a failed connection has a source.
            Some(status) if status.source().is_some() => error.context(format!(
                "no connection to {admin}: is an operations listener there, and is it encrypted as \
                 --admin says (https://) or not (http://)?"
            )),
            Some(_) | None => error,
        })
    }

    async fn ask(self) -> anyhow::Result<()> {
        let mut client = AppServiceClient::new(self.link()?);
        let authorize = Authorize::new(self.token()?)?;
        let (app, secret) = match self.command {
            Command::List => return list(&mut client, &authorize).await,
            Command::Watch => return watch(&mut client, &authorize).await,
            Command::Delete { app_id } => {
                let request = DeleteAppRequest { app_id, ..DeleteAppRequest::default() };
                client.delete_app(authorize.request(request)).await?;
                return Ok(());
            }
            Command::Get { app_id } => {
                let request = authorize.request(GetAppRequest { app_id });
                (client.get_app(request).await?.into_inner().app, None)
            }
            Command::Create { app_id, key, secret, settings } => {
                let mut app = parse(&settings, &app_id)?;
                app.key = key.unwrap_or(app.key);
                let request = authorize.request(CreateAppRequest { app: Some(app), secret });
                let created = client.create_app(request).await?.into_inner();
                (created.app, Some(created.secret))
            }
            Command::Update { app_id, settings, mask, revision } => {
                let app = App { revision, ..parse(&settings, &app_id)? };
                let update_mask = Some(prost_types::FieldMask { paths: mask });
                let request = authorize.request(UpdateAppRequest { app: Some(app), update_mask });
                (client.update_app(request).await?.into_inner().app, None)
            }
            Command::RotateSecret { app_id } => {
                let request = RotateAppSecretRequest { app_id, ..Default::default() };
                let request = authorize.request(request);
                let rotated = client.rotate_app_secret(request).await?.into_inner();
                (rotated.app, Some(rotated.secret))
            }
            Command::RetireSecret { app_id } => {
                let request = authorize.request(RetireAppSecretRequest { app_id, revision: 0 });
                (client.retire_app_secret(request).await?.into_inner().app, None)
            }
        };
        show(app.as_ref(), secret.as_deref());
        Ok(())
    }

    fn link(&self) -> anyhow::Result<Link> {
        let encrypted = self.admin.starts_with("https://");
        let own = self.admin_certificate.clone().zip(self.admin_key.clone());
        let Some(((certificate, key), authority)) = own.zip(self.admin_ca.clone()) else {
            ensure!(!encrypted, "https:// needs --admin-certificate, --admin-key and --admin-ca");
            return Ok(link::remote(&self.admin)?);
        };
        ensure!(encrypted, "--admin is {}: a certificate goes with https:// only", self.admin);
        let files = MtlsFiles { own: TlsFiles { certificate, key }, authority };
        Ok(link::secure(&self.admin, &Mtls::follow(files)?)?)
    }

    fn token(&self) -> anyhow::Result<String> {
        if let Some(token) = &self.admin_token {
            return Ok(token.clone());
        }
        let path = self.data.join("admin-token");
        let token = std::fs::read_to_string(&path)
            .with_context(|| format!("no --admin-token, and none kept at {}", path.display()))?;
        Ok(token.trim().to_owned())
    }
}

async fn list(client: &mut AppServiceClient<Link>, authorize: &Authorize) -> anyhow::Result<()> {
    let mut page_token = String::new();
    loop {
        let request = ListAppsRequest { page_size: 1_000, page_token };
        let page = client.list_apps(authorize.request(request)).await?.into_inner();
        for app in &page.apps {
            show(Some(app), None);
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

#[allow(clippy::print_stdout, reason = "this is the command's answer")]
async fn watch(client: &mut AppServiceClient<Link>, authorize: &Authorize) -> anyhow::Result<()> {
    let request = authorize.request(WatchAppsRequest {});
    let mut changes = client.watch_apps(request).await?.into_inner();
    while let Some(change) = changes.message().await? {
        match change.change {
            Some(Change::App(app)) => show(Some(&app), None),
            Some(Change::DeletedAppId(app_id)) => println!("{}", json!({ "deleted": app_id })),
            Some(Change::SnapshotEnd(_)) | None => {}
        }
    }
    Ok(())
}

/// Settings from the command line; the id is given apart.
fn parse(settings: &str, app_id: &str) -> anyhow::Result<App> {
    let app: App = serde_json::from_str(settings).context("the settings are no JSON of an app")?;
    Ok(App { app_id: app_id.to_owned(), ..app })
}

#[allow(clippy::print_stdout, reason = "this is the command's answer")]
fn show(app: Option<&App>, secret: Option<&str>) {
    let Some(app) = app else { return };
    let Ok(Value::Object(mut shown)) = serde_json::to_value(app) else {
        return;
    };
    shown.retain(|_, value| !is_unset(value));
    shown.insert("revision".into(), json!(app.revision));
    shown.insert("previous_secret_valid".into(), json!(app.previous_secret_valid));
    if let Some(secret) = secret {
        shown.insert("secret".into(), json!(secret));
    }
    println!("{}", Value::Object(shown));
}

/// Whether a value says nothing; within an object, what says nothing is left out.
fn is_unset(value: &mut Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => {
            fields.retain(|_, value| !is_unset(value));
            fields.is_empty()
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Puts the admin token on requests.
struct Authorize(MetadataValue<tonic::metadata::Ascii>);

impl Authorize {
    fn new(token: String) -> anyhow::Result<Self> {
        Ok(Self(format!("Bearer {token}").parse().context("the admin token has odd characters")?))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.0.clone());
        request
    }
}
