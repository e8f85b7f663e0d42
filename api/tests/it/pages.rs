//! The pages, if the build made them: their policies, and all files that they load.

use axum::body::Body;
use axum::http::response::Parts;
use axum::http::{Request, StatusCode, header};

use crate::harness::Service;

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_the_files_they_load_are_served() {
    let service = Service::on_sqlite().await;
    for path in ["/", "/floor-plan", "/spaces/1", "/graphiql"] {
        let page = service.get(path).await;
        if page.status == StatusCode::NOT_FOUND {
            // Without Node.js at build time, the page says how to get them.
            assert!(page.body.contains("Node.js"), "{}", page.body);
            continue;
        }
        assert_eq!((page.status, page.header("cache-control")), (StatusCode::OK, "no-cache"));
        assert_eq!(page.header("content-type"), "text/html");
        let policy = page.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("http"),
            "{policy}"
        );
        let assets: Vec<_> =
            page.body.split('"').filter(|attribute| attribute.starts_with("/assets/")).collect();
        assert!(assets.len() > 2, "{}", page.body);
        for asset in assets {
            let file = service.get(asset).await;
            assert_eq!(file.status, StatusCode::OK, "{asset}");
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
        }
    }
    assert_eq!(service.get("/assets/nothing.js").await.status, StatusCode::NOT_FOUND);
    service.finish().await;
}

/// Returns the answer for a file, with these accepted encodings and this `If-None-Match`.
async fn fetch(service: &Service, path: &str, encodings: &str, known: &str) -> (Parts, Vec<u8>) {
    let request = Request::get(path)
        .header(header::ACCEPT_ENCODING, encodings)
        .header(header::IF_NONE_MATCH, known)
        .body(Body::empty());
    service.send_for_bytes(request.unwrap()).await
}

/// Returns the length in the last four bytes of a gzip file.
fn plain_length(gzip: &[u8]) -> usize {
    assert!(gzip.starts_with(&[0x1f, 0x8b]), "{:?}", &gzip[..2]);
    u32::from_le_bytes(gzip[gzip.len() - 4..].try_into().unwrap()) as usize
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_served_with_the_compression_of_the_build() {
    let service = Service::on_sqlite().await;
    let page = service.get("/graphiql").await;
    if page.status == StatusCode::NOT_FOUND {
        return service.finish().await;
    }
    let is_script = |attribute: &&str| attribute.starts_with("/assets/") && attribute.contains(".js");
    let asset = page.body.split('"').find(is_script).unwrap();
    for path in ["/graphiql", asset] {
        let (plain, content) = fetch(&service, path, "identity", "").await;
        assert_eq!((plain.status, plain.headers.get("content-encoding")), (StatusCode::OK, None), "{path}");
        let mut tags = vec![plain.headers["etag"].clone()];
        for (accepted, encoding) in
            [("gzip, deflate", "gzip"), ("gzip, br;q=0.9", "gzip"), ("gzip, br", "br")]
        {
            let (head, encoded) = fetch(&service, path, accepted, "").await;
            assert_eq!(
                (head.status, &head.headers["content-encoding"]),
                (StatusCode::OK, &encoding.parse().unwrap())
            );
            // An answer that is compressed on the fly has no length.
            assert_eq!(head.headers["content-length"], encoded.len().to_string(), "{path}");
            assert!(encoded.len() < content.len(), "{path}");
            assert!(encoding != "gzip" || plain_length(&encoded) == content.len(), "{path}");
            for name in ["content-type", "cache-control", "vary", "x-content-type-options"] {
                assert_eq!(head.headers[name], plain.headers[name], "{path}");
            }
            assert_eq!(head.headers["vary"], "accept-encoding");
            let tag = head.headers["etag"].to_str().unwrap();
            let (known, nothing) = fetch(&service, path, accepted, &format!("\"other\", W/{tag}")).await;
            assert_eq!((known.status, nothing.len()), (StatusCode::NOT_MODIFIED, 0), "{path}");
            for name in ["etag", "cache-control", "vary"] {
                assert_eq!(known.headers[name], head.headers[name], "{path}");
            }
            // The tag of another encoding does not match.
            let (plain, _) = fetch(&service, path, "identity", tag).await;
            assert_eq!(plain.status, StatusCode::OK, "{path}");
            tags.push(head.headers["etag"].clone());
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 3, "{tags:?}");
    }
    // Compressed copies have no path of their own.
    for suffix in [".gz", ".br"] {
        assert_eq!(service.get(&format!("{asset}{suffix}")).await.status, StatusCode::NOT_FOUND);
    }
    service.finish().await;
}
