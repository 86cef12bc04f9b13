//! Client libraries that many use go on through failovers: Rust's and Python's `redis`.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::cluster_read_routing::RandomReplicaStrategy;
use redis::{ConnectionLike, ProtocolVersion, cmd, from_redis_value, pipe};

use crate::member::Kind;
use crate::server::wait_for;
use crate::shards::Shards;

fn connect(shards: &Shards, protocol: ProtocolVersion, from_replicas: bool) -> ClusterConnection {
    let urls = shards.members.iter().map(|member| format!("redis://{}/", member.address()));
    let builder = ClusterClient::builder(urls)
        .use_protocol(protocol)
        .connection_timeout(Duration::from_secs(1))
        .response_timeout(Duration::from_secs(5))
        .retries(20)
        .min_retry_wait(50)
        .max_retry_wait(500);
    let builder =
        if from_replicas { builder.read_routing_strategy(RandomReplicaStrategy) } else { builder };
    builder.build().expect("good settings").get_connection().expect("a cluster")
}

/// Writes and reads in all shards: one by one, many at once, and in a transaction. Nothing may fail.
fn play(client: &mut ClusterConnection, round: u64) {
    for number in 0..60 {
        let key = format!("one:{number}");
        let () = cmd("SET").arg(&key).arg(round).query(client).expect("a write");
        let found: u64 = cmd("GET").arg(&key).query(client).expect("a read");
        assert_eq!(found, round, "{key}");
    }
    let mut many = cluster_pipe();
    for number in 0..60 {
        many.cmd("SET").arg(format!("many:{number}")).arg(round).ignore();
        many.cmd("GET").arg(format!("many:{number}"));
    }
    let found: Vec<u64> = many.query(client).expect("a pipeline");
    assert_eq!(found, [round; 60]);
    for number in 0..10 {
        let key = |name: &str| format!("{{transaction:{number}}}:{name}");
        let mut transaction = pipe();
        transaction.atomic().cmd("SET").arg(key("a")).arg(round);
        transaction.cmd("SET").arg(key("b")).arg("x").cmd("GET").arg(key("a"));
        // Its cluster client takes transactions in this form only.
        let (bytes, replies) = (transaction.get_packed_pipeline(), transaction.len() + 1);
        let found = client.req_packed_commands(&bytes, replies, 1).expect("a transaction");
        let found = found.into_iter().next().map(from_redis_value::<(String, String, u64)>);
        assert_eq!(found, Some(Ok(("OK".to_owned(), "OK".to_owned(), round))));
    }
}

fn through_failovers(kinds: &[Kind], protocol: ProtocolVersion) {
    let mut shards = Shards::make(kinds, 1, &[]);
    let mut client = connect(&shards, protocol, false);
    play(&mut client, 1);
    let primary = shards.owner("one:1");
    let replica = shards.replicas(primary)[0];
    shards.members[primary].kill();
    // Where nobody listens any more this library does not look at the map again by itself; its users connect anew.
    wait_for("a write", || {
        let written = cmd("SET").arg("one:1").arg(2).query::<()>(&mut client);
        written.map_err(|_| client = connect(&shards, protocol, false)).ok()
    });
    play(&mut client, 2);
    assert!(shards.members[replica].is_primary());
    shards.members[primary].restart();
    shards.heal();
    play(&mut client, 3);
    assert_eq!(shards.members[primary].ask("CLUSTER FAILOVER"), "+OK\r\n");
    play(&mut client, 4);
    wait_for("a new primary", || shards.members[primary].is_primary().then_some(()));
    play(&mut client, 5);
    let mut reader = connect(&shards, protocol, true);
    for number in 0..60 {
        let key = format!("one:{number}");
        wait_for("a replica's word", || {
            let found: u64 = cmd("GET").arg(&key).query(&mut reader).expect("a read");
            (found == 5).then_some(())
        });
    }
}

#[test]
fn the_rust_library_goes_on_through_failovers() {
    through_failovers(&[Kind::Ours; 6], ProtocolVersion::RESP3);
    use Kind::{Ours, Stock};
    through_failovers(&[Stock, Ours, Stock, Ours, Stock, Ours], ProtocolVersion::RESP2);
}

#[test]
fn the_python_library_goes_on_through_failovers() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(python.exists(), "no {}: scripts/test makes it", python.display());
    use Kind::{Ours, Stock};
    for (kinds, protocol) in [([Ours; 6], "3"), ([Ours, Stock, Ours, Stock, Ours, Stock], "2")] {
        let mut shards = Shards::make(&kinds, 1, &[]);
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/client.py"));
        command.arg(protocol).args(shards.members.iter().map(|member| member.port.to_string()));
        let output = command.output().expect("Python runs");
        let said =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{}", said.concat());
        // It has killed one.
        let killed = (0..6).find(|&index| !shards.members[index].accepts()).expect("one is gone");
        shards.members[killed].kill();
        shards.members[killed].restart();
        shards.heal();
    }
}
