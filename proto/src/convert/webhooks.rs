//! Webhooks: where to call, what about, and how often.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use model::{Reason, Rejection, Webhook, WebhookFilter, WebhookKind, WebhookRetry};

use super::setting;
use crate::v1;

const WEBHOOKS_MAX: usize = 16;
const URL_BYTES_MAX: usize = 2_048;
const EVENT_TYPES_MAX: usize = 32;
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 4_096;
const NAMESPACES_MAX: usize = 100;
const FILTER_BYTES_MAX: usize = 1_024;
const TIMEOUT_MS_MAX: u32 = 60_000;
const ELAPSED_MS_MAX: u32 = 300_000;

/// Those that are called, in their order; an error names the place of the webhook at fault.
pub(super) fn read(wire: &[v1::AppWebhook]) -> Result<Vec<Webhook>, Rejection> {
    at_most("webhooks", wire.len(), WEBHOOKS_MAX)?;
    let mut webhooks = Vec::with_capacity(wire.len());
    for (place, one) in wire.iter().enumerate() {
        let path = format!("webhooks[{place}]");
        if one.url.is_empty() == one.lambda_function.is_empty() {
            return refuse(&path, format!("{path} needs one of url and lambda_function"));
        }
        let webhook = webhook(&path, one)?;
        // A cloud function is stored for those who know how to call one; we do not.
        if !one.url.is_empty() {
            webhooks.push(webhook);
        }
    }
    Ok(webhooks)
}

fn webhook(path: &str, wire: &v1::AppWebhook) -> Result<Webhook, Rejection> {
    check_url(&format!("{path}.url"), &wire.url)?;
    let most = (Webhook::TIMEOUT.as_millis() as u32, TIMEOUT_MS_MAX);
    let timeout =
        setting(&format!("{path}.request_timeout_ms"), wire.request_timeout_ms, most.0, most.1)?;
    Ok(Webhook {
        url: wire.url.clone(),
        kinds: kinds(&format!("{path}.event_types"), &wire.event_types)?,
        filter: filter(&format!("{path}.filter"), wire.filter.as_ref())?,
        headers: headers(&format!("{path}.headers"), wire)?,
        retry: retry(&format!("{path}.retry"), wire.retry.as_ref())?,
        timeout: Duration::from_millis(timeout.into()),
    })
}

/// An absolute http or https URL. User and password are refused: they would end up in logs, and a
/// header can say the same.
fn check_url(field: &str, url: &str) -> Result<(), Rejection> {
    if url.is_empty() {
        return Ok(());
    }
    if url.len() > URL_BYTES_MAX {
        let bytes = url.len();
        return refuse(field, format!("{field} has {bytes} bytes, the limit is {URL_BYTES_MAX}"));
    }
    let parsed = url.parse::<Uri>().ok();
    let Some(uri) = parsed.filter(|uri| uri.host().is_some_and(|host| !host.is_empty())) else {
        return refuse(field, format!("{field} is no http or https URL"));
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return refuse(field, format!("{field} is no http or https URL"));
    }
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    if authority.contains('@') {
        return refuse(field, format!("{field} has a user name; use a header instead"));
    }
    let has_port = Some(authority) != uri.host();
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return refuse(field, format!("{field} has a port that is none"));
    }
    Ok(())
}

fn kinds(field: &str, names: &[String]) -> Result<Vec<WebhookKind>, Rejection> {
    at_most(field, names.len(), EVENT_TYPES_MAX)?;
    let mut kinds = Vec::with_capacity(names.len());
    for name in names {
        let Some(kind) = WebhookKind::parse(name) else {
            let known = WebhookKind::ALL.map(WebhookKind::name).join(", ");
            return refuse(field, format!("{field} has {name:?}; there are: {known}"));
        };
        kinds.push(kind);
    }
    Ok(kinds)
}

/// Whether the expression compiles is asked when it is stored, and again when it is used: gateways
/// and nodes have no use for it.
fn filter(path: &str, wire: Option<&v1::WebhookFilter>) -> Result<WebhookFilter, Rejection> {
    let Some(wire) = wire else { return Ok(WebhookFilter::default()) };
    at_most(&format!("{path}.channel_namespaces"), wire.channel_namespaces.len(), NAMESPACES_MAX)?;
    let texts = [
        ("channel_prefix", &wire.channel_prefix),
        ("channel_suffix", &wire.channel_suffix),
        ("channel_pattern", &wire.channel_pattern),
    ];
    let namespaces = wire.channel_namespaces.iter().map(|name| ("channel_namespaces", name));
    for (name, text) in texts.into_iter().chain(namespaces) {
        let bytes = text.len();
        if bytes > FILTER_BYTES_MAX {
            let field = format!("{path}.{name}");
            let message = format!("{field} has {bytes} bytes, the limit is {FILTER_BYTES_MAX}");
            return refuse(&field, message);
        }
    }
    Ok(WebhookFilter {
        prefix: wire.channel_prefix.clone(),
        suffix: wire.channel_suffix.clone(),
        pattern: Some(wire.channel_pattern.clone()).filter(|pattern| !pattern.is_empty()),
        namespaces: wire.channel_namespaces.clone(),
    })
}

fn headers(field: &str, wire: &v1::AppWebhook) -> Result<Vec<(String, String)>, Rejection> {
    at_most(field, wire.headers.len(), HEADERS_MAX)?;
    for (name, value) in &wire.headers {
        if HeaderName::try_from(name).is_err() || HeaderValue::try_from(value).is_err() {
            return refuse(field, format!("{field} has {name:?}, which is no HTTP header"));
        }
        if name.len() + value.len() > HEADER_BYTES_MAX {
            let message = format!("{field} has {name:?} of more than {HEADER_BYTES_MAX} bytes");
            return refuse(field, message);
        }
    }
    Ok(wire.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn retry(path: &str, wire: Option<&v1::WebhookRetry>) -> Result<Option<WebhookRetry>, Rejection> {
    let default = WebhookRetry::default();
    let Some(wire) = wire else { return Ok(Some(default)) };
    let milliseconds = |name: &str, value: Option<u32>, default: Duration| {
        let default = default.as_millis() as u32;
        let read = setting(&format!("{path}.{name}"), value, default, ELAPSED_MS_MAX)?;
        Ok(Duration::from_millis(read.into()))
    };
    let backoff_min =
        milliseconds("initial_backoff_ms", wire.initial_backoff_ms, default.backoff_min)?;
    let backoff_max = milliseconds("backoff_ms_max", wire.backoff_ms_max, default.backoff_max)?;
    let retry = WebhookRetry {
        attempts_max: Some(wire.attempts_max).filter(|attempts| *attempts > 0),
        elapsed_max: milliseconds("elapsed_ms_max", wire.elapsed_ms_max, default.elapsed_max)?,
        backoff_min,
        backoff_max: backoff_max.max(backoff_min),
    };
    Ok(wire.enabled.unwrap_or(true).then_some(retry))
}

fn at_most(field: &str, count: usize, most: usize) -> Result<(), Rejection> {
    if count > most {
        return refuse(field, format!("{field} has {count} entries, the limit is {most}"));
    }
    Ok(())
}

fn refuse<T>(field: &str, message: String) -> Result<T, Rejection> {
    Err(Rejection::field(Reason::InvalidInput, field.to_owned(), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> v1::AppWebhook {
        v1::AppWebhook { url: "https://example.com/hook".into(), ..v1::AppWebhook::default() }
    }

    #[test]
    fn a_bare_url_has_the_documented_defaults() {
        let webhooks = read(&[wire()]).unwrap();
        let expected = Webhook {
            url: "https://example.com/hook".into(),
            kinds: Vec::new(),
            filter: WebhookFilter::default(),
            headers: Vec::new(),
            retry: Some(WebhookRetry {
                attempts_max: None,
                elapsed_max: Duration::from_secs(300),
                backoff_min: Duration::from_secs(1),
                backoff_max: Duration::from_secs(60),
            }),
            timeout: Duration::from_secs(10),
        };
        assert_eq!(webhooks, [expected]);
    }

    #[test]
    fn all_fields_are_read() {
        let filter = v1::WebhookFilter {
            channel_prefix: "p".into(),
            channel_suffix: "s".into(),
            channel_pattern: "^a+$".into(),
            channel_namespaces: vec!["chat".into()],
        };
        let retry = v1::WebhookRetry {
            enabled: None,
            attempts_max: 3,
            elapsed_ms_max: Some(9_000),
            initial_backoff_ms: Some(500),
            backoff_ms_max: Some(100),
        };
        let wire = v1::AppWebhook {
            event_types: vec!["client_event".into(), "cache_miss".into()],
            filter: Some(filter),
            headers: [("X-Team".to_owned(), "a".to_owned())].into(),
            retry: Some(retry),
            request_timeout_ms: Some(250),
            ..wire()
        };
        let webhook = read(&[wire]).unwrap().remove(0);
        assert_eq!(webhook.kinds, [WebhookKind::ClientEvent, WebhookKind::CacheMiss]);
        assert_eq!(webhook.filter.pattern.as_deref(), Some("^a+$"));
        assert_eq!(webhook.filter.namespaces, ["chat"]);
        assert_eq!(webhook.headers, [("X-Team".to_owned(), "a".to_owned())]);
        let retry = webhook.retry.unwrap();
        assert_eq!((retry.attempts_max, retry.elapsed_max), (Some(3), Duration::from_secs(9)));
        assert_eq!(retry.backoff_max, retry.backoff_min, "the larger of the two");
        assert_eq!(webhook.timeout, Duration::from_millis(250));
    }

    #[test]
    fn cloud_functions_are_not_called_and_retries_can_be_off() {
        let function = v1::AppWebhook { lambda_function: "f".into(), ..v1::AppWebhook::default() };
        let off = v1::WebhookRetry { enabled: Some(false), ..v1::WebhookRetry::default() };
        let webhooks = read(&[function, v1::AppWebhook { retry: Some(off), ..wire() }]).unwrap();
        assert_eq!((webhooks.len(), webhooks[0].retry), (1, None));
    }

    #[test]
    fn a_bad_field_is_named_with_its_place() {
        let refused = |field: &str, change: fn(&mut v1::AppWebhook)| {
            let mut wire = vec![wire(); 3];
            change(&mut wire[2]);
            assert_eq!(read(&wire).unwrap_err().field, field);
        };
        assert_eq!(read(&vec![wire(); 17]).unwrap_err().field, "webhooks");
        refused("webhooks[2]", |wire| wire.url.clear());
        refused("webhooks[2]", |wire| wire.lambda_function = "f".into());
        for url in [
            "ftp://example.com",
            "/hook",
            "example.com",
            "http://",
            "https://user:pass@example.com/",
            "https://example.com:0/",
            "https://example.com:99999/",
            "https://exa mple.com/",
        ] {
            let wire = [v1::AppWebhook { url: url.into(), ..wire() }];
            assert_eq!(read(&wire).unwrap_err().field, "webhooks[0].url", "{url}");
        }
        refused("webhooks[2].url", |wire| wire.url.push_str(&"x".repeat(2_048)));
        refused("webhooks[2].event_types", |wire| wire.event_types.push("member_updated".into()));
        refused("webhooks[2].headers", |wire| {
            wire.headers.insert("a b".into(), String::new());
        });
        refused("webhooks[2].headers", |wire| {
            wire.headers.insert("a".into(), "b\r\nc: d".into());
        });
        refused("webhooks[2].headers", |wire| {
            wire.headers.insert("a".into(), "b".repeat(4_096));
        });
        refused("webhooks[2].headers", |wire| {
            wire.headers.extend((0..33).map(|n| (format!("x-{n}"), String::new())));
        });
        refused("webhooks[2].filter.channel_pattern", |wire| {
            let channel_pattern = "x".repeat(1_025);
            wire.filter = Some(v1::WebhookFilter { channel_pattern, ..Default::default() });
        });
        refused("webhooks[2].request_timeout_ms", |wire| wire.request_timeout_ms = Some(0));
        refused("webhooks[2].request_timeout_ms", |wire| wire.request_timeout_ms = Some(60_001));
        refused("webhooks[2].retry.elapsed_ms_max", |wire| {
            wire.retry =
                Some(v1::WebhookRetry { elapsed_ms_max: Some(300_001), ..Default::default() });
        });
        refused("webhooks[2].retry.initial_backoff_ms", |wire| {
            wire.retry =
                Some(v1::WebhookRetry { initial_backoff_ms: Some(0), ..Default::default() });
        });
    }
}
