//! Moves against scripted nodes: what is sent, and what is made of what comes back.

use super::super::testing::{Fake, array, bulk, cluster_of};
use super::*;

use crate::keyspace::Slot;

const SOURCE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const TARGET: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// An entry of the list.
fn entry(name: &str, operation: &str, ranges: &str, state: &str, message: &str) -> String {
    let words = [
        ("name", name),
        ("operation", operation),
        ("slot_ranges", ranges),
        ("target_node", TARGET),
        ("state", state),
        ("message", message),
        ("keys_total", "10"),
        ("keys_sent", "10"),
        ("bytes_sent", "2048"),
        ("pause_us", "700"),
    ];
    array(words.iter().flat_map(|(key, value)| [bulk(key), bulk(value)]))
}

/// What a run said, and how it ended.
fn play(cluster: &mut Cluster, moves: &[Move]) -> (Done, String) {
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
    let mut screen = Screen::new(&mut out, &mut err, &mut input);
    let done = run(&mut screen, cluster, moves);
    (done, String::from_utf8(out).unwrap())
}

fn moves(numbers: impl IntoIterator<Item = u16>) -> Vec<Move> {
    let slots = numbers.into_iter().filter_map(Slot::new);
    slots.map(|slot| Move { slot, source: 0, target: 1 }).collect()
}

fn nodes_text() -> String {
    bulk(&format!("{SOURCE} h:1@2 myself,master - 0 0 1 connected 0-9\n"))
}

#[test]
fn a_move_is_asked_for_once_and_followed_to_its_end() {
    let mut asked = 0;
    let source = Fake::start(move |words| match words {
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
            asked += 1;
            let old = entry("old", "EXPORT", "0-4 7-7", "failed", "no");
            let state = if asked < 4 { "replicating" } else { "success" };
            match asked {
                1 => array([old]),
                _ => array([entry("new", "EXPORT", "0-4 7-7", state, ""), old]),
            }
        }
        [_, what, ..] if what == "NODES" => nodes_text(),
        _ => "+OK\r\n".to_owned(),
    });
    let target = Fake::start(|_| nodes_text());
    let mut cluster = cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, "")]);
    let (done, said) = play(&mut cluster, &moves([0, 1, 2, 3, 4, 7]));
    assert_eq!(done, Ok(()));
    let sent = source.heard();
    let ask = format!("CLUSTER MIGRATESLOTS SLOTSRANGE 0 4 7 7 NODE {TARGET}");
    assert_eq!(sent.iter().filter(|line| **line == ask).count(), 1, "{sent:?}");
    assert!(said.contains("Moving slots 0-4 from 127.0.0.1:"), "{said}");
    assert!(said.contains(": done (10 keys, 2.00 KiB, writes waited 0.7 ms)\n"), "{said}");
    assert_eq!((cluster.nodes[0].slots.len(), cluster.nodes[1].slots.len()), (4, 6));
}

#[test]
fn a_failed_move_says_why() {
    let mut asked = 0;
    let source = Fake::start(move |words| match words {
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
            asked += 1;
            let failed = entry("new", "EXPORT", "5-5", "failed", "target ran out of memory");
            if asked == 1 { array([]) } else { array([failed]) }
        }
        [_, what, ..] if what == "NODES" => nodes_text(),
        _ => "+OK\r\n".to_owned(),
    });
    let target = Fake::start(|_| nodes_text());
    let mut cluster = cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, "")]);
    let (done, said) = play(&mut cluster, &moves([5]));
    assert_eq!(done.unwrap_err().text(), "slots 5-5: target ran out of memory");
    assert!(said.contains("failed: target ran out of memory"), "{said}");
    assert_eq!(cluster.nodes[0].slots.len(), 10);
}

#[test]
fn a_refusal_ends_the_run() {
    let source = Fake::start(|words| match words {
        [_, what, ..] if what == "MIGRATESLOTS" => "-ERR I am already migrating slot 5.\r\n".into(),
        _ => array([]),
    });
    let target = Fake::start(|_| nodes_text());
    let mut cluster = cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, "")]);
    let (done, said) = play(&mut cluster, &moves([5]));
    assert_eq!(done.unwrap_err().text(), "ERR I am already migrating slot 5.");
    assert!(said.contains("replied with error:\nERR I am already migrating slot 5.\n"), "{said}");
}

#[test]
fn a_move_goes_on_at_the_replica_that_has_taken_over() {
    let mut asked = 0;
    let source = Fake::start(move |words| match words {
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
            asked += 1;
            match asked {
                1 => array([]),
                2 => array([entry("new", "EXPORT", "5-5", "snapshotting", "")]),
                // The process dies.
                _ => String::new(),
            }
        }
        _ => "+OK\r\n".to_owned(),
    });
    let promoted = Fake::start(|words| match words {
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
            array([entry("new", "EXPORT", "5-5", "success", "")])
        }
        _ => nodes_text(),
    });
    let port = promoted.port;
    let view = format!("{SOURCE} 127.0.0.1:{port}@1 master - 0 0 9 connected 0-9\n");
    let target = Fake::start(move |words| match words {
        [_, what, ..] if what == "NODES" => bulk(&view),
        _ => array([]),
    });
    let mut cluster = cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, "")]);
    let (done, said) = play(&mut cluster, &moves([5]));
    assert_eq!(done, Ok(()), "{said}");
    assert_eq!(cluster.nodes[1].slots.len(), 1);
}

/// The source has given its last slots: it becomes a replica and loses its list, in which it may never have been seen.
#[test]
fn a_move_is_over_where_the_source_has_become_a_replica_of_the_target() {
    for is_seen in [true, false] {
        let mut asked = 0;
        let source = Fake::start(move |words| match words {
            [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
                asked += 1;
                match asked {
                    2 if is_seen => array([entry("new", "EXPORT", "0-9", "failover-granted", "")]),
                    2.. => array([entry("new", "IMPORT", "0-9", "occurring-on-primary", "")]),
                    _ => array([]),
                }
            }
            _ => "+OK\r\n".to_owned(),
        });
        let view = format!(
            "{TARGET} h:1@2 myself,master - 0 0 2 connected 0-9\n\
             {SOURCE} h:3@4 slave {TARGET} 0 0 2 connected\n"
        );
        let target = Fake::start(move |words| match words {
            [_, what, ..] if what == "NODES" => bulk(&view),
            _ => array([entry("new", "IMPORT", "0-9", "failover-granted", "")]),
        });
        let mut cluster = cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, "")]);
        let (done, said) = play(&mut cluster, &moves(0..10));
        assert_eq!(done, Ok(()), "{said}");
        assert_eq!((cluster.nodes[0].slots.len(), cluster.nodes[1].slots.len()), (0, 10));
        let heard = source.heard();
        let looks = heard.iter().filter(|line| line.ends_with("GETSLOTMIGRATIONS")).count();
        assert!(looks <= 3, "it took long: {heard:?}");
    }
}

#[test]
fn several_targets_of_one_source_are_one_request() {
    let source = Fake::start(|words| match words {
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => array([]),
        _ => "-ERR enough\r\n".to_owned(),
    });
    let target = Fake::start(|_| nodes_text());
    let third = "cccccccccccccccccccccccccccccccccccccccc";
    let mut cluster =
        cluster_of(&[(SOURCE, &source, "0-9"), (TARGET, &target, ""), (third, &target, "")]);
    let mut all = moves([0, 1]);
    all.push(Move { slot: Slot::new(9).unwrap(), source: 0, target: 2 });
    assert!(play(&mut cluster, &all).0.is_err());
    let ask =
        format!("CLUSTER MIGRATESLOTS SLOTSRANGE 0 1 NODE {TARGET} SLOTSRANGE 9 9 NODE {third}");
    assert!(source.heard().contains(&ask), "{:?}", source.heard());
}

#[test]
fn only_nodes_of_ours_that_know_the_command_move_slots_as_a_whole() {
    let check = |info: &'static str, knows: bool| {
        let node = Fake::start(move |words| match words {
            [what, ..] if what == "INFO" => bulk(info),
            _ if knows => array([]),
            _ => "-ERR unknown subcommand\r\n".to_owned(),
        });
        can(&mut cluster_of(&[(SOURCE, &node, "")]).nodes[0])
    };
    assert!(check("# Server\r\nredis_version:7.2.4\r\nhighwater_version:0.1.0\r\n", true));
    assert!(!check("# Server\r\nredis_version:7.2.4\r\nhighwater_version:0.1.0\r\n", false));
    assert!(!check("# Server\r\nredis_version:9.0.0\r\n", true));
}

#[test]
fn moves_of_an_earlier_run_are_waited_for() {
    let mut asked = 0;
    let source = Fake::start(move |words| match words {
        [what, ..] if what == "INFO" => bulk("highwater_version:0.1.0\r\n"),
        [_, what, ..] if what == "GETSLOTMIGRATIONS" => {
            asked += 1;
            let state = if asked < 5 { "snapshotting" } else { "success" };
            array([entry("old", "EXPORT", "0-4", state, "")])
        }
        _ => nodes_text(),
    });
    let mut cluster = cluster_of(&[(SOURCE, &source, "0-9")]);
    let (mut out, mut err, mut input) = (Vec::new(), Vec::new(), std::io::empty());
    let mut screen = Screen::new(&mut out, &mut err, &mut input);
    wait_for_others(&mut screen, &mut cluster).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert!(said.contains("waiting for 1 moves first"), "{said}");
}

#[test]
fn ranges_are_compared_as_slots() {
    assert!(same_ranges("0-4 7", "0-4 7-7"));
    assert!(!same_ranges("0-4", "0-5"));
}
