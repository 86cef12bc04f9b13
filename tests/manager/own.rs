//! What stock does not have.

use std::process::{Command, Stdio};

use crate::both::{Lab, Part, Program, THREE, id};
use crate::member::{Kind, Member};
use crate::server::wait_for;

use Kind::{Ours, Stock};

/// Runs `highwater cluster ...`.
fn highwater(words: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    command.arg("cluster").args(words).env("TERM", "dumb").stdin(Stdio::null());
    let output = command.output().expect("it runs");
    let [out, err] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), out, err)
}

/// Opens slots as a run that was killed leaves them: at its first step, in the middle, and at its last.
fn interrupt(lab: &Lab) {
    let [source, target] = [0, 1].map(id);
    lab.order(1, &format!("CLUSTER SETSLOT 7 IMPORTING {source}"));
    for slot in [8, 9] {
        lab.order(1, &format!("CLUSTER SETSLOT {slot} IMPORTING {source}"));
        lab.order(0, &format!("CLUSTER SETSLOT {slot} MIGRATING {target}"));
    }
}

#[test]
fn an_interrupted_run_is_finished_by_giving_the_command_again() {
    for kind in [Stock, Ours] {
        let lab = Lab::start(kind, THREE);
        interrupt(&lab);
        let at = lab.at(0);
        let [source, target] = [0, 1].map(id);
        let words = ["reshard", &at, "--cluster-from", &source, "--cluster-to", &target];
        let words = [&words[..], &["--cluster-slots", "2", "--cluster-yes"]].concat();
        // Under stock's name it is refused, as stock does.
        let said = lab.cli(Program::Ours, &[&["--cluster"], &words[..]].concat(), &[]);
        assert!(said.contains("Please fix your cluster problems before resharding"), "{said}");
        let (is_content, said, err) = highwater(&words);
        assert!(is_content, "{said}{err}");
        assert!(said.contains("An interrupted run left 3 slots on their way"), "{said}");
        lab.settle();
        let (_, said, _) = highwater(&["check", &at]);
        assert!(said.contains("slots:[2-6],[10-5460] (5456 slots) master\n"), "{said}");
        // Moved before the check, and so not among what the plan could take: the lowest two were.
        assert!(said.contains("slots:[0-1],[7-9],[5461-10922] (5467 slots) master\n"), "{said}");
    }
}

#[test]
fn results_can_be_read_by_machines() {
    let lab = Lab::start(Ours, &[THREE, &[Part::Replica(0)]].concat());
    let at = lab.at(0);
    let facts = |words: &[&str]| -> serde_json::Value {
        let (is_content, out, err) = highwater(words);
        assert!(is_content, "{out}{err}");
        assert_eq!(out.lines().count(), 1, "{out}");
        serde_json::from_str(&out).expect("one object")
    };
    let check = facts(&["check", &at, "--json"]);
    assert_eq!((&check["ok"], &check["slots_covered"]), (&true.into(), &16384.into()));
    assert_eq!(check["nodes"].as_array().unwrap().len(), 4);
    assert_eq!(facts(&["info", &at, "--json"])["keys"], 0);
    let [one, two] = [0, 1].map(id);
    let words = ["reshard", &at, "--cluster-from", &one, "--cluster-to", &two];
    let moved = facts(&[&words[..], &["--cluster-slots", "3", "--cluster-yes", "--json"]].concat());
    let moves = moved["moves"].as_array().unwrap();
    assert_eq!((moves.len(), &moves[0]["slots"]), (1, &"0-2".into()), "{moved}");
    assert_eq!((&moves[0]["source"], &moves[0]["state"]), (&one.into(), &"success".into()));
    lab.settle();
    let balanced = facts(&["rebalance", &at, "--json"]);
    assert_eq!(balanced["moves"].as_array().map(Vec::len), Some(0), "{balanced}");
}

#[test]
fn small_clusters_are_made_where_that_is_asked_for() {
    for count in [1, 2] {
        let lab = Lab::start(Ours, &vec![Part::Alone; count]);
        let all: Vec<String> = (0..count).map(|index| lab.at(index)).collect();
        let words: Vec<&str> = all.iter().map(String::as_str).collect();
        let create = [&["create", "--cluster-yes"], &words[..]].concat();
        let (is_content, said, _) = highwater(&create);
        assert!(!is_content && said.contains("requires at least 3 master nodes"), "{said}");
        let (is_content, said, err) =
            highwater(&[&create[..], &["--cluster-allow-small"]].concat());
        assert!(is_content && said.contains("[OK] All 16384 slots covered."), "{said}{err}");
        wait_for("a cluster that serves", || {
            (lab.members[0].cluster_info("cluster_state") == "ok").then_some(())
        });
    }
}

#[test]
fn copies_of_one_folder_are_named() {
    let lab = Lab::start(Ours, &[Part::Alone; 3]);
    let mut copy = Member::start(Ours, &[]);
    copy.kill();
    let file = |member: &Member| member.folder.path().join("nodes.conf");
    std::fs::copy(file(&lab.members[0]), file(&copy)).unwrap();
    copy.restart();
    let all = [lab.at(0), lab.at(1), copy.address()];
    let words = ["create", &all[0], &all[1], &all[2], "--cluster-yes"];
    let (is_content, said, _) = highwater(&words);
    let told = format!("Nodes {} and {} have the same ID", all[0], all[2]);
    assert!(!is_content && said.contains(&told), "{said}");
}

#[test]
fn the_bus_port_that_is_out_of_reach_is_named_soon() {
    let lab = Lab::start(Ours, &[Part::Alone; 2]);
    // Nobody listens there.
    let wrong = crate::member::ports::free_ports(1).to_string();
    let other = Member::start(Ours, &["--cluster-announce-bus-port", &wrong]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    let all = [other.address(), lab.at(0), lab.at(1)];
    command.args(["cluster", "create", "--cluster-yes"]).args(&all).env("TERM", "dumb");
    let out = tempfile::NamedTempFile::new().unwrap();
    command.stdin(Stdio::null()).stdout(out.reopen().unwrap()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let told = format!(" - The port {wrong} of node {} may be unreachable from:\n", all[0]);
    wait_for("a word about the port", || {
        std::fs::read_to_string(out.path()).unwrap().contains(&told).then_some(())
    });
    // It waits on, for whoever opens the port.
    assert!(child.try_wait().unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn reshard_is_told_in_ranges_and_ends_with_what_came_of_it() {
    let lab = Lab::start(Ours, THREE);
    let at = lab.at(0);
    let [one, two] = [0, 1].map(id);
    let words = ["reshard", &at, "--cluster-from", &one, "--cluster-slots", "100"];
    let unknown = [&words[..], &["--cluster-to", "x", "--cluster-yes", "--json"]].concat();
    let (is_content, out, err) = highwater(&unknown);
    let facts: serde_json::Value = serde_json::from_str(&out).expect("one object");
    assert!(!is_content && facts["ok"] == false, "{out}{err}");
    let told = "*** The specified node (x) is not known or not a master.";
    assert_eq!(facts["errors"], serde_json::json!([told]));
    let (is_content, said, err) =
        highwater(&[&words[..], &["--cluster-to", &two, "--cluster-yes"]].concat());
    assert!(is_content, "{said}{err}");
    assert!(said.contains(&format!("    Moving slots 0-99 from {at}\n")), "{said}");
    assert!(said.contains("\n100 slots moved in "), "{said}");
}
