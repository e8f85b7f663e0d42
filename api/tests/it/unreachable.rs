//! An unreachable database: requests fail within a time limit, and everything works again once it is back.

use std::time::Duration;

use api::database::PoolConfig;
use api::ids::PublicIds;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use entity::assignment::Placement;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::harness::{Answer, Empty, Service};

/// Maximum time to wait for an expected answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The state of the connection to the database.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Connections end, and new ones are refused.
    Closed,
    /// Data is lost without an error.
    Silent,
}

/// A proxy for a PostgreSQL server that can interrupt the connection.
struct Proxy {
    way: watch::Sender<Way>,
    port: u16,
}

impl Proxy {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = watch::Sender::new(Way::Open);
        let watched = way.subscribe();
        tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                tokio::spawn(carry(near, server.clone(), watched.clone()));
            }
        });
        Self { way, port }
    }

    fn turn(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// Forwards bytes both ways as long as the proxy is open.
async fn carry(mut near: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    if *way.borrow() == Way::Closed {
        return;
    }
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    let (mut there, mut back) = ([0; 16_384], [0; 16_384]);
    loop {
        let now = *way.borrow_and_update();
        tokio::select! {
            changed = way.changed() => if changed.is_err() { return },
            read = near.read(&mut there), if now == Way::Open => match read {
                Ok(1..) => far.write_all(&there[..read.unwrap()]).await.unwrap(),
                _ => return,
            },
            read = far.read(&mut back), if now == Way::Open => match read {
                Ok(1..) => near.write_all(&back[..read.unwrap()]).await.unwrap(),
                _ => return,
            },
        }
        if *way.borrow() == Way::Closed {
            return;
        }
    }
}

/// Returns a service with one space, behind a proxy. `None` where there is no server.
async fn behind_a_proxy() -> Option<(Service, Proxy, i64)> {
    let mut empty = Empty::on_postgres().await?;
    let (scheme_and_user, rest) = empty.url.rsplit_once('@').expect("a URL with a user");
    let (server, name) = rest.split_once('/').unwrap();
    let server = if server.contains(':') { server.to_owned() } else { format!("{server}:5432") };
    let proxy = Proxy::to(server).await;
    empty.url = format!("{scheme_and_user}@127.0.0.1:{}/{name}", proxy.port);
    let pool = PoolConfig { database_wait_ms: 500, database_answer_ms: 500 };
    let service = Service::start_with(empty, PublicIds::plain(), pool).await;
    let space = service.space("Hall").await;
    let dpu = service.dpu("1").await;
    service.assign(dpu, space, Placement::Inside, None, None).await;
    service.ingest(json!([{ "dpu": "1", "ts": "2026-03-01T11:00:00Z", "direction": "TOWARD" }])).await;
    Some((service, proxy, space))
}

/// Repeats the request until the answer has this status. Each answer must come within a time limit.
async fn until(service: &Service, path: &str, status: StatusCode) -> Answer {
    let asking = async {
        loop {
            let answer = service.get(path).await;
            if answer.status == status {
                return answer;
            }
            // A pause, so as not to overload the machine.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("{path} was never answered with {status}"))
}

async fn post(service: &Service, path: &str, body: Value) -> Answer {
    let request = Request::post(path).header("content-type", "application/json");
    let sending = service.send(request.body(Body::from(body.to_string())).unwrap());
    tokio::time::timeout(PATIENCE, sending).await.expect("an answer")
}

async fn is_unreachable_and_comes_back(way: Way) {
    let Some((service, proxy, space)) = behind_a_proxy().await else { return };
    let count = format!("/space/{space}/count");
    let event =
        |minute| json!({ "ts": format!("2026-03-01T11:{minute:02}:00Z"), "direction": 1, "dpu": "1" });
    assert_eq!(until(&service, "/readyz", StatusCode::OK).await.json()["status"], "ready");

    proxy.turn(way);
    let away = until(&service, &count, StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(
        (away.header("retry-after"), away.body.as_str()),
        ("1", r#"{"detail":"The service cannot answer now, try again."}"#)
    );
    assert!(!away.header("x-request-id").is_empty());
    // Once nothing is received any more, tokens cannot be checked either: then the status is 503, too.
    let ask = json!({ "query": r#"{ dpu(serial: "1") { lastEvent { ts } } }"# });
    let refused = post(&service, "/graphql", ask).await;
    assert_eq!(refused.json()["errors"][0]["extensions"]["code"], "UNAVAILABLE", "{}", refused.body);
    let sent = post(&service, "/events", event(1)).await;
    assert_eq!(
        (sent.status, sent.header("retry-after")),
        (StatusCode::SERVICE_UNAVAILABLE, "1"),
        "{}",
        sent.body
    );
    let ready = until(&service, "/readyz", StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(ready.json()["status"], "not ready");
    // The server notices only after a while that nothing is received.
    crate::harness::until("both checks fail", async || {
        let ready = service.get("/readyz").await.json();
        ["database", "coherence"].iter().all(|check| ready["checks"][check] != "ok")
    })
    .await;
    assert_eq!(service.get("/healthz").await.status, StatusCode::OK);

    proxy.turn(Way::Open);
    until(&service, "/readyz", StatusCode::OK).await;
    assert_eq!(until(&service, &count, StatusCode::OK).await.json()["count"], 1);
    // It may be sent again, whether or not it was recorded.
    let sent = post(&service, "/events", json!([event(1), event(2)])).await;
    assert_eq!(sent.status, StatusCode::OK, "{}", sent.body);
    assert_eq!(service.get(&count).await.json()["count"], 3);
    service.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_database_gives_503_until_it_is_back() {
    is_unreachable_and_comes_back(Way::Closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_database_gives_503_until_it_answers() {
    is_unreachable_and_comes_back(Way::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_connections_are_reopened() {
    let Some(service) = Service::on_postgres().await else { return };
    let space = service.space("Hall").await;
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let ended = service.app.database.reader().execute_unprepared(end).await;
    assert!(ended.is_ok(), "{ended:?}");
    until(&service, &format!("/space/{space}/count"), StatusCode::OK).await;
    until(&service, "/readyz", StatusCode::OK).await;
    service.finish().await;
}
