//! The JSON shape of an app's record in the store.

use std::fmt;

use bytes::Bytes;
use model::{App, Rejection};
use prost_types::Timestamp;
use proto::{internal::AppRecord, v1};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    envelope::{Keyring, Opener, Sealer, Unopened},
    store::Entry,
};

/// The shape that is written, and the newest that is understood.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    version: u32,
    /// The settings; what is absent has its default.
    app: Value,
    secret: Secret,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_secret: Option<Secret>,
    /// The key of the encrypted secrets, itself encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data_key: Option<String>,
    #[serde(default)]
    created_ms: u64,
    #[serde(default)]
    updated_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Secret {
    Clear(String),
    Sealed { sealed: String },
}

/// Why a record cannot be used.
#[derive(Debug)]
pub(super) enum BadRecord {
    /// It is no JSON of the right shape.
    Shape(serde_json::Error),
    /// It was written by a newer release.
    Version(u32),
    /// It names another app than the one it is kept for.
    OtherApp(String),
    /// Its secrets cannot be decrypted.
    Unopened(Unopened),
    /// A setting is not allowed.
    Refused(Rejection),
}

/// A record in both forms: as it travels and as it is understood.
#[derive(Clone, PartialEq)]
pub(super) struct Read {
    pub(super) record: AppRecord,
    pub(super) app: App,
}

/// The record of an entry, with the output-only fields filled in.
pub(super) fn decode(entry: &Entry, keyring: &Keyring) -> Result<Read, BadRecord> {
    let stored: Stored = serde_json::from_slice(&entry.value).map_err(BadRecord::Shape)?;
    if stored.version != VERSION {
        return Err(BadRecord::Version(stored.version));
    }
    let app: v1::App = serde_json::from_value(stored.app).map_err(BadRecord::Shape)?;
    if app.app_id != entry.app_id {
        return Err(BadRecord::OtherApp(app.app_id));
    }
    let opened = |field, secret| match secret {
        Secret::Clear(secret) => Ok(secret),
        Secret::Sealed { sealed } => keyring
            .opener(&entry.app_id, stored.data_key.as_deref())
            .and_then(|opener: Opener<'_>| opener.open(field, &sealed))
            .map_err(BadRecord::Unopened),
    };
    let current_secret = opened("secret", stored.secret)?;
    let previous_secret = match stored.previous_secret {
        Some(secret) => opened("previous_secret", secret)?,
        None => String::new(),
    };
    let record = AppRecord {
        app: Some(v1::App {
            revision: entry.revision,
            create_time: Some(timestamp(stored.created_ms)),
            update_time: Some(timestamp(stored.updated_ms)),
            previous_secret_valid: !previous_secret.is_empty(),
            ..app
        }),
        current_secret,
        previous_secret,
    };
    let app = App::try_from(&record).map_err(BadRecord::Refused)?;
    Ok(Read { record, app })
}

/// What is stored of a record; the output-only fields come from the store when it is read.
pub(super) fn encode(record: &AppRecord, keyring: &Keyring) -> Bytes {
    let app = record.app.as_ref().expect("a record has an app");
    let sealer = keyring.sealer(&app.app_id);
    let secret = |field, secret: &String| match &sealer {
        Some(sealer) => Secret::Sealed { sealed: Sealer::seal(sealer, field, secret) },
        None => Secret::Clear(secret.clone()),
    };
    let previous = Some(&record.previous_secret).filter(|secret| !secret.is_empty());
    let stored = Stored {
        version: VERSION,
        app: settings(app),
        secret: secret("secret", &record.current_secret),
        previous_secret: previous.map(|previous| secret("previous_secret", previous)),
        data_key: sealer.as_ref().map(|sealer| sealer.data_key.clone()),
        created_ms: milliseconds(app.create_time.as_ref()),
        updated_ms: milliseconds(app.update_time.as_ref()),
    };
    serde_json::to_vec(&stored).expect("every map has text keys").into()
}

/// The settings of an app as JSON. Absent fields are left out, so that an older release can read
/// whatever uses only what it knows.
pub(super) fn settings(app: &v1::App) -> Value {
    without_nulls(serde_json::to_value(app).expect("every map has text keys"))
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_nulls(value)))
            .collect(),
        Value::Array(values) => values.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn timestamp(ms: u64) -> Timestamp {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(ms % 1_000 * 1_000_000).expect("below a second");
    Timestamp { seconds, nanos }
}

fn milliseconds(time: Option<&Timestamp>) -> u64 {
    let Some(time) = time else { return 0 };
    let seconds = u64::try_from(time.seconds).unwrap_or(0);
    seconds.saturating_mul(1_000) + u64::try_from(time.nanos).unwrap_or(0) / 1_000_000
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(error) => write!(f, "not the JSON of an app record: {error}"),
            Self::Version(version) => {
                write!(f, "has version {version}; this release knows version {VERSION}")
            }
            Self::OtherApp(id) => write!(f, "is the record of app {id:?}"),
            Self::Unopened(unopened) => unopened.fmt(f),
            Self::Refused(rejection) => rejection.fmt(f),
        }
    }
}

impl std::error::Error for BadRecord {}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AppRecord {
        AppRecord {
            app: Some(v1::App {
                app_id: "a".into(),
                key: "k".into(),
                allowed_origins: vec!["*.example.com".into()],
                limits: Some(v1::AppLimits {
                    connections_max: Some(5),
                    ..v1::AppLimits::default()
                }),
                revision: 7,
                create_time: Some(timestamp(1_500)),
                update_time: Some(timestamp(2_750)),
                previous_secret_valid: true,
                ..v1::App::default()
            }),
            current_secret: "new".into(),
            previous_secret: "old".into(),
        }
    }

    fn entry(value: impl Into<Bytes>) -> Entry {
        Entry { app_id: "a".into(), revision: 7, value: value.into() }
    }

    #[test]
    fn a_record_survives_the_store_in_clear_and_encrypted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, [9; 32]).unwrap();
        let encrypting = Keyring::read(&[file]).unwrap();
        for keyring in [&Keyring::default(), &encrypting] {
            let value = encode(&record(), keyring);
            let read = decode(&entry(value), keyring).unwrap();
            assert_eq!(read.record, record());
            assert_eq!(read.app.limits.connections_max, Some(5));
        }
        let clear = encode(&record(), &Keyring::default());
        assert_eq!(decode(&entry(clear), &encrypting).unwrap().record, record());
    }

    #[test]
    fn what_is_absent_is_not_written() {
        let value: Value = serde_json::from_slice(&encode(&record(), &Keyring::default())).unwrap();
        assert_eq!(value["app"]["limits"], serde_json::json!({ "connections_max": 5 }));
        assert!(value["app"].get("history").is_none());
    }

    #[test]
    fn a_bad_record_says_why() {
        let check = |value: &str, expected: &str| {
            let Err(bad) = decode(&entry(value.to_owned()), &Keyring::default()) else {
                panic!("{value} was read")
            };
            assert!(bad.to_string().contains(expected), "{bad}");
        };
        let with = |app: &str, rest: &str| format!(r#"{{"version":1,"app":{app},{rest}}}"#);
        let secret = r#""secret":"s""#;
        check("{", "EOF");
        check(r#"{"version":2,"app":{},"secret":"s"}"#, "version 2");
        check(&with(r#"{"app_id":"b","key":"k"}"#, secret), r#""b""#);
        check(&with(r#"{"app_id":"a","key":"k","colour":1}"#, secret), "colour");
        check(&with(r#"{"app_id":"a","key":""}"#, secret), "app key");
        check(&with(r#"{"app_id":"a","key":"k"}"#, r#""secret":{"sealed":"x"}"#), "data_key");
        let foreign = r#""data_key":"00000000.AAAA","secret":{"sealed":"x"}"#;
        check(&with(r#"{"app_id":"a","key":"k"}"#, foreign), "00000000");
    }
}
