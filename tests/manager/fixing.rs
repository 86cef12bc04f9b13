//! `fix`, on clusters that are broken in all the ways it knows.

use highwater::keyspace::Slot;

use crate::both::{Lab, Part, THREE, compare, id};
use crate::member::Kind;
use crate::peer::words;

use Kind::{Ours, Stock};

/// The slot that is broken, which the first node has.
const SLOT: u16 = 5;

/// Names of keys of a slot.
fn keys(slot: u16, count: usize) -> Vec<String> {
    let names = (0_u32..).map(|number| format!("k{number}"));
    names.filter(|name| Slot::of(name.as_bytes()).number() == slot).take(count).collect()
}

fn set_slot(lab: &Lab, member: usize, slot: u16, state: &str, other: usize) {
    lab.order(member, &format!("CLUSTER SETSLOT {slot} {state} {}", id(other)));
}

/// Writes a key to a node that is importing its slot.
#[track_caller]
fn write_asking(lab: &Lab, member: usize, key: &str, value: &str) {
    let set = format!("SET {key} {value}");
    let replies = lab.members[member].client().run(&[words("ASKING"), words(&set)]);
    assert_eq!(replies[1], b"+OK\r\n", "{:?}", String::from_utf8_lossy(&replies[1]));
}

/// Where the keys of the slot are.
fn whereabouts(lab: &Lab, slot: u16) -> String {
    let count = |member| lab.ask(member, &format!("CLUSTER COUNTKEYSINSLOT {slot}"));
    (0..3).map(count).collect()
}

/// Breaks a cluster, looks, fixes it, looks again.
#[track_caller]
fn check(kind: Kind, parts: &[Part], answers: &[&str], break_it: impl Fn(&Lab)) {
    check_with(kind, parts, &[], answers, break_it);
}

#[track_caller]
fn check_with(
    kind: Kind,
    parts: &[Part],
    options: &[&str],
    answers: &[&str],
    break_it: impl Fn(&Lab),
) {
    compare(kind, parts, |lab, cli| {
        let at = lab.at(0);
        break_it(lab);
        lab.settle();
        let fix = [&["fix", &at], options].concat();
        let mut said = vec![cli(&["check", &at], &[]), cli(&fix, answers)];
        lab.settle();
        said.push(cli(&["check", &at], &[]));
        said.push(whereabouts(lab, SLOT));
        said
    });
}

#[test]
fn a_move_that_is_open_on_both_sides_is_finished() {
    for kind in [Stock, Ours] {
        check(kind, THREE, &[], |lab| {
            set_slot(lab, 1, SLOT, "IMPORTING", 0);
            set_slot(lab, 0, SLOT, "MIGRATING", 1);
        });
    }
    check(Stock, THREE, &[], |lab| {
        keys(SLOT, 12).iter().for_each(|key| drop(lab.ask(0, &format!("SET {key} x"))));
        set_slot(lab, 1, SLOT, "IMPORTING", 0);
        set_slot(lab, 0, SLOT, "MIGRATING", 1);
    });
}

#[test]
fn keys_of_a_node_that_only_imports_find_an_owner() {
    for kind in [Stock, Ours] {
        check(kind, THREE, &[], |lab| set_slot(lab, 1, SLOT, "IMPORTING", 0));
    }
    for (kept, gone) in [(5, 25), (25, 5)] {
        check(Stock, THREE, &[], |lab| {
            let keys = keys(SLOT, 30);
            keys[..kept].iter().for_each(|key| drop(lab.ask(0, &format!("SET {key} x"))));
            set_slot(lab, 1, SLOT, "IMPORTING", 0);
            assert_eq!(keys[kept..].len(), gone);
            keys[kept..].iter().for_each(|key| write_asking(lab, 1, key, "x"));
        });
    }
}

#[test]
fn keys_that_differ_stop_a_fix_unless_they_may_be_replaced() {
    let break_it = |value: &'static str| {
        move |lab: &Lab| {
            let keys = keys(SLOT, 2);
            lab.order(0, &format!("SET {} one", keys[0]));
            set_slot(lab, 1, SLOT, "IMPORTING", 0);
            write_asking(lab, 1, &keys[0], value);
            write_asking(lab, 1, &keys[1], "x");
        }
    };
    check(Stock, THREE, &[], break_it("one"));
    check(Stock, THREE, &[], break_it("other"));
    check_with(Stock, THREE, &["--cluster-replace"], &[], break_it("other"));
}

#[test]
fn several_importing_nodes_are_closed() {
    for kind in [Stock, Ours] {
        check(kind, THREE, &[], |lab| {
            set_slot(lab, 1, SLOT, "IMPORTING", 0);
            set_slot(lab, 2, SLOT, "IMPORTING", 0);
            set_slot(lab, 0, SLOT, "MIGRATING", 1);
        });
        let four = [THREE, &[Part::Primary("")]].concat();
        check(kind, &four, &[], |lab| {
            set_slot(lab, 2, SLOT, "IMPORTING", 0);
            set_slot(lab, 3, SLOT, "IMPORTING", 0);
            set_slot(lab, 0, SLOT, "MIGRATING", 1);
        });
    }
    check(Stock, THREE, &[], |lab| {
        let keys = keys(SLOT, 3);
        lab.order(0, &format!("SET {} x", keys[0]));
        for member in [1, 2] {
            set_slot(lab, member, SLOT, "IMPORTING", 0);
            write_asking(lab, member, &keys[member], "x");
        }
        set_slot(lab, 0, SLOT, "MIGRATING", 1);
    });
}

#[test]
fn a_slot_that_is_only_given_is_closed() {
    for kind in [Stock, Ours] {
        check(kind, THREE, &[], |lab| {
            lab.order(0, &format!("SET {} x", keys(SLOT, 1)[0]));
            set_slot(lab, 0, SLOT, "MIGRATING", 1);
        });
    }
}

#[test]
fn keys_in_a_closed_slot_of_another_node_are_brought_home() {
    check(Stock, THREE, &[], |lab| {
        let keys = keys(SLOT, 2);
        lab.order(0, &format!("SET {} x", keys[0]));
        set_slot(lab, 1, SLOT, "IMPORTING", 0);
        write_asking(lab, 1, &keys[1], "x");
        lab.order(1, &format!("CLUSTER SETSLOT {SLOT} STABLE"));
        set_slot(lab, 0, SLOT, "MIGRATING", 1);
    });
}

/// Nobody has this slot any more.
fn abandon(lab: &Lab, slot: u16) {
    (0..3).for_each(|member| drop(lab.ask(member, &format!("CLUSTER DELSLOTS {slot}"))));
}

/// Which node gets a slot without keys is drawn by chance: it is not looked at.
#[test]
fn slots_that_nobody_serves_get_somebody() {
    for (kind, answers) in [(Stock, "no"), (Ours, "no"), (Stock, "yes"), (Ours, "yes")] {
        compare(kind, THREE, |lab, cli| {
            let at = lab.at(0);
            [100, 101, 102, 9000].into_iter().for_each(|slot| abandon(lab, slot));
            lab.settle();
            let mut said = vec![cli(&["check", &at], &[]), cli(&["fix", &at], &[answers])];
            lab.settle();
            let check = cli(&["check", &at], &[]);
            said.extend(check.lines().filter(|line| line.starts_with('[')).map(str::to_owned));
            said
        });
    }
}

#[test]
fn slots_that_nobody_serves_go_where_their_keys_are() {
    for kind in [Stock, Ours] {
        check(kind, THREE, &["yes"], |lab| {
            lab.order(0, &format!("SET {} x", keys(SLOT, 1)[0]));
            abandon(lab, SLOT);
        });
    }
}

/// Stock's own run of this ends at once, since the cluster is still down: ours waits until it is up.
#[test]
fn keys_of_one_slot_on_several_nodes_are_gathered() {
    let lab = Lab::start(Stock, THREE);
    let keys = keys(SLOT, 3);
    lab.order(0, &format!("SET {} x", keys[0]));
    set_slot(&lab, 1, SLOT, "IMPORTING", 0);
    keys[1..].iter().for_each(|key| write_asking(&lab, 1, key, "x"));
    lab.order(1, &format!("CLUSTER SETSLOT {SLOT} STABLE"));
    abandon(&lab, SLOT);
    lab.settle();
    let said = lab.cli(crate::both::Program::Ours, &["--cluster", "fix", &lab.at(0)], &["yes"]);
    assert!(said.contains(">>> Covering slot 5 moving keys to 127.0.0.1:PORT1\n"), "{said}");
    assert!(said.ends_with("(status Some(0))\n"), "{said}");
    lab.settle();
    assert_eq!(whereabouts(&lab, SLOT), ":0\r\n:3\r\n:0\r\n");
}
