//! What changes nothing: check, info, call, and words that make no sense.

use crate::both::{Part, Program, THREE, compare, id};
use crate::member::Kind;

use Kind::{Ours, Stock};

/// Replies of several lines stand in the order of the nodes.
fn sorted(said: &str) -> String {
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn clean_clusters_are_shown_alike() {
    for kind in [Stock, Ours] {
        let parts = [THREE, &[Part::Replica(0), Part::Replica(0)]].concat();
        compare(kind, &parts, |lab, cli| {
            let at = lab.at(0);
            for number in 0..40 {
                for member in 0..3 {
                    lab.ask(member, &format!("SET key:{number} x"));
                }
            }
            let (host, port) = at.split_once(':').unwrap();
            vec![
                cli(&["check", &at], &[]),
                cli(&["check", host, port], &[]),
                cli(&["check", &lab.at(4)], &[]),
                cli(&["check", &at, "--cluster-search-multiple-owners"], &[]),
                cli(&["check", "--cluster-search-multiple-owners", &at], &[]),
                cli(&["info", &at], &[]),
                cli(&["info", &lab.at(3)], &[]),
                cli(&["call", &at, "PING"], &[]),
                cli(&["call", &at, "get", "--cluster-only-masters", "x"], &[]),
                cli(&["call", &at, "echo", "a b\"c", "--cluster-only-replicas"], &[]),
                cli(&["call", &at, "nonsense"], &[]),
                sorted(&cli(&["call", &at, "config", "get", "cluster-node-timeout"], &[])),
                cli(&["set-timeout", &at, "6000"], &[]),
                sorted(&cli(&["call", &at, "config", "get", "cluster-node-timeout"], &[])),
                cli(&["set-timeout", &at, "50"], &[]),
                cli(&["set-timeout", &at, "x"], &[]),
            ]
        });
    }
}

#[test]
fn words_that_make_no_sense_are_refused_alike() {
    compare(Stock, THREE, |lab, cli| {
        let at = lab.at(0);
        let lines: &[&[&str]] = &[
            &["nonsense"],
            &["check"],
            &["check", "127.0.0.1"],
            &["check", "127.0.0.1:x"],
            &["check", "127.0.0.1", "x"],
            &["check", "a", "b", "c"],
            &["check", "127.0.0.1:1"],
            &["check", "127.0.0.1", "1"],
            &["check", &at, "--cluster-nonsense"],
            &["check", &at, "--nonsense"],
            &["check", &at, "--cluster-from"],
            &["info"],
            &["fix"],
            &["create"],
            &["create", "x"],
            &["create", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
            &["reshard"],
            &["rebalance"],
            &["rebalance", &at, "--cluster-weight", "a=1", "--cluster-weight", "b=1"],
            &["add-node", &at],
            &["add-node", "127.0.0.1:1", &at],
            &["add-node", &at, "127.0.0.1:1"],
            &["del-node", &at],
            &["del-node", &at, "nonsense"],
            &["call", &at],
            &["set-timeout", &at],
            &["import", &at],
            &["import", &at, "--cluster-from", "nonsense"],
            &["backup", &at],
        ];
        lines.iter().map(|words| cli(words, &[])).collect()
    });
}

#[test]
fn nodes_out_of_reach_are_told_alike() {
    for kind in [Stock, Ours] {
        let parts = [THREE, &[Part::Replica(0), Part::Replica(1)]].concat();
        compare(kind, &parts, |lab, cli| {
            let at = lab.at(0);
            lab.order(1, "CONFIG SET requirepass secret");
            let mut said = vec![
                cli(&["check", &at], &[]),
                cli(&["check", &lab.at(1)], &[]),
                cli(&["info", &at], &[]),
                cli(&["call", &at, "PING"], &[]),
                cli(&["fix", &at], &[]),
            ];
            let quiet = "--no-auth-warning";
            said.push(sorted(&cli(&["info", &lab.at(1), "-a", "secret", quiet], &[])));
            said.push(cli(&["info", &lab.at(1), "-a", "wrong"], &[]));
            said
        });
    }
}

#[test]
fn passwords_are_asked_for_and_said() {
    compare(Stock, THREE, |lab, cli| {
        for member in 0..3 {
            lab.order(member, "CONFIG SET requirepass secret");
        }
        let at = lab.at(0);
        vec![
            cli(&["info", &at], &[]),
            cli(&["info", &at, "-a", "secret"], &[]),
            cli(&["info", &at, "-a", "secret", "--no-auth-warning"], &[]),
            cli(&["info", &at, "--pass", "secret", "--user", "default"], &[]),
            cli(&["info", &at, "--pass", "secret", "--user", "nobody"], &[]),
        ]
    });
}

/// Under TERM=xterm lines of weight have colours, whatever they go to.
#[test]
fn colours_are_the_same() {
    let lab = crate::both::Lab::start(Stock, THREE);
    lab.order(0, &format!("CLUSTER SETSLOT 5 MIGRATING {}", id(1)));
    let said = [Program::Stock, Program::Ours].map(|program| {
        let words = ["--cluster", "check", &lab.at(0)];
        lab.cli_in_colour(program, &words)
    });
    assert!(said[0].contains("\u{1b}[29;1m"), "{}", said[0]);
    assert_eq!(said[0], said[1]);
}
