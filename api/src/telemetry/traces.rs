//! Traces, sent to a collector by OTLP over HTTP where one is configured: one for each request, with a span for the
//! request, its GraphQL operation, each load of it, and each SQL statement. Where none is configured a span is not even
//! made.
//!
//! A statement's span says what kind it is of. Its text and what a database says of it stay here: either may hold what
//! somebody sent.

use std::time::Duration;

use axum::body::Bytes;
use axum::http;
use futures::future::BoxFuture;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{self, SdkTracerProvider, SpanData};
use tokio::runtime::Handle;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::{SPANS, TelemetryConfig};

/// How long one export may take, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says so.
const EXPORT_TIME_MAX: Duration = Duration::from_secs(10);
/// What spans of statements say that is told to nobody.
const UNTOLD: [&str; 2] = ["db.statement", "exception.message"];

/// What exports traces; `None` where no endpoint is configured. It says why it cannot.
pub(super) fn provider(config: &TelemetryConfig) -> Result<Option<SdkTracerProvider>, String> {
    let disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let Some(endpoint) = endpoint(config).filter(|_| !disabled) else { return Ok(None) };
    if !endpoint.starts_with("http://") {
        return Err(format!(
            "{endpoint:?} is not accepted as an endpoint: it begins with http://, since a collector stands beside the server"
        ));
    }
    let protocol =
        variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| variable("OTEL_EXPORTER_OTLP_PROTOCOL"));
    if let Some(other) = protocol.filter(|protocol| protocol != "http/protobuf") {
        return Err(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL: {other:?} is not spoken; accepted is http/protobuf"
        ));
    }
    let client = OnRuntime {
        client: HyperClient::with_default_connector(EXPORT_TIME_MAX, None),
        runtime: Handle::current(),
    };
    let exporter = SpanExporter::builder().with_http().with_http_client(client).with_endpoint(endpoint);
    let exporter = exporter.build().map_err(|error| error.to_string())?;
    let resource = match variable("OTEL_SERVICE_NAME") {
        Some(_) => Resource::builder(),
        None => Resource::builder().with_service_name("headcount"),
    };
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Discreet(exporter))
        .with_resource(resource.build())
        .build();
    Ok(Some(provider))
}

/// The URL that traces are posted to.
fn endpoint(config: &TelemetryConfig) -> Option<String> {
    variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| {
        let base = config.otlp_endpoint.as_deref().filter(|base| !base.is_empty())?;
        Some(format!("{}/v1/traces", base.trim_end_matches('/')))
    })
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What turns our spans, and those of statements, into traces.
pub(super) fn layer<S>(provider: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let wanted = |metadata: &Metadata<'_>| {
        let ours = metadata.target() == SPANS || metadata.target().starts_with("sea_orm");
        metadata.is_span() && ours && *metadata.level() <= Level::INFO
    };
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("headcount"));
    layer.with_location(false).with_threads(false).with_target(false).with_filter(filter_fn(wanted))
}

/// Sends by the runtime: spans are exported from a thread that has none.
#[derive(Debug)]
struct OnRuntime {
    client: HyperClient,
    runtime: Handle,
}

impl HttpClient for OnRuntime {
    fn send_bytes<'own, 'sent>(
        &'own self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'sent, Result<http::Response<Bytes>, HttpError>>
    where
        'own: 'sent,
        Self: 'sent,
    {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move { client.send_bytes(request).await });
        Box::pin(async move { sending.await? })
    }
}

/// Exports spans without what is told to nobody.
#[derive(Debug)]
struct Discreet(SpanExporter);

impl trace::SpanExporter for Discreet {
    async fn export(&self, mut spans: Vec<SpanData>) -> OTelSdkResult {
        for span in &mut spans {
            span.attributes.retain(|attribute| !UNTOLD.contains(&attribute.key.as_str()));
        }
        self.0.export(spans).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}
