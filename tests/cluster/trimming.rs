//! A slot with many keys is claimed by somebody else: its former owner is rid of them soon, and serves meanwhile.

use std::time::Duration;

use highwater::clock::mono_us;
use highwater::keyspace::Slot;

use crate::peer::words;
use crate::server::wait_for;
use crate::shards::Shards;

const KEYS: usize = 100_000;

#[test]
fn keys_of_a_lost_slot_go_in_slices_from_primary_and_replica() {
    let shards = Shards::of_ours(&[]);
    let slot = Slot::of(b"bar").number();
    let loser = &shards.members[shards.owner("bar")];
    let replica = &shards.members[shards.replicas(shards.owner("bar"))[0]];
    let winner = &shards.members[shards.owner("foo")];
    assert_ne!(loser.port, winner.port);
    let mut client = loser.client();
    for part in (0..KEYS).collect::<Vec<_>>().chunks(1000) {
        let pairs: String = part.iter().map(|i| format!(" {{bar}}{i} {i}")).collect();
        client.run(&[words(&format!("MSET{pairs}"))]);
    }
    let count = format!("CLUSTER COUNTKEYSINSLOT {slot}");
    wait_for("the replica", || (replica.ask(&count) == format!(":{KEYS}\r\n")).then_some(()));

    winner.ask(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", loser.id()));
    winner.ask(&format!("CLUSTER SETSLOT {slot} NODE {}", winner.id()));
    wait_for("the claim", || loser.ask("GET bar").starts_with("-MOVED").then_some(()));
    assert_eq!(loser.ask(&count), ":0\r\n", "nobody sees what is left");
    let (began_us, mut longest_us) = (mono_us(), 0);
    while loser.ask("CLUSTER INFO").contains("cluster_slots_hidden") {
        let asked_us = mono_us();
        client.run(&[words("PING")]);
        longest_us = longest_us.max(mono_us() - asked_us);
        assert!(mono_us() - began_us < 60_000_000, "the slot is not emptied");
    }
    let took = Duration::from_micros(mono_us() - began_us);
    println!("{KEYS} keys in {took:?}, the longest PING took {longest_us} us");
    wait_for("the replica", || (replica.ask(&count) == ":0\r\n").then_some(()));
    assert_eq!(loser.ask("DBSIZE"), replica.ask("DBSIZE"));
    shards.heal();
}
