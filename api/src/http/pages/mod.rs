//! The pages: the dashboard and GraphiQL, built from `web/` by `build.rs` and embedded in the binary.
//!
//! The names of assets contain their hash, so browsers may cache them forever. Pages are revalidated each time. The
//! content security policies let a browser load files from this server only. Compressed copies are made by the build.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, LOCATION, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};

use crate::auth::Need;
use crate::http::encoding::Encoding;
use crate::http::route::{Answers, Route, RouteTable};

/// The output of `build.rs`; empty if Node.js was missing.
static FILES: Dir<'_> = include_dir!("$OUT_DIR/pages");

const DASHBOARD: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Its editor uses inline styles, workers, and fonts in its style sheet.
const GRAPHIQL: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    font-src 'self' data:; connect-src 'self'; worker-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const MISSING: &str = "This server was built without its pages: install Node.js 20.19 or newer, `touch web/package.json`, \
    and build it again.\n";

/// Number of bytes of a page's hash in its `ETag`.
const TAG_BYTES: usize = 12;

const fn route(path: &'static str) -> Route {
    Route::new(path, Need::Nothing, Answers::Files)
}

static DASHBOARD_ROUTE: Route = route("/");
static FLOOR_PLAN: Route = route("/floor-plan");
static SPACE: Route = route("/spaces/{id}");
static ASSET: Route = route("/assets/{name}");
static GRAPHIQL_ROUTE: Route = route("/graphiql");

/// Returns the routes of the pages, with or without GraphiQL, and of their assets.
pub(super) fn router(graphiql: bool, table: &mut RouteTable) -> Router {
    let dashboard = get(async |headers: HeaderMap| page("index.html", DASHBOARD, &headers));
    let mut router = Router::new();
    let mut add = |route: &'static Route, handlers: MethodRouter| {
        table.add(route);
        router = std::mem::take(&mut router).route(route.path, handlers);
        if route.path != "/" && route.path != ASSET.path {
            router = std::mem::take(&mut router).route(&format!("{}/", route.path), get(without_slash));
        }
    };
    add(&DASHBOARD_ROUTE, dashboard.clone());
    add(&FLOOR_PLAN, dashboard.clone());
    add(&SPACE, dashboard);
    add(&ASSET, get(asset));
    if graphiql {
        add(&GRAPHIQL_ROUTE, get(async |headers: HeaderMap| page("graphiql.html", GRAPHIQL, &headers)));
    }
    router
}

/// Redirects from a page's path with a trailing slash to the one without. The redirect is relative, since a proxy may
/// serve the pages below a path of its own.
async fn without_slash(uri: Uri) -> Response {
    let page = uri.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    (StatusCode::PERMANENT_REDIRECT, [(LOCATION, format!("../{page}{query}"))]).into_response()
}

fn page(path: &str, policy: &'static str, headers: &HeaderMap) -> Response {
    // A page keeps its name when it changes.
    let Some(page) = contents(path) else { return (StatusCode::NOT_FOUND, MISSING).into_response() };
    let tag = data_encoding::HEXLOWER.encode(&Sha256::digest(page)[..TAG_BYTES]);
    let about =
        [(CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, policy), (REFERRER_POLICY, "no-referrer")];
    (about, file(path, page, &tag, headers)).into_response()
}

async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let path = format!("assets/{name}");
    let is_copy = Encoding::OF_FILES.iter().any(|encoding| name.ends_with(encoding.suffix()));
    match contents(&path) {
        // The name contains the hash of the file.
        Some(contents) if !is_copy => {
            let about = [(CACHE_CONTROL, "public, max-age=31536000, immutable")];
            (about, file(&path, contents, &name, &headers)).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Returns the answer with a file: in the encoding that the client prefers, and without a body if the client has it.
fn file(path: &str, plain: &'static [u8], tag: &str, headers: &HeaderMap) -> Response {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let encoded = Encoding::accepted(headers, &Encoding::OF_FILES)
        .into_iter()
        .find_map(|encoding| Some((encoding, contents(&format!("{path}{}", encoding.suffix()))?)));
    // Each encoding is a representation of its own, with its own tag.
    let tag = format!("\"{tag}{}\"", encoded.map_or("", |(encoding, _)| encoding.suffix()));
    let about = [(VARY, ACCEPT_ENCODING.as_str()), (ETAG, &tag), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    if has(headers, &tag) {
        return (StatusCode::NOT_MODIFIED, about).into_response();
    }
    let about = (about, [(CONTENT_TYPE, kind.to_string())]);
    match encoded {
        Some((encoding, encoded)) => (about, [(CONTENT_ENCODING, encoding.name())], encoded).into_response(),
        None => (about, plain).into_response(),
    }
}

fn has(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    // A proxy that encodes a file again weakens its tag.
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

fn contents(path: &str) -> Option<&'static [u8]> {
    FILES.get_file(path).map(include_dir::File::contents)
}
