//! The commands of Valkey 9 and of Redis 8.4: one mechanism, and the texts that their tools look for.

use crate::jobs::{PATIENT, ended, jobs};
use crate::member::Kind;
use crate::server::wait_for;
use crate::shards::Shards;

#[test]
fn requests_that_make_no_sense_are_refused() {
    let shards = Shards::make(&[Kind::Ours; 3], 0, PATIENT);
    let [a, b] = [0, 1].map(|at| &shards.members[at]);
    let (own, other) = (a.id(), b.id());
    let unknown = "f".repeat(40);
    let cases = [
        (
            format!("SLOTSRANGE 5 3 NODE {other}"),
            "Start slot number 5 is greater than end slot number 3.",
        ),
        (
            format!("SLOTSRANGE 0 5 5 9 NODE {other}"),
            "Slot range 5-9 overlaps with previous range 0-5.",
        ),
        (format!("SLOTSRANGE 0 5 7 NODE {other}"), "No end slot for final slot range"),
        (
            format!("SLOTSRANGE 0 5 NODE {other} SLOTSRANGE 5 6 NODE {other}"),
            "Slot ranges in migrations overlap",
        ),
        (format!("SLOTSRANGE 0 5 NODE {own}"), "Target node can not be this node."),
        ("SLOTSRANGE 0 5 NODE abc".to_owned(), "Invalid node name: abc"),
        (format!("SLOTSRANGE 0 5 NODE {unknown}"), &format!("Unknown node name: {unknown}")),
        (format!("SLOTSRANGE 16000 16001 NODE {other}"), "Slots are not served by this node."),
        (format!("SLOTSRANGE 5460 5461 NODE {other}"), "Requested slots span multiple shards"),
        (format!("SLOTSRANGE 0 99999 NODE {other}"), "Invalid or out of range slot"),
        (format!("NODE {other} SLOTSRANGE 0 5"), "syntax error"),
    ];
    for (words, text) in cases {
        assert_eq!(
            a.ask(&format!("CLUSTER MIGRATESLOTS {words}")),
            format!("-ERR {text}\r\n"),
            "{words}"
        );
    }
    assert_eq!(a.ask(&format!("CLUSTER SETSLOT 7 MIGRATING {other}")), "+OK\r\n");
    assert_eq!(
        a.ask(&format!("CLUSTER MIGRATESLOTS SLOTSRANGE 0 5 NODE {other}")),
        "-ERR Slots are being manually migrated\r\n"
    );
    assert_eq!(a.ask("CLUSTER SETSLOT 7 STABLE"), "+OK\r\n");
    let cases = [
        ("0 5 5 6", "Slot range 5-6 overlaps with previous range 0-5."),
        ("16000 16001 0 5", "slots belong to different source nodes"),
        ("5500 5501", "this node is already the owner of the slot range"),
    ];
    for (words, text) in cases {
        assert_eq!(
            b.ask(&format!("CLUSTER MIGRATION IMPORT {words}")),
            format!("-ERR {text}\r\n"),
            "{words}"
        );
    }
    assert_eq!(a.ask("CLUSTER GETSLOTMIGRATIONS"), "*0\r\n");
    assert_eq!(a.ask("CLUSTER MIGRATION STATUS ALL"), "*0\r\n");
    assert_eq!(a.ask("CLUSTER MIGRATION STATUS ID nothing"), "*0\r\n");
    assert_eq!(a.ask("CLUSTER MIGRATION CANCEL ALL"), ":0\r\n");
    assert_eq!(a.ask("CLUSTER CANCELSLOTMIGRATIONS"), "-ERR No migrations ongoing\r\n");
}

#[test]
fn a_target_asks_for_slots() {
    let shards = Shards::make(&[Kind::Ours; 3], 0, PATIENT);
    let [a, b] = [0, 1].map(|at| &shards.members[at]);
    assert_eq!(a.ask("SET {06S}1 x"), "+OK\r\n");
    let reply = b.ask("CLUSTER MIGRATION IMPORT 0 100 200 300");
    let name = reply.lines().nth(1).expect("a name").to_owned();
    assert_eq!(name.len(), 40);
    wait_for("the end", || {
        b.ask(&format!("CLUSTER MIGRATION STATUS ID {name}")).contains("completed").then_some(())
    });
    let status = b.ask(&format!("CLUSTER MIGRATION STATUS ID {name}"));
    for word in ["0-100 200-300", "import", &a.id(), &b.id()] {
        assert!(status.contains(word), "{word} in {status}");
    }
    let job = ended(a);
    assert_eq!((job["name"].as_str(), job["state"].as_str()), (name.as_str(), "success"));
    assert_eq!(jobs(b)[0]["operation"], "IMPORT");
    shards.heal();
}
