//! The pages, where the build made them: under their policies, and with all that they load.

use axum::http::StatusCode;

use crate::harness::Service;

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_with_what_they_load() {
    let service = Service::on_sqlite().await;
    for path in ["/", "/floor-plan", "/spaces/1", "/graphiql"] {
        let page = service.get(path).await;
        if page.status == StatusCode::NOT_FOUND {
            // There was no Node.js: it is said how to get them.
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
