//! `highwater log replay`: a log played to a server leaves there what the log holds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::peer::{Stock, bulk, words};
use crate::server::{Server, wait_for};

/// Values of every type and encoding, expiries and databases; then, behind the rewrite, a log that goes on with them.
const FIRST: &str = "SET a 1\nSET \"bin\\x00\\xff\" \"\\r\\n\"\nSET volatile x PXAT 4102444800000\nSET short y PX 1\n\
    RPUSH list a b c 1 2 3\nSADD ints 1 2 3\nSADD words a b c\nHSET hash f v g w\nZADD zset 1.5 m -2 n 0.1 o\n\
    XADD stream 1-1 f v\nXADD stream 1-2 f v g w\nXADD stream 2-0 f v\nXDEL stream 1-2\nXGROUP CREATE stream group 0\n\
    XREADGROUP GROUP group one COUNT 1 STREAMS stream >\nXADD hollow 5-5 f v\nXDEL hollow 5-5\nPFADD hll a b c\n\
    FUNCTION LOAD \"#!lua name=lib\\nredis.register_function('f', function() return 1 end)\"\n\
    SELECT 3\nSET b 2\nRPUSH far x\nPEXPIREAT far 4102444800000\nSELECT 0\nDEBUG POPULATE 1000 many 20\n\
    EVAL \"for i = 1, 2000 do redis.call('ZADD', 'long', i / 3, i) redis.call('HSET', 'wide', i, i) end\" 0";
const THEN: &str = "RPUSH list d\nSELECT 3\nDEL b\nMULTI\nSET c 1\nSET d 2\nEXEC\nSELECT 0\nXADD stream 9-9 f v\nINCR a";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/log").join(name)
}

/// Plays `log` to a server. Whether the tool is content, and what it said.
fn replay(log: &Path, port: u16, options: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.args(["log", "replay", "--quiet", "--to", &format!("127.0.0.1:{port}")]);
    let output = command.args(options).arg(log).stderr(Stdio::piped()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn play(stock: &mut Stock, lines: &str) {
    let requests: Vec<_> = lines.lines().map(words).collect();
    for (request, reply) in lines.lines().zip(stock.run(&requests)) {
        assert_ne!(reply[0], b'-', "{request}: {}", reply.escape_ascii());
    }
}

fn ask(stock: &mut Stock, line: &str) -> String {
    stock.run(&[words(line)]).remove(0).escape_ascii().to_string()
}

fn rewrite(stock: &mut Stock) {
    play(stock, "BGREWRITEAOF");
    wait_for("the end of the rewrite", || {
        let info = ask(stock, "INFO persistence");
        let done = info.contains("aof_rewrite_in_progress:0\\r")
            && info.contains("aof_rewrite_scheduled:0\\r");
        (done && info.contains("aof_last_bgrewrite_status:ok")).then_some(())
    });
}

/// A stock server whose log has a base and goes on behind it.
fn with_log(settings: &[&str]) -> Stock {
    // With everysec stock may answer before it has written, while a sync runs.
    let log = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut stock = Stock::start(&[&log[..], settings].concat());
    play(&mut stock, FIRST);
    rewrite(&mut stock);
    play(&mut stock, THEN);
    stock
}

#[test]
fn a_log_is_played_to_a_server() {
    let mut stock = Stock::start(&[]);
    let rate = ["--rate", "10000"];
    let (good, said) = replay(&fixture("stock_resp_base"), stock.port, &rate);
    assert!(good && said.ends_with("commands, 0 errors\n"), "{said}");
    assert_eq!(stock.run(&[words("SELECT 3"), words("GET d")])[1], b"$1\r\n2\r\n");
    assert_eq!(stock.run(&[words("SELECT 0"), words("GET after")])[1], b"$7\r\nrewrite\r\n");
    play(&mut stock, "FLUSHALL\nSET list \"not a list\"");
    let (good, said) = replay(&fixture("stock_timestamps"), stock.port, &rate);
    assert!(!good && said.contains("commands, 1 errors\n"), "errors are counted: {said}");
}

#[test]
fn a_server_holds_what_the_base_and_the_log_hold() {
    for settings in
        [&[][..], &["--aof-use-rdb-preamble", "no"], &["--maxmemory-policy", "allkeys-lfu"]]
    {
        let mut source = with_log(settings);
        let mut target = Stock::start(settings);
        // What is there already is replaced, not added to.
        play(&mut target, "RPUSH list old\nSET hash old");
        let (good, said) = replay(source.folder.path(), target.port, &[]);
        if settings.contains(&"no") {
            // Commands add to what is there: to a list of the same name, and not to a hash that is a string.
            assert!(!good && said.contains("WRONGTYPE"), "{said}");
            play(&mut target, "FLUSHALL\nFUNCTION FLUSH");
            assert!(replay(source.folder.path(), target.port, &["--pipeline", "1"]).0);
        } else {
            assert!(good && said.ends_with("commands, 0 errors\n"), "{said}");
        }
        // Commands do not say when a consumer was seen; a snapshot does.
        let stream = if settings.contains(&"no") {
            "XPENDING stream group"
        } else {
            "XINFO STREAM stream FULL"
        };
        for question in ["DEBUG DIGEST", "FUNCTION LIST", "DBSIZE", stream] {
            assert_eq!(ask(&mut target, question), ask(&mut source, question), "{question}");
        }
    }
}

#[test]
fn a_base_can_be_left_out() {
    let source = with_log(&[]);
    let mut target = Stock::start(&[]);
    let (good, said) = replay(source.folder.path(), target.port, &["--no-base"]);
    assert!(good && said.ends_with("commands, 0 errors\n"), "{said}");
    assert_eq!(ask(&mut target, "LRANGE list 0 -1"), "*1\\r\\n$1\\r\\nd\\r\\n");
    assert_eq!(ask(&mut target, "EXISTS words hash zset"), ":0\\r\\n");
}

#[test]
fn our_own_server_takes_a_base_too() {
    let mut source = Stock::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    play(&mut source, "RPUSH list a b c\nHSET hash f v\nXADD stream 1-1 f v\nSET s v");
    rewrite(&mut source);
    let folder = tempfile::tempdir().unwrap();
    let target = Server::start(folder.path(), &["--enable-debug-command", "yes"]);
    let (good, said) = replay(source.folder.path(), target.port, &[]);
    assert!(good, "{said}");
    for key in ["list", "hash", "stream", "s"] {
        let line = words(&format!("DUMP {key}"));
        let expected = source.run(std::slice::from_ref(&line)).remove(0);
        let found = target.client().run(&[line]).remove(0);
        assert_eq!(bulk(&found), bulk(&expected), "{key}");
    }
}
