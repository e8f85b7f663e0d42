//! `headcount token`, and when the server starts without any.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a database, and the binary over it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
        let url = format!("sqlite://{}?mode=rwc", self.0.path().join("test.db").display());
        command.args(arguments).env_clear().env("DATABASE_URL", url);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What it prints, where it succeeds.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says where it fails.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Starts a server, and returns what it says until it serves.
    fn serves(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let mut server = Running(command.stderr(Stdio::piped()).spawn().unwrap());
        let lines = BufReader::new(server.0.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut said = String::new();
        for line in lines {
            said.push_str(&line);
            if line.contains("serving from") {
                return said;
            }
        }
        panic!("it does not serve: {said}");
    }
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_token_is_printed_once_and_alone() {
    let desk = Desk::new();
    let output = desk.run(&["token", "create", "kiosk", "--role", "read", "--expires", "90d"]);
    assert!(output.status.success());
    let (token, hint) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let secret = token.strip_suffix('\n').unwrap();
    assert!(
        secret.starts_with("hc_") && secret.len() == 67 && !secret.contains(char::is_whitespace),
        "{secret}"
    );
    assert!(hint.contains("not shown again") && !hint.contains(secret), "{hint}");
    let listed = desk.printed(&["token", "list"]);
    let rows: Vec<Vec<_>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["id", "name", "role", "only", "state", "expires", "last used", "created"]);
    assert_eq!(rows[1][..5], ["1", "kiosk", "read", "-", "valid"]);
    assert_eq!((rows[1][6], rows.len()), ("never", 2));
    assert!(!listed.contains(secret.trim_start_matches("hc_")));
    assert_eq!(desk.printed(&["token", "revoke", "kiosk"]), "");
    assert!(desk.printed(&["token", "list"]).contains("\trevoked\t"));
    assert!(desk.refusal(&["token", "revoke", "kiosk"]).contains("unknown or revoked token \"kiosk\""));
}

#[test]
fn invalid_token_commands_are_refused() {
    let desk = Desk::new();
    for (arguments, said) in [
        (&["--role", "read", "--space", "Hall"][..], "there is no space \"Hall\""),
        (&["--role", "ingest", "--dpu", "283"], "no DPU has the serial \"283\""),
        (
            &["--role", "read", "--space", "1"],
            "there is no space \"1\": --space takes its name, --space-id its id",
        ),
        (&["--role", "read", "--space-id", "1"], "there is no space with the id 1"),
        (&["--role", "read", "--space-id", "Hall"], "invalid digit found in string"),
        (&["--role", "ingest", "--space", "Hall"], "--space requires --role read"),
        (&["--role", "ingest", "--space-id", "1"], "--space requires --role read"),
        (&["--role", "admin", "--dpu", "283"], "--dpu requires --role ingest"),
        (&["--role", "read", "--expires", "soon"], "number of days, such as 90d"),
        (&["--role", "read", "--expires", "2001-01-01"], "is in the past"),
        (&["--role", "owner"], "possible values: read, ingest, admin"),
        (&[], "--role"),
    ] {
        let refusal = desk.refusal(&[&["token", "create", "a"], arguments].concat());
        assert!(refusal.contains(said), "{arguments:?}: {refusal}");
    }
}

#[test]
fn without_tokens_it_serves_its_own_machine_only() {
    let desk = Desk::new();
    let open = ["serve", "--listen", "127.0.0.1:0"];
    let (reachable, meant) =
        (["serve", "--listen", "0.0.0.0:0"], ["serve", "--listen", "0.0.0.0:0", "--open"]);
    assert!(desk.serves(&open).contains("open: no tokens exist"));
    let refusal = desk.refusal(&reachable);
    assert!(
        refusal.contains("headcount token create NAME --role admin") && refusal.contains("0.0.0.0:0"),
        "{refusal}"
    );
    assert!(desk.serves(&meant).contains("open: no tokens exist"));
    desk.printed(&["token", "create", "admin", "--role", "admin"]);
    for arguments in [&open[..], &reachable, &meant] {
        let said = desk.serves(arguments);
        assert!(said.contains("requests require a token") && !said.contains("open:"), "{said}");
    }
    // That there was one does not make a server that is reachable of use to nobody.
    desk.printed(&["token", "revoke", "admin"]);
    assert!(desk.refusal(&reachable).contains("no valid token exists"));
}
