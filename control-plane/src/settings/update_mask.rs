//! Which fields of an app an update sets. Works on the JSON form of the settings, with the paths
//! that the message descriptors know, so that a new field needs no line here.

use std::{collections::BTreeMap, sync::LazyLock};

use model::{Reason, Rejection};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Label};
use proto::{plane::config::edits, v1::App};
use serde_json::{Map, Value};

use super::stored;

/// The fields of a message, and below those that are messages themselves, theirs. Lists and maps
/// have no fields: they are set as a whole.
#[derive(Debug, Default)]
struct Fields(BTreeMap<String, Self>);

static APP_FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let files =
        FileDescriptorSet::decode(proto::DESCRIPTORS).expect("the committed bytes are whole");
    let file = files.file.iter().find(|file| file.name() == "carillon/v1/apps.proto");
    Fields::of("App", &file.expect("it is among the committed ones").message_type)
});

impl Fields {
    fn of(message: &str, messages: &[DescriptorProto]) -> Self {
        let Some(message) = messages.iter().find(|one| one.name() == message) else {
            return Self::default();
        };
        let below = |field: &prost_types::FieldDescriptorProto| {
            if field.label() == Label::Repeated {
                return Self::default();
            }
            Self::of(field.type_name().trim_start_matches(".carillon.v1."), messages)
        };
        let fields = message.field.iter();
        Self(fields.map(|field| (field.name().to_owned(), below(field))).collect())
    }

    fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |fields, name| fields.0.get(name))
    }

    fn paths(&self) -> Vec<String> {
        let below = |(name, fields): (&String, &Self)| {
            let deeper = fields.paths().into_iter().map(|path| format!("{name}.{path}"));
            std::iter::once(name.clone()).chain(deeper).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(below).collect()
    }
}

/// `present` with the fields that `paths` names taken from `wanted`. No paths: those that `wanted`
/// has; `*`: all. What only the server sets may be named, and nothing comes of it.
pub(super) fn apply(paths: &[String], present: &App, wanted: &App) -> Result<App, Rejection> {
    let mut settings = stored::settings(present);
    let wanted = stored::settings(wanted);
    if paths.is_empty() {
        merge(&mut settings, &wanted, &APP_FIELDS);
    } else if paths == ["*"] {
        settings.clone_from(&wanted);
    } else {
        for path in paths {
            if APP_FIELDS.find(path).is_none() {
                return Err(unknown(path));
            }
            copy(&mut settings, &wanted, path);
        }
    }
    settings["app_id"] = present.app_id.clone().into();
    let merged: App = serde_json::from_value(settings).map_err(|error| {
        Rejection::field(Reason::InvalidInput, "app", format!("the app is not valid: {error}"))
    })?;
    Ok(App {
        revision: present.revision,
        create_time: present.create_time,
        update_time: present.update_time,
        previous_secret_valid: present.previous_secret_valid,
        ..merged
    })
}

/// The paths at which two apps differ, for the audit log.
pub(super) fn changed_paths(before: &App, after: &App) -> Vec<String> {
    let (before, after) = (stored::settings(before), stored::settings(after));
    let differs = |path: &String| {
        let pointer = format!("/{}", path.replace('.', "/"));
        APP_FIELDS.find(path).is_some_and(|fields| fields.0.is_empty())
            && before.pointer(&pointer) != after.pointer(&pointer)
    };
    APP_FIELDS.paths().into_iter().filter(differs).collect()
}

fn unknown(path: &str) -> Rejection {
    let paths = APP_FIELDS.paths();
    let nearest = paths.iter().min_by_key(|known| edits(path, known)).expect("an app has fields");
    let message = format!("an app has no field {path:?}; did you mean {nearest}?");
    Rejection::field(Reason::InvalidInput, "update_mask", message)
}

/// Sets what `wanted` has: messages field by field, everything else as a whole.
fn merge(settings: &mut Value, wanted: &Value, fields: &Fields) {
    let Value::Object(wanted) = wanted else {
        return;
    };
    for (name, value) in wanted {
        let below = fields.0.get(name).filter(|below| !below.0.is_empty());
        match below {
            Some(below) => merge(object(settings, name), value, below),
            None if is_empty(value) => {}
            None => settings[name.as_str()] = value.clone(),
        }
    }
}

/// A field that has no presence of its own is present where it is not empty.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Copies one field; one that `wanted` does not have goes back to its default.
fn copy(settings: &mut Value, wanted: &Value, path: &str) {
    let (parents, name) = path.rsplit_once('.').unwrap_or(("", path));
    let value = wanted.pointer(&format!("/{}", path.replace('.', "/")));
    let mut settings = settings;
    for parent in parents.split('.').filter(|parent| !parent.is_empty()) {
        if value.is_none() && settings.get(parent).is_none() {
            return;
        }
        settings = object(settings, parent);
    }
    match value {
        Some(value) => settings[name] = value.clone(),
        None => {
            settings.as_object_mut().map(|fields| fields.remove(name));
        }
    }
}

/// The message in a field, made where it is missing.
fn object<'a>(settings: &'a mut Value, name: &str) -> &'a mut Value {
    let message = &mut settings[name];
    if !message.is_object() {
        *message = Value::Object(Map::new());
    }
    message
}

#[cfg(test)]
mod tests {
    use proto::v1::{AppLimits, ChannelDelta, HistorySettings, MessageRateLimit};

    use super::*;

    fn limits(connections_max: Option<u32>, batch_events_max: Option<u32>) -> Option<AppLimits> {
        Some(AppLimits { connections_max, batch_events_max, ..AppLimits::default() })
    }

    fn present() -> App {
        App {
            app_id: "a".into(),
            key: "k".into(),
            enabled: Some(false),
            limits: limits(Some(1), Some(2)),
            allowed_origins: vec!["x".into()],
            revision: 7,
            ..App::default()
        }
    }

    fn applied(paths: &[&str], wanted: App) -> App {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        apply(&paths, &present(), &wanted).unwrap()
    }

    #[test]
    fn a_path_sets_its_field_only() {
        let wanted = App { limits: limits(Some(9), Some(9)), ..App::default() };
        let expected = App { limits: limits(Some(9), Some(2)), ..present() };
        assert_eq!(applied(&["limits.connections_max"], wanted.clone()), expected);
        let expected = App { limits: limits(Some(9), Some(9)), ..present() };
        assert_eq!(applied(&["limits"], wanted), expected);
    }

    #[test]
    fn a_field_that_is_absent_gets_its_default() {
        let paths = ["enabled", "limits.batch_events_max", "history.enabled", "allowed_origins"];
        let expected = App {
            enabled: None,
            limits: limits(Some(1), None),
            allowed_origins: vec![],
            ..present()
        };
        assert_eq!(applied(&paths, App::default()), expected);
        let rate = MessageRateLimit { enabled: true, ..MessageRateLimit::default() };
        let deep = AppLimits { message_rate_limit: Some(rate), ..AppLimits::default() };
        let with_rate = App { limits: Some(deep), ..present() };
        let path = "limits.message_rate_limit.enabled".to_owned();
        let after = apply(&[path], &with_rate, &App::default()).unwrap();
        let rate = after.limits.unwrap().message_rate_limit.unwrap();
        assert_eq!(rate, MessageRateLimit::default());
    }

    #[test]
    fn no_path_sets_what_is_present() {
        let delta = [("a*".to_owned(), ChannelDelta::default())];
        let wanted = App {
            limits: limits(None, Some(9)),
            channel_delta_compression: delta.clone().into(),
            history: Some(HistorySettings::default()),
            ..App::default()
        };
        let expected = App {
            limits: limits(Some(1), Some(9)),
            channel_delta_compression: delta.into(),
            history: Some(HistorySettings::default()),
            ..present()
        };
        assert_eq!(applied(&[], wanted), expected);
    }

    #[test]
    fn a_star_replaces_all_but_what_the_server_sets() {
        let wanted = App { app_id: "a".into(), key: "new".into(), ..App::default() };
        let expected = App { revision: 7, ..wanted.clone() };
        assert_eq!(applied(&["*"], wanted.clone()), expected);
        assert_eq!(applied(&["revision", "app_id"], wanted), present());
    }

    #[test]
    fn an_unknown_path_is_named_with_the_nearest() {
        let refused = |path: &str| apply(&[path.to_owned()], &present(), &App::default());
        let check = |path: &str, nearest: &str| {
            let rejection = refused(path).unwrap_err();
            assert_eq!(rejection.field, "update_mask");
            assert!(rejection.message.contains(path) && rejection.message.contains(nearest));
        };
        check("limits.conections_max", "limits.connections_max");
        check("limits.connectionsMax", "limits.connections_max");
        check("enable", "enabled");
        check("webhooks.url", "webhooks");
        check("", "key");
        for path in APP_FIELDS.paths() {
            assert!(refused(&path).is_ok(), "{path}");
        }
    }

    #[test]
    fn changes_are_listed_by_path() {
        let after =
            App { limits: limits(Some(1), Some(3)), enabled: None, revision: 8, ..present() };
        assert_eq!(changed_paths(&present(), &after), ["enabled", "limits.batch_events_max"]);
    }
}
