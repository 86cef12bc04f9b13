//! Strings.

use crate::bench::{Bench, START_MS, check, check_log};

#[test]
fn set_obeys_its_conditions() {
    check(
        r#"
        set k a nx -> OK
        set k b nx -> nil
        set k b xx -> OK
        set none b xx -> nil
        set k c get -> "b"
        set k d nx get -> "c"
        set new d nx get -> nil
        get new -> "d"
        set k v nx xx -> ERR syntax error
        set k v ex 1 px 1 -> ERR syntax error
        set k v keepttl ex 1 -> ERR syntax error
        set k v ex -> ERR syntax error
        set k v persist -> ERR syntax error
        set k v ex 0 -> ERR invalid expire time in 'set' command
        set k v ex 9223372036854775807 -> ERR invalid expire time in 'set' command
        set k v px x -> ERR value is not an integer or out of range
        setex k 0 v -> ERR invalid expire time in 'setex' command
        getex k ex -1 -> ERR invalid expire time in 'getex' command
        get k -> "c"
        "#,
    );
}

#[test]
fn a_string_lives_as_long_as_it_was_told_to() {
    let mut bench = Bench::new();
    bench.play("set k v px 100 -> OK\nset l v -> OK\ngetex l px 100 -> \"v\"\nappend k w -> 2");
    bench.clock.advance_ms(100);
    bench.play("get k -> \"vw\"\nstrlen l -> 1");
    bench.clock.advance_ms(1);
    bench.play("get k -> nil\nget l -> nil\nset k v keepttl -> OK\nget k -> \"v\"");
}

#[test]
fn relative_times_and_options_stay_out_of_the_log() {
    let at = |ms: u64| (START_MS + ms).to_string();
    let expires = |ms: u64| format!("SET k v PXAT {}", at(ms));
    check_log(
        &["set k v ex 5", "set k v px 7 nx", "set k v px 7 xx get", "setex k 2 v", "psetex k 3 v"],
        &[&expires(5000), &expires(7), &expires(2000), &expires(3)],
    );
    check_log(
        &["set k v get", "set k v keepttl get", "getset k w", "getdel k", "getdel k"],
        &["set k v", "set k v keepttl", "SET k w", "DEL k"],
    );
    let later = format!("PEXPIREAT k {}", at(9));
    check_log(
        &[
            "set k v",
            "getex k",
            "getex k px 9",
            "getex k persist",
            "getex k persist",
            "getex k exat 1",
        ],
        &["set k v", &later, "PERSIST k", "DEL k"],
    );
}

#[test]
fn sums_of_fractions_are_logged_as_their_result() {
    check_log(
        &["incrbyfloat k 0.1", "incrbyfloat k 0.2", "incr n", "decrby n 0", "incr k"],
        &["SET k 0.1 KEEPTTL", "SET k 0.3 KEEPTTL", "incr n", "decrby n 0"],
    );
}

#[test]
fn numbers_stop_at_their_limits() {
    check(
        r#"
        set k 9223372036854775806 -> OK
        incr k -> 9223372036854775807
        incr k -> ERR increment or decrement would overflow
        decrby k -9223372036854775808 -> ERR decrement would overflow
        incrbyfloat k 1 -> "9223372036854775808"
        incr k -> ERR value is not an integer or out of range
        set k 07 -> OK
        incr k -> ERR value is not an integer or out of range
        incrbyfloat k inf -> ERR increment would produce NaN or Infinity
        incrbyfloat k x -> ERR value is not a valid float
        "#,
    );
}

#[test]
fn parts_are_cut_and_put() {
    check(
        r#"
        set k "Hello World" -> OK
        setrange k 6 Redis -> 11
        getrange k -5 -1 -> "Redis"
        substr k 0 4 -> "Hello"
        getrange k 5 2 -> ""
        setrange new 3 x -> 4
        get new -> "\x00\x00\x00x"
        setrange none 3 "" -> 0
        get none -> nil
        setrange k -1 x -> ERR offset is out of range
        setrange k 536870912 x -> ERR string exceeds maximum allowed size (proto-max-bulk-len)
        append n 12 -> 2
        append n 3 -> 3
        incr n -> 124
        "#,
    );
}

#[test]
fn the_largest_string_is_a_setting() {
    let mut bench = Bench::configured(|config| config.values_mut().proto_max_bulk_len = 1 << 20);
    bench.play(
        "setrange k 1048575 x -> 1048576
        append k x -> ERR string exceeds maximum allowed size (proto-max-bulk-len)
        setbit k 8388608 1 -> ERR bit offset is not an integer or out of range
        setbit k 8388607 1 -> 0",
    );
}

#[test]
fn several_keys_are_set_together_or_not_at_all() {
    check(
        r#"
        mset a 1 b 2 -> OK
        msetnx b 3 c 3 -> 0
        msetnx c 3 d 4 c 5 -> 1
        mget a b c d e -> ["1" "2" "5" "4" nil]
        mset a -> ERR wrong number of arguments for 'mset' command
        mset a 1 b -> ERR wrong number of arguments for 'mset' command
        "#,
    );
}

#[test]
fn common_subsequences_are_found() {
    check(
        r#"
        mset a ohmytext b mynewtext -> OK
        lcs a b -> "mytext"
        lcs a b len -> 6
        lcs a b idx -> ["matches" [[[4 7] [5 8]] [[2 3] [0 1]]] "len" 6]
        lcs a b idx minmatchlen 4 withmatchlen -> ["matches" [[[4 7] [5 8] 4]] "len" 6]
        lcs a none -> ""
        lcs a b len idx -> ERR If you want both the length and indexes, please just use IDX.
        "#,
    );
}

#[test]
fn a_condition_compares_what_is_there() {
    check(
        r#"
        digest k -> nil
        set k w ifeq "" -> nil
        set k w ifdeq 2d06800538d394c2 -> nil
        set k "" ifne w -> OK
        digest k -> "2d06800538d394c2"
        set k v ifdne 2D06800538D394C2 -> nil
        set k v ifdeq 2D06800538D394C2 -> OK
        set k w ifeq x get -> "v"
        set k w ifeq v get -> "v"
        set none w ifeq v get -> nil
        set none w ifne v get -> nil
        get none -> "w"
        set k 17 ifne x -> OK
        set k 18 ifeq 17 keepttl -> OK
        set k v ifeq -> ERR syntax error
        set k v ifeq 18 nx -> ERR syntax error
        set k v xx ifeq 18 -> ERR syntax error
        set k v ifeq 18 ifne 18 -> ERR syntax error
        set k v ifdeq 18 -> ERR must be exactly 16 hexadecimal characters
        set k v ifdne +d06800538d394c2 -> ERR must be exactly 16 hexadecimal characters
        get k -> "18"
        digest -> ERR wrong number of arguments for 'digest' command
        "#,
    );
}

#[test]
fn a_key_goes_if_it_holds_what_it_should() {
    check(
        r#"
        mset a 1 b 2 c 3 -> OK
        delex a ifeq 2 -> 0
        delex a ifne 1 -> 0
        delex a ifeq 1 -> 1
        delex a ifne 1 -> 0
        delex b -> 1
        delex b -> 0
        delifeq c 4 -> 0
        delifeq c 3 -> 1
        delifeq c 3 -> 0
        set d "" -> OK
        delex d ifdne 2d06800538d394c2 -> 0
        delex d ifdeq 2d06800538d394c2 -> 1
        delex d ifeq -> ERR wrong number of arguments for 'delex' command
        delex d foo 1 -> ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
        delex d ifdeq x -> ERR must be exactly 16 hexadecimal characters
        "#,
    );
}

#[test]
fn several_strings_get_one_expiry() {
    check(
        r#"
        msetex 2 a 1 b 2 -> 1
        msetex 2 b 3 c 3 nx -> 0
        msetex 2 b 3 c 3 xx -> 0
        msetex 2 a 4 b 4 xx ex 100 -> 1
        ttl b -> 100
        msetex 1 a 5 keepttl -> 1
        ttl a -> 100
        msetex 1 a 5 -> 1
        ttl a -> -1
        msetex 2 c 6 d 6 nx pxat 99999999999999 -> 1
        msetex 0 a 1 -> ERR invalid numkeys value
        msetex x a 1 -> ERR invalid numkeys value
        msetex 9223372036854775807 a 1 -> ERR invalid numkeys value
        msetex 2 a 1 b -> ERR wrong number of key-value pairs
        msetex 1 a 1 b 2 -> ERR syntax error
        msetex 1 a 1 get -> ERR syntax error
        msetex 1 a 1 ifeq 1 -> ERR syntax error
        msetex 1 a 1 nx xx -> ERR syntax error
        msetex 1 a 1 ex 0 -> ERR invalid expire time in 'msetex' command
        "#,
    );
}

#[test]
fn conditions_stay_out_of_the_log() {
    let at = |ms: u64| (START_MS + ms).to_string();
    check_log(
        &[
            "set k v",
            "set k w ifeq x",
            "set k w ifeq v get",
            "set k x ifne v px 5",
            "set k y ifne v keepttl",
            "delex k ifeq v",
            "delex k ifne v",
            "set k v",
            "delifeq k v",
            "delex k",
            "msetex 1 a 1",
            "msetex 1 a 1 nx",
            "msetex 1 a 1 px 7",
        ],
        &[
            "set k v",
            "SET k w",
            &format!("SET k x PXAT {}", at(5)),
            "SET k y KEEPTTL",
            "DEL k",
            "set k v",
            "DEL k",
            "SET a 1",
            &format!("SET a 1 PXAT {}", at(7)),
        ],
    );
}
