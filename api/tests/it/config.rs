//! The configuration from flags, the environment and a file.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The sample in the repository.
const SAMPLE: &str = include_str!("../../../deploy/headcount.toml");

/// Returns the binary, in a new folder with this configuration file.
fn headcount(folder: &TempDir, file: &str, arguments: &[&str]) -> Command {
    fs::write(folder.path().join("it.toml"), file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_headcount"));
    command.args(arguments).current_dir(folder.path()).env_clear();
    command
}

/// Returns the error message, which must be one sentence.
fn refusal(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    said
}

/// Starts a server, and returns the address it serves on.
fn serves(mut command: Command) -> String {
    let mut server = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    let serving = lines.find(|line| {
        said.push(line.clone());
        line.contains("serving from")
    });
    server.kill().unwrap();
    server.wait().unwrap();
    serving.unwrap_or_else(|| panic!("it does not serve: {said:?}"))
}

#[test]
fn the_program_logs_under_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = headcount(&folder, "", &["--listen", "127.0.0.1:0"]);
    command.env("RUST_LOG", "headcount=info");
    assert!(serves(command).contains("127.0.0.1"));
}

#[test]
fn flags_override_the_environment_which_overrides_the_file_which_overrides_defaults() {
    let url = |name: &str| format!("sqlite://{name}.db?mode=rwc");
    let (flag, variable) = (url("flag"), url("variable"));
    let file = format!("database_url = {:?}", url("file"));
    let migrate = ["migrate", "--config", "it.toml"];
    for (arguments, environment, made) in [
        (&["migrate"][..], &[][..], "headcount.db"),
        (&migrate, &[], "file.db"),
        (&["migrate"], &[("HEADCOUNT_CONFIG", "it.toml")], "file.db"),
        (&migrate, &[("HEADCOUNT_CONFIG", "nowhere.toml")], "file.db"),
        (&migrate, &[("DATABASE_URL", &variable)], "variable.db"),
        // As Docker Compose writes an unset variable.
        (&migrate, &[("DATABASE_URL", "")], "file.db"),
        (&[&migrate[..], &["--database-url", &flag]].concat(), &[("DATABASE_URL", &variable)], "flag.db"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = headcount(&folder, &file, arguments).envs(environment.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let names = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| Path::new(name).extension().is_some_and(|extension| extension == "db"));
        assert_eq!(names, [made], "{arguments:?} {environment:?}");
    }
}

#[test]
fn every_command_reads_the_file_and_ignores_keys_of_other_commands() {
    let file = "database_url = \"sqlite://a.db?mode=rwc\"\nlisten = \"127.0.0.1:0\"\nnats_url = \"nats://127.0.0.1:1\"";
    let folder = tempfile::tempdir().unwrap();
    for arguments in
        [&["schema"][..], &["migrate"], &["verify"], &["prune", "--older-than", "9d"], &["token", "list"]]
    {
        let output = headcount(&folder, file, &[arguments, &["--config=it.toml"]].concat()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let refused = refusal(headcount(&folder, file, &["deadletter", "list", "--config", "it.toml"]));
    assert!(refused.contains("127.0.0.1:1"), "{refused}");
    for command in [&[][..], &["serve"]] {
        serves(headcount(&folder, file, &[command, &["--config", "it.toml"]].concat()));
    }
}

#[test]
fn the_environment_can_switch_off_what_the_file_switches_on() {
    let file = "listen = \"0.0.0.0:0\"\nopen = true";
    let folder = tempfile::tempdir().unwrap();
    let serve = || headcount(&folder, file, &["--config", "it.toml"]);
    serves(serve());
    let mut closed = serve();
    closed.env("OPEN", "false");
    assert!(refusal(closed).contains("no valid token exists"));
}

#[test]
fn invalid_settings_stop_the_start_with_an_error_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    for (file, said) in [
        ("lisen = \"127.0.0.1:0\"", "configuration file it.toml: unknown key \"lisen\""),
        (
            "listen = \"here\"",
            "configuration file it.toml: listen = \"here\" is not accepted: use ADDRESS:PORT",
        ),
        ("config = \"other.toml\"", "unknown key \"config\""),
        // Options of a single run do not belong in a file.
        ("repair = true", "unknown key \"repair\""),
        ("listen", "configuration file it.toml: line 1 is not TOML"),
    ] {
        let refused = refusal(headcount(&folder, file, &["verify", "--config", "it.toml"]));
        assert!(refused.starts_with("Error: ") && refused.contains(said), "{file}: {refused}");
        assert_eq!(refused.trim_end().lines().count(), 1, "{refused}");
    }
    let refused = refusal(headcount(&folder, "", &["--config", "nowhere.toml"]));
    assert!(refused.contains("configuration file nowhere.toml: it cannot be read: "), "{refused}");
    let refused = refusal(headcount(
        &folder,
        "cors_origins = [\"*\"]\nlisten = \"127.0.0.1:0\"",
        &["--config", "it.toml"],
    ));
    assert!(refused.contains("no token exists, and --cors-origins has *"), "{refused}");

    let mut command = headcount(&folder, "", &["--config", "it.toml"]);
    command.env("SOCKETS", "1000001");
    let refused = refusal(command);
    assert!(refused.contains("--sockets") && refused.contains("1000001 is not in 1..=1000000"), "{refused}");
    assert!(refused.contains("the value comes from the environment variable SOCKETS"), "{refused}");
    let refused = refusal(headcount(&folder, "", &["--sockets", "1000001"]));
    assert!(refused.contains("is not in 1..=1000000") && !refused.contains("variable"), "{refused}");

    // Options of earlier versions.
    let refused = refusal(headcount(&folder, "", &["--graphql-depth=9"]));
    assert!(
        refused.starts_with("Error: --graphql-depth was removed: this limit is the same everywhere"),
        "{refused}"
    );
    let mut command = headcount(&folder, "", &["serve"]);
    command.env("SOCKET_BYTES", "9");
    assert!(refusal(command).starts_with("Error: SOCKET_BYTES was removed: "));
    let refused = refusal(headcount(&folder, "idle_timeout = 9", &["--config", "it.toml"]));
    assert!(refused.contains("it.toml: idle_timeout was removed: "), "{refused}");
}

#[test]
fn the_sample_file_works_as_it_is_and_with_all_options_enabled() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = headcount(&folder, SAMPLE, &["--config", "it.toml", "--listen", "127.0.0.1:0"]);
    command.env("DATABASE_URL", "sqlite://sample.db?mode=rwc");
    assert!(serves(command).contains("127.0.0.1"));
    let shown = SAMPLE.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting) if setting.split(' ').nth(1) == Some("=") => setting,
        _ => line,
    });
    let shown: Vec<_> = shown.collect();
    let settings = shown.iter().filter(|line| line.contains(" = ")).count();
    assert!(settings > SAMPLE.lines().filter(|line| !line.starts_with('#') && line.contains(" = ")).count());
    let folder = tempfile::tempdir().unwrap();
    let output = headcount(&folder, &shown.join("\n"), &["schema", "--config", "it.toml"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_binary_says_its_name_and_version() {
    let output = headcount(&tempfile::tempdir().unwrap(), "", &["--version"]).output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("headcount {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn sockets_that_systemd_opened_are_served_on() {
    let folder = tempfile::tempdir().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = Command::new("sh");
    // As systemd does: the first socket is number 3, and the variables are for one process.
    let handed_over = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" --listen systemd";
    server.args(["-c", handed_over, env!("CARGO_BIN_EXE_headcount")]).current_dir(folder.path()).env_clear();
    server.stdin(OwnedFd::from(socket));
    let serving = serves(server);
    assert!(serving.contains(&format!("on http://{address}: ")), "{serving}");
}

#[test]
fn a_host_is_served_on_and_invalid_addresses_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let serving = serves(headcount(&folder, "", &["--listen", "localhost:0"]));
    assert!(serving.contains("on http://127.0.0.1:") || serving.contains("on http://[::1]:"), "{serving}");
    for (listen, said) in [
        ("systemd", "Error: cannot listen on systemd: it has passed no socket to this process"),
        ("8000", "invalid value '8000' for '--listen <ADDRESS:PORT>': use ADDRESS:PORT"),
        (
            "nowhere.invalid:80",
            "Error: cannot listen on nowhere.invalid:80: this host name has no address here",
        ),
    ] {
        let refused = refusal(headcount(&folder, "", &["--listen", listen]));
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn sizes_may_have_units() {
    let folder = tempfile::tempdir().unwrap();
    let mut units =
        headcount(&folder, "body_bytes = \"1MiB\"\nlisten = \"127.0.0.1:0\"", &["--config", "it.toml"]);
    units.env("CACHE_BYTES", "256MB");
    serves(units);
    let mut wrong = headcount(&folder, "", &["--listen", "127.0.0.1:0"]);
    wrong.env("CACHE_BYTES", "256XB");
    let refused = refusal(wrong);
    assert!(
        refused.contains("invalid value '256XB' for '--cache-bytes <BYTES>': use a whole number"),
        "{refused}"
    );
}

#[test]
fn secrets_are_never_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut database = headcount(&folder, "", &[]);
    database.env("RUST_LOG", "trace");
    database.env("DATABASE_URL", "postgres://ann@127.0.0.1:1/x?password=s3cret&passwrd=s3cret");
    let refused = refusal(database);
    assert!(
        refused.contains("cannot open the database postgres://ann@127.0.0.1:1/x?password=…"),
        "{refused}"
    );
    assert!(!refused.contains("s3cret"), "{refused}");

    let mut malformed = headcount(&folder, "", &["consume"]);
    malformed.env("NATS_URL", "nats://ann:s3cret@:x");
    let refused = refusal(malformed);
    assert!(refused.contains("invalid value '…' for '--nats-url <URL>': use nats://HOST:PORT"), "{refused}");
    assert!(refused.contains("environment variable NATS_URL") && !refused.contains("s3cret"), "{refused}");

    let mut away = headcount(&folder, "", &["consume"]);
    away.envs([("RUST_LOG", "trace"), ("NATS_URL", "nats://s3cret@127.0.0.1:1")]);
    let mut consumer = away.stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(consumer.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    // It has tried to connect, and logged it.
    for line in lines {
        said.push(line);
        if said.last().unwrap().contains("NATS failed to answer") {
            break;
        }
    }
    consumer.kill().unwrap();
    consumer.wait().unwrap();
    assert!(said.iter().any(|line| line.contains("async_nats") && line.contains("127.0.0.1")), "{said:#?}");
    assert!(!said.iter().any(|line| line.contains("s3cret")), "{said:#?}");
}
