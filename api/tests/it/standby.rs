//! Configuration of a standby to read from. Correct answers while it lags are tested in bench/faults, which starts and
//! stops servers.

use std::sync::Arc;

use api::app::App;
use api::database::{Database, PoolConfig};
use api::tasks::Tasks;
use api::timelines::CACHE_BYTES;
use entity::assignment::Placement;
use serde_json::json;

use crate::harness::{NOW, Service, at};

#[tokio::test]
async fn only_postgresql_has_a_standby() {
    let service = Service::on_sqlite().await;
    let refused = |url: &'static str| {
        let database = service.app.database.clone();
        async move {
            database
                .with_standby(url, PoolConfig::default(), &Tasks::default())
                .await
                .unwrap_err()
                .to_string()
        }
    };
    let said = refused("postgres://me:secret@127.0.0.1/db").await;
    assert!(said.contains("a SQLite file has no standby") && !said.contains("secret"), "{said}");
    service.finish().await;

    let Some(service) = Service::on_postgres().await else { return };
    let database = service.app.database.clone();
    let said = database
        .with_standby("sqlite://a.db", PoolConfig::default(), &Tasks::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(said.contains("sqlite://a.db") && said.contains("Use postgres://USER@HOST/NAME"), "{said}");
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_a_standby_is_not_read_from() {
    let Some(service) = Service::on_postgres().await else { return };
    let (space, dpu) = (service.space("Hall").await, service.dpu("283").await);
    service.assign(dpu, space, Placement::Inside, None, None).await;
    service.ingest(json!([{ "dpu": "283", "ts": "2026-01-01", "direction": "TOWARD" }])).await;
    // The primary itself, and a port without a server.
    let (server, _) = service.url.rsplit_once('@').unwrap();
    for url in [service.url.clone(), format!("{server}@127.0.0.1:1/nowhere")] {
        let database = Database::connect(&service.url).await.unwrap();
        let database = database.with_standby(&url, PoolConfig::default(), &Tasks::default()).await.unwrap();
        let (there, _) = App::start(database, Arc::clone(&service.app).clock.clone(), CACHE_BYTES);
        there.coherence.begins().await;
        assert_eq!(there.counts.count(space, at(NOW)).await.unwrap(), Some(1));
        there.observe();
        let text = api::telemetry::metrics::text(std::iter::empty(), 0).unwrap();
        assert!(text.contains("\nheadcount_standby_lag_seconds NaN\n"), "{text}");
    }
    service.finish().await;
}
