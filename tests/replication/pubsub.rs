//! Messages published on a primary reach the subscribers of its replicas, whichever of them is a stock server.

use crate::node::{Kind, Node, settle};
use crate::peer::{Client, words};

use Kind::{Ours, Stock};

fn subscriber(node: &Node, lines: &str) -> Client {
    let mut client = node.client();
    client.run(&lines.lines().map(words).collect::<Vec<_>>());
    client
}

fn messages(client: &mut Client, count: usize) -> Vec<String> {
    let text = |frame: Vec<u8>| String::from_utf8_lossy(&frame).replace("\r\n", " ");
    (0..count).map(|_| text(client.reply().unwrap())).collect()
}

/// What stands in the stream, but for the PINGs of the primary.
const PUBLISHED: &str = "PUBLISH a 1\nSELECT 5\nSET k v\nPUBLISH ab 2\nSPUBLISH a 3\nMULTI\nSET k w\nPUBLISH a 4\nEXEC\nPUBLISH a 5";

const HEARD: [&str; 6] = [
    "*3 $7 message $1 a $1 1 ",
    "*4 $8 pmessage $2 ?b $2 ab $1 2 ",
    "*3 $8 smessage $1 a $1 3 ",
    "*3 $7 message $1 a $1 4 ",
    "*3 $7 message $1 a $1 5 ",
    "*3 $7 message $1 a $3 own ",
];

fn check(primary: Kind, replica: Kind) {
    let log = ["--appendonly", "yes"];
    let mut primary = Node::start(primary, None, &log);
    let mut replica = Node::start(replica, Some(&primary), &log);
    let last = Node::start(Ours, Some(&replica), &[]);
    settle(&primary, &replica);
    settle(&primary, &last);
    let lines = "SUBSCRIBE a\nPSUBSCRIBE ?b\nSSUBSCRIBE a";
    let mut subscribers = [&primary, &replica, &last].map(|node| subscriber(node, lines));
    primary.play("PUBLISH nobody x");
    let published: Vec<_> = PUBLISHED.lines().map(words).collect();
    primary.client().run(&published);
    for subscriber in &mut subscribers {
        assert_eq!(messages(subscriber, 5), HEARD[..5]);
    }
    // What is published on a replica stays there.
    for node in [&primary, &replica, &last] {
        assert_eq!(node.ask("PUBLISH a own"), ":1\r\n");
    }
    settle(&primary, &replica);
    settle(&primary, &last);
    let [_, middle, end] = &mut subscribers;
    let mut from_primary_and_own = messages(middle, 2);
    from_primary_and_own.extend(messages(end, 2));
    assert_eq!(from_primary_and_own, [HEARD[5]; 4]);
    // The replica goes on where it stood, and hears nothing twice.
    replica.kill_and_restart();
    settle(&primary, &replica);
    assert_eq!(replica.ask("PUBSUB CHANNELS"), "*0\r\n");
    let mut again = self::subscriber(&replica, "SUBSCRIBE a");
    assert!(primary.ask("PUBLISH a own").starts_with(':'));
    assert_eq!(messages(&mut again, 1), [HEARD[5]]);
    primary.kill_and_restart();
    settle(&primary, &replica);
    assert_eq!(primary.ask("PUBSUB CHANNELS"), "*0\r\n");
}

#[test]
fn replicas_of_ours_hear_what_a_stock_primary_publishes() {
    check(Stock, Ours);
}

#[test]
fn stock_replicas_hear_what_we_publish() {
    check(Ours, Stock);
}

#[test]
fn our_replicas_hear_what_we_publish() {
    check(Ours, Ours);
}
