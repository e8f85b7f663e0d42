//! Builds the pages of `web/` with npm, which the binary embeds. Without Node.js the server is built without them.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

/// Minimum version of Node.js for Vite: major and minor.
const NODE: (u32, u32) = (20, 19);

/// Sources of the pages in `web/`, without the files that the build writes there.
const SOURCES: [&str; 9] = [
    "generate.js",
    "graphiql.html",
    "index.html",
    "package-lock.json",
    "package.json",
    "precompress.ts",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed=../web/{source}");
    }
    println!("cargo::rerun-if-changed=../schema.graphql");
    println!("cargo::rerun-if-env-changed=HEADCOUNT_PAGES");
    let pages = env::var("OUT_DIR").unwrap_or_default() + "/pages";
    let wanted = env::var("HEADCOUNT_PAGES").map_or(true, |wanted| wanted != "none");
    let made = if wanted {
        make(Path::new("../web"), &pages)
    } else {
        Err("HEADCOUNT_PAGES=none leaves them out".to_owned())
    };
    if let Err(reason) = made {
        println!("cargo::warning=the server is built without its pages: {}", reason.replace('\n', " "));
        // The binary then embeds an empty folder.
        let _ = fs::remove_dir_all(&pages);
        let _ = fs::create_dir_all(&pages);
    }
}

fn make(web: &Path, pages: &str) -> Result<(), String> {
    let version = run(web, "node", &["--version"])?;
    let mut numbers = version.trim().trim_start_matches('v').split('.').map_while(|part| part.parse().ok());
    if (numbers.next(), numbers.next()) < (Some(NODE.0), Some(NODE.1)) {
        return Err(format!("Node.js {} is too old: {}.{} is needed", version.trim(), NODE.0, NODE.1));
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let changed = |file: &str| fs::metadata(web.join(file)).and_then(|file| file.modified()).ok();
    if changed("node_modules/.package-lock.json") < changed("package-lock.json") {
        run(web, npm, &["ci", "--include=dev", "--ignore-scripts", "--no-audit", "--no-fund"])?;
    }
    run(web, npm, &["run", "build", "--", "--outDir", pages, "--emptyOutDir"]).map(|_| ())
}

/// Runs a command, and returns what it printed.
fn run(directory: &Path, command: &str, arguments: &[&str]) -> Result<String, String> {
    let name = format!("{command} {}", arguments.first().unwrap_or(&""));
    let output = Command::new(command).args(arguments).current_dir(directory).output();
    let output = output.map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr)))
}
