//! Backups that are taken while events are being recorded, restored into another database.

use std::collections::HashSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use api::database::PoolConfig;
use api::ids::PublicIds;
use api::verify::verify;
use entity::dpu;
use proptest::test_runner::TestRunner;
use sea_orm::{DatabaseBackend, EntityTrait};

use crate::harness::{Empty, Service, on_both, say_once};
use crate::worlds;
use counting::oracle::{Event, World};

/// Number of events in each of a sender's requests.
const BATCH: usize = 3;

/// Returns the program, or `None` if it is not installed.
fn tool(name: &str) -> Option<Command> {
    Command::new(name).arg("--version").output().ok().map(|_| Command::new(name))
}

async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a copy of the service's data in a new database, or `None` if PostgreSQL's tools are missing.
async fn restored_copy(service: &Service) -> Option<Empty> {
    if service.app.database.backend() == DatabaseBackend::Sqlite {
        let (copy, folder) = (Empty::on_sqlite(), tempfile::tempdir().unwrap());
        let mut backup = Command::new(env!("CARGO_BIN_EXE_headcount"));
        backup.args(["backup", "--keep", "1", "--database-url", &service.url]).arg(folder.path());
        run(backup).await;
        let made: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        let [made] = made.as_slice() else { panic!("{made:?}") };
        let permissions = made.metadata().unwrap().permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777, 0o600);
        let file = copy.url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
        std::fs::copy(made, file).unwrap();
        return Some(copy);
    }
    let (Some(mut dump), Some(mut restore)) = (tool("pg_dump"), tool("pg_restore")) else {
        say_once("Backups of PostgreSQL were left out: pg_dump and pg_restore are not installed");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("headcount.dump");
    dump.args(["--format=custom", "--dbname", &service.url, "--file"]).arg(&file);
    run(dump).await;
    let copy = Empty::on_postgres().await?;
    restore.args(["--single-transaction", "--no-owner", "--dbname", &copy.url]).arg(&file);
    run(restore).await;
    Some(copy)
}

/// Returns the stored events in the form of the world.
async fn held(service: &Service) -> Vec<Event> {
    let dpus = dpu::Entity::find().all(service.app.database.reader()).await.unwrap();
    let number = |id: i64| {
        let dpu = dpus.iter().find(|dpu| dpu.id == id).unwrap();
        dpu.serial.trim_start_matches('D').parse().unwrap()
    };
    let events = service.stored_events().await.into_iter().map(|event| Event {
        dpu: number(event.dpu_id),
        ts: event.ts.ms(),
        direction: event.direction.sign().into(),
        seq: event.seq,
    });
    events.collect()
}

async fn send(service: &Service, events: &[Event]) -> u64 {
    let payload = service.ingest(events.iter().map(worlds::input).collect()).await;
    assert_eq!(payload["rejected"], serde_json::json!([]));
    payload["accepted"].as_u64().unwrap()
}

fn distinct(events: &[Event]) -> HashSet<Event> {
    events.iter().copied().collect()
}

async fn a_backup_during_ingestion_is_correct_and_can_be_completed(service: &Service) {
    let mut world = worlds::world(&mut TestRunner::deterministic());
    for more in 1..6 {
        let events: Vec<_> = world.events.iter().take(150).copied().collect();
        world.events.extend(events.into_iter().map(|event| Event { seq: event.seq + 2 * more, ..event }));
    }
    let spaces = worlds::build(service, &world).await;
    let (first, rest) = world.events.split_at(world.events.len() / 4);
    let (during, after) = rest.split_at(rest.len() / 2);
    send(service, first).await;

    let taken = AtomicBool::new(false);
    let recording = async {
        // Once all are stored they are sent again, so that writes go on until the copy is finished.
        for batch in during.chunks(BATCH).cycle() {
            send(service, batch).await;
            if taken.load(Ordering::SeqCst) {
                break;
            }
        }
        send(service, after).await;
    };
    let copying = async {
        let copy = restored_copy(service).await;
        taken.store(true, Ordering::SeqCst);
        copy
    };
    let ((), copy) = tokio::join!(recording, copying);
    let Some(copy) = copy else { return };

    let restored = Service::start_with(copy, PublicIds::default(), PoolConfig::default()).await;
    let events = held(&restored).await;
    let stored = distinct(&events);
    assert!(stored.is_superset(&distinct(first)), "it has the events acknowledged before");
    assert!(stored.is_subset(&distinct(&[first, during].concat())), "it lacks the events sent after");
    let then = World { events, ..world.clone() };
    worlds::assert_counts(&restored, &then, &spaces).await;
    let mut findings = Vec::new();
    let verdict = verify(&restored.app.database, false, |finding| {
        findings.push(finding.to_string());
        Ok(())
    });
    assert!(verdict.await.unwrap().is_right(), "{findings:?}");

    // When devices send everything again, the missing events are added.
    let missing = distinct(&world.events).len() - stored.len();
    assert_eq!(send(&restored, &world.events).await, missing as u64);
    worlds::assert_counts(&restored, &world, &spaces).await;
    assert!(!spaces.contains(&restored.space("Another").await));
    restored.finish().await;
}

on_both!(a_backup_during_ingestion_is_correct_and_can_be_completed);
