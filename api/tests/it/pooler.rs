//! A server behind PgBouncer: it works with a connection per client, and otherwise refuses to start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use api::database::{ConnectError, Database, PoolConfig};
use api::ids::PublicIds;
use api::tasks::Tasks;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Empty, Service, say_once, until};

/// A pooler process that ends with the value.
struct PgBouncer {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts a pooler with this `pool_mode`. `None`, with a visible message, if it is not installed.
    async fn before(server: &str, mode: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (host, server_port) = server.rsplit_once(':').unwrap_or((server, "5432"));
        let (settings, users) = (folder.path().join("pooler.ini"), folder.path().join("users"));
        fs::write(&users, "\"postgres\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits\n",
            users.display()
        );
        fs::write(&settings, text).unwrap();
        let mut command = Command::new("pgbouncer");
        // PgBouncer refuses to run as root.
        if rustix::process::geteuid().is_root() {
            command.args(["-u", "postgres"]);
        }
        let Ok(process) = command.arg(settings).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            assert!(std::env::var("TEST_POSTGRES_REQUIRED").is_err(), "pgbouncer is required");
            say_once("some tests were left out: there is no pgbouncer");
            return None;
        };
        until("the pooler listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        Some(Self { process, port, _folder: folder })
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Returns an empty database behind a pooler, and its direct URL.
async fn behind(mode: &str) -> Option<(PgBouncer, Empty, String)> {
    let mut empty = Empty::on_postgres().await?;
    let (user, rest) = empty.url.rsplit_once('@').unwrap();
    let (server, name) = rest.split_once('/').unwrap();
    let Some(pooler) = PgBouncer::before(server, mode).await else {
        empty.remove().await;
        return None;
    };
    let url = format!("{user}@127.0.0.1:{}/{name}", pooler.port);
    let own = std::mem::replace(&mut empty.url, url);
    Some((pooler, empty, own))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_that_shares_connections_is_refused_at_the_start() {
    let Some((_pooler, mut empty, own)) = behind("transaction").await else { return };
    let refused = Database::connect_with(&empty.url, PoolConfig::default()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Pooler { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains(&empty.url) && said.contains("pool_mode = session"), "{said}");
    let pooled = std::mem::replace(&mut empty.url, own);
    let direct = Database::connect_with(&empty.url, PoolConfig::default()).await.unwrap();
    let standby = direct.with_standby(&pooled, PoolConfig::default(), &Tasks::default()).await;
    assert!(matches!(standby, Err(ConnectError::Pooler { given }) if given == pooled), "before a standby");
    empty.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_with_a_connection_for_each_client_works() {
    let Some((_pooler, empty, _)) = behind("session").await else { return };
    let service = Service::start_with(empty, PublicIds::plain(), PoolConfig::default()).await;
    let space = service.space("Hall").await;
    assert_eq!(service.count(space, crate::harness::NOW).await, 0);
    service.finish().await;
}
