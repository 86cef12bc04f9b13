//! Fields of hashes that expire by themselves: on replicas, after crashes and reloads, with memory that is short.

use crate::node::{Kind, Node, settle};
use crate::server::wait_for;

use Kind::Ours;

const LOG: [&str; 2] = ["--appendonly", "yes"];

/// What a node has of a hash, its times included.
fn shown(node: &Node) -> [String; 3] {
    ["HGETALL h", "HPEXPIRETIME h FIELDS 4 a b c d", "DEBUG DIGEST"].map(|line| node.ask(line))
}

#[test]
fn fields_expire_with_those_of_the_primary_and_keep_their_times() {
    let mut primary = Node::start(Ours, None, &LOG);
    let mut replica = Node::start(Ours, Some(&primary), &LOG);
    primary.play("HSET h a 1 b 2 c 3 d 4\nHPEXPIRE h 700 FIELDS 1 a\nHEXPIRE h 1000 FIELDS 2 b c\nHPERSIST h FIELDS 1 c");
    settle(&primary, &replica);
    assert_eq!(shown(&primary), shown(&replica));
    assert!(replica.ask("HPTTL h FIELDS 1 a").starts_with("*1\r\n:"));
    wait_for("the end of a field", || {
        (primary.ask("HLEN h") == ":3\r\n" && replica.ask("HEXISTS h a") == ":0\r\n").then_some(())
    });
    wait_for("the same at the replica", || (shown(&primary) == shown(&replica)).then_some(()));
    assert_eq!(primary.info("expired_subkeys"), "1");
    let before = shown(&primary);
    primary.play("DEBUG RELOAD");
    assert_eq!(shown(&primary), before, "a snapshot has the times");
    primary.kill_and_restart();
    replica.kill_and_restart();
    assert_eq!((shown(&primary), shown(&replica)), (before.clone(), before), "and so has the log");
    // A replica that leads expires fields itself.
    replica.lead();
    replica.play("HPEXPIRE h 50 FIELDS 3 b c d");
    wait_for("the end of the hash", || (replica.ask("EXISTS h") == ":0\r\n").then_some(()));
}

#[test]
fn hashes_with_fields_that_expire_are_evicted_as_others() {
    let mut node = Node::start(Ours, None, &LOG);
    node.play("CONFIG SET maxmemory-policy allkeys-random");
    for key in 0..200 {
        let fields: Vec<String> =
            (0..50).map(|field| format!("f{field} {}", "v".repeat(40))).collect();
        node.play(&format!("HSET h:{key} {}", fields.join(" ")));
        node.play(&format!("HEXPIRE h:{key} 1000 FIELDS 2 f1 f2"));
    }
    let used: u64 = node.info("used_memory").parse().unwrap();
    node.play(&format!("CONFIG SET maxmemory {}", used - 400_000));
    wait_for("evictions", || (node.count("evicted_keys") >= 20).then_some(()));
    node.play("CONFIG SET maxmemory 0");
    let (keys, digest) = (node.ask("DBSIZE"), node.ask("DEBUG DIGEST"));
    node.set("--maxmemory", "0");
    node.kill_and_restart();
    assert_eq!((node.ask("DBSIZE"), node.ask("DEBUG DIGEST")), (keys, digest));
}
