//! Bitmaps.

use crate::bench::{check, check_log};

#[test]
fn bits_are_counted_from_the_highest_of_the_first_byte() {
    check(
        r#"
        setbit k 7 1 -> 0
        get k -> "\x01"
        setbit k 7 0 -> 1
        getbit k 7 -> 0
        getbit k 1000 -> 0
        setbit k 4294967296 1 -> ERR bit offset is not an integer or out of range
        setbit k 1 2 -> ERR bit is not an integer or out of range
        set k foobar -> OK
        bitcount k -> 26
        bitcount k 1 1 -> 6
        bitcount k 5 30 bit -> 17
        bitcount k 1 -> ERR syntax error
        bitcount none 1 -> 0
        set k "\xff\xf0\x00" -> OK
        bitpos k 0 -> 12
        bitpos k 1 2 -> -1
        bitpos k 1 7 15 bit -> 7
        bitpos none 0 -> 0
        bitpos none 1 -> -1
        set k "\xff" -> OK
        bitpos k 0 -> 8
        bitpos k 0 0 -1 -> -1
        "#,
    );
}

#[test]
fn strings_are_combined_bit_by_bit() {
    check(
        r#"
        mset a "\x0f\xff" b "\x3c" -> OK
        bitop and r a b -> 2
        get r -> "\x0c\x00"
        bitop or r a b -> 2
        get r -> "?\xff"
        bitop xor r a b none -> 2
        get r -> "3\xff"
        bitop not r b -> 1
        get r -> "\xc3"
        bitop not r a b -> ERR BITOP NOT must be called with a single source key.
        bitop and r none -> 0
        get r -> nil
        "#,
    );
}

#[test]
fn fields_wrap_saturate_or_fail() {
    check(
        r#"
        bitfield k incrby u2 100 1 overflow sat incrby u2 102 1 -> [1 1]
        bitfield k incrby u2 100 3 overflow sat incrby u2 102 3 overflow fail incrby u2 102 1 -> [0 3 nil]
        bitfield k set i8 #1 -5 get i8 8 get u8 8 -> [0 -5 251]
        bitfield_ro k get u8 #1 -> [251]
        bitfield_ro k set u8 0 1 -> ERR BITFIELD_RO only supports the GET subcommand
        bitfield k get u64 0 -> ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.
        bitfield k overflow no -> ERR Invalid OVERFLOW type specified
        bitfield k get u8 -> ERR syntax error
        bitfield none get u8 0 -> [0]
        "#,
    );
}

#[test]
fn writes_that_change_no_bit_leave_no_trace() {
    check_log(
        &[
            "set k aaaa",
            "setbit k 1 1",
            "setbit k 40 0",
            "bitfield k set u8 0 97",
            "bitfield k get u8 0",
        ],
        &["set k aaaa", "setbit k 40 0"],
    );
    check_log(
        &[
            "set k a",
            "bitfield k set u8 0 98 set u8 0 97",
            "bitop not r none",
            "bitop not r k",
            "bitop not r none",
        ],
        &["set k a", "bitfield k set u8 0 98 set u8 0 97", "bitop not r k", "bitop not r none"],
    );
}
