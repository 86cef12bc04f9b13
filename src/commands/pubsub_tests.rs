//! Publish and subscribe between clients of one node.

use crate::config::PrimaryAddress;
use crate::keyspace::Slot;
use crate::node::tests::Bench;
use crate::resp::inline::encode;
use crate::state::client::Peer;
use crate::state::{ClientId, Output};

/// A node with three clients; the first one is the bench's own.
fn bench() -> (Bench, [ClientId; 3]) {
    let mut bench = Bench::new();
    let mut connect = || {
        let peer = Peer { loopback: true, ..Peer::default() };
        bench.node.connect(peer, bench.clock.0).expect("there is room")
    };
    let (second, third) = (connect(), connect());
    let first = bench.client;
    (bench, [first, second, third])
}

fn run(bench: &mut Bench, client: ClientId, lines: &str) -> String {
    let own = std::mem::replace(&mut bench.client, client);
    let replies = bench.run(lines);
    bench.client = own;
    replies.replace("\r\n", " ").trim_end().to_owned()
}

/// What waits for a client, and for which offset of the log.
fn mail(bench: &mut Bench, client: ClientId) -> (String, u64) {
    let Some(mail) = bench.node.take_mail(client) else { return (String::new(), 0) };
    let mut bytes = Vec::new();
    mail.write_to(&mut bytes);
    let text = String::from_utf8(bytes).unwrap().replace("\r\n", " ");
    (text.trim_end().to_owned(), mail.hold)
}

/// The clients whose connections are asked to fetch their mail.
fn called(bench: &mut Bench) -> Vec<u64> {
    let outputs = bench.node.take_outputs().into_iter();
    let called = |output| match output {
        Output::Deliver { client } => Some(client.0),
        _ => None,
    };
    outputs.filter_map(called).collect()
}

#[test]
fn a_message_reaches_channels_and_patterns_in_both_protocols() {
    let (mut bench, [first, second, third]) = bench();
    run(&mut bench, second, "subscribe news\npsubscribe n*");
    run(&mut bench, third, "hello 3\nsubscribe news other\nssubscribe news");
    assert_eq!(run(&mut bench, first, "publish news hi\npublish other2 x"), ":3 :0");
    assert_eq!(called(&mut bench), [second.0, third.0], "once, however much there is");
    let (told, _) = mail(&mut bench, second);
    assert_eq!(told, "*3 $7 message $4 news $2 hi *4 $8 pmessage $2 n* $4 news $2 hi");
    assert_eq!(mail(&mut bench, third).0, ">3 $7 message $4 news $2 hi");
    assert_eq!(run(&mut bench, first, "spublish news s\nspublish other s"), ":1 :0");
    assert_eq!(mail(&mut bench, third).0, ">3 $8 smessage $4 news $1 s");
    assert_eq!(mail(&mut bench, third).0, "", "it has been fetched");
    bench.node.disconnect(third);
    bench.node.disconnect(second);
    assert_eq!(run(&mut bench, first, "publish news hi\npubsub channels"), ":0 *0");
    assert!(!bench.node.state.clients.has_mail());
}

#[test]
fn mail_stands_before_the_replies_to_later_requests() {
    let (mut bench, [first, second, _]) = bench();
    run(&mut bench, second, "subscribe a");
    run(&mut bench, first, "publish a 1\npublish a 2");
    assert_eq!(
        run(&mut bench, second, "unsubscribe a"),
        "*3 $7 message $1 a $1 1 *3 $7 message $1 a $1 2 *3 $11 unsubscribe $1 a :0"
    );
    assert_eq!(mail(&mut bench, second).0, "");
    assert!(!bench.node.state.clients.has_mail());
}

#[test]
fn what_a_client_publishes_to_itself_follows_its_reply() {
    let (mut bench, [first, ..]) = bench();
    run(&mut bench, first, "hello 3\nsubscribe a");
    assert_eq!(run(&mut bench, first, "publish a 1\nping"), ":1 >3 $7 message $1 a $1 1 +PONG");
    assert_eq!(
        run(&mut bench, first, "multi\nping x\npublish a 1\nsubscribe b\nexec"),
        "+OK +QUEUED +QUEUED +QUEUED *3 $1 x :1 >3 $9 subscribe $1 b :2 >3 $7 message $1 a $1 1"
    );
    assert_eq!(called(&mut bench), [] as [u64; 0]);
    assert_eq!(run(&mut bench, first, "client reply off\npublish a 1"), ">3 $7 message $1 a $1 1");
    assert_eq!(
        run(&mut bench, first, "subscribe c d\nget k\nunsubscribe c\nclient reply on"),
        ">3 $9 subscribe $1 c :3 >3 $9 subscribe $1 d :4 >3 $11 unsubscribe $1 c :3 +OK",
        "what is no reply is not held back"
    );
}

#[test]
fn a_message_waits_for_the_writes_of_its_unit() {
    let (mut bench, [first, second, _]) = bench();
    run(&mut bench, second, "subscribe a");
    run(&mut bench, first, "multi\npublish a 1\nset k v\nexec");
    let end = bench.node.state.stream.end;
    assert_eq!(bench.log(), "MULTI\nSELECT 0\npublish a 1\nset k v\nEXEC");
    run(&mut bench, first, "set k w");
    assert_eq!(mail(&mut bench, second).1, end, "and for no later ones");
    // In a cluster a message is no part of the stream, and waits for nothing but what its unit has written.
    bench.node.state.config.values_mut().cluster_enabled = true;
    run(&mut bench, first, "publish a 2");
    assert_eq!(mail(&mut bench, second).1, 0);
    run(&mut bench, first, "multi\nset k x\npublish a 3\nexec");
    assert_eq!(mail(&mut bench, second).1, bench.node.state.stream.end);
    assert_eq!(bench.log(), "set k w\nset k x");
}

#[test]
fn in_a_cluster_messages_are_no_part_of_the_stream() {
    let (mut bench, [first, second, _]) = bench();
    bench.node.state.config.values_mut().cluster_enabled = true;
    assert_eq!(run(&mut bench, second, "subscribe a\nssubscribe a").matches(":1").count(), 2);
    bench.node.take_outputs();
    run(&mut bench, first, "publish a 1\nspublish b 2");
    assert_eq!(bench.node.take_outputs(), [Output::Deliver { client: second }]);
    assert_eq!(bench.node.state.stream.end, 0, "it is not in the stream");
    mail(&mut bench, second);
    bench.node.deliver(false, b"a", b"far");
    bench.node.deliver(true, b"a", b"far");
    assert_eq!(bench.node.take_outputs(), [Output::Deliver { client: second }]);
    let (told, hold) = mail(&mut bench, second);
    assert_eq!(told, "*3 $7 message $1 a $3 far *3 $8 smessage $1 a $3 far");
    assert_eq!(hold, 0);
}

#[test]
fn a_slot_that_moves_takes_its_channels_along() {
    let (mut bench, [first, second, third]) = bench();
    run(&mut bench, second, "ssubscribe {a}1 {a}2 b");
    run(&mut bench, third, "hello 3\nssubscribe {a}2");
    bench.node.take_outputs();
    bench.node.state.drop_shard_channels(Slot::of(b"a"));
    assert_eq!(called(&mut bench), [second.0, third.0]);
    assert_eq!(
        mail(&mut bench, second),
        ("*3 $12 sunsubscribe $4 {a}1 :1 *3 $12 sunsubscribe $4 {a}2 :1".to_owned(), 0)
    );
    assert_eq!(mail(&mut bench, third).0, ">3 $12 sunsubscribe $4 {a}2 :0");
    assert_eq!(run(&mut bench, first, "pubsub shardchannels\nspublish {a}1 x"), "*1 $1 b :0");
    assert!(run(&mut bench, second, "get k").contains("Can't execute 'get'"));
    bench.node.state.drop_shard_channels(Slot::of(b"b"));
    assert_eq!(run(&mut bench, second, "get k"), "*3 $12 sunsubscribe $1 b :0 $-1");
}

#[test]
fn a_client_whose_command_moves_a_slot_is_told_behind_its_reply() {
    let (mut bench, [first, ..]) = bench();
    run(&mut bench, first, "ssubscribe a");
    bench.node.take_outputs();
    // As while its command runs.
    let mut client = bench.node.state.clients.take(first).expect("it is connected");
    bench.node.state.drop_shard_channels(Slot::of(b"a"));
    assert_eq!(bench.node.take_outputs(), [], "it will look by itself");
    let mail = bench.node.state.take_own_mail(&mut client).expect("it is told");
    let mut told = Vec::new();
    mail.write_to(&mut told);
    assert_eq!(told, b"*3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n");
    assert!(!client.subscriptions.any());
    bench.node.state.clients.put(client);
    assert_eq!(run(&mut bench, first, "get k"), "$-1");
}

#[test]
fn subscribers_of_resp2_may_ask_for_little() {
    let (mut bench, [first, ..]) = bench();
    run(&mut bench, first, "subscribe a\nssubscribe b");
    for refused in ["get k", "client id", "publish a b", "hello 3", "multi", "info"] {
        let name = refused.replace("client id", "client|id");
        let name = name.split(' ').next().unwrap();
        let expected = format!(
            "-ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        );
        assert_eq!(run(&mut bench, first, refused), expected);
    }
    assert_eq!(run(&mut bench, first, "ping\nping x"), "*2 $4 pong $0  *2 $4 pong $1 x");
    assert_eq!(
        run(&mut bench, first, "unsubscribe\nget k\nsunsubscribe\nget k").matches("Can't").count(),
        1
    );
    assert_eq!(
        run(
            &mut bench,
            first,
            "subscribe a\npsubscribe b\nssubscribe c\nreset\nping\npubsub numpat"
        )
        .rsplit_once("+RESET ")
        .unwrap()
        .1,
        "+PONG :0"
    );
    bench.node.state.pubsub.check_invariants();
    assert!(bench.node.state.pubsub.is_empty());
}

#[test]
fn those_who_listen_are_a_class_of_clients() {
    let (mut bench, [first, second, third]) = bench();
    let setting = "config set client-output-buffer-limit \"pubsub 1000 0 0\" timeout 5";
    run(&mut bench, first, setting);
    run(&mut bench, second, "subscribe a b\npsubscribe c");
    run(&mut bench, third, "hello 3\nssubscribe d");
    let list = run(&mut bench, first, "client list type pubsub");
    assert!(list.contains(" flags=P db=0 sub=2 psub=1 ssub=0 "), "{list}");
    assert!(list.contains(" flags=P db=0 sub=0 psub=0 ssub=1 "), "{list}");
    assert!(!run(&mut bench, first, "client list type normal").contains("flags=P"));
    let stats = run(&mut bench, first, "info stats");
    for field in ["pubsub_channels:2", "pubsub_patterns:1", "pubsubshard_channels:1"] {
        assert!(stats.contains(field), "{stats}");
    }
    bench.node.take_outputs();
    bench.clock.advance_ms(10_000);
    bench.node.tick(bench.clock.0);
    let outputs = bench.node.take_outputs();
    assert!(outputs.contains(&Output::Close { client: first }), "idle: {outputs:?}");
    assert!(!outputs.contains(&Output::Close { client: second }), "{outputs:?}");
    // More than the limit in a mailbox that nobody empties. The first client is gone.
    let peer = Peer { loopback: true, ..Peer::default() };
    let first = bench.node.connect(peer, bench.clock.0).expect("there is room");
    run(&mut bench, first, &format!("publish a {}\npublish a x", "x".repeat(1000)));
    let outputs = bench.node.take_outputs();
    assert!(outputs.contains(&Output::Close { client: second }), "{outputs:?}");
    assert_eq!(bench.node.state.stats.output_limit_disconnections, 1);
    assert_eq!(mail(&mut bench, second).0, "");
    assert_eq!(run(&mut bench, first, "client kill type pubsub"), ":1", "the other one is closed");
}

#[test]
fn a_replica_delivers_what_its_primary_publishes() {
    let (mut bench, [first, second, _]) = bench();
    let address = PrimaryAddress { host: "h".to_owned(), port: 1 };
    bench.node.state.set_primary(Some(address));
    run(&mut bench, second, "subscribe a\npsubscribe ?\nssubscribe a");
    let generation = bench.node.state.replication.generation;
    let words: [&[&str]; 3] = [&["SELECT", "0"], &["publish", "a", "m"], &["spublish", "a", "m"]];
    let stream: Vec<u8> = words.iter().flat_map(|words| encode(words)).collect();
    bench.node.follow(generation, &stream, &mut bench.clock).unwrap();
    let end = bench.node.state.stream.end;
    let (told, hold) = mail(&mut bench, second);
    assert_eq!(
        told,
        "*3 $7 message $1 a $1 m *4 $8 pmessage $1 ? $1 a $1 m *3 $8 smessage $1 a $1 m"
    );
    assert_eq!(hold, end);
    bench.log();
    assert_eq!(run(&mut bench, first, "publish a own"), ":2", "its own clients may publish, too");
    assert_eq!(bench.log(), "", "which its replicas do not hear of");
    assert_eq!(mail(&mut bench, second).1, 0);
}

#[test]
fn publishing_waits_while_writes_pause() {
    let (mut bench, [first, second, _]) = bench();
    run(&mut bench, second, "multi\npublish a b");
    run(&mut bench, first, "client pause 1000 write");
    assert_eq!(run(&mut bench, first, "publish a b"), "");
    assert_eq!(run(&mut bench, second, "exec"), "");
    bench.clock.advance_ms(2000);
    bench.node.tick(bench.clock.0);
    assert_eq!(run(&mut bench, first, "publish a b"), ":0");
    assert_eq!(run(&mut bench, second, "exec"), "*1 :0");
}
