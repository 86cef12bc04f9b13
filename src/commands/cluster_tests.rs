//! Maps of the cluster, as RESP2 and RESP3.

use crate::cluster::testing::id;
use crate::config::choices::EndpointType;
use crate::node::cluster_tests::{check, node};
use crate::node::tests::Bench;

/// The reply with the names of nodes cut to their letters, as one line.
fn shown(bench: &mut Bench, request: &str) -> String {
    let mut reply = bench.run(request);
    for letter in ['a', 'b', 'c', 'd'] {
        reply = reply.replace(&format!("$40\r\n{}", id(letter)), &letter.to_string());
    }
    reply.trim_end().replace("\r\n", " ")
}

fn with_endpoint(bench: &mut Bench, kind: EndpointType) {
    bench.node.state.config.values_mut().cluster_preferred_endpoint_type = kind;
}

fn name_myself(bench: &mut Bench) {
    let core = &mut bench.node.state.cluster.as_mut().unwrap().core;
    core.settings.hostname = "a.example".to_owned();
    core.settings_changed();
}

#[test]
fn slots_are_ranges_with_their_nodes() {
    let mut bench = node('a');
    assert_eq!(
        shown(&mut bench, "cluster slots"),
        "*3 *4 :0 :5460 *4 $8 10.0.0.1 :7000 a *0 *4 $8 10.0.0.2 :7003 d *0 \
         *3 :5461 :10922 *4 $8 10.0.0.2 :7001 b *0 \
         *3 :10923 :16383 *4 $8 10.0.0.2 :7002 c *0"
    );
    bench.run("hello 3");
    with_endpoint(&mut bench, EndpointType::Hostname);
    assert!(
        shown(&mut bench, "cluster slots")
            .starts_with("*3 *4 :0 :5460 *4 $1 ? :7000 a %1 $2 ip $8 10.0.0.1 *4 ")
    );
    name_myself(&mut bench);
    assert!(
        shown(&mut bench, "cluster slots")
            .starts_with("*3 *4 :0 :5460 *4 $9 a.example :7000 a %1 $2 ip $8 10.0.0.1 *4 ")
    );
    with_endpoint(&mut bench, EndpointType::UnknownEndpoint);
    assert!(shown(&mut bench, "cluster slots").starts_with(
        "*3 *4 :0 :5460 *4 _ :7000 a %2 $2 ip $8 10.0.0.1 $8 hostname $9 a.example *4 "
    ));
    bench.run("hello 2");
    with_endpoint(&mut bench, EndpointType::Ip);
    assert!(
        shown(&mut bench, "cluster slots")
            .starts_with("*3 *4 :0 :5460 *4 $8 10.0.0.1 :7000 a *2 $8 hostname $9 a.example *4 ")
    );
}

#[test]
fn shards_are_maps() {
    let mut bench = node('a');
    let reply = shown(&mut bench, "cluster shards");
    assert!(
        reply.starts_with(
            "*3 *4 $5 slots *2 :0 :5460 $5 nodes *2 \
             *14 $2 id a $4 port :7000 $2 ip $8 10.0.0.1 $8 endpoint $8 10.0.0.1 \
             $4 role $6 master $18 replication-offset :0 $6 health $6 online \
             *14 $2 id d $4 port :7003 $2 ip $8 10.0.0.2 $8 endpoint $8 10.0.0.2 \
             $4 role $7 replica $18 replication-offset :100 $6 health $6 online \
             *4 $5 slots *2 :5461 :10922 $5 nodes *1 *14 $2 id b "
        ),
        "{reply}"
    );
    bench.run("hello 3");
    name_myself(&mut bench);
    with_endpoint(&mut bench, EndpointType::UnknownEndpoint);
    let reply = shown(&mut bench, "cluster shards");
    assert!(
        reply.starts_with(
            "*3 %2 $5 slots *2 :0 :5460 $5 nodes *2 \
             %8 $2 id a $4 port :7000 $2 ip $8 10.0.0.1 $8 endpoint $0  $8 hostname $9 a.example "
        ),
        "{reply}"
    );
}

#[test]
fn links_tell_what_waits_for_them() {
    let mut bench = node('a');
    let membership = bench.node.state.cluster.as_mut().unwrap();
    let first = membership.core.shown_links()[0].id;
    membership.link_bytes = vec![(first, 300)];
    bench.run("hello 3");
    let reply = shown(&mut bench, "cluster links");
    assert!(reply.starts_with("*3 %6 $9 direction $2 to $4 node b $11 create-time :"), "{reply}");
    assert!(
        reply.contains(
            " $6 events $2 rw $21 send-buffer-allocated :300 $16 send-buffer-used :300 %6 "
        )
    );
    assert!(
        reply.ends_with(" $6 events $1 r $21 send-buffer-allocated :0 $16 send-buffer-used :0")
    );
    assert!(bench.run("info memory").contains("mem_cluster_links:300\r\n"));
    assert!(bench.run("info clients").contains("cluster_connections:6\r\n"));
    assert!(bench.run("info cluster").contains("cluster_enabled:1\r\n"));
    assert!(bench.run("info server").contains("redis_mode:cluster\r\n"));
}

#[test]
fn texts_are_marked_as_such() {
    let mut bench = node('a');
    let (nodes, info) = (bench.run("cluster nodes"), bench.run("cluster info"));
    assert!(nodes.starts_with('$') && nodes.ends_with("\n\r\n"));
    assert!(info.contains("\r\ncluster_state:ok\r\ncluster_slots_assigned:16384\r\n"));
    bench.run("hello 3");
    assert!(bench.run("cluster nodes").contains("\r\ntxt:aaaa"));
    assert!(bench.run("cluster info").contains("\r\ntxt:cluster_state:ok\r\n"));
}

#[test]
fn slot_stats_count_what_slots_hold() {
    let none = |keys, bytes| format!("*4 $9 key-count :{keys} $12 memory-bytes :{bytes}");
    let mut bench = node('a');
    bench.run("mset {bar}1 1 {bar}2 2");
    let bytes = bench.node.state.keyspace.db(0).unwrap().slot(crate::keyspace::Slot::of(b"bar"));
    let (two, zero) = (none(2, bytes.counters().bytes), none(0, 0));
    assert_eq!(
        shown(&mut bench, "cluster slot-stats slotsrange 5060 5061"),
        format!("*2 *2 :5060 {zero} *2 :5061 {two}")
    );
    assert_eq!(
        shown(&mut bench, "cluster slot-stats orderby key-count limit 2"),
        format!("*2 *2 :5061 {two} *2 :0 {zero}")
    );
    assert_eq!(
        shown(&mut bench, "cluster slot-stats orderby memory-bytes asc limit 1"),
        format!("*1 *2 :0 {zero}")
    );
    assert_eq!(shown(&mut bench, "cluster slot-stats slotsrange 16000 16383"), "*0", "others'");
}

#[test]
fn slot_stats_count_costs_where_that_is_wanted() {
    let mut bench = node('a');
    bench.run("config set cluster-slot-stats-enabled yes\nset bar 1\nget bar\nget foo");
    let reply = shown(&mut bench, "cluster slot-stats orderby network-bytes-in limit 1");
    let bytes_out = "+OK\r\n$1\r\n1\r\n".len();
    let expected = format!(
        "*1 *2 :5061 *10 $9 key-count :1 $8 cpu-usec :0 $16 network-bytes-in :51 $17 network-bytes-out :{bytes_out} $12 "
    );
    assert!(reply.starts_with(&expected), "{reply}");
    bench.run("config resetstat");
    let reply = shown(&mut bench, "cluster slot-stats slotsrange 5061 5061");
    assert!(reply.contains(" $16 network-bytes-in :0 "), "{reply}");
}

#[test]
fn slot_stats_have_two_forms() {
    check(
        'a',
        "cluster slot-stats slotsrange 1 -> -ERR unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP.
         cluster slot-stats slotsrange -> -ERR wrong number of arguments for 'cluster|slot-stats' command
         cluster slot-stats slotsrange x 1 -> -ERR Invalid or out of range slot
         cluster slot-stats slotsrange 2 1 -> -ERR Start slot number 2 is greater than end slot number 1
         cluster slot-stats orderby cpu-usec -> -ERR Unrecognized sort metric for ORDERBY.
         cluster slot-stats orderby key-count limit 0 -> -ERR Limit has to lie in between 1 and 16384 (maximum number of slots).
         cluster slot-stats orderby key-count limit x -> -ERR Limit has to lie in between 1 and 16384 (maximum number of slots).
         cluster slot-stats orderby key-count limit -> -ERR syntax error
         cluster slot-stats orderby key-count limit 1 limit 1 -> -ERR syntax error
         cluster slot-stats orderby key-count asc desc -> -ERR syntax error
         cluster slot-stats nosuch 1 2 -> -ERR unknown subcommand or wrong number of arguments for 'slot-stats'. Try CLUSTER HELP.",
    );
}
