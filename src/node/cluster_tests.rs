//! Clients of a node in a cluster of four: `a`, `b` and `c` are primaries, `d` is a replica of `a`.

use super::tests::Bench;
use super::*;
use crate::cluster::Input;
use crate::cluster::testing::{cluster_of, id};
use crate::config::PrimaryAddress;
use crate::state::cluster::Membership;

/// The node `me`, whose cluster serves; its log has begun.
pub(crate) fn node(me: char) -> Bench {
    let mut bench = Bench::new();
    let cluster = cluster_of(me, bench.clock.0);
    bench.clock.advance_ms(3000);
    let state = &mut bench.node.state;
    state.time = bench.clock.0;
    state.config.values_mut().cluster_enabled = true;
    state.cluster = Some(Box::new(Membership::new(cluster)));
    if me == 'd' {
        let host = "10.0.0.2".to_owned();
        state.set_primary(Some(PrimaryAddress { host, port: 7000 }));
    }
    bench.node.take_outputs();
    bench
}

/// Runs one request; where its reply waits for the configuration, that gets to the disk.
pub(crate) fn ask(bench: &mut Bench, line: &str) -> String {
    let mut reply = bench.run(line);
    let Some(membership) = &bench.node.state.cluster else { return reply };
    let number = membership.core.saves_wanted();
    bench.node.step_cluster(bench.clock.0, Input::Saved { is_saved: true, number });
    for output in bench.node.take_outputs() {
        if let Output::Push { bytes, .. } = output {
            reply.push_str(&String::from_utf8(bytes).unwrap());
        }
    }
    reply
}

/// Plays a transcript on a node: each line `request -> reply`, where the reply is a line without its end.
pub(crate) fn play(bench: &mut Bench, transcript: &str) {
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (request, reply) = line.split_once(" -> ").expect("request -> reply");
        let (a, b, c, d) = (id('a'), id('b'), id('c'), id('d'));
        let request = request
            .replace("<a>", a.as_str())
            .replace("<b>", b.as_str())
            .replace("<c>", c.as_str())
            .replace("<d>", d.as_str());
        let shown = ask(bench, &request).trim_end().replace("\r\n", " ");
        assert_eq!(shown, reply, "reply to {request}");
    }
}

pub(crate) fn check(me: char, transcript: &str) {
    play(&mut node(me), transcript);
}

#[test]
fn keys_of_others_are_redirected() {
    check(
        'a',
        "set bar 1 -> +OK
         get bar -> $1 1
         get foo -> -MOVED 12182 10.0.0.2:7002
         mset bar 1 foo 1 -> -CROSSSLOT Keys in request don't hash to the same slot
         mset bar 1 {bar}2 2 -> +OK
         object encoding foo -> -MOVED 12182 10.0.0.2:7002
         spublish foo 1 -> -MOVED 12182 10.0.0.2:7002
         publish foo 1 -> :0
         ping -> +PONG
         get -> -ERR wrong number of arguments for 'get' command
         dbsize -> :2",
    );
}

#[test]
fn a_redirected_command_spoils_its_transaction() {
    check(
        'a',
        "multi -> +OK
         set bar 1 -> +QUEUED
         get foo -> -MOVED 12182 10.0.0.2:7002
         exec -> -EXECABORT Transaction discarded because of previous errors.
         get bar -> $-1
         multi -> +OK
         set bar 1 -> +QUEUED
         get {bar}2 -> +QUEUED
         exec -> *2 +OK $-1
         exec -> -ERR EXEC without MULTI",
    );
}

#[test]
fn exec_is_routed_by_all_of_its_keys() {
    let mut bench = node('a');
    play(
        &mut bench,
        "multi -> +OK
         set bar 1 -> +QUEUED
         set qux 1 -> -MOVED 9995 10.0.0.2:7001
         discard -> +OK
         multi -> +OK
         set bar 1 -> +QUEUED
         set {06S} 1 -> +QUEUED
         exec -> -CROSSSLOT Keys in request don't hash to the same slot
         exec -> -ERR EXEC without MULTI
         get bar -> $-1",
    );
    assert_eq!(bench.log(), "");
    let exec = crate::commands::table().find(b"exec").unwrap();
    assert_eq!(bench.node.state.stats.command(exec.id).rejected, 1);
}

#[test]
fn a_migrating_slot_asks_for_what_is_gone() {
    check(
        'a',
        "set bar 1 -> +OK
         cluster setslot 5061 migrating <b> -> +OK
         get bar -> $1 1
         get {bar}2 -> -ASK 5061 10.0.0.2:7001
         mget bar {bar}2 -> -TRYAGAIN Multiple keys request during rehashing of slot
         multi -> +OK
         get bar -> +QUEUED
         exec -> *1 $1 1
         multi -> +OK
         get bar -> +QUEUED
         get {bar}2 -> -ASK 5061 10.0.0.2:7001
         exec -> -EXECABORT Transaction discarded because of previous errors.
         cluster setslot 5061 stable -> +OK
         get {bar}2 -> $-1",
    );
}

#[test]
fn an_expired_key_is_a_missing_one() {
    let mut bench = node('a');
    play(&mut bench, "set bar 1 px 10 -> +OK\ncluster setslot 5061 migrating <b> -> +OK");
    bench.clock.advance_ms(20);
    play(&mut bench, "get bar -> -ASK 5061 10.0.0.2:7001");
}

#[test]
fn asking_holds_for_one_command_or_one_transaction() {
    check(
        'b',
        "cluster setslot 5061 importing <a> -> +OK
         get bar -> -MOVED 5061 10.0.0.2:7000
         asking -> +OK
         get bar -> $-1
         get bar -> -MOVED 5061 10.0.0.2:7000
         asking -> +OK
         asking -> +OK
         get bar -> $-1
         asking -> +OK
         nosuch -> -ERR unknown command 'nosuch', with args beginning with: 
         get bar -> -MOVED 5061 10.0.0.2:7000
         asking -> +OK
         asking x -> -ERR wrong number of arguments for 'asking' command
         get bar -> $-1
         asking -> +OK
         mget bar {bar}2 -> -TRYAGAIN Multiple keys request during rehashing of slot
         asking -> +OK
         multi -> +OK
         set bar 1 -> +QUEUED
         set bar 2 -> +QUEUED
         exec -> *2 +OK +OK
         get bar -> -MOVED 5061 10.0.0.2:7000
         multi -> +OK
         asking -> +QUEUED
         set bar 1 -> -MOVED 5061 10.0.0.2:7000
         exec -> -EXECABORT Transaction discarded because of previous errors.
         asking -> +OK
         multi -> +OK
         set bar 1 -> +QUEUED
         set {bar}2 2 -> +QUEUED
         exec -> -TRYAGAIN Multiple keys request during rehashing of slot
         asking -> +OK
         reset -> +RESET
         get bar -> -MOVED 5061 10.0.0.2:7000",
    );
}

#[test]
fn a_replica_answers_those_who_said_readonly() {
    let mut bench = node('d');
    play(
        &mut bench,
        "get bar -> -MOVED 5061 10.0.0.2:7000
         readonly -> +OK
         get bar -> $-1
         set bar 1 -> -MOVED 5061 10.0.0.2:7000
         get foo -> -MOVED 12182 10.0.0.2:7002
         multi -> +OK
         get bar -> +QUEUED
         exec -> *1 $-1
         spublish bar 1 -> :0
         readwrite -> +OK
         get bar -> -MOVED 5061 10.0.0.2:7000
         readonly -> +OK",
    );
    assert!(bench.run("client info").contains(" flags=r "));
    play(&mut bench, "reset -> +RESET\nget bar -> -MOVED 5061 10.0.0.2:7000");
}

// A primary that dies right after a sync, and comes back with less, must hear what its replica has.
#[test]
fn what_came_over_a_link_counts_however_short_it_was_there() {
    let mut bench = node('d');
    bench.node.state.stream.end = 70;
    assert_eq!(bench.node.state.cluster_facts().offset, 0, "it may be of another history");
    let generation = bench.node.state.replication.generation;
    let time = bench.clock.0;
    bench.node.with_link(generation, time, |link, facts, _| link.loaded(facts.now_ms)).unwrap();
    assert!(bench.node.link_is_lost(generation, "it is closed", time));
    let facts = bench.node.state.cluster_facts();
    assert_eq!((facts.offset, facts.data_age_ms), (70, 0));
}

#[test]
fn what_a_replica_loads_may_be_older_than_what_it_had() {
    let mut bench = node('d');
    bench.node.state.stream.end = 70;
    let facts = |bench: &Bench| {
        let facts = bench.node.state.cluster_facts();
        (facts.offset, facts.data_age_ms)
    };
    let now_ms = bench.clock.0.mono_ms();
    bench.node.state.note_loaded_age(now_ms, Some(0));
    assert_eq!(facts(&bench), (0, u64::MAX), "what is of another history does not get better");
    bench.node.state.replication.data_age = Some((now_ms - 10, 5));
    for (loaded_ms, age_ms) in [(3, 15), (9_000, 9_000), (0, 9_000)] {
        bench.node.state.note_loaded_age(now_ms, Some(loaded_ms));
        assert_eq!(facts(&bench), (70, age_ms));
    }
    bench.node.state.note_loaded_age(now_ms, None);
    assert_eq!(facts(&bench), (0, u64::MAX), "it has nothing");
}

#[test]
fn one_database_is_all_there_is() {
    check(
        'a',
        "select 0 -> +OK
         select 1 -> -ERR SELECT is not allowed in cluster mode
         move bar 1 -> -ERR MOVE is not allowed in cluster mode
         swapdb 0 1 -> -ERR SWAPDB is not allowed in cluster mode
         copy bar {bar}2 db 1 -> -ERR Copying to another database is not allowed in cluster mode
         replicaof 10.0.0.2 7001 -> -ERR REPLICAOF not allowed in cluster mode.
         slaveof no one -> -ERR REPLICAOF not allowed in cluster mode.
         failover -> -ERR FAILOVER not allowed in cluster mode. Use CLUSTER FAILOVER command instead.",
    );
}

#[test]
fn replies_wait_for_the_configuration() {
    let mut bench = node('a');
    assert_eq!(bench.run("cluster saveconfig\nget bar"), "", "nothing runs behind it");
    assert_eq!(ask(&mut bench, ""), "+OK\r\n");
    assert_eq!(bench.run("cluster bumpepoch"), "");
    assert_eq!(ask(&mut bench, ""), "+BUMPED 4\r\n");
    assert_eq!(bench.run("cluster bumpepoch"), "+STILL 4\r\n", "nothing has to be written");
    assert_eq!(bench.run("cluster keyslot foo"), ":12182\r\n");
    let replies = bench.run("multi\ncluster saveconfig\nexec");
    assert_eq!(replies, "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n", "a transaction does not wait");
}

#[test]
fn a_file_written_before_the_change_does_not_count() {
    let mut bench = node('a');
    let number = bench.node.state.cluster.as_ref().unwrap().core.saves_wanted();
    assert_eq!(bench.run("cluster saveconfig"), "");
    bench.node.step_cluster(bench.clock.0, Input::Saved { is_saved: true, number });
    let pushed =
        bench.node.take_outputs().iter().any(|output| matches!(output, Output::Push { .. }));
    assert!(!pushed);
    assert_eq!(ask(&mut bench, ""), "+OK\r\n");
}

#[test]
fn a_configuration_that_is_not_saved_is_an_error() {
    let mut bench = node('a');
    assert_eq!(bench.run("cluster saveconfig"), "");
    let number = bench.node.state.cluster.as_ref().unwrap().core.saves_wanted();
    bench.node.step_cluster(bench.clock.0, Input::Saved { is_saved: false, number });
    let pushed = bench.node.take_outputs().into_iter().any(|output| match output {
        Output::Push { bytes, .. } => {
            bytes.starts_with(b"-ERR error saving the cluster node config")
        }
        _ => false,
    });
    assert!(pushed);
}

#[test]
fn commands_of_the_cluster_do_not_wait_for_a_failover() {
    let mut bench = node('a');
    bench.node.state.cluster.as_mut().unwrap().paused_until_ms = Some(u64::MAX);
    assert_eq!(bench.run("cluster keyslot foo\nget bar"), ":12182\r\n$-1\r\n");
    assert_eq!(bench.run("cluster setslot 1 stable"), "");
    assert_eq!(ask(&mut bench, ""), "+OK\r\n");
    assert_eq!(bench.run("set bar 1"), "", "writes do");
}

#[test]
fn slots_are_assigned() {
    check(
        'a',
        "cluster delslots 7 7 -> -ERR Slot 7 specified multiple times
         cluster delslots 7 x -> -ERR Invalid or out of range slot
         cluster delslots 7 -> +OK
         cluster delslots 7 -> -ERR Slot 7 is already unassigned
         get {06S} -> -CLUSTERDOWN The cluster is down
         cluster addslots 6 -> -ERR Slot 6 is already busy
         cluster addslots 16384 -> -ERR Invalid or out of range slot
         cluster addslotsrange 7 -> -ERR wrong number of arguments for 'cluster|addslotsrange' command
         cluster addslotsrange 7 8 9 -> -ERR wrong number of arguments for 'cluster|addslotsrange' command
         cluster addslotsrange 8 7 -> -ERR start slot number 8 is greater than end slot number 7
         cluster addslotsrange 7 7 8 x -> -ERR Invalid or out of range slot
         cluster addslotsrange 7 8 x y -> -ERR Slot 8 is already busy
         cluster addslotsrange 7 7 -> +OK
         cluster delslotsrange 0 3 3 5 -> -ERR Slot 3 specified multiple times
         set bar 1 -> +OK
         cluster flushslots -> -ERR DB must be empty to perform CLUSTER FLUSHSLOTS.
         del bar -> :1
         cluster flushslots -> +OK
         get bar -> -CLUSTERDOWN Hash slot not served",
    );
}

#[test]
fn slots_are_opened_and_handed_over() {
    check(
        'a',
        "cluster setslot 1 migrating -> -ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP
         cluster setslot 1 stable x -> -ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP
         cluster setslot x stable -> -ERR Invalid or out of range slot
         cluster setslot 1 migrating x -> -ERR I don't know about node x
         cluster setslot 9000 migrating x -> -ERR I'm not the owner of hash slot 9000
         cluster setslot 9000 migrating <b> -> -ERR I'm not the owner of hash slot 9000
         cluster setslot 1 importing x -> -ERR I'm already the owner of hash slot 1
         cluster setslot 9000 importing x -> -ERR I don't know about node x
         cluster setslot 1 migrating <d> -> -ERR Target node is not a master
         cluster setslot 1 node x -> -ERR Unknown node x
         cluster setslot 1 node <d> -> -ERR Target node is not a master
         set bar 1 -> +OK
         cluster setslot 5061 node <b> -> -ERR Can't assign hashslot 5061 to a different node while I still hold keys for this hash slot.
         cluster countkeysinslot 5061 -> :1
         cluster getkeysinslot 5061 10 -> *1 $3 bar
         cluster getkeysinslot 5061 0 -> *0
         cluster getkeysinslot 5061 -1 -> -ERR Invalid slot or number of keys
         cluster getkeysinslot 5061 x -> -ERR value is not an integer or out of range
         cluster countkeysinslot 16384 -> -ERR Invalid slot
         cluster countkeysinslot x -> -ERR value is not an integer or out of range
         del bar -> :1
         cluster setslot 5061 node <b> -> +OK
         set bar 1 -> -MOVED 5061 10.0.0.2:7001",
    );
    check(
        'd',
        "cluster setslot x stable -> -ERR Please use SETSLOT only with masters.
         cluster setslot 1 stable -> -ERR Please use SETSLOT only with masters.",
    );
}

#[test]
fn nodes_come_go_and_change_roles() {
    check(
        'a',
        "cluster meet x 7001 -> -ERR Invalid node address specified: x:7001
         cluster meet 10.0.0.9 x -> -ERR Invalid base port specified: x
         cluster meet 10.0.0.9 0 -> -ERR Invalid node address specified: 10.0.0.9:0
         cluster meet 10.0.0.9 60000 -> -ERR Invalid node address specified: 10.0.0.9:60000
         cluster meet 10.0.0.9 7009 x -> -ERR Invalid bus port specified: x
         cluster meet 10.0.0.9 7009 17009 1 -> -ERR unknown subcommand or wrong number of arguments for 'meet'. Try CLUSTER HELP.
         cluster meet 10.0.0.9 7009 -> +OK
         cluster meet 10.0.0.9 7009 17009 -> +OK
         cluster forget x -> -ERR Unknown node x
         cluster forget <a> -> -ERR I tried hard but I can't forget myself...
         cluster forget <c> -> +OK
         cluster forget <c> -> +OK
         cluster replicas x -> -ERR Unknown node x
         cluster replicas <d> -> -ERR The specified node is not a master
         cluster replicas <b> -> *0
         cluster slaves <b> -> *0
         cluster count-failure-reports <b> -> :0
         cluster count-failure-reports x -> -ERR Unknown node x
         cluster replicate x -> -ERR Unknown node x
         cluster replicate <a> -> -ERR Can't replicate myself
         cluster replicate <d> -> -ERR I can only replicate a master, not a replica.
         cluster replicate <b> -> -ERR To set a master the node must be empty and without assigned slots.
         cluster set-config-epoch x -> -ERR value is not an integer or out of range
         cluster set-config-epoch -1 -> -ERR Invalid config epoch specified: -1
         cluster set-config-epoch 1 -> -ERR The user can assign a config epoch only when the node does not know any other node.
         cluster failover x -> -ERR syntax error
         cluster failover force x -> -ERR unknown subcommand or wrong number of arguments for 'failover'. Try CLUSTER HELP.
         cluster failover -> -ERR You should send CLUSTER FAILOVER to a replica
         cluster nosuch -> -ERR unknown subcommand 'nosuch'. Try CLUSTER HELP.
         cluster -> -ERR wrong number of arguments for 'cluster' command",
    );
    let mut bench = node('d');
    play(
        &mut bench,
        "cluster forget <a> -> -ERR Can't forget my master!
         cluster replicate <d> -> -ERR Can't replicate myself
         cluster replicate <b> -> +OK",
    );
    let follows = bench.node.state.replication.primary.as_ref().unwrap();
    assert_eq!((follows.address.host.as_str(), follows.address.port), ("10.0.0.2", 7001));
}

#[test]
fn a_reset_node_begins_anew() {
    let mut bench = node('a');
    play(
        &mut bench,
        "set bar 1 -> +OK
         cluster reset -> -ERR CLUSTER RESET can't be called with master nodes containing keys
         cluster reset x -> -ERR syntax error
         del bar -> :1
         cluster reset soft -> +OK
         cluster slots -> *0
         cluster set-config-epoch 1 -> -ERR Node config epoch is already non-zero",
    );
    let mut ids = vec![ask(&mut bench, "cluster myid")];
    assert!(ids[0].contains(id('a').as_str()), "a soft reset keeps the name");
    for _ in 0..3 {
        play(&mut bench, "cluster reset hard -> +OK\ncluster set-config-epoch 1 -> +OK");
        let fresh = [ask(&mut bench, "cluster myid"), ask(&mut bench, "cluster myshardid")];
        assert!(fresh.iter().all(|fresh| !ids.contains(fresh)), "names are new: {fresh:?}");
        ids.extend(fresh);
    }
}

#[test]
fn outside_of_cluster_mode_there_is_no_cluster() {
    let mut bench = Bench::new();
    let subcommands = &crate::commands::table().find(b"cluster").unwrap().subcommands;
    for subcommand in subcommands {
        let arguments = "1 ".repeat(usize::try_from(subcommand.arity.shown().abs()).unwrap() - 2);
        let reply = bench.run(&format!("cluster {} {arguments}", subcommand.command.name));
        assert_eq!(
            reply, "-ERR This instance has cluster support disabled\r\n",
            "{}",
            subcommand.full_name
        );
    }
    for name in ["readonly", "readwrite", "asking"] {
        assert_eq!(bench.run(name), "-ERR This instance has cluster support disabled\r\n");
    }
}
