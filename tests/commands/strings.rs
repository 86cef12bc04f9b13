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
