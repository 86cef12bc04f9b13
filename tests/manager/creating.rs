//! `create`.

use crate::both::{Lab, Part, Program, compare};
use crate::member::Kind;

use Kind::{Ours, Stock};

fn addresses(lab: &Lab, count: usize) -> Vec<String> {
    (0..count).map(|index| lab.at(index)).collect()
}

#[test]
fn clusters_are_made_alike() {
    for kind in [Stock, Ours] {
        compare(kind, &[Part::Alone; 3], |lab, cli| {
            let all = addresses(lab, 3);
            let words: Vec<&str> = all.iter().map(String::as_str).collect();
            let create = [&["create"], &words[..]].concat();
            let mut said = vec![
                cli(&[&create[..], &["--cluster-replicas", "1"]].concat(), &[]),
                cli(&create[..3], &[]),
                cli(&create, &["no"]),
                cli(&create, &["YES"]),
                cli(&create, &["yes"]),
            ];
            lab.settle();
            said.push(cli(&["check", &all[0]], &[]));
            said.push(cli(&create, &[]));
            said
        });
    }
}

/// Which replica follows which primary is drawn by chance where all are on one host.
#[test]
fn replicas_get_their_primaries() {
    for kind in [Stock, Ours] {
        let lab = Lab::start(kind, &[Part::Alone; 7]);
        let all = addresses(&lab, 7);
        let mut words = vec!["--cluster", "create"];
        words.extend(all.iter().map(String::as_str));
        words.extend(["--cluster-replicas", "1"]);
        let [stock, ours] = [Program::Stock, Program::Ours].map(|program| {
            let said = lab.cli(program, &words, &["no"]);
            let (before, _) = said.split_once("M: ").expect("a plan");
            before.to_owned()
        });
        assert_eq!(stock, ours);
        let said = lab.cli(Program::Ours, &words, &["yes"]);
        assert!(said.contains("[OK] All 16384 slots covered."), "{said}");
        assert!(said.contains("Adding extra replicas..."), "{said}");
        lab.settle();
        let check = ["--cluster", "check", &all[0]];
        let said = [Program::Stock, Program::Ours].map(|program| lab.cli(program, &check, &[]));
        assert_eq!(said[0], said[1]);
        assert!(said[0].contains("   2 additional replica(s)\n"), "{}", said[0]);
    }
}

#[test]
fn nodes_with_keys_are_not_taken() {
    compare(Stock, &[Part::Alone; 3], |lab, cli| {
        lab.order(1, "CLUSTER ADDSLOTSRANGE 0 16383");
        crate::server::wait_for("a key", || {
            lab.ask(1, "SET key x").starts_with("+OK").then_some(())
        });
        let all = addresses(lab, 3);
        vec![cli(&["create", &all[0], &all[1], &all[2]], &[])]
    });
}
