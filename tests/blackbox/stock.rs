//! Files in both directions: what we write, stock programs approve and load; what they write, we load. All fixtures too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::judge::{Judge, copy_of, stock_on};
use crate::peer::{Client, Stock, bulk, words};
use crate::server::{Server, free_port, wait_for};

/// Commands over two databases.
const FIRST: &str = "SET a 1\nSETEX volatile 100000 x\nPEXPIREAT a 4102444800000\nSET \"bin\\x00\\xff\" \"\\r\\n\"\n\
    SELECT 3\nSET b 2\nMULTI\nINCR n\nAPPEND b tail\nEXEC\nSELECT 0\nSETRANGE far 50 x\nINCRBYFLOAT f 0.1";

/// What follows after a rewrite.
const THEN: &str = "SET after rewrite\nSELECT 3\nDEL b\nMULTI\nSET c 1\nSET d 2\nEXEC\nSELECT 0\n\
    RENAME volatile renamed\nPERSIST a\nPEXPIREAT after 4102444800000";

/// Values of the other types.
const COLLECTIONS: &str = "RPUSH list a b c 1 2 3\nSADD ints 1 2 3\nSADD words a b c\nHSET hash f v g w\n\
    ZADD zset 1.5 m -2 n 0.1 o\nXADD stream 1-1 f v";

fn play(client: &mut Client, lines: &str) {
    let requests: Vec<_> = lines.lines().map(words).collect();
    for (request, reply) in lines.lines().zip(client.run(&requests)) {
        assert_ne!(reply[0], b'-', "{request}: {}", reply.escape_ascii());
    }
}

/// Payloads of the collections, by key, as the stock server makes them.
fn collections(judge: &mut Judge) -> Vec<(Vec<u8>, Vec<u8>)> {
    play(&mut judge.0.client, COLLECTIONS);
    let dump = |key: Vec<u8>, judge: &mut Judge| {
        let reply = judge.0.run(&[vec![b"DUMP".to_vec(), key.clone()]]);
        (key, bulk(&reply[0]).to_vec())
    };
    COLLECTIONS.lines().map(|line| dump(words(line).remove(1), judge)).collect()
}

fn debug_settings() -> [&'static str; 2] {
    ["--enable-debug-command", "yes"]
}

fn ours(folder: &Path, settings: &[&str]) -> Server {
    let mut all = debug_settings().to_vec();
    all.extend(settings);
    Server::start(folder, &all)
}

/// Runs a program of stock that has to approve of `path`.
fn approve(program: &str, path: &Path) {
    let output = Command::new(program).arg(path).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; run scripts/test"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{program} {}:\n{said}", path.display());
}

fn rewrite(client: &mut Client) {
    let before = field(client, "aof_rewrites:");
    play(client, "BGREWRITEAOF");
    wait_for("the rewrite", || {
        let done = field(client, "aof_rewrites:") != before;
        (done && field(client, "aof_rewrite_in_progress:") == "0").then_some(())
    });
    assert_eq!(field(client, "aof_last_bgrewrite_status:"), "ok");
}

fn field(client: &mut Client, name: &str) -> String {
    let info = client.run(&[words("INFO persistence")]).remove(0);
    let info = String::from_utf8(bulk(&info).to_vec()).unwrap();
    info.lines().find_map(|line| line.strip_prefix(name)).expect("the field").to_owned()
}

#[test]
fn stock_loads_and_approves_what_we_write() {
    let mut judge = Judge::start();
    let collections = collections(&mut judge);
    for preamble in ["yes", "no"] {
        let folder = tempfile::tempdir().unwrap();
        let mut server = ours(folder.path(), &["--aof-use-rdb-preamble", preamble]);
        let mut client = server.client();
        play(&mut client, FIRST);
        if preamble == "yes" {
            for (key, payload) in &collections {
                let restore = [b"RESTORE".as_slice(), key, b"0", payload].map(<[u8]>::to_vec);
                assert_eq!(client.run(&[restore.to_vec()]), [b"+OK\r\n"]);
            }
        }
        rewrite(&mut client);
        play(&mut client, THEN);
        assert_eq!(server.ask("SAVE"), "+OK\r\n");
        let expected = judge.contents(&mut client);
        assert!(expected.len() > 8, "{expected:#?}");
        server.kill();

        approve("redis-check-rdb", &folder.path().join("dump.rdb"));
        approve("redis-check-aof", &folder.path().join("appendonlydir/appendonly.aof.manifest"));
        for appendonly in ["yes", "no"] {
            let mut stock = stock_on(folder.path(), &["--appendonly", appendonly]);
            let found = judge.contents(&mut stock.client);
            assert_eq!(found, expected, "preamble {preamble}, appendonly {appendonly}");
        }
        // Ourselves, too.
        for appendonly in ["yes", "no"] {
            let server = ours(folder.path(), &["--appendonly", appendonly]);
            let found = judge.contents(&mut server.client());
            assert_eq!(found, expected, "{preamble} {appendonly}");
        }
    }
}

#[test]
fn stock_approves_of_a_log_after_kills_under_load() {
    let mut judge = Judge::start();
    let folder = tempfile::tempdir().unwrap();
    for round in 0..6 {
        let policy = if round % 2 == 0 { "no" } else { "always" };
        let mut server = ours(folder.path(), &["--appendfsync", policy]);
        let port = server.port;
        std::thread::scope(|scope| {
            for number in 0..3 {
                scope.spawn(move || {
                    let mut client = Client::connect(port).expect("it listens");
                    let value = "v".repeat(3_000);
                    for count in 0.. {
                        let set = format!("MULTI\r\nSET k{number} {count}{value}\r\nEXEC\r\n");
                        if client.send(set.as_bytes()).is_err()
                            || (0..3).any(|_| client.reply().is_err())
                        {
                            return;
                        }
                    }
                });
            }
            std::thread::sleep(std::time::Duration::from_millis(60 + 20 * round));
            server.kill();
        });
        assert_eq!(has_room(folder.path()), policy == "always", "{policy}");
        let mut stock = stock_on(folder.path(), &["--appendonly", "yes"]);
        let found = judge.contents(&mut stock.client);
        approve("redis-check-aof", &folder.path().join("appendonlydir/appendonly.aof.manifest"));
        let server = ours(folder.path(), &[]);
        assert_eq!(judge.contents(&mut server.client()), found);
    }
}

/// Whether a file of the log in `folder` is longer than the log.
fn has_room(folder: &Path) -> bool {
    let files = listing(folder).into_iter();
    let mut incrs = files.filter(|(name, _)| name.to_string_lossy().ends_with(".incr.aof"));
    incrs.any(|(_, bytes)| bytes.windows(8).any(|window| window == b"#hw-room"))
}

#[test]
fn room_made_ahead_is_gone_after_an_orderly_stop_and_a_rewrite() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = ours(folder.path(), &["--appendfsync", "always"]);
    assert_eq!(server.ask("SET a 1"), "+OK\r\n");
    assert!(has_room(folder.path()), "a write that waits for a sync makes room");
    let size = server.info("aof_current_size").parse::<u64>().unwrap();
    assert!(size < 1000, "room does not count as log: {size}");
    server.kill();
    // The next start cuts it off, and what follows makes no new one.
    let mut server = ours(folder.path(), &["--appendfsync", "everysec"]);
    assert_eq!(server.ask("SET b 2"), "+OK\r\n");
    assert!(!has_room(folder.path()));
    assert_eq!(server.ask("CONFIG SET appendfsync always"), "+OK\r\n");
    assert_eq!(server.ask("SET c 3"), "+OK\r\n");
    assert!(has_room(folder.path()));
    rewrite(&mut server.client());
    assert!(!has_room(folder.path()), "the file before the switch is history");
    assert_eq!(server.ask("SET d 4"), "+OK\r\n");
    assert!(has_room(folder.path()));
    assert!(server.terminate().success());
    assert!(!has_room(folder.path()), "an orderly stop");
    let server = ours(folder.path(), &[]);
    assert!(server.said().contains("after an orderly stop"), "{}", server.said());
    assert_eq!(server.ask("DBSIZE"), ":4\r\n");
}

#[test]
fn we_load_what_stock_writes() {
    let mut judge = Judge::start();
    for preamble in ["yes", "no"] {
        let settings = ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble];
        let mut stock = Stock::start(&settings);
        play(&mut stock.client, FIRST);
        if preamble == "yes" {
            play(&mut stock.client, COLLECTIONS);
        }
        rewrite(&mut stock.client);
        play(&mut stock.client, THEN);
        play(&mut stock.client, "SAVE");
        let expected = judge.contents(&mut stock.client);
        let folder = copy_of(stock.folder.path());
        for appendonly in ["no", "yes"] {
            let server = ours(folder.path(), &["--appendonly", appendonly]);
            assert_eq!(judge.contents(&mut server.client()), expected, "{preamble} {appendonly}");
        }
        // Continued by us, the log is still one for stock.
        let mut server = ours(folder.path(), &[]);
        assert_eq!(server.ask("SET more x"), "+OK\r\n");
        let expected = judge.contents(&mut server.client());
        server.kill();
        let mut again = stock_on(folder.path(), &["--appendonly", "yes"]);
        assert_eq!(judge.contents(&mut again.client), expected);
    }
}

/// The folders, or files, of a kind of fixture.
fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Whether the server knows the command that it complains about.
fn knows_what_it_refuses(said: &str) -> bool {
    let name = said.split("Unknown command '").nth(1).and_then(|rest| rest.split('\'').next());
    let name = name.unwrap_or_else(|| panic!("it refuses for another reason:\n{said}"));
    let folder = tempfile::tempdir().unwrap();
    let about = Server::start(folder.path(), &[]).ask(&format!("COMMAND INFO {name}"));
    !about.ends_with("-1\r\n")
}

#[test]
fn logs_of_the_fixtures_load_as_in_stock() {
    let mut judge = Judge::start();
    let folders = fixtures("log").into_iter().filter(|path| path.is_dir());
    let mut seen = 0;
    for fixture in folders {
        let mut stock = stock_on(&fixture, &["--appendonly", "yes"]);
        let expected = judge.contents(&mut stock.client);
        let folder = copy_of(&fixture);
        let port = free_port();
        let mut server = Server::spawn(folder.path(), port, &debug_settings());
        if !server.answers() {
            // A command that this version does not have is never passed over: the start is refused.
            assert!(!knows_what_it_refuses(&server.said()), "{}", fixture.display());
            let (before, after) = (listing(&fixture), listing(folder.path()));
            assert_eq!(before, after, "nothing is changed on disk");
            continue;
        }
        assert_eq!(judge.contents(&mut server.client()), expected, "{}", fixture.display());
        if fixture.ends_with("tail_cut") {
            assert!(server.said().contains("dropping"), "{}", server.said());
        }
        // They go on as logs of ours.
        assert_eq!(server.ask("SET more x"), "+OK\r\n");
        let expected = judge.contents(&mut server.client());
        server.kill();
        let server = ours(folder.path(), &[]);
        assert_eq!(judge.contents(&mut server.client()), expected, "{}", fixture.display());
        seen += 1;
    }
    assert!(seen >= 2, "only {seen} fixtures loaded");
}

/// The files below a folder, with their contents.
fn listing(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for name in ["appendonly.aof", "appendonlydir"] {
        let path = folder.join(name);
        if path.is_file() {
            found.push((name.into(), fs::read(path).unwrap()));
        } else if path.is_dir() {
            for entry in fs::read_dir(path).unwrap().map(Result::unwrap) {
                found.push((entry.file_name().into(), fs::read(entry.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn snapshots_of_the_fixtures_load_as_in_stock() {
    let mut judge = Judge::start();
    let mut seen = 0;
    for fixture in fixtures("snapshot") {
        if fixture.extension().is_none_or(|extension| extension != "rdb") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        fs::copy(&fixture, folder.path().join("dump.rdb")).unwrap();
        let mut stock = stock_on(folder.path(), &[]);
        let expected = judge.contents(&mut stock.client);
        let server = ours(folder.path(), &["--appendonly", "no"]);
        assert_eq!(judge.contents(&mut server.client()), expected, "{}", fixture.display());
        assert_eq!(server.ask("SAVE"), "+OK\r\n");
        approve("redis-check-rdb", &folder.path().join("dump.rdb"));
        let mut stock = stock_on(folder.path(), &[]);
        assert_eq!(
            judge.contents(&mut stock.client),
            expected,
            "{} written by us",
            fixture.display()
        );
        seen += 1;
    }
    assert!(seen >= 7);
}
