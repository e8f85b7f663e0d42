//! The modules of `src` stand on each other in one order, and no two of them depend on each other.
//!
//! Read from the paths that begin with `crate` or `super` in the files, their tests aside.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules at the top, from the lowest to the highest. A module uses only those before it.
const ORDER: [&str; 26] = [
    "clock",
    "ids",
    "config",
    "limits",
    "readiness",
    "tasks",
    "telemetry",
    "listed",
    "floor_plan",
    "database",
    "timelines",
    "state",
    "coherence",
    "health",
    "ingest",
    "gateway",
    "counts",
    "feed",
    "retention",
    "verify",
    "auth",
    "broker",
    "mqtt",
    "app",
    "http",
    "commands",
];

/// Modules whose parts may depend on each other: the types of a GraphQL schema do.
const FREE: [&str; 1] = ["http/graphql/schema"];

/// A module, by the names from the top.
type Module = Vec<String>;

/// The uses of a module: what it uses, and the file in which it does so.
type Uses = BTreeSet<(Module, PathBuf)>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The module that a file holds.
fn module(file: &Path) -> Module {
    let relative = file.strip_prefix(source()).unwrap().with_extension("");
    let names = relative.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| !matches!(name.as_str(), "mod" | "lib" | "main")).collect()
}

/// The code of a file without its tests and its comments.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths in a code that begin with `crate` or `super`, each as the names of a module. `{` ends a path, so that
/// `crate::{a, b}` is found as `crate`; rustfmt writes such a use only where both are single names, and a test refuses it.
fn paths(code: &str, own: &[String]) -> Vec<Module> {
    let mut found = Vec::new();
    for (place, _) in code.match_indices("crate::").chain(code.match_indices("super::")) {
        let before = code[..place].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || matches!(before, '_' | ':')) {
            continue;
        }
        let end = code[place..].find(|next: char| !next.is_alphanumeric() && !matches!(next, '_' | ':'));
        let path = &code[place..place + end.unwrap_or(code.len() - place)];
        let mut names = path.split("::").filter(|name| !name.is_empty()).peekable();
        let mut at = own.to_vec();
        while let Some(name) = names.next_if(|name| matches!(*name, "crate" | "super")) {
            if name == "crate" {
                at.clear();
            } else {
                at.pop();
            }
        }
        at.extend(names.map(str::to_owned));
        found.push(at);
    }
    found
}

/// The longest beginning of a path that is a module.
fn known(path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    (1..=path.len()).rev().map(|length| path[..length].to_vec()).find(|module| modules.contains(module))
}

/// What each module uses of the others.
fn uses() -> BTreeMap<Module, Uses> {
    let files: Vec<_> = files(&source()).into_iter().filter(|file| !is_test(file)).collect();
    let modules: BTreeSet<Module> =
        files.iter().map(|file| module(file)).filter(|own| !own.is_empty()).collect();
    let mut uses: BTreeMap<Module, Uses> = BTreeMap::new();
    for file in files {
        let own = module(&file);
        let found = paths(&code(&fs::read_to_string(&file).unwrap()), &own);
        let others =
            found.into_iter().filter_map(|path| known(&path, &modules)).filter(|other| *other != own);
        let others: Uses = others.map(|other| (other, file.clone())).collect();
        uses.entry(own).or_default().extend(others);
    }
    uses
}

/// Whether a file is compiled for tests alone.
fn is_test(file: &Path) -> bool {
    ["properties", "oracle", "fuzz"].iter().any(|name| file.file_stem().unwrap() == *name)
}

#[test]
fn modules_at_the_top_use_only_those_before_them() {
    let uses = uses();
    let found: BTreeSet<&str> = uses.keys().filter_map(|own| own.first()).map(String::as_str).collect();
    assert_eq!(found, BTreeSet::from(ORDER), "a new module takes its place in ORDER");
    let place = |name: &str| ORDER.iter().position(|known| *known == name).unwrap();
    for (own, used) in uses.iter().filter(|(own, _)| !own.is_empty()) {
        for (used, file) in used {
            assert!(
                place(&used[0]) <= place(&own[0]),
                "{} uses {}, which stands above {}",
                file.display(),
                used.join("::"),
                own[0]
            );
        }
    }
}

#[test]
fn no_two_parts_of_a_module_depend_on_each_other() {
    let uses = uses();
    let folders: BTreeSet<Module> =
        uses.keys().filter(|own| own.len() > 1).map(|own| own[..own.len() - 1].to_vec()).collect();
    let mut circles = Vec::new();
    for folder in folders.iter().filter(|folder| !FREE.contains(&folder.join("/").as_str())) {
        let depth = folder.len();
        // Between the parts of this folder, whatever lies deeper being of the part that it lies in.
        let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (own, used) in uses.iter().filter(|(own, _)| own.len() > depth && own.starts_with(folder)) {
            let inside = used.iter().filter(|(path, _)| path.len() > depth && path.starts_with(folder));
            let others = inside.map(|(path, _)| path[depth].as_str()).filter(|other| *other != own[depth]);
            edges.entry(&own[depth]).or_default().extend(others);
        }
        // Takes away what uses nothing that is left, until only circles and what uses them are left.
        while let Some(lowest) = edges.iter().find(|(_, used)| used.is_empty()).map(|(part, _)| *part) {
            edges.remove(lowest);
            for used in edges.values_mut() {
                used.remove(lowest);
            }
        }
        if !edges.is_empty() {
            circles.push(format!("{}: {edges:?}", folder.join("/")));
        }
    }
    assert!(circles.is_empty(), "parts depend on each other, or on such: {circles:#?}");
}

#[test]
fn a_use_names_one_module() {
    for file in files(&source()) {
        let text = fs::read_to_string(&file).unwrap();
        for grouped in ["use crate::{", "use super::{self", "use super::super"] {
            assert!(!code(&text).contains(grouped), "{}: {grouped}", file.display());
        }
    }
}
