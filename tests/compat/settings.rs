//! Settings: names, defaults, what values are accepted, error texts, files and arguments.
//!
//! The stock server at hand is 7.0; what 7.2 added is listed here.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use highwater::config::{Client, Config, Source, load, sources};

use crate::peer::{PROGRAM, Stock, installed};
use crate::tree::Tree;

/// Settings that 7.2 added, one of Valkey, and our own.
const NEWER: [&str; 14] = [
    "cluster-announce-human-nodename",
    "locale-collate",
    "rdb-version",
    "set-max-listpack-entries",
    "set-max-listpack-value",
    // Valkey's.
    "cluster-slot-stats-enabled",
    // Ours alone.
    "cluster-fast-election",
    "cluster-primary-guard",
    "cluster-slot-migration-handoff-max-lag-bytes",
    "cluster-slot-migration-log-max-len",
    "cluster-slot-migration-max-bandwidth",
    "cluster-slot-migration-write-pause-timeout",
    "cluster-suspect-refused",
    "repl-backlog-disk-size",
];

/// Ours, as texts.
fn settings(config: &Config) -> BTreeMap<String, String> {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    config.get("*").into_iter().map(|(name, value)| (name, text(value))).collect()
}

/// Sends a request and waits for its reply.
fn call(stock: &mut Stock, words: &[&str]) -> Tree {
    let request = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    Tree::read(&stock.run(&[request])[0])
}

/// Theirs by name, as CONFIG GET gives them.
fn settings_of(stock: &mut Stock, pattern: &str) -> Vec<(String, String)> {
    let reply = call(stock, &["CONFIG", "GET", pattern]);
    let pairs = reply.list().chunks(2);
    pairs.map(|pair| (pair[0].text().to_owned(), pair[1].text().to_owned())).collect()
}

#[test]
fn names_and_defaults_are_those_of_stock() {
    let stock = settings_of(&mut Stock::launch(&[]), "*");
    let stock: BTreeMap<String, String> = stock.into_iter().collect();
    let mut ours = settings(&Config::default());
    ours.retain(|name, _| !NEWER.contains(&name.as_str()));
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&ours), names(&stock));
    for (name, value) in &ours {
        // The first is the test's, the second the folder of the process.
        if !["port", "dir"].contains(&name.as_str()) {
            assert_eq!(value, &stock[name], "{name}");
        }
    }
}

/// Settings whose change has effects beyond the value (sockets, limits, passwords, refusals of another kind).
const NOT_PLAYED: [&str; 13] = [
    "port",
    "bind",
    "dir",
    "requirepass",
    "maxclients",
    "maxmemory",
    "tls-port",
    "tls-cluster",
    "tls-replication",
    "activedefrag",
    "unixsocket",
    "tls-protocols",
    "loglevel",
];

/// Values that are right for some types and wrong for others.
const PLAYED: [&str; 24] = [
    "",
    "-1",
    "zz",
    "0",
    "1",
    "7",
    "05",
    "+3",
    " 5",
    "99999999999999999999",
    "99999999999999",
    "3mb",
    "3k",
    "1.5",
    "11%",
    "200%",
    "yes",
    "NO",
    "no",
    "always",
    "EVERYSEC",
    "60 1",
    "1 2 3",
    "normal 1 2 3",
];

#[test]
fn values_are_accepted_and_refused_as_by_stock() {
    let mut stock = Stock::launch(&["--save", ""]);
    let client = Client { local: true, loading: false };
    let mut names: Vec<String> = settings(&Config::default()).into_keys().collect();
    names.retain(|name| !NEWER.contains(&name.as_str()) && !NOT_PLAYED.contains(&name.as_str()));
    let mut differences = Vec::new();
    let mut config = Config::default();
    for name in &names {
        for value in PLAYED {
            // Stock takes what does not fit for a percentage.
            if name == "maxmemory-clients" && value == "99999999999999999999" {
                continue;
            }
            let theirs = call(&mut stock, &["CONFIG", "SET", name, value]);
            let ours = match config.set(&[(name.clone(), value.as_bytes().to_vec())], client) {
                Ok(_) => Tree::Text("OK".to_owned()),
                Err(error) => Tree::Error(format!("ERR {error}")),
            };
            let (their_value, our_value) = (settings_of(&mut stock, name), config.get(name));
            let our_value = String::from_utf8_lossy(&our_value[0].1).into_owned();
            if ours != theirs || their_value[0].1 != our_value {
                differences.push(format!(
                    "{name} {value:?}: {theirs:?} {their_value:?} | {ours:?} {our_value}"
                ));
            }
        }
    }
    assert!(differences.is_empty(), "stock | ours\n{}", differences.join("\n"));
}

#[test]
fn several_pairs_fail_as_with_stock() {
    let mut stock = Stock::launch(&["--save", ""]);
    let mut check = |words: &[&str]| {
        let mut request = vec!["CONFIG", "SET"];
        request.extend(words);
        let theirs = call(&mut stock, &request);
        let pairs: Vec<(String, Vec<u8>)> =
            words.chunks(2).map(|pair| (pair[0].to_owned(), pair[1].as_bytes().to_vec())).collect();
        let ours = match Config::default().set(&pairs, Client::default()) {
            Ok(_) => Tree::Text("OK".to_owned()),
            Err(error) => Tree::Error(format!("ERR {error}")),
        };
        assert_eq!(ours, theirs, "{words:?}");
    };
    check(&["hz", "10", "HZ", "11"]);
    check(&["hz", "x", "nosuch", "1"]);
    check(&["hz", "x", "logfile", "1"]);
    check(&["logfile", "1", "hz", "x"]);
    check(&["nosuch", "1", "logfile", "1"]);
    check(&["logfile", "1", "nosuch", "1"]);
    check(&["hz", "10", "timeout", "x", "maxmemory-samples", "y"]);
    check(&["dbfilename", "x"]);
    check(&["dir", "/tmp"]);
    check(&["slave-priority", "1", "replica-priority", "2"]);
    check(&["rename-command", "a b"]);
}

/// Lines that stop the start.
const WRONG_LINES: [&str; 29] = [
    "portx 1",
    "port abc",
    "port 1 2",
    "port 70000",
    "hz",
    "save 1",
    "save \"\" \"\"",
    "replicaof a",
    "replicaof a 99999",
    "dir /no/such/folder",
    "unixsocketperm 9",
    "unixsocketperm 1777",
    "maxmemory 5x",
    "client-output-buffer-limit normal 1 2",
    "client-output-buffer-limit foo 1 2 3",
    "logfile \"a",
    "logfile \"a\"b",
    "appendonly maybe",
    "appendfsync sometimes",
    "databases 0",
    "io-threads 200",
    "dbfilename a/b",
    "appendfilename a/b",
    "appenddirname \"\"",
    "maxclients 0",
    "syslog-facility x",
    "supervised x",
    "notify-keyspace-events q",
    "proc-title-template {foo}",
];

#[test]
fn wrong_lines_are_told_as_by_stock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.conf");
    for line in WRONG_LINES {
        fs::write(&path, format!("# first\ntimeout 0\n  {line}\n")).unwrap();
        let output = installed(Command::new(PROGRAM).arg(&path).output());
        let theirs = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = load(Config::default(), &[Source::File(path.clone())]).unwrap_err();
        // The version of stock differs, and ours adds the name of the file.
        let ours = error.to_string().replace("7.2.4", "7.0.15");
        assert!(!theirs.is_empty(), "{line}: stock accepts it");
        assert_eq!(ours.lines().take(5).collect::<Vec<_>>(), theirs.lines().collect::<Vec<_>>());
    }
}

#[test]
fn arguments_join_as_with_stock() {
    let check = |arguments: &[&str]| {
        let mut theirs = Stock::launch(arguments);
        let bytes: Vec<Vec<u8>> = arguments.iter().map(|word| word.as_bytes().to_vec()).collect();
        let ours = load(Config::default(), &sources(&bytes)).unwrap();
        let ours = settings(&ours);
        for (name, value) in settings_of(&mut theirs, "*") {
            if !["port", "dir"].contains(&name.as_str()) {
                assert_eq!(ours[&name], value, "{arguments:?}: {name}");
            }
        }
    };
    check(&["--save", "60", "1", "--save", "30", "2"]);
    check(&["--save", "--timeout", "5"]);
    check(&["--save", "60 1", "--timeout", "5"]);
    check(&["--save 60 1", "--timeout 7", "--hz", "20"]);
    check(&["--proc-title-template", "--{title}", "--timeout", "3"]);
    check(&["--client-output-buffer-limit", "pubsub", "1mb", "2mb", "3", "--TIMEOUT", "9"]);
    check(&["--save", "60", "1", "--save", ""]);
    check(&["--bind", "127.0.0.1", "-::1"]);
    check(&["--masterauth", "a \"b\" \n c"]);
}

#[test]
fn rewritten_file_is_read_alike_by_stock() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.conf");
    let dir = folder.path().display();
    fs::write(&path, format!("# head\ndir {dir}\ntimeout 5\nsave 60 1\nslave-priority 7\n"))
        .unwrap();
    let mut config = load(Config::default(), &[Source::File(path.clone())]).unwrap();
    let pairs = [
        ("timeout", "9"),
        ("maxmemory", "3gb"),
        ("save", "10 3 20 4"),
        ("client-output-buffer-limit", "normal 1mb 2mb 3"),
        ("notify-keyspace-events", "KEA"),
        ("masterauth", "a \"b\" \u{7}"),
        ("latency-tracking-info-percentiles", "50 99.5"),
        ("shutdown-on-sigterm", "nosave now"),
        ("maxmemory-clients", "5%"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    config.set(&pairs, Client::default()).unwrap();
    config.rewrite(&path).unwrap();
    let mut theirs = Stock::launch(&[path.to_str().unwrap()]);
    let ours = settings(&config);
    for (name, value) in settings_of(&mut theirs, "*") {
        if !["port", "dir"].contains(&name.as_str()) {
            assert_eq!(ours[&name], value, "{name}");
        }
    }
}
