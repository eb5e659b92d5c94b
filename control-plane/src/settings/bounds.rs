//! The bounds of an app's settings that `proto::convert` does not look at: what no plane enforces
//! yet, and what only a control plane needs.

use std::collections::BTreeMap;

use model::{Reason, Rejection};
use prost::Message as _;
use proto::v1::{App, AppLimits, AppWebhook, ChannelDelta, DeltaAlgorithm};

use crate::webhooks;

/// One app's settings on the wire, all together.
const APP_BYTES_MAX: usize = 256 << 10;
const PATTERNS_MAX: usize = 100;
const PATTERN_BYTES_MAX: usize = 256;
const NAMESPACES_MAX: usize = 100;

/// Refuses what the comments in apps.proto refuse and `proto::convert` does not look at.
pub(super) fn check(app: &App) -> Result<(), Rejection> {
    at_most("channel_delta_compression", app.channel_delta_compression.len(), PATTERNS_MAX)?;
    at_most("channel_namespaces", app.channel_namespaces.len(), NAMESPACES_MAX)?;
    app.limits.as_ref().map_or(Ok(()), limits)?;
    for (place, one) in app.webhooks.iter().enumerate() {
        webhook(&format!("webhooks[{place}]"), one)?;
    }
    channel_deltas(&app.channel_delta_compression)?;
    if app.encoded_len() > APP_BYTES_MAX {
        let bytes = app.encoded_len();
        let message =
            format!("the app's settings have {bytes} bytes, the limit is {APP_BYTES_MAX}");
        return refuse("app", message);
    }
    Ok(())
}

fn limits(limits: &AppLimits) -> Result<(), Rejection> {
    let Some(rate) = &limits.message_rate_limit else {
        return Ok(());
    };
    for (name, value) in
        [("attempts_max", rate.attempts_max), ("window_seconds", rate.window_seconds)]
    {
        if value == Some(0) {
            let field = format!("limits.message_rate_limit.{name}");
            return refuse(&field, format!("{field} is 0, it must be at least 1"));
        }
    }
    Ok(())
}

fn webhook(path: &str, webhook: &AppWebhook) -> Result<(), Rejection> {
    let expression = webhook.filter.as_ref().map_or("", |filter| &filter.channel_pattern);
    webhooks::expression(expression).map(|_| ()).or_else(|error| {
        let field = format!("{path}.filter.channel_pattern");
        refuse(&field, format!("{field} does not compile: {error}"))
    })
}

fn channel_deltas(patterns: &BTreeMap<String, ChannelDelta>) -> Result<(), Rejection> {
    const FIELD: &str = "channel_delta_compression";
    for (pattern, delta) in patterns {
        if pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX {
            let bytes = pattern.len();
            let message =
                format!("{FIELD}: a pattern has 1 to {PATTERN_BYTES_MAX} bytes, one has {bytes}");
            return refuse(FIELD, message);
        }
        if pattern.matches('*').count() > 1 {
            return refuse(FIELD, format!("{FIELD}: {pattern:?} has more than one wildcard"));
        }
        if DeltaAlgorithm::try_from(delta.algorithm).is_err() {
            let algorithm = delta.algorithm;
            return refuse(FIELD, format!("{FIELD}: {pattern:?} has no algorithm {algorithm}"));
        }
    }
    Ok(())
}

fn at_most(field: &str, count: usize, most: usize) -> Result<(), Rejection> {
    if count > most {
        return refuse(field, format!("{field} has {count} entries, the limit is {most}"));
    }
    Ok(())
}

fn refuse(field: &str, message: String) -> Result<(), Rejection> {
    Err(Rejection::field(Reason::InvalidInput, field.to_owned(), message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::v1::{ChannelNamespace, MessageRateLimit, WebhookFilter};

    fn full() -> App {
        let filter = WebhookFilter { channel_pattern: "^a+$".into(), ..WebhookFilter::default() };
        let patterns = ["a", "a*", "*a", "a*b", "*"].map(str::to_owned);
        App {
            webhooks: vec![AppWebhook { filter: Some(filter), ..AppWebhook::default() }; 16],
            channel_delta_compression: patterns
                .map(|pattern| (pattern, ChannelDelta::default()))
                .into(),
            channel_namespaces: vec![ChannelNamespace::default(); 100],
            ..App::default()
        }
    }

    #[test]
    fn what_is_within_bounds_passes() {
        assert_eq!(check(&App::default()), Ok(()));
        assert_eq!(check(&full()), Ok(()));
    }

    #[test]
    fn what_is_not_is_named() {
        let refused = |field: &str, change: fn(&mut App)| {
            let mut app = full();
            change(&mut app);
            assert_eq!(check(&app).unwrap_err().field, field);
        };
        for expression in ["(", r"\w{1000}{1000}"] {
            let mut app = full();
            app.webhooks[2].filter.as_mut().unwrap().channel_pattern = expression.into();
            assert_eq!(check(&app).unwrap_err().field, "webhooks[2].filter.channel_pattern");
        }
        refused("channel_delta_compression", |app| {
            app.channel_delta_compression.insert("a*b*".into(), ChannelDelta::default());
        });
        refused("channel_delta_compression", |app| {
            let delta = ChannelDelta { algorithm: 9, ..ChannelDelta::default() };
            app.channel_delta_compression.insert("a".into(), delta);
        });
        refused("channel_delta_compression", |app| {
            let more = (0..100).map(|n| (format!("c{n}"), ChannelDelta::default()));
            app.channel_delta_compression.extend(more);
        });
        refused("channel_namespaces", |app| {
            app.channel_namespaces.push(ChannelNamespace::default());
        });
        refused("limits.message_rate_limit.window_seconds", |app| {
            let rate = MessageRateLimit { window_seconds: Some(0), ..MessageRateLimit::default() };
            app.limits = Some(AppLimits { message_rate_limit: Some(rate), ..AppLimits::default() });
        });
        refused("app", |app| app.webhooks[0].lambda_region = "x".repeat(300 << 10));
    }
}
