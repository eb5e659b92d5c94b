//! Where an event spends its time, told to an OpenTelemetry collector; off unless one is named.
//!
//! The trace context is W3C's `traceparent`. It comes in with a request, goes along with the event, and is
//! empty where the event is not traced: what is not traced costs a look at an empty text.

use std::{borrow::Cow, sync::OnceLock, time::Duration};

use anyhow::Context as _;
use clap::Args;
use opentelemetry::{
    Context, KeyValue, Value,
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags,
        TraceId, TraceState, Tracer as _, TracerProvider as _,
    },
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider,
        Span as SdkSpan,
    },
};

/// Spans that wait for the collector; more are dropped.
const QUEUE_SPANS_MAX: usize = 4_096;
/// Between two messages to the collector.
const EXPORT_EVERY: Duration = Duration::from_secs(1);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Options of each program.
#[derive(Args, Clone, Debug)]
#[group(skip)]
pub struct Options {
    /// OpenTelemetry collector that traces are sent to (OTLP over gRPC), as http://host:4317; without
    /// one nothing is traced
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Share of publishes that are traced, from 0 to 1, where the caller's traceparent does not say
    /// whether this one is
    #[arg(long, default_value_t = 0.01, value_name = "SHARE")]
    pub trace_sample_ratio: f64,
}

/// Sends what is left when the program ends.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Starts to trace, if there is a collector; within a tokio runtime.
pub fn start(options: &Options, service: &'static str) -> anyhow::Result<Option<Traces>> {
    let Some(endpoint) = &options.otlp_endpoint else {
        return Ok(None);
    };
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    let exporter = exporter.build().with_context(|| format!("{endpoint} is no collector"))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_SPANS_MAX)
        .with_scheduled_delay(EXPORT_EVERY)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let ratio = Sampler::TraceIdRatioBased(options.trace_sample_ratio);
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_service_name(service).with_attribute(version);
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(ratio)))
        .with_resource(resource.build())
        .build();
    let _ = TRACER.set(provider.tracer("carillon"));
    Ok(Some(Traces(provider)))
}

/// A stretch of time in a trace, from its making to its end of life; nothing where it is not traced.
#[derive(Debug, Default)]
pub struct Span(Option<Box<SdkSpan>>);

impl Span {
    /// The first one here of a call from outside, whose `traceparent` may be absent.
    #[must_use]
    pub fn root(name: &'static str, traceparent: Option<&str>) -> Self {
        let Some(tracer) = TRACER.get() else {
            return Self(None);
        };
        Self::begin(tracer, (name, SpanKind::Server), traceparent.and_then(parse))
    }

    /// One that goes on with the trace of another plane; nothing where that has none.
    #[must_use]
    pub fn child(name: &'static str, traceparent: &str) -> Self {
        if traceparent.is_empty() {
            return Self(None);
        }
        match (TRACER.get(), parse(traceparent)) {
            (Some(tracer), Some(parent)) => {
                Self::begin(tracer, (name, SpanKind::Consumer), Some(parent))
            }
            _ => Self(None),
        }
    }

    fn begin(
        tracer: &SdkTracer,
        (name, kind): (&'static str, SpanKind),
        parent: Option<SpanContext>,
    ) -> Self {
        let parent = parent
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &parent);
        Self(span.span_context().is_sampled().then(|| Box::new(span)))
    }

    /// What goes along to the next plane; empty where this is not traced.
    #[must_use]
    pub fn traceparent(&self) -> String {
        let Some(span) = &self.0 else {
            return String::new();
        };
        let context = span.span_context();
        let (trace, span) = (context.trace_id(), context.span_id());
        format!("00-{trace}-{span}-{:02x}", context.trace_flags().to_u8())
    }

    /// The trace's id, for logs; empty where this is not traced.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.as_ref().map(|span| span.span_context().trace_id().to_string()).unwrap_or_default()
    }

    /// Says something of it. The value is made only where this is traced.
    pub fn set<V: Into<Value>>(&mut self, key: &'static str, value: impl FnOnce() -> V) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(key, value()));
        }
    }

    /// Says that it went wrong.
    pub fn fail(&mut self, why: impl Into<Cow<'static, str>>) {
        if let Some(span) = &mut self.0 {
            span.set_status(Status::error(why));
        }
    }
}

/// `00-<trace id>-<span id>-<flags>`; what is anything else is no parent.
fn parse(traceparent: &str) -> Option<SpanContext> {
    let mut parts = traceparent.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let lengths = [(version, 2), (trace, 32), (span, 16), (flags, 2)];
    // Later versions may have further parts; version 00 has not.
    let well_formed = lengths.iter().all(|(text, length)| lower_hex(text, *length))
        && version != "ff"
        && (version != "00" || parts.next().is_none());
    let context = well_formed.then(|| {
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        Some(SpanContext::new(trace, span, flags, true, TraceState::default()))
    });
    context.flatten().filter(SpanContext::is_valid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_allows_is_a_parent() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = parse(good).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert!(!parse(&good.replace("-01", "-00")).unwrap().is_sampled());
        assert!(parse(&good.replace("00-4b", "01-4b").replace("-01", "-01-more")).is_some());
        for bad in [
            "",
            "00",
            &good[1..],
            &good.to_uppercase(),
            &good.replace("00-4b", "ff-4b"),
            &format!("{good}-more"),
            &format!("{good}0"),
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473ü-00f067aa0ba902b7-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn without_a_collector_nothing_is_traced() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(Span::root("publish", Some(parent)).traceparent(), "");
        assert_eq!(Span::child("deliver", parent).traceparent(), "");
    }
}
