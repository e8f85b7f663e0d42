//! The pages: the dashboard and GraphiQL, as `build.rs` made them of `web/`, carried in the binary.
//!
//! Assets have their hash in their names and never change under them; the pages name their assets, and are asked
//! for each time. Everything comes from here: the policies let a browser load nothing else.

use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use include_dir::{Dir, include_dir};
use tower_http::compression::CompressionLayer;

/// What `build.rs` made; empty where there was no Node.js.
static FILES: Dir<'_> = include_dir!("$OUT_DIR/pages");

/// What the dashboard may load.
const DASHBOARD: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What GraphiQL may load. Its editor styles itself as it goes, works in workers, and has fonts in its style sheet.
const GRAPHIQL: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const MISSING: &str = "This server was built without its pages: install Node.js 20.19 or newer, `touch web/package.json`, \
    and build it again.\n";

/// The pages, GraphiQL among them or not, and what they load.
pub fn router(graphiql: bool) -> Router {
    let dashboard = get(async || page("index.html", DASHBOARD));
    let router = Router::new()
        .route("/", dashboard.clone())
        .route("/floor-plan", dashboard.clone())
        .route("/spaces/{id}", dashboard)
        .route("/assets/{name}", get(asset));
    let router = if graphiql {
        router.route("/graphiql", get(async || page("graphiql.html", GRAPHIQL)))
    } else {
        router
    };
    router.layer(CompressionLayer::new())
}

fn page(path: &str, policy: &'static str) -> Response {
    let headers =
        [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, policy), (REFERRER_POLICY, "no-referrer")];
    file(path).map_or_else(
        || (StatusCode::NOT_FOUND, MISSING).into_response(),
        |file| (headers, file).into_response(),
    )
}

async fn asset(Path(name): Path<String>) -> Response {
    let headers = [(CACHE_CONTROL, "public, max-age=31536000, immutable")];
    file(&format!("assets/{name}"))
        .map_or_else(|| StatusCode::NOT_FOUND.into_response(), |file| (headers, file).into_response())
}

fn file(path: &str) -> Option<impl IntoResponse> {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let headers = [(CONTENT_TYPE, kind.to_string()), (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned())];
    FILES.get_file(path).map(|file| (headers, file.contents()))
}
