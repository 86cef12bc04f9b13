//! Transcripts of the generic family: replies and the log.

use highwater_persistence::snapshot::EncoderOptions;

use crate::keyspace::ExpireMode;
use crate::node::tests::Bench;
use crate::types::convert::dump_string;

/// Runs `setup` with nothing recorded, then `lines`, and compares replies and log.
fn check(setup: &str, lines: &str, replies: &str, log: &str) {
    let mut bench = Bench::new();
    bench.run(setup);
    bench.log();
    assert_eq!(bench.run(lines), replies, "replies to {lines}");
    assert_eq!(bench.log(), log, "log of {lines}");
}

/// As [`check`], for lines that leave nothing in the log.
fn check_quiet(setup: &str, lines: &str, replies: &str) {
    check(setup, lines, replies, "");
}

/// The bench's clock, in milliseconds since 1970.
const NOW_MS: u64 = 1_000_000_000;

#[test]
fn del_and_unlink_count_what_was_there() {
    check("set a 1\nset b 1", "del a x a b", ":2\r\n", "del a x a b");
    check("set a 1", "UNLINK a", ":1\r\n", "UNLINK a");
    check_quiet("", "del x", ":0\r\n");
    check_quiet("", "del", "-ERR wrong number of arguments for 'del' command\r\n");
}

#[test]
fn an_expired_key_is_deleted_before_the_command_that_meets_it() {
    let mut bench = Bench::new();
    bench.run("set a 1\npexpire a 10\nset b 1");
    bench.clock.advance_ms(11);
    bench.log();
    assert_eq!(bench.run("del a b"), ":1\r\n");
    assert_eq!(bench.log(), "MULTI\nDEL a\ndel a b\nEXEC");
    bench.run("set a 1\npexpire a 10");
    bench.clock.advance_ms(11);
    bench.log();
    assert_eq!(bench.run("exists a\nttl a\ntype a\npersist a"), ":0\r\n:-2\r\n+none\r\n:0\r\n");
    assert_eq!(bench.log(), "DEL a");
}

#[test]
fn a_key_lives_through_its_last_millisecond() {
    let mut bench = Bench::new();
    bench.run("set a 1\npexpire a 10");
    bench.clock.advance_ms(10);
    assert_eq!(bench.run("exists a\npttl a"), ":1\r\n:0\r\n");
    bench.clock.advance_ms(1);
    assert_eq!(bench.run("exists a\npttl a"), ":0\r\n:-2\r\n");
}

#[test]
fn exists_touch_type_and_dbsize() {
    check_quiet(
        "set a 1",
        "exists a a x\ntouch a x\ntype a\ntype x\ndbsize",
        ":2\r\n:1\r\n+string\r\n+none\r\n:1\r\n",
    );
    check_quiet("", "randomkey\ndbsize", "$-1\r\n:0\r\n");
    check_quiet("set a 1", "randomkey", "$1\r\na\r\n");
}

#[test]
fn rename_moves_value_and_expiry() {
    check(
        "set a 1\nset b 2\npexpire a 1000",
        "rename a b\npttl b\nexists a",
        "+OK\r\n:1000\r\n:0\r\n",
        "rename a b",
    );
    check_quiet("set a 1", "rename a a\nrenamenx a a", "+OK\r\n:0\r\n");
    check_quiet("", "rename a b\nrenamenx a b", "-ERR no such key\r\n-ERR no such key\r\n");
    check("set a 1\nset b 2", "renamenx a b\nrenamenx a c", ":0\r\n:1\r\n", "renamenx a c");
}

#[test]
fn rename_counts_as_one_change() {
    let mut bench = Bench::new();
    bench.run("set a 1\nset b 2");
    let before = bench.node.state.persistence.dirty;
    bench.run("rename a b\ncopy b c\ncopy b c replace\nmove c 3\nrename b b");
    assert_eq!(bench.node.state.persistence.dirty, before + 4);
}

#[test]
fn copy_keeps_the_source_and_takes_expiry_along() {
    check(
        "set a 1\npexpire a 1000",
        "copy a b\nget b\npttl b\nget a",
        ":1\r\n$1\r\n1\r\n:1000\r\n$1\r\n1\r\n",
        "copy a b",
    );
    check_quiet("set a 1\nset b 2", "copy a b\ncopy x b replace", ":0\r\n:0\r\n");
    check("set a 1\nset b 2", "copy a b replace", ":1\r\n", "copy a b replace");
    check("set a 1", "copy a a db 3\nselect 3\nget a", ":1\r\n+OK\r\n$1\r\n1\r\n", "copy a a db 3");
    check_quiet("set a 1", "copy a a", "-ERR source and destination objects are the same\r\n");
    check_quiet("", "copy a b db 16", "-ERR DB index is out of range\r\n");
    check_quiet("", "copy a b db", "-ERR syntax error\r\n");
}

#[test]
fn move_takes_a_key_to_another_database() {
    check(
        "set a 1",
        "move a 1\nmove a 1\nselect 1\nget a",
        ":1\r\n:0\r\n+OK\r\n$1\r\n1\r\n",
        "move a 1",
    );
    check_quiet("select 1\nset a 2\nselect 0\nset a 1", "move a 1", ":0\r\n");
    check_quiet("", "move a 0", "-ERR source and destination objects are the same\r\n");
}

#[test]
fn swapdb_exchanges_databases() {
    check(
        "set a 1",
        "swapdb 0 5\ndbsize\nselect 5\ndbsize",
        "+OK\r\n:0\r\n+OK\r\n:1\r\n",
        "swapdb 0 5",
    );
    check_quiet(
        "",
        "swapdb x 1\nswapdb 1 x\nswapdb 0 16",
        "-ERR invalid first DB index\r\n-ERR invalid second DB index\r\n-ERR DB index is out of range\r\n",
    );
    check("", "swapdb 3 3", "+OK\r\n", "SELECT 0\nswapdb 3 3");
}

#[test]
fn flushing_is_always_logged() {
    check("", "flushall\nflushdb async", "+OK\r\n+OK\r\n", "SELECT 0\nflushall\nflushdb async");
    check(
        "set a 1\nselect 3\nset b 1",
        "flushdb\ndbsize\nselect 0\ndbsize",
        "+OK\r\n:0\r\n+OK\r\n:1\r\n",
        "flushdb",
    );
    check_quiet(
        "",
        "flushall now\nflushdb sync async",
        "-ERR syntax error\r\n-ERR syntax error\r\n",
    );
}

#[test]
fn flushall_with_save_points_saves_and_counts_anew() {
    let mut bench = Bench::new();
    bench.run("set a 1\nset b 1\nflushall");
    assert_eq!(bench.node.state.persistence.dirty, 0);
    assert!(bench.node.state.persistence.snapshot_scheduled);
    let mut bench = Bench::new();
    bench.node.state.config.values_mut().save.clear();
    bench.run("set a 1\nset b 1\nflushall");
    assert_eq!(bench.node.state.persistence.dirty, 4);
    assert!(!bench.node.state.persistence.snapshot_scheduled);
}

#[test]
fn flushed_memory_is_freed_elsewhere() {
    let mut bench = Bench::new();
    bench.run("set a 1\nflushall");
    assert!(bench.node.state.keyspace.has_garbage());
}

#[test]
fn expiries_are_logged_as_moments() {
    let at = |ms: u64| format!("PEXPIREAT a {}", NOW_MS + ms);
    check("set a 1", "expire a 10", ":1\r\n", &at(10_000));
    check("set a 1", "pexpire a 10 nx", ":1\r\n", &(at(10) + " nx"));
    check("set a 1", "expireat a 2000000", ":1\r\n", "PEXPIREAT a 2000000000");
    check("set a 1", "pexpireat a 2000000000 XX", ":0\r\n", "");
    check("set a 1", "pexpireat a 2000000000", ":1\r\n", "pexpireat a 2000000000");
    check("set a 1", "expire a 0", ":1\r\n", "DEL a");
    check("set a 1", "pexpireat a 5\nexists a", ":1\r\n:0\r\n", "DEL a");
    check_quiet("", "expire a 10", ":0\r\n");
}

#[test]
fn conditions_of_expire() {
    let set = "set a 1\npexpire a 1000";
    check_quiet(
        set,
        "pexpire a 5 nx\npexpire a 1000 gt\npexpire a 999 gt\npexpire a 1000 lt",
        ":0\r\n:0\r\n:0\r\n:0\r\n",
    );
    check_quiet(
        "set a 1",
        "pexpire a 5 gt\npexpire a 5 xx\npexpire a 5 xx lt",
        ":0\r\n:0\r\n:0\r\n",
    );
    check("set a 1", "pexpire a 5 lt\npttl a", ":1\r\n:5\r\n", "PEXPIREAT a 1000000005 lt");
    check(set, "pexpire a 1001 xx gt", ":1\r\n", "PEXPIREAT a 1000001001 xx gt");
    check_quiet(
        set,
        "expire a 1 foo\nexpire a 1 nx gt\nexpire a 1 gt lt\nexpire a x\nexpire a 9223372036854775807",
        "-ERR Unsupported option foo\r\n\
         -ERR NX and XX, GT or LT options at the same time are not compatible\r\n\
         -ERR GT and LT options at the same time are not compatible\r\n\
         -ERR value is not an integer or out of range\r\n\
         -ERR invalid expire time in 'expire' command\r\n",
    );
}

#[test]
fn times_to_live_in_all_units() {
    check_quiet(
        "set a 1\npexpire a 1500\nset b 1",
        "ttl a\npttl a\nexpiretime a\npexpiretime a\nttl b\npttl x\nexpiretime b\npexpiretime x",
        ":2\r\n:1500\r\n:1000002\r\n:1000001500\r\n:-1\r\n:-2\r\n:-1\r\n:-2\r\n",
    );
    check(
        "set a 1\npexpire a 1500",
        "persist a\npersist a\nttl a",
        ":1\r\n:0\r\n:-1\r\n",
        "persist a",
    );
}

#[test]
fn keys_and_scan_match_patterns() {
    check_quiet("set abc 1\nset abd 1\nset x 1", "keys a?c\nkeys z*", "*1\r\n$3\r\nabc\r\n*0\r\n");
    check_quiet(
        "set abc 1\nset x 1",
        "scan 0 match x count 100\nscan 0 type list count 100",
        "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nx\r\n*2\r\n$1\r\n0\r\n*0\r\n",
    );
    check_quiet(
        "",
        "scan x\nscan 1x\nscan 99999999999999999999\nscan 0 count 0\nscan 0 count x\nscan 0 match",
        "-ERR invalid cursor\r\n-ERR invalid cursor\r\n-ERR invalid cursor\r\n-ERR syntax error\r\n-ERR value is not an integer or out of range\r\n-ERR syntax error\r\n",
    );
    check_quiet(
        "",
        "scan -5\nscan +7 count 9223372036854775807",
        "*2\r\n$1\r\n0\r\n*0\r\n*2\r\n$1\r\n0\r\n*0\r\n",
    );
}

#[test]
fn a_scan_sees_every_key_that_stays() {
    let mut bench = Bench::new();
    for i in 0..500 {
        bench.run(&format!("set stays:{i} 1\nset {{t}}stays:{i} 1"));
    }
    let mut random = fastrand::Rng::with_seed(5);
    let mut seen = std::collections::HashSet::new();
    let mut cursor = "0".to_owned();
    loop {
        let reply = bench.run(&format!("scan {cursor} count 7"));
        let mut words = reply.split("\r\n").filter(|word| !word.starts_with(['*', '$']));
        cursor = words.next().expect("a cursor").to_owned();
        seen.extend(words.map(str::to_owned));
        for _ in 0..10 {
            let i = random.u32(..1000);
            let verb = if random.bool() { "del" } else { "set" };
            let value = if verb == "set" { " 1" } else { "" };
            bench.run(&format!("{verb} comes:{i}{value}\n{verb} {{t}}comes:{i}{value}"));
        }
        if cursor == "0" {
            break;
        }
    }
    for i in 0..500 {
        assert!(seen.contains(&format!("stays:{i}")), "{i}");
        assert!(seen.contains(&format!("{{t}}stays:{i}")), "{i}");
    }
}

#[test]
fn objects_are_described_as_stock_would() {
    let long = "x".repeat(45);
    check_quiet(
        &format!("set i 12\nset s abc\nset l {long}\nset n 10000"),
        "object encoding i\nobject encoding s\nobject encoding l\nobject encoding x",
        "$3\r\nint\r\n$6\r\nembstr\r\n$3\r\nraw\r\n$-1\r\n",
    );
    check_quiet(
        "set i 12\nset n 10000\nset s a",
        "object refcount i\nobject refcount n\nobject refcount s\nobject refcount x",
        ":2147483647\r\n:1\r\n:1\r\n$-1\r\n",
    );
    check_quiet(
        "",
        "object foo\nobject encoding",
        "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n-ERR wrong number of arguments for 'object|encoding' command\r\n",
    );
}

#[test]
fn idle_times_and_frequencies() {
    let mut bench = Bench::new();
    bench.run("set a 1");
    bench.clock.advance_ms(5000);
    assert_eq!(
        bench.run("ttl a\nobject idletime a\ntouch a\nobject idletime a"),
        ":-1\r\n:5\r\n:1\r\n:0\r\n"
    );
    assert!(bench.run("object freq a").starts_with("-ERR An LFU maxmemory policy is not selected"));
    bench.run("config set maxmemory-policy allkeys-lfu lfu-log-factor 0\ndel a\nset a 1");
    assert_eq!(bench.run("object freq a"), ":5\r\n");
    // What is overwritten is used.
    bench.run("set a 2\nset a 3 xx\nmset a 4\nsadd s 1\nsunionstore a s");
    assert_eq!(bench.run("object freq a"), ":9\r\n");
    assert!(bench.run("object idletime a").starts_with("-ERR An LFU maxmemory policy is selected"));
    assert_eq!(bench.run("object freq x\nobject idletime x"), "$-1\r\n$-1\r\n");
}

/// Runs one request of bytes, which lines of words cannot hold.
fn request(bench: &mut Bench, words: &[&[u8]]) -> Vec<u8> {
    let bytes = crate::resp::inline::encode(words);
    let mut requests = crate::resp::Requests::default();
    let limits = crate::resp::RequestLimits::default();
    crate::resp::RequestParser::default()
        .parse(&bytes, limits, &mut requests)
        .expect("well formed");
    let mut out = Vec::new();
    bench.node.execute(bench.client, (&requests, &bytes), 0, &mut out, &mut bench.clock);
    out
}

/// The payload of the string `abc`.
fn payload(bench: &mut Bench) -> Vec<u8> {
    bench.run("set made abc");
    let reply = request(bench, &[b"dump", b"made"]);
    bench.run("del made");
    bench.log();
    reply[reply.windows(2).position(|pair| pair == b"\r\n").expect("a header") + 2..reply.len() - 2]
        .to_vec()
}

#[test]
fn restored_values_are_logged_with_a_moment() {
    let mut bench = Bench::new();
    let payload = payload(&mut bench);
    assert_eq!(request(&mut bench, &[b"restore", b"a", b"0", &payload]), b"+OK\r\n");
    assert!(bench.log().starts_with("restore a 0 "));
    assert_eq!(bench.run("get a\nttl a"), "$3\r\nabc\r\n:-1\r\n");
    assert!(request(&mut bench, &[b"restore", b"a", b"0", &payload]).starts_with(b"-BUSYKEY "));
    let replies = request(&mut bench, &[b"RESTORE", b"a", b"5000", &payload, b"replace"]);
    assert_eq!(replies, b"+OK\r\n");
    let log = bench.log();
    assert!(log.starts_with("RESTORE a 1000005000 "), "{log}");
    assert!(log.ends_with(" replace ABSTTL"), "{log}");
    assert_eq!(bench.run("pttl a"), ":5000\r\n");
}

/// A payload may be compressed to an eightieth. What it becomes is no longer than what could have come as it is, but for what
/// the log says.
#[test]
fn a_payload_grows_to_no_more_than_an_argument_may_have() {
    let mut bench = Bench::new();
    let options = EncoderOptions { compress: true, ..EncoderOptions::default() };
    bench.run("config set proto-max-bulk-len 1mb");
    for (len, expected) in
        [(1 << 20, &b"+OK\r\n"[..]), ((1 << 20) + 1, b"-ERR Bad data format\r\n")]
    {
        let payload = dump_string(&vec![b'a'; len], &options);
        assert!(payload.len() < 20_000);
        assert_eq!(request(&mut bench, &[b"restore", b"k", b"0", &payload, b"replace"]), expected);
        bench.node.state.keyspace.expire_mode = ExpireMode::Ignore;
        let obeyed: &[&[u8]] = &[b"restore", b"k", b"0", &payload, b"replace"];
        assert_eq!(request(&mut bench, obeyed), b"+OK\r\n");
        bench.node.state.keyspace.expire_mode = ExpireMode::Delete;
    }
}

#[test]
fn a_value_restored_too_late_only_removes() {
    let mut bench = Bench::new();
    let payload = payload(&mut bench);
    assert_eq!(request(&mut bench, &[b"restore", b"a", b"5", &payload, b"absttl"]), b"+OK\r\n");
    assert_eq!((bench.run("exists a"), bench.log()), (":0\r\n".to_owned(), String::new()));
    bench.run("set a 1");
    bench.log();
    let late: &[&[u8]] = &[b"restore", b"a", b"5", &payload, b"absttl", b"replace"];
    assert_eq!(request(&mut bench, late), b"+OK\r\n");
    assert_eq!((bench.run("exists a"), bench.log()), (":0\r\n".to_owned(), "DEL a".to_owned()));
}

#[test]
fn restored_access_clocks_follow_the_policy() {
    let mut bench = Bench::new();
    let payload = payload(&mut bench);
    request(&mut bench, &[b"restore", b"a", b"0", &payload, b"idletime", b"77"]);
    assert_eq!(bench.run("object idletime a"), ":77\r\n");
    bench.run("config set maxmemory-policy allkeys-lfu");
    request(&mut bench, &[b"restore", b"b", b"0", &payload, b"freq", b"123"]);
    assert_eq!(bench.run("object freq b"), ":123\r\n");
}

#[test]
fn removals_by_expire_follow_the_lazy_settings() {
    let mut bench = Bench::new();
    bench.run("config set lazyfree-lazy-expire yes\nset a 1");
    bench.log();
    bench.run("expire a -1");
    assert_eq!(bench.log(), "UNLINK a");
}

#[test]
fn a_log_being_played_expires_nothing() {
    use crate::keyspace::ExpireMode;
    let mut bench = Bench::new();
    bench.node.state.keyspace.expire_mode = ExpireMode::Ignore;
    assert_eq!(
        bench.run("set a 1\npexpireat a 5\nexists a\nget a"),
        "+OK\r\n:1\r\n:1\r\n$1\r\n1\r\n"
    );
    bench.node.state.keyspace.expire_mode = ExpireMode::Delete;
    assert_eq!(bench.run("exists a"), ":0\r\n");
}

#[test]
fn a_stream_in_the_log_may_go_back_as_older_servers_let_it() {
    use crate::keyspace::ExpireMode;
    let mut bench = Bench::new();
    bench.run("xadd s 1-1 a 1\nxadd s 5-1 a 1\nxdel s 5-1");
    let refused = bench.run("xsetid s 3-1");
    assert!(refused.contains("smaller than current max_deleted_entry_id"), "{refused}");
    bench.node.state.keyspace.expire_mode = ExpireMode::Ignore;
    assert_eq!(bench.run("xsetid s 3-1\nxadd s 4-1 a 1"), "+OK\r\n$3\r\n4-1\r\n");
}

#[test]
fn the_list_of_commands_has_subcommands() {
    let names = Bench::new().run("command list");
    assert!(names.contains("\r\nxgroup\r\n") && names.contains("\r\nxgroup|create\r\n"), "{names}");
}
