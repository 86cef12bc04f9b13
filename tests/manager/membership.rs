//! `add-node` and `del-node`.

use crate::both::{Part, THREE, compare, id};
use crate::member::{Kind, Member};
use crate::server::wait_for;

use Kind::{Ours, Stock};

#[test]
fn nodes_join_and_leave_alike() {
    let parts = [THREE, &[Part::Replica(0), Part::Alone, Part::Alone, Part::Alone]].concat();
    compare(Stock, &parts, |lab, cli| {
        let at = lab.at(0);
        let [primary, replica, other] = [4, 5, 6].map(|index| lab.at(index));
        let mut said = vec![cli(&["add-node", &primary, &at], &[])];
        lab.settle();
        let follow = ["--cluster-slave", "--cluster-master-id"];
        let master = lab.members[4].id();
        said.push(cli(&[&["add-node", &replica, &at], &follow[..], &["nobody"]].concat(), &[]));
        said.push(cli(&[&["add-node", &replica, &at], &follow[..], &[&master]].concat(), &[]));
        lab.settle();
        said.push(cli(&["add-node", &primary, &at], &[]));
        said.push(
            cli(&["add-node", &other, &at, "--cluster-slave"], &[]).replace("PORT1", "PORT2"),
        );
        lab.settle();
        said.push(cli(&["del-node", &at, &id(0)], &[]));
        said.push(cli(&["del-node", &at, &id(0)[..8]], &[]));
        said.push(cli(&["del-node", &at, &id(3)], &[]));
        said.push(lab.ask(3, "CLUSTER INFO").contains("cluster_known_nodes:1\r\n").to_string());
        // Its replica goes to whoever has fewest.
        let gone = cli(&["del-node", &at, &master], &[]);
        said.push(gone.lines().count().to_string());
        said.push(lab.ask(4, "CLUSTER INFO").contains("cluster_known_nodes:1\r\n").to_string());
        said.retain(|text| !text.contains("Automatically selected"));
        said
    });
}

/// Nodes of ours have no functions: nothing is lost, and nothing is in the way.
#[test]
fn nodes_without_functions_join() {
    let parts = [THREE, &[Part::Alone]].concat();
    compare(Ours, &parts, |lab, cli| {
        let mut said = vec![cli(&["add-node", &lab.at(3), &lab.at(0)], &[])];
        lab.settle();
        wait_for("all to know the new node", || {
            let knows = |member: &Member| member.cluster_info("cluster_known_nodes") == "4";
            lab.members.iter().all(knows).then_some(())
        });
        said.push(cli(&["check", &lab.at(0)], &[]));
        said.push(cli(&["del-node", &lab.at(0), &lab.members[3].id()], &[]));
        said
    });
}

#[test]
fn functions_go_to_new_primaries() {
    let parts = [THREE, &[Part::Alone, Part::Alone]].concat();
    compare(Stock, &parts, |lab, cli| {
        let load = |member: usize, name: &str| {
            let code = format!(
                "#!lua name={name}\nredis.register_function('{name}', function() return 1 end)"
            );
            let words = ["FUNCTION", "LOAD", &code].map(|word| word.as_bytes().to_vec()).to_vec();
            lab.members[member].client().run(&[words]);
        };
        load(0, "one");
        load(4, "two");
        vec![
            cli(&["add-node", &lab.at(4), &lab.at(0)], &[]),
            cli(&["add-node", &lab.at(3), &lab.at(0)], &[]),
            lab.ask(3, "FUNCTION LIST"),
        ]
    });
}
