//! Nodes restart into their cluster by themselves, at another address too.

use std::time::Duration;

use crate::member::Kind;
use crate::shards::Shards;
use crate::writers::{Writers, check};

#[test]
fn a_whole_cluster_comes_back_after_kill_9_of_all() {
    let mut shards = Shards::of_ours(&["--appendfsync", "always"]);
    let ports: Vec<u16> = shards.members.iter().map(|member| member.port).collect();
    let writers = Writers::start(&ports, 3);
    std::thread::sleep(Duration::from_millis(500));
    let ids: Vec<String> = shards.members.iter().map(|member| member.id()).collect();
    shards.members.iter_mut().for_each(crate::member::Member::kill);
    let written = writers.stop();
    shards.members.iter_mut().for_each(crate::member::Member::restart);
    shards.heal();
    let after: Vec<String> = shards.members.iter().map(|member| member.id()).collect();
    assert_eq!(ids, after, "nodes keep their names");
    let (confirmed, missing) = check(&ports, &written);
    assert!(confirmed > 5, "only {confirmed} writes were confirmed");
    assert_eq!(missing, 0, "the log held everything that was acknowledged");
}

#[test]
fn a_node_comes_back_at_another_port() {
    for kind in [Kind::Ours, Kind::Stock] {
        let mut kinds = [Kind::Ours; 6];
        kinds[0] = kind;
        let mut shards = Shards::make(&kinds, 1, &[]);
        for index in [0, 4] {
            shards.members[index].stop();
            shards.members[index].move_away();
            shards.members[index].restart();
            shards.heal();
        }
    }
}

#[test]
fn a_cluster_of_stock_becomes_one_of_ours_node_by_node() {
    let mut shards = Shards::make(&[Kind::Stock; 6], 1, &[]);
    let ports: Vec<u16> = shards.members.iter().map(|member| member.port).collect();
    let writers = Writers::start(&ports, 2);
    let ids: Vec<String> = shards.members.iter().map(|member| member.id()).collect();
    for index in 0..6 {
        if shards.members[index].is_primary() {
            let replica = shards.replicas(index)[0];
            assert_eq!(shards.members[replica].ask("CLUSTER FAILOVER"), "+OK\r\n");
            shards.heal();
        }
        shards.members[index].stop();
        shards.members[index].kind = Kind::Ours;
        shards.members[index].restart();
        shards.heal();
        // Stock does not vote about one primary twice within two timeouts.
        std::thread::sleep(Duration::from_millis(3100));
    }
    let after: Vec<String> = shards.members.iter().map(|member| member.id()).collect();
    assert_eq!(ids, after, "nodes keep their names");
    let (confirmed, missing) = check(&ports, &writers.stop());
    assert!(confirmed > 50, "only {confirmed} writes were confirmed");
    assert_eq!(missing, 0, "nothing that was acknowledged may be lost");
}
