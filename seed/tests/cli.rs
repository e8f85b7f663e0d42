//! Tests of the seed binary by its command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use api::app::App;
use api::clock::Clock;
use api::database::Database;
use api::floor_plan::changes::assignment;
use api::timelines::CACHE_BYTES;
use entity::{Instant, event, interval};
use sea_orm::EntityTrait;
use tempfile::TempDir;

const PLAN: &str = r#"
    [[space]]
    name = "Hall"
    capacity = 10
    [[space]]
    name = "Loft"
    [[dpu]]
    serial = "283"
    [[dpu]]
    serial = "423"
    name = "Stairs"
    [[assignment]]
    dpu = "283"
    space = "Hall"
    placement = "inside"
    [[assignment]]
    dpu = "423"
    space = "Hall"
    placement = "inside"
    [[assignment]]
    dpu = "423"
    space = "Loft"
    placement = "outside"
    doorway = "Stairs"
    starts_at = 2018-02-01T00:00:00Z
    ends_at = "2019-01-01"
"#;

/// A folder with a database and files to load.
struct Desk {
    folder: TempDir,
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn with_plan() -> Self {
        let desk = Self::new();
        desk.file("plan.toml", PLAN);
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, b"")
    }

    /// Runs with these bytes as the standard input.
    fn run_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut running = Command::new(env!("CARGO_BIN_EXE_seed"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("DATABASE_URL", "sqlite://test.db?mode=rwc")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The process may end before it has read all of its input.
        running.stdin.take().unwrap().write_all(input).ok();
        let Output { status, stdout, stderr } = running.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
    }

    /// Loads the plan and a CSV of these contents.
    fn load(&self, csv: impl AsRef<[u8]>, more: &[&str]) -> Ran {
        self.file("events.csv", csv);
        self.run(&[&["--plan", "plan.toml", "--csv", "events.csv"], more].concat())
    }

    async fn database(&self) -> Database {
        Database::connect(&format!("sqlite://{}", self.path("test.db").display())).await.unwrap()
    }

    async fn stored(&self) -> usize {
        event::Entity::find().all(self.database().await.reader()).await.unwrap().len()
    }

    /// The counts of the first two spaces.
    async fn counts(&self, ts: &str) -> [i64; 2] {
        let (app, _) = App::start(self.database().await, Clock::system(), CACHE_BYTES);
        let at: Instant = ts.parse().unwrap();
        [app.counts.count(1, at).await.unwrap().unwrap(), app.counts.count(2, at).await.unwrap().unwrap()]
    }
}

fn assert_contains(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is not in: {text}");
}

#[tokio::test]
async fn without_files_it_loads_the_sample_once() {
    let desk = Desk::new();
    let first = desk.run(&[]);
    assert_eq!((first.code, first.err.as_str()), (0, ""));
    assert_eq!(
        first.out,
        "floor plan: 10 entries created, 0 corrected, 0 as they were\n\
         sample events: 3039 rows read, 3000 stored, 39 duplicates collapsed, 0 rejected\n\
         space 1: Room 1\nspace 2: Room 2\n"
    );
    let second = desk.run(&[]);
    assert_eq!(second.code, 0);
    assert_contains(&second.out, "floor plan: 0 entries created, 0 corrected, 10 as they were");
    assert_contains(
        &second.out,
        "3039 rows read, 0 stored, 3039 duplicates collapsed, 0 rejected: nothing new",
    );
    assert_eq!(desk.stored().await, 3000);
}

#[tokio::test]
async fn the_sample_has_the_irregularities_of_real_data() {
    let desk = Desk::new();
    desk.run(&[]);
    let [first, _] = desk.counts("2025-03-05T00:00:00Z").await;
    assert!(first < 0, "people were inside before counting began: {first}");
    let text = include_str!("../sample/events.csv");
    let stamps: Vec<&str> = text.lines().skip(1).map(|line| &line[1..25]).collect();
    assert!(stamps.windows(2).any(|pair| pair[0] > pair[1]), "nothing is late");
    assert_contains(text, "\",-1,1001\n");
    assert_contains(text, "\",\"-1\",\"1001\"\n");
    assert_contains(include_str!("../sample/plan.toml"), "ends_at");
}

#[test]
fn the_sample_is_what_the_generator_writes() {
    let desk = Desk::new();
    let ran = desk.run(&["generate", "--csv", "out.csv", "--plan", "out.toml"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(fs::read_to_string(desk.path("out.csv")).unwrap() == include_str!("../sample/events.csv"));
    assert!(fs::read_to_string(desk.path("out.toml")).unwrap() == include_str!("../sample/plan.toml"));
}

#[tokio::test]
async fn generated_files_have_the_requested_size_and_load() {
    let desk = Desk::new();
    let generate = |seed: &str, csv: &str| {
        let sizes = ["generate", "--dpus", "20", "--days", "9", "--events", "12345", "--plan", "out.toml"];
        assert_eq!(desk.run(&[&sizes[..], &["--seed", seed, "--csv", csv]].concat()).code, 0);
    };
    generate("7", "a.csv");
    generate("7", "b.csv");
    generate("8", "c.csv");
    let read = |name: &str| fs::read(desk.path(name)).unwrap();
    assert!(read("a.csv") == read("b.csv"), "the same seed gives the same bytes");
    assert!(read("a.csv") != read("c.csv"), "another seed gives others");
    let ran = desk.run(&["--plan", "out.toml", "--csv", "a.csv"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_contains(&ran.out, "12345 stored");
    assert_contains(&ran.out, "space 10: Room 10");
    assert_eq!(desk.stored().await, 12345);
}

#[tokio::test]
async fn generated_intervals_and_totals_load_without_a_rejection() {
    let sizes =
        ["generate", "--dpus", "4", "--days", "6", "--every", "5m", "--plan", "out.toml", "--csv", "out.csv"];
    for (kind, gaps) in [
        (&["--reports", "intervals"][..], 0),
        (&["--reports", "totals", "--counter-bits", "16", "--lost", "0.05"], 2),
    ] {
        let desk = Desk::new();
        assert_eq!(desk.run(&[&sizes[..], kind].concat()).code, 0);
        let load = ["--plan", "out.toml", "--csv", "out.csv"];
        let ran = desk.run(&load);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        let intervals = interval::Entity::find().all(desk.database().await.reader()).await.unwrap();
        let people: i64 = intervals.iter().map(|interval| interval.toward + interval.away).sum();
        assert_eq!(intervals.iter().filter(|interval| interval.is_gap).count(), gaps);
        // Those between the last totals and a restart are lost.
        assert!(people <= 3000 && (people == 3000 || gaps > 0) && people > 2980, "{kind:?}: {people}");
        assert_contains(&desk.run(&load).out, " 0 rejected: nothing new");
    }
}

#[tokio::test]
async fn exact_repeats_are_collapsed_or_kept() {
    let csv = "timestamp,direction,dpu_id\n2018-02-24,1,283\n2018-02-24,1,283\n2018-02-24T00:00:00Z,+1,\"283\"\n2018-02-24,-1,423\n";
    let collapsed = Desk::with_plan();
    assert_contains(
        &collapsed.load(csv, &[]).out,
        "4 rows read, 2 stored, 2 duplicates collapsed, 0 rejected",
    );
    assert_eq!(collapsed.counts("2018-02-24").await, [0, 1]);
    let kept = Desk::with_plan();
    assert_contains(
        &kept.load(csv, &["--duplicates", "keep"]).out,
        "4 rows read, 4 stored, 0 duplicates collapsed",
    );
    assert_eq!(kept.counts("2018-02-24").await, [2, 1]);
    assert_contains(
        &kept.load(csv, &["--duplicates", "keep"]).out,
        "0 stored, 4 duplicates collapsed, 0 rejected: nothing new",
    );
}

#[tokio::test]
async fn a_malformed_row_is_reported_with_its_line_and_the_rest_is_loaded() {
    let csv = "timestamp,direction,dpu_id\r\n2018-02-24,1,283\r\n\r\n2018-02-30,1,283\r\n2018-02-24,0,283\r\n2018-02-24,1,999\r\n2018-02-24,-1,42";
    let desk = Desk::with_plan();
    let ran = desk.load(csv, &[]);
    assert_eq!(ran.code, 1);
    assert_contains(&ran.err, "events.csv:4: \"2018-02-30\" is not a timestamp");
    assert_contains(&ran.err, "events.csv:5: invalid direction \"0\"");
    assert_contains(&ran.err, "events.csv:6: no DPU has the serial \"999\"");
    assert_contains(&ran.err, "events.csv:7: no DPU has the serial \"42\"");
    assert_contains(&ran.out, "5 rows read, 1 stored, 0 duplicates collapsed, 4 rejected");
    assert_eq!(desk.stored().await, 1);
}

#[tokio::test]
async fn strict_loads_everything_or_nothing() {
    let desk = Desk::with_plan();
    let bad = "timestamp,direction,dpu_id\n2018-02-24,1,283\n2018-02-24,2,283\n";
    let ran = desk.load(bad, &["--strict"]);
    assert_eq!(ran.code, 1);
    assert_contains(&ran.err, "events.csv:3:");
    assert_contains(&ran.err, "1 of 2 rows were rejected, so nothing was loaded");
    assert_eq!(desk.stored().await, 0);
    assert!(
        App::start(desk.database().await, Clock::system(), CACHE_BYTES)
            .0
            .state
            .floor_plan()
            .await
            .unwrap()
            .spaces()
            .is_empty()
    );

    let ran = desk.load("timestamp,direction,dpu_id\n2018-02-24,1,283\n", &["--strict"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(desk.stored().await, 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_says_why_and_changes_nothing() {
    let desk = Desk::with_plan();
    let good = "timestamp,direction,dpu_id\n2018-02-24,1,283\n";
    for (csv, reason) in [
        (b"".as_slice(), "the file is empty"),
        (b"2018-02-24,1,283\n", "the file has no header"),
        (b"timestamp,direction\n2018-02-24,1\n", "lacks the column dpu_id"),
        (b"timestamp,direction,dpu_id,\xe9\n2018-02-24,1,283,1\n", "not UTF-8"),
    ] {
        let ran = desk.load(csv, &[]);
        assert_eq!(ran.code, 1);
        assert_contains(&ran.err, reason);
        assert!(!desk.path("test.db").exists(), "{reason}");
    }
    for (more, reason) in [
        (["--csv", "nowhere.csv"], "cannot read nowhere.csv"),
        (["--plan", "nowhere.toml"], "cannot read nowhere.toml"),
        (["--csv", "."], "cannot"),
    ] {
        let ran = desk.run(&more);
        assert_eq!(ran.code, 1);
        assert_contains(&ran.err, reason);
    }
    // All of these are accepted: a byte order mark, CRLF, a column that is ignored.
    let ran = desk.load(good.replace('\n', "\r\n").replace("timestamp", "\u{feff}timestamp"), &[]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let ran = desk.load("note,timestamp,direction,dpu_id\nx,2018-02-25,1,283\n", &[]);
    assert_eq!(ran.code, 0);
    assert_contains(&ran.err, "events.csv: ignored columns: \"note\"; only timestamp,");
    for row in ["r\u{0}w,1,283", "2018-02-24,1,28\u{0}3", "2018-02-24,1,283,extra", "2018-02-24,\"1,283"] {
        assert_eq!(desk.load(format!("{good}{row}\n"), &[]).code, 1, "{row}");
    }
    let ran = desk.load([good.as_bytes(), b"2018-02-24,1,\xe9\n"].concat(), &[]);
    assert_contains(&ran.err, "events.csv:3: the row is not UTF-8 text");
    assert_eq!(desk.stored().await, 2);
}

#[tokio::test]
async fn a_plan_is_applied_whole_or_not_at_all() {
    for (plan, reason) in [
        ("[[space]]\nname = \"\"", "space \"\": name is empty"),
        ("[[space]]\nname = \"A\"\ncapacity = 0", "space \"A\": invalid capacity 0: use 1 or more"),
        ("[[space]]\nname = \"A\"\nsize = 3", "unknown field `size`"),
        ("[[room]]\nname = \"A\"", "unknown field `room`"),
        ("[[space]]", "missing field `name`"),
        ("[[space]]\nname = \"A\"\ntime_zone = \"Berlin\"", "space \"A\": unknown time zone \"Berlin\""),
        (
            "[[space]]\nname = \"A\"\nnegative_counts = \"zero\"",
            "unknown variant `zero`, expected `report` or `clamp`",
        ),
        ("[[dpu]]\nserial = \"1\"\ntime_zone = \"Berlin\"", "dpu \"1\": unknown time zone \"Berlin\""),
        (
            "[[dpu]]\nserial = \"1\"\n[[dpu]]\nserial = \" 1\"\nname = \"B\"",
            "another table has the same serial",
        ),
        ("[[space]]\nname = \"A\"\n[[space]]\nname = \"A\"\ncapacity = 3", "another table has the same name"),
        (
            "[[space]]\nname = \"A\"\n[[dpu]]\nserial = \"1\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"outside\"",
            "assignment 2 (dpu \"1\", space \"A\"): another table has the same dpu, space and starts_at: keep one",
        ),
        ("[[reset]]\nspace = \"A\"\nts = 2026-01-01\ncount = 1", "unknown space \"A\""),
        (
            "[[space]]\nname = \"A\"\n[[reset]]\nspace = \"A\"\nts = 2026-01-01\ncount = -1",
            "reset 1 (space \"A\"): invalid count -1: use 0 or more",
        ),
        (
            "[[space]]\nname = \"A\"\n[[reset]]\nspace = \"A\"\nts = \"x\"\ncount = 1",
            "reset 1 (space \"A\"): ts: \"x\" is not a timestamp",
        ),
        (
            "[[space]]\nname = \"A\"\n[[reset_rule]]\nspace = \"A\"\ntime_of_day = \"24:00\"\nfirst_day = 2026-01-01",
            "reset_rule 1 (space \"A\"): time_of_day: \"24:00\" is not a time of day",
        ),
        (
            "[[space]]\nname = \"A\"\n[[reset_rule]]\nspace = \"A\"\ntime_of_day = \"04:00\"\nfirst_day = \"1 May\"",
            "first_day: \"1 May\" is not a day",
        ),
        ("[[dpu]]\nserial = 5", "invalid type"),
        ("[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"", "unknown dpu \"1\""),
        (
            "[[dpu]]\nserial = \"1\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"",
            "unknown space \"A\"",
        ),
        ("[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"beside\"", "unknown variant `beside`"),
        (
            "[[space]]\nname = \"A\"\n[[dpu]]\nserial = \"1\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"\nstarts_at = \"2018-02-30\"",
            "assignment 1 (dpu \"1\", space \"A\"): starts_at: \"2018-02-30\" is not a timestamp",
        ),
        (
            "[[space]]\nname = \"A\"\n[[dpu]]\nserial = \"1\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"\nstarts_at = \"2018-02-02\"\nends_at = \"2018-02-02\"",
            "an assignment must end after it starts",
        ),
        (
            "[[space]]\nname = \"A\"\n[[dpu]]\nserial = \"1\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"\n[[assignment]]\ndpu = \"1\"\nspace = \"A\"\nplacement = \"inside\"\nstarts_at = \"2018-02-02\"",
            "assignment 2 (dpu \"1\", space \"A\"): this DPU is already assigned to this space",
        ),
    ] {
        let desk = Desk::new();
        desk.file("plan.toml", plan);
        let ran = desk.run(&["--plan", "plan.toml"]);
        assert_eq!(ran.code, 1, "{plan}");
        assert_contains(&ran.err, reason);
        if Path::exists(&desk.path("test.db")) {
            let (app, _) = App::start(desk.database().await, Clock::system(), CACHE_BYTES);
            assert!(app.state.floor_plan().await.unwrap().spaces().is_empty(), "{plan}");
        }
    }
}

#[tokio::test]
async fn a_corrected_plan_corrects_what_is_stored() {
    let desk = Desk::with_plan();
    desk.load("timestamp,direction,dpu_id\n2018-02-24,1,423\n2018-03-24,1,423\n", &[]);
    assert_eq!(desk.counts("2020-01-01").await, [2, -2]);
    desk.file(
        "plan.toml",
        PLAN.replace("2019-01-01", "2018-03-01").replace("capacity = 10", "capacity = 12"),
    );
    let ran = desk.run(&["--plan", "plan.toml"]);
    assert_contains(&ran.out, "floor plan: 0 entries created, 2 corrected, 5 as they were");
    assert_eq!(desk.counts("2020-01-01").await, [2, -1]);
}

#[tokio::test]
async fn loading_a_plan_again_does_not_undo_what_happened_since() {
    let desk = Desk::with_plan();
    desk.run(&["--plan", "plan.toml"]);
    let (app, _) = App::start(desk.database().await, Clock::system(), CACHE_BYTES);
    let ended: Instant = "2018-06-01".parse().unwrap();
    app.state
        .change(&app.clock, |transaction, now| Box::pin(assignment::end(transaction, 1, ended, now)))
        .await
        .unwrap();
    let ran = desk.run(&["--plan", "plan.toml"]);
    assert_contains(&ran.out, "floor plan: 0 entries created, 0 corrected, 7 as they were");
    assert_eq!(app.state.floor_plan().await.unwrap().space(1).unwrap().assignments[0].ends_at, Some(ended));
}

#[tokio::test]
async fn a_plan_has_zones_resets_and_reset_rules() {
    let desk = Desk::new();
    let plan = r#"
        [[space]]
        name = "Hall"
        time_zone = "Europe/Berlin"
        negative_counts = "clamp"
        [[dpu]]
        serial = "283"
        time_zone = "America/New_York"
        [[assignment]]
        dpu = "283"
        space = "Hall"
        placement = "inside"
        [[reset]]
        space = "Hall"
        ts = 2026-01-01T09:00:00Z
        count = 5
        note = "counted by hand"
        [[reset_rule]]
        space = "Hall"
        time_of_day = 04:00:00
        first_day = 2026-01-02
        [[reset_rule]]
        space = "Hall"
        time_of_day = "05:30"
        count = 2
        first_day = "2026-02-02"
        last_day = "2026-02-03"
    "#;
    desk.file("plan.toml", plan);
    assert_contains(&desk.run(&["--plan", "plan.toml"]).out, "floor plan: 6 entries created, 0 corrected");
    let again = desk.run(&["--plan", "plan.toml"]);
    assert_contains(&again.out, "floor plan: 0 entries created, 0 corrected, 6 as they were");
    let changed = plan
        .replace("count = 5", "count = 6")
        .replace("Europe/Berlin", "UTC")
        .replace("America/New_York", "Asia/Tokyo")
        .replace("2026-02-03", "2026-02-04");
    desk.file("plan.toml", changed);
    let ran = desk.run(&["--plan", "plan.toml"]);
    assert_contains(&ran.out, "floor plan: 0 entries created, 4 corrected, 2 as they were");
    let (app, _) = App::start(desk.database().await, Clock::system(), CACHE_BYTES);
    let plan = app.state.floor_plan().await.unwrap();
    let space = plan.space(1).unwrap();
    assert_eq!((space.row.time_zone.as_str(), space.resets[0].count), ("UTC", 6));
    assert_eq!(space.resets[0].note.as_deref(), Some("counted by hand"));
    let rules: Vec<_> = space.rules.iter().map(|rule| (rule.time_of_day.to_string(), rule.count)).collect();
    assert_eq!(rules, [("04:00:00".to_owned(), 0), ("05:30:00".to_owned(), 2)]);
    assert_eq!(space.rules[1].last_day.unwrap().to_string(), "2026-02-04");
    assert_eq!(plan.dpu(1).unwrap().row.time_zone.as_deref(), Some("Asia/Tokyo"));
}

#[tokio::test]
async fn timestamps_without_a_zone_are_in_the_zone_of_the_file_or_of_the_dpu() {
    let desk = Desk::new();
    desk.file(
        "plan.toml",
        PLAN.replace("serial = \"283\"", "serial = \"283\"\ntime_zone = \"America/New_York\""),
    );
    let csv = "timestamp,direction,dpu_id\n2018-03-01T00:00:00,1,283\n2018-03-01T00:00:00,1,423\n2018-03-11T02:30,1,283\n";
    let ran = desk.load(csv, &[]);
    assert_contains(&ran.err, "events.csv:4: 2018-03-11T02:30:00 does not exist in America/New_York");
    assert_contains(&ran.out, "3 rows read, 2 stored, 0 duplicates collapsed, 1 rejected");
    assert_contains(&desk.load(csv, &["--time-zone", "Asia/Tokyo"]).out, "3 stored, 0 duplicates collapsed");
    let events = event::Entity::find().all(desk.database().await.reader()).await.unwrap();
    let mut found: Vec<_> = events.iter().map(|event| (event.dpu_id, event.ts.to_string())).collect();
    found.sort_unstable();
    let expected = [
        (1, "2018-02-28T15:00:00Z"),
        (1, "2018-03-01T05:00:00Z"),
        (1, "2018-03-10T17:30:00Z"),
        (2, "2018-02-28T15:00:00Z"),
        (2, "2018-03-01T00:00:00Z"),
    ];
    assert_eq!(found, expected.map(|(dpu, ts)| (dpu, ts.to_owned())));
    let ran = desk.load(csv, &["--time-zone", "Tokyo"]);
    assert_contains(&ran.err, "\"Tokyo\" is not a time zone: use a name of the tz database");
}

#[tokio::test]
async fn repeats_are_found_by_their_instant_and_end_with_the_last_number() {
    let csv = "timestamp,direction,dpu_id,seq\n\
        2018-03-01T01:00:00,1,283,\n2018-03-01T00:00:00Z,1,283,0\n2018-03-01T00:00:00Z,-1,283,2147483647\n\
        2018-03-01T01:00:00,-1,283,2147483647\n";
    let desk = Desk::with_plan();
    let ran = desk.load(csv, &["--duplicates", "keep", "--time-zone", "Europe/Berlin"]);
    assert_contains(
        &ran.err,
        "events.csv:5: the row repeats another one, and no seq after 2147483647 is left",
    );
    assert_contains(&ran.out, "4 rows read, 3 stored, 0 duplicates collapsed, 1 rejected");
    let again = desk.load(csv, &["--duplicates", "keep", "--time-zone", "Europe/Berlin"]);
    assert_contains(&again.out, "4 rows read, 0 stored, 3 duplicates collapsed, 1 rejected");
}

#[tokio::test]
async fn every_row_is_stored_or_reported_also_with_strict() {
    let row = |second: u32| format!("2018-02-24T00:00:{second:02}Z,1,283");
    let header = "timestamp,direction,dpu_id";
    let csv = format!("{header}\r{}\r{}\n{}\r\n{}\r", row(1), row(2), row(3), row(4));
    for more in [&[][..], &["--strict"]] {
        let desk = Desk::with_plan();
        let ran = desk.load(&csv, more);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_contains(&ran.out, "4 rows read, 4 stored, 0 duplicates collapsed, 0 rejected");
        assert_eq!(desk.stored().await, 4);
    }
    let desk = Desk::with_plan();
    let ran = desk.load(format!("{csv}2018-02-24,\"1,283\r{}\r", row(5)), &["--strict"]);
    assert_contains(&ran.err, "1 of 6 rows were rejected, so nothing was loaded");
    assert_eq!(desk.stored().await, 0);
    let ran = desk.load(format!("{header}\n2009-12-31T23:59:59.999Z,1,283\n"), &[]);
    assert_contains(&ran.err, "events.csv:2: 2009-12-31T23:59:59.999Z is before 2010-01-01T00:00:00Z");
}

#[tokio::test]
async fn files_are_unpacked_and_come_from_anywhere() {
    let csv = |day: u32| format!("timestamp,direction,dpu_id\n2018-02-{day:02},1,283\n");
    let desk = Desk::with_plan();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(csv(1).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    // The format of a file is found by its content, not its name.
    desk.file("a.csv.gz", &gzip);
    desk.file("b", zstd::encode_all(csv(2).as_bytes(), 3).unwrap());
    desk.file("c.csv", csv(3));
    let files = ["--plan", "plan.toml", "--csv", "a.csv.gz", "--csv", "b", "--csv", "c.csv"];
    let ran = desk.run(&files);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for name in ["a.csv.gz", "b", "c.csv"] {
        assert_contains(&ran.out, &format!("{name}: 1 rows read, 1 stored"));
    }
    let ran = desk.run_with(&["--csv", "-"], csv(4).as_bytes());
    assert_contains(&ran.out, "standard input: 1 rows read, 1 stored");
    let ran = desk.run_with(&["--csv", "-"], &gzip);
    assert_contains(&ran.out, "standard input: 1 rows read, 0 stored, 1 duplicates collapsed");
    desk.file("cut.gz", &gzip[..gzip.len() - 10]);
    let ran = desk.run(&["--csv", "cut.gz"]);
    assert_eq!(ran.code, 1);
    assert_contains(&ran.err, "cut.gz could not be loaded");

    // All or nothing applies to all files together.
    desk.file("bad.csv", "timestamp,direction,dpu_id\n2018-02-05,0,283\n");
    desk.file("good.csv", csv(6));
    let ran = desk.run(&["--strict", "--csv", "good.csv", "--csv", "bad.csv"]);
    assert_contains(&ran.err, "1 of 2 rows were rejected, so nothing was loaded");
    // A file without a header is refused before any is loaded.
    desk.file("none.csv", "2018-02-07,1,283\n");
    let ran = desk.run(&["--csv", "good.csv", "--csv", "none.csv"]);
    assert_contains(&ran.err, "none.csv could not be loaded");
    assert_eq!(desk.stored().await, 4);
}

#[test]
fn many_rejected_rows_are_summed_up_by_reason() {
    let rows = "2018-02-24,0,283\n2018-02-24,5,283\n".repeat(50);
    let desk = Desk::with_plan();
    let ran = desk.load(format!("timestamp,direction,dpu_id\n{rows}2018-02-24,1,9\n"), &[]);
    assert_eq!(ran.err.lines().count(), 23, "{}", ran.err);
    assert_contains(
        &ran.err,
        "events.csv: 81 more rows were rejected:\n  80 BAD_DIRECTION, first line 22: invalid direction",
    );
    assert_contains(&ran.err, "\n  1 UNKNOWN_DPU, first line 102: no DPU has the serial \"9\"");
}

#[test]
fn one_complete_file_is_left_afterwards() {
    let desk = Desk::new();
    assert_eq!(desk.run(&[]).code, 0);
    let files: Vec<_> =
        fs::read_dir(desk.folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files, ["test.db"]);
    let mode = fs::metadata(desk.path("test.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "other users can read it");
}
