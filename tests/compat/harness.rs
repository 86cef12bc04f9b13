//! The harness itself: both sides answer, replies of every kind are cut where they end.

use crate::peer::reply_length;
use crate::random::Pair;

#[test]
fn both_sides_answer() {
    let mut pair = Pair::start();
    pair.check("PING\nPING hello\nECHO \"a b\"\nSET k v\nGET k\nSELECT 3\nGET k\nNOSUCH a b\nGET");
    pair.set_resp3(true);
    pair.check("GET nothing");
}

#[test]
fn replies_are_cut_where_they_end() {
    let check = |text: &str, length| {
        assert_eq!(reply_length(text.as_bytes()), length, "{text:?}");
    };
    check("+OK\r\n+", Some(5));
    check("$3\r\nabc\r\n", Some(9));
    check("$3\r\nab", None);
    check("$-1\r\n", Some(5));
    check("*-1\r\n", Some(5));
    check("%1\r\n+a\r\n*2\r\n:1\r\n_\r\n", Some(19));
    check("*2\r\n:1\r\n", None);
}
