//! `reshard` and `rebalance`.

use crate::both::{Lab, Part, THREE, compare, id};
use crate::member::Kind;

use Kind::{Ours, Stock};

fn fill(lab: &Lab) {
    for number in 0..200 {
        (0..3).for_each(|member| drop(lab.ask(member, &format!("SET key:{number} x"))));
    }
}

#[test]
fn questions_of_reshard_are_asked_and_understood_alike() {
    for kind in [Stock, Ours] {
        let parts = [THREE, &[Part::Replica(0)]].concat();
        compare(kind, &parts, |lab, cli| {
            let at = lab.at(0);
            let ids: Vec<String> = (0..4).map(id).collect();
            let [one, two, three, replica] = &ids[..] else { panic!("four") };
            let words = ["reshard", &at];
            let mut said = vec![
                cli(&words, &["0", "5", &"f".repeat(40)]),
                cli(&words, &["3", replica]),
                cli(&words, &["3", one, two, "done", "no"]),
                cli(&words, &["3", one, two, "all", "no"]),
                cli(&words, &["3", one, "done"]),
                cli(&words, &["3", one, two, three, "done", "yes"]),
            ];
            lab.settle();
            let to = ["reshard", &at, "--cluster-to", one];
            said.push(cli(&to, &["7", "done"]));
            let both = [&to[..], &["--cluster-from", three]].concat();
            said.push(cli(&both, &["3", "y"]));
            said.push(cli(&both, &["3", "yes"]));
            lab.settle();
            said.push(cli(&["check", &at], &[]));
            said
        });
    }
}

#[test]
fn reshard_moves_what_its_options_say() {
    for kind in [Stock, Ours] {
        compare(kind, THREE, |lab, cli| {
            fill(lab);
            let at = lab.at(0);
            let [one, two, three] = [0, 1, 2].map(id);
            let reshard = |from: &str, to: &str, count: &str, more: &[&str]| {
                let words = ["reshard", &at, "--cluster-from", from, "--cluster-to", to];
                let options = ["--cluster-slots", count, "--cluster-yes"];
                let said = cli(&[&words[..], &options, more].concat(), &[]);
                lab.settle();
                said
            };
            let two_sources = format!("{two},{three}");
            let with_target = format!("{one},{two}");
            let with_nobody = format!("{one},nobody");
            vec![
                reshard("all", &two, "2", &[]),
                reshard(&two_sources, &one, "50", &[]),
                reshard(&with_target, &two, "2", &[]),
                reshard("nobody", &two, "2", &[]),
                reshard(&with_nobody, &two, "2", &[]),
                reshard(&one, "nobody", "2", &[]),
                reshard(&one, &two, "-5", &[]),
                reshard(
                    &one,
                    &two,
                    "100",
                    &["--cluster-pipeline", "1", "--cluster-timeout", "9000"],
                ),
                cli(&["info", &at], &[]),
                cli(&["check", &at], &[]),
            ]
        });
    }
}

#[test]
fn unclean_clusters_are_not_worked_on() {
    for kind in [Stock, Ours] {
        compare(kind, THREE, |lab, cli| {
            lab.order(0, &format!("CLUSTER SETSLOT 5 MIGRATING {}", id(1)));
            let at = lab.at(0);
            vec![
                cli(&["reshard", &at], &[]),
                cli(&["rebalance", &at], &[]),
                cli(&["add-node", "127.0.0.1:1", &at], &[]),
            ]
        });
    }
}

#[test]
fn rebalance_plans_and_moves_alike() {
    for kind in [Stock, Ours] {
        let parts = [THREE, &[Part::Primary("")]].concat();
        compare(kind, &parts, |lab, cli| {
            fill(lab);
            let at = lab.at(0);
            let [one, two, three] = [0, 1, 2].map(|index| id(index)[..2].to_owned());
            let simulate = |more: &[&str]| {
                cli(&[&["rebalance", &at, "--cluster-simulate"], more].concat(), &[])
            };
            // Which of two nodes with equal surpluses goes first is the order of a hash table.
            let count = |said: String| {
                let has = |what: &str| said.matches(what).count();
                format!("{} {} {}", has("#"), has("Moving "), has("(status Some(0))"))
            };
            let weight = |word: &str, weight: &str| format!("{word}={weight}");
            let mut said = vec![
                cli(&["rebalance", &at], &[]),
                count(simulate(&["--cluster-use-empty-masters"])),
                simulate(&["--cluster-weight", "nobody=1"]),
                simulate(&["--cluster-weight", &two]),
                simulate(&["--cluster-weight", &weight(&two, "2"), &weight(&three, "0")]),
                count(simulate(&["--cluster-weight", &weight(&id(1), "3")])),
                simulate(&["--cluster-threshold", "50"]),
            ];
            let weights = [weight(&one, "1"), weight(&two, "1.01"), weight(&id(3)[..3], "0.002")];
            let [a, b, c] = weights.each_ref().map(String::as_str);
            let real =
                ["rebalance", &at, "--cluster-use-empty-masters", "--cluster-weight", a, b, c];
            said.push(count(cli(&real, &[])));
            lab.settle();
            let slots = |member| {
                let nodes = lab.ask(0, "CLUSTER NODES");
                let line = nodes.lines().find(|line| line.starts_with(&id(member))).unwrap();
                line.split(' ').skip(8).map(str::len).sum::<usize>() > 0
            };
            said.push(format!("{:?}", [0, 1, 2, 3].map(slots)));
            said
        });
    }
}
