//! House rules that a compiler does not know: layers, sizes, lists that have to be complete.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules of the server from left to right: each names itself and what is in a group to its left.
const LAYERS: &[&[&str]] = &[
    &["clock", "random", "alloc", "prefetch", "glob"],
    &["resp"],
    &["config"],
    &["types"],
    &["keyspace"],
    &["replication", "pubsub", "cluster"],
    &["migration"],
    &["state"],
    &["commands"],
    &["node"],
    &["logging"],
    &["net"],
    &["cli"],
];

/// Lines of a file after which it has to say why it is so long, in a line that begins with [`LONG`].
const LINES_MAX: usize = 1200;
const LONG: &str = "//! Long because ";

/// Headings of a version in the changelog.
const CHANGES: &[&str] =
    &["### Added", "### Changed", "### Fixed", "### Removed", "### File formats"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder`, which is relative to the project. Folders that begin with a dot, and build output, are left out.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            let name = entry.file_name().into_string().expect("names are plain");
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn with_extension(folder: &str, extension: &str) -> Vec<PathBuf> {
    let fits = |path: &PathBuf| path.extension().is_some_and(|found| found == extension);
    files(folder).into_iter().filter(fits).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).expect("it is below").display().to_string()
}

/// The code of a source file: no comments, no unit tests behind it.
fn code(path: &Path) -> String {
    let text = read(path);
    let code = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test(path: &Path) -> bool {
    let path = shown(path);
    path.contains("/tests") || path.ends_with("tests.rs")
}

/// The modules that code names behind `crate::`.
fn named_modules(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let list = match rest.strip_prefix('{') {
            Some(rest) => first_names(rest),
            None => vec![word(rest)],
        };
        names.extend(list.into_iter().filter(|name| LAYERS.concat().contains(&name.as_str())));
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// The first names in a list in braces, the opening one left out.
fn first_names(list: &str) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut item) = (0, String::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.push(word(std::mem::take(&mut item).trim())),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                item.push(c);
            }
        }
    }
    names.push(word(item.trim()));
    names
}

#[test]
fn modules_name_only_what_is_to_their_left() {
    let rank = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    let mut wrong = Vec::new();
    for path in with_extension("src", "rs").into_iter().filter(|path| !is_test(path)) {
        let place = shown(&path);
        let module = word(place.trim_start_matches("src/"));
        let Some(own) = rank(&module) else {
            assert!(["main", "lib"].contains(&module.as_str()), "{place} is in no layer");
            continue;
        };
        for name in named_modules(&code(&path)) {
            let left = rank(&name).is_some_and(|other| other < own);
            if name != module && !left {
                wrong.push(format!("{place} names {name}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn lists_in_braces_are_understood() {
    let names = |code: &str| named_modules(code).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names("use crate::resp::{Args, errors};"), "resp");
    assert_eq!(names("use crate::{config::Config, net, REDIS_VERSION};"), "config net");
    assert_eq!(names("crate::{state::{A, B}, node}"), "node state");
}

#[test]
fn persistence_stands_alone() {
    let manifest = read(&root().join("persistence/Cargo.toml"));
    assert!(!manifest.contains("tokio"), "persistence does no asynchronous work");
    for path in with_extension("persistence/src", "rs") {
        let code = code(&path);
        assert!(!code.contains("highwater::") && !code.contains("tokio"), "{}", shown(&path));
    }
}

#[test]
fn only_net_knows_tokio() {
    for path in with_extension("src", "rs") {
        let inside = shown(&path).starts_with("src/net/");
        assert!(inside || !code(&path).contains("tokio::"), "{} names tokio", shown(&path));
    }
}

#[test]
fn long_files_say_why() {
    for path in with_extension("", "rs") {
        let text = read(&path);
        let reason = text.lines().any(|line| line.starts_with(LONG));
        let lines = text.lines().count();
        assert!(lines <= LINES_MAX || reason, "{} has {lines} lines", shown(&path));
    }
}

#[test]
fn sources_are_ascii() {
    for extension in ["rs", "toml", "sh", "md"] {
        for path in with_extension("", extension) {
            let text = read(&path);
            let line = text.lines().position(|line| !line.is_ascii());
            assert_eq!(line.map(|line| line + 1), None, "{}", shown(&path));
        }
    }
}

#[test]
fn every_command_is_listed() {
    let table =
        code(&root().join("src/commands/table.rs")) + &code(&root().join("src/commands/mod.rs"));
    let paths: Vec<PathBuf> =
        with_extension("src/commands", "rs").into_iter().filter(|path| !is_test(path)).collect();
    let all: String = paths.iter().map(|path| code(path)).collect();
    let words: Vec<&str> = all.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect();
    let mut declared = 0;
    for path in paths {
        let code = code(&path);
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("names are plain");
        for rest in code.split("const ").skip(1) {
            let name = word(rest);
            if rest[name.len()..].starts_with(": Command =") {
                declared += 1;
                let uses = words.iter().filter(|other| **other == name).count();
                assert!(uses > 1, "{}: {name} is in no list", shown(&path));
            }
        }
        if code.contains("const COMMANDS: &[Command]") {
            assert!(table.contains(&format!("{stem}::COMMANDS")), "{stem} is not in the table");
        }
    }
    assert!(declared > 50, "only {declared} declarations were found");
}

#[test]
fn changelog_has_its_form() {
    let text = read(&root().join("CHANGELOG.md"));
    assert!(text.starts_with("# Changelog\n"));
    let mut versions = 0;
    for (index, line) in text.lines().enumerate() {
        let at = index + 1;
        assert!(line.len() <= 120, "line {at} is too long");
        if let Some(version) = line.strip_prefix("## ") {
            versions += 1;
            let number = version.split(' ').next().unwrap_or_default();
            let parts: Vec<_> = number.split('.').map(str::parse::<u32>).collect();
            assert!(parts.len() == 3 && parts.iter().all(Result::is_ok), "line {at}: {version}");
        } else if line.starts_with('#') && at > 1 {
            assert!(CHANGES.contains(&line), "line {at}: {line}");
        } else if versions > 0 {
            let form = line.is_empty() || line.starts_with("* ") || line.starts_with("  ");
            assert!(form, "line {at} is no entry: {line}");
        }
    }
    assert!(text.contains(&format!("## {}", env!("CARGO_PKG_VERSION"))), "this version is missing");
}

#[test]
fn fixtures_are_explained() {
    let top = root().join("fixtures");
    for path in files("fixtures") {
        let explained = path
            .ancestors()
            .skip(1)
            .take_while(|folder| *folder != top)
            .any(|folder| folder.join("README.md").is_file());
        let script = path.extension().is_some_and(|extension| extension == "sh");
        assert!(explained || script, "{} has no README.md", shown(&path));
    }
}

#[test]
fn nothing_belongs_to_one_machine() {
    // In two pieces each, since this file is looked at, too.
    let words = [
        concat!("/", "work/"),
        concat!("/tmp/", "hw"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("crates", ".io"),
        concat!("docs", ".rs/"),
        concat!("proxy.gol", "ang"),
    ];
    let extensions = ["rs", "md", "toml", "sh", "txt", "conf", "yml"];
    for path in files("").into_iter().chain(files("scripts")).chain(files(".ci")) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let known = path.extension().and_then(|extension| extension.to_str());
        if known.is_some_and(|extension| !extensions.contains(&extension))
            || [".git", "Cargo.lock"].contains(&name)
        {
            continue;
        }
        let text = String::from_utf8_lossy(&fs::read(&path).expect("a file")).into_owned();
        for word in words {
            assert!(!text.contains(word), "{} names {word}", shown(&path));
        }
    }
}
