//! The settings of the one app, from a store in memory.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use control_plane::settings::{
    Change, Changes, Entry, Fault, Freshness, Listing, Options, Settings, Store, Written,
};
use futures_util::{StreamExt as _, stream};
use model::{App, AppId, AppSecret, Apps, Secrets};
use serde_json::json;
use tests::rest::Credentials;

/// How often the store says that it is there.
const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// One app that never changes.
#[derive(Debug)]
struct Fixed;

fn entry() -> Entry {
    let Credentials { app_id, key, secret } = Credentials::default();
    let app = json!({ "app_id": app_id, "key": key });
    let record = json!({ "version": 1, "app": app, "secret": secret });
    Entry { app_id, revision: 1, value: Bytes::from(record.to_string()) }
}

/// It is told, not changed.
fn fixed() -> Fault {
    Fault::Compacted { oldest: 1 }
}

#[tonic::async_trait]
impl Store for Fixed {
    async fn list(&self, _: Freshness) -> Result<Listing, Fault> {
        Ok(Listing { revision: 1, entries: vec![entry()] })
    }

    async fn get(&self, app_id: &str) -> Result<Option<Entry>, Fault> {
        Ok(Some(entry()).filter(|entry| entry.app_id == app_id))
    }

    async fn put(&self, _: &str, _: Bytes, _: u64) -> Result<Written, Fault> {
        Err(fixed())
    }

    async fn delete(&self, _: &str, _: u64) -> Result<Written, Fault> {
        Err(fixed())
    }

    async fn watch(&self, _: u64) -> Result<Changes, Fault> {
        let alive = stream::unfold((), |()| async {
            tokio::time::sleep(ALIVE_EVERY).await;
            Some((Ok(Vec::<Change>::new()), ()))
        });
        Ok(alive.boxed())
    }
}

/// What a control plane follows.
pub(crate) async fn settings() -> anyhow::Result<Settings> {
    Settings::start(Arc::new(Fixed), Options::default()).await
}

/// What gateways and nodes are told.
pub(crate) fn apps() -> Arc<Apps> {
    let Credentials { app_id, key, secret } = Credentials::default();
    let id = AppId::parse(&app_id).expect("it is an id");
    let app = App::new(id, &key, Secrets::one(AppSecret::new(&secret)));
    Arc::new(Apps::new(1, [Arc::new(app)]).0)
}
