//! Transcripts of fields that expire by themselves: replies and the log.

use crate::node::tests::Bench;

/// The bench's clock, in milliseconds since 1970.
const NOW_MS: u64 = 1_000_000_000;

/// Runs `setup` with nothing recorded, then `lines`, and compares replies (their line ends as spaces) and log.
fn check(setup: &str, lines: &str, replies: &str, log: &str) {
    let mut bench = Bench::new();
    bench.run("set other 1");
    bench.run(setup);
    bench.log();
    assert_eq!(shown(&bench.run(lines)), replies, "replies to {lines}");
    assert_eq!(bench.log(), log, "log of {lines}");
}

fn check_quiet(setup: &str, lines: &str, replies: &str) {
    check(setup, lines, replies, "");
}

fn shown(replies: &str) -> String {
    replies.replace("\r\n", " ").trim_end().to_owned()
}

#[test]
fn times_are_logged_as_moments_of_the_fields_that_changed() {
    let at = |ms: u64| NOW_MS + ms;
    let made = "hset h a 1 b 2 c 3";
    let log = format!("HPEXPIREAT h {} FIELDS 2 a b", at(100_000));
    check(made, "hexpire h 100 fields 3 a x b", "*3 :1 :-2 :1", &log);
    let log = format!("HPEXPIREAT h {} FIELDS 1 a", at(5));
    check(made, "hpexpire h 5 FIELDS 1 a", "*1 :1", &log);
    check(made, "hexpireat h 2000000 FIELDS 1 a", "*1 :1", "HPEXPIREAT h 2000000000 FIELDS 1 a");
    check(
        made,
        "hpexpireat h 2000000001 FIELDS 1 a",
        "*1 :1",
        "HPEXPIREAT h 2000000001 FIELDS 1 a",
    );
    check(made, "hexpire h 0 FIELDS 2 a x", "*2 :2 :-2", "HDEL h a");
    check(made, "hpexpireat h 1 FIELDS 3 a b c\nexists h", "*3 :2 :2 :2 :0", "HDEL h a b c");
    check_quiet(made, "hexpire none 10 FIELDS 2 a b", "*2 :-2 :-2");
}

#[test]
fn conditions_compare_the_times_of_each_field() {
    let made = "hset h a 1 b 2\nhpexpireat h 2000000000 FIELDS 1 a";
    let log = |names: &str| format!("HPEXPIREAT h 2000000005 FIELDS {names}");
    for (condition, replies, names) in [
        ("NX", "*2 :0 :1", "1 b"),
        ("XX", "*2 :1 :0", "1 a"),
        ("GT", "*2 :1 :0", "1 a"),
        ("lt", "*2 :0 :1", "1 b"),
    ] {
        let line = format!("hpexpireat h 2000000005 {condition} FIELDS 2 a b");
        check(made, &line, replies, &log(names));
    }
    check_quiet(made, "hpexpireat h 1900000000 GT FIELDS 1 a", "*1 :0");
}

#[test]
fn what_is_wrong_is_said() {
    let made = "hset h a 1\nset s 1";
    for (line, error) in [
        (
            "hexpire h 10 FIELDS 2 a",
            "ERR The `numfields` parameter must match the number of arguments",
        ),
        ("hexpire h 10 FIELDS 0 a", "ERR Number of fields must be a positive integer"),
        ("hexpire h 10 FIELDS x a", "ERR Number of fields must be a positive integer"),
        (
            "hexpire h 10 FOO 1 a",
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ),
        ("hexpire h -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"),
        ("hexpire h x FIELDS 1 a", "ERR value is not an integer or out of range"),
        (
            "hpexpireat h 70368744177664 FIELDS 1 a",
            "ERR invalid expire time in 'hpexpireat' command",
        ),
        (
            "hexpire h 9223372036854775807 FIELDS 1 a",
            "ERR invalid expire time in 'hexpire' command",
        ),
        ("hexpire h 10 FIELDS 1", "ERR wrong number of arguments for 'hexpire' command"),
        ("httl h FOO 1 a", "ERR Mandatory argument FIELDS is missing or not at the right position"),
        (
            "hsetex h EX 1 PX 1 FIELDS 1 a 1",
            "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
        ),
        ("hsetex h FNX FXX FIELDS 1 a 1", "ERR Only one of FXX or FNX arguments can be specified"),
        ("hsetex h FOO FIELDS 1 a 1", "ERR unknown argument: FOO"),
        (
            "hgetex h PERSIST EX 1 FIELDS 1 a",
            "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified",
        ),
        ("hgetex h EX FIELDS 1 a", "ERR unknown argument: 1"),
        (
            "hgetdel h FIELDS 9223372036854775807 a",
            "ERR The `numfields` parameter must match the number of arguments",
        ),
    ] {
        check_quiet(made, line, &format!("-{error}"));
    }
    for line in [
        "hexpire s 10 FIELDS 1 a",
        "httl s FIELDS 1 a",
        "hpersist s FIELDS 1 a",
        "hgetdel s FIELDS 1 a",
        "hgetex s FIELDS 1 a",
        "hsetex s FIELDS 1 a 1",
    ] {
        let wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value";
        check_quiet(made, line, wrong);
    }
}

#[test]
fn times_are_told_in_each_unit() {
    let made = "hset h a 1 b 2\nhpexpire h 1500 FIELDS 1 a";
    check_quiet(made, "httl h FIELDS 3 a b x", "*3 :2 :-1 :-2");
    check_quiet(made, "hpttl h FIELDS 1 a", "*1 :1500");
    check_quiet(made, "hpexpiretime h FIELDS 1 a", "*1 :1000001500");
    check_quiet(made, "hexpiretime h FIELDS 1 a", "*1 :1000002");
    check_quiet("", "httl none FIELDS 2 a b", "*2 :-2 :-2");
    check(made, "hpersist h FIELDS 4 a b x a", "*4 :1 :-1 :-2 :-1", "HPERSIST h FIELDS 1 a");
    check_quiet(made, "hpersist h FIELDS 1 b", "*1 :-1");
}

#[test]
fn a_field_past_its_time_is_missing_for_readers_and_removed_by_writers() {
    let past = |lines: &str| {
        let mut bench = Bench::new();
        bench.run("hset h a 1 b 2\nhpexpire h 100 FIELDS 1 a");
        bench.clock.advance_ms(101);
        bench.log();
        (shown(&bench.run(lines)), bench.log())
    };
    let quiet = |lines: &str, replies: &str| {
        assert_eq!(past(lines), (replies.to_owned(), String::new()), "{lines}");
    };
    quiet("hget h a\nhmget h a b\nhexists h a", "$-1 *2 $-1 $1 2 :0");
    quiet("hgetall h\nhkeys h\nhvals h", "*2 $1 b $1 2 *1 $1 b *1 $1 2");
    quiet("hscan h 0\nhstrlen h a", "*2 $1 0 *2 $1 b $1 2 :0");
    quiet("httl h FIELDS 1 a\nhrandfield h 5", "*1 :-2 *1 $1 b");
    let changes = |line: &str, reply: &str, log: &str| {
        assert_eq!(past(line), (reply.to_owned(), log.to_owned()), "{line}");
    };
    changes("hset h a 7", ":1", "MULTI\nHDEL h a\nhset h a 7\nEXEC");
    changes("hsetnx h a 7", ":1", "MULTI\nHDEL h a\nhsetnx h a 7\nEXEC");
    changes("hincrby h a 7", ":7", "MULTI\nHDEL h a\nhincrby h a 7\nEXEC");
    changes("hset h b 7", ":0", "hset h b 7");
    changes("hdel h a", ":0", "HDEL h a");
    changes("hgetdel h FIELDS 2 a b", "*2 $-1 $1 2", "MULTI\nHDEL h a\nHDEL h b\nEXEC");
    changes("hpersist h FIELDS 1 a", "*1 :-2", "HDEL h a");
}

#[test]
fn a_new_value_does_not_expire_but_a_sum_does() {
    let made = "hset h a 1 b 2\nhpexpireat h 2000000000 FIELDS 1 a";
    check(made, "hset h a 2\nhttl h FIELDS 1 a", ":0 *1 :-1", "hset h a 2");
    check(made, "hincrby h a 2\nhpexpiretime h FIELDS 1 a", ":3 *1 :2000000000", "hincrby h a 2");
    let log = "MULTI\nHSET h a 1.5\nHPEXPIREAT h 2000000000 FIELDS 1 a\nEXEC";
    check(made, "hincrbyfloat h a 0.5\nhpexpiretime h FIELDS 1 a", "$3 1.5 *1 :2000000000", log);
}

#[test]
fn the_tick_removes_what_is_due() {
    let mut bench = Bench::new();
    bench.run(
        "hset h a 1 b 2 c 3\nhpexpire h 100 FIELDS 2 a b\nhset all x 1\nhpexpire all 50 FIELDS 1 x",
    );
    bench.run("select 3\nhset far y 1\nhpexpire far 5000 FIELDS 1 y\nselect 0");
    bench.log();
    assert!(!bench.expire());
    assert_eq!(bench.log(), "");
    bench.clock.advance_ms(101);
    assert!(!bench.expire());
    let mut log: Vec<String> = bench.log().lines().map(str::to_owned).collect();
    log.retain(|line| !line.starts_with("SELECT"));
    log.sort();
    assert!(log == ["HDEL all x", "HDEL h a b"] || log == ["HDEL all x", "HDEL h b a"], "{log:?}");
    assert_eq!(shown(&bench.run("hgetall h\nexists all\nhlen h")), "*2 $1 c $1 3 :0 :1");
    bench.node.state.keyspace.check_invariants();
    bench.clock.advance_ms(5000);
    bench.expire();
    assert_eq!(bench.log(), "SELECT 3\nHDEL far y");
    bench.node.state.keyspace.check_invariants();
}

#[test]
fn times_move_with_the_key() {
    let mut bench = Bench::new();
    bench.run("hset h a 1\nhpexpire h 100 FIELDS 1 a\ncopy h c\nrename h r\nmove c 2\nset r2 1");
    bench.node.state.keyspace.check_invariants();
    bench.run("swapdb 0 1\nselect 1");
    assert_eq!(shown(&bench.run("hpttl r FIELDS 1 a")), "*1 :100");
    bench.node.state.keyspace.check_invariants();
    bench.clock.advance_ms(101);
    bench.log();
    bench.expire();
    assert_eq!(shown(&bench.run("exists r\nselect 2\nexists c")), ":0 +OK :0");
    bench.node.state.keyspace.check_invariants();
}

#[test]
fn many_due_fields_of_one_hash_go_in_parts() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..1000).map(|n| format!("f{n}")).collect();
    let pairs: Vec<String> = names.iter().map(|name| format!("{name} v")).collect();
    bench.run(&format!("hset h {} stays v", pairs.join(" ")));
    bench.run(&format!("hpexpire h 100 FIELDS 1000 {}", names.join(" ")));
    bench.clock.advance_ms(101);
    bench.log();
    while bench.expire() {}
    assert!(bench.log().lines().count() > 10);
    assert_eq!(shown(&bench.run("hgetall h")), "*2 $5 stays $1 v");
    bench.node.state.keyspace.check_invariants();
}

#[test]
fn fields_are_set_with_their_times() {
    let at = NOW_MS + 10_000;
    let log = format!("HSETEX h PXAT {at} FIELDS 2 a 1 b 2");
    check("", "hsetex h EX 10 FIELDS 2 a 1 b 2\nhttl h FIELDS 1 a", ":1 *1 :10", &log);
    let made = "hset h a 1\nhpexpireat h 2000000000 FIELDS 1 a";
    let keeps = "HSETEX h KEEPTTL FIELDS 1 a 2";
    check(
        made,
        "hsetex h KEEPTTL FIELDS 1 a 2\nhpexpiretime h FIELDS 1 a",
        ":1 *1 :2000000000",
        keeps,
    );
    check(made, "hsetex h FIELDS 1 a 2\nhttl h FIELDS 1 a", ":1 *1 :-1", "HSETEX h FIELDS 1 a 2");
    check_quiet(made, "hsetex h FNX FIELDS 2 a 1 b 1\nhsetex h FXX FIELDS 2 a 1 b 1", ":0 :0");
    check_quiet("", "hsetex h FXX FIELDS 1 a 1\nexists h", ":0 :0");
    check("", "hsetex h FNX EX 10 FIELDS 1 a 1", ":1", &format!("HSETEX h PXAT {at} FIELDS 1 a 1"));
    check(made, "hsetex h PXAT 5 FIELDS 2 a 1 b 1\nexists h", ":1 :0", "HDEL h a b");
}

#[test]
fn fields_are_read_with_what_becomes_of_them() {
    let made = "hset h a 1 b 2\nhpexpireat h 2000000000 FIELDS 1 a";
    check_quiet(made, "hgetex h FIELDS 2 a x", "*2 $1 1 $-1");
    check(made, "hgetex h PERSIST FIELDS 2 a b", "*2 $1 1 $1 2", "HPERSIST h FIELDS 1 a");
    let log = format!("HPEXPIREAT h {} FIELDS 1 b", NOW_MS + 5000);
    check(made, "hgetex h EX 5 FIELDS 2 b x", "*2 $1 2 $-1", &log);
    check(made, "hgetex h PXAT 5 FIELDS 2 a b\nexists h", "*2 $1 1 $1 2 :0", "HDEL h a b");
    check(made, "hgetdel h FIELDS 3 a x a\nhlen h", "*3 $1 1 $-1 $-1 :1", "HDEL h a");
    check_quiet(
        "",
        "hgetdel none FIELDS 2 a b\nhgetex none PERSIST FIELDS 1 a",
        "*2 $-1 $-1 *1 $-1",
    );
}

#[test]
fn sort_sees_the_fields_that_a_log_being_played_sees() {
    use crate::keyspace::ExpireMode;
    let mut bench = Bench::new();
    bench.run("hset o_1 f v g w\nhpexpire o_1 1200 FIELDS 1 f\nrpush l 1");
    bench.clock.advance_ms(2000);
    bench.node.state.keyspace.expire_mode = ExpireMode::Ignore;
    assert_eq!(bench.run("sort l BY nosort GET o_*->f"), "*1\r\n$1\r\nv\r\n");
    bench.node.state.keyspace.expire_mode = ExpireMode::Delete;
    assert_eq!(bench.run("sort l BY nosort GET o_*->f"), "*1\r\n$-1\r\n");
}

#[test]
fn fields_are_drawn_from_the_few_that_are_left() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..2000).map(|number| format!("f{number}")).collect();
    let pairs: Vec<String> = names.iter().map(|name| format!("{name} 1")).collect();
    bench.run(&format!("hset h {} kept 1 also 1", pairs.join(" ")));
    bench.run(&format!("hpexpire h 100 FIELDS 2000 {}", names.join(" ")));
    bench.clock.advance_ms(101);
    let drawn = bench.run("hrandfield h -100");
    let count = |name: &str| drawn.matches(name).count();
    assert!(count("kept") > 20 && count("also") > 20, "{drawn}");
    assert_eq!(count("kept") + count("also"), 100);
    let all = bench.run("hrandfield h 5");
    assert!(all.starts_with("*2\r\n") && all.contains("kept") && all.contains("also"), "{all}");
}
