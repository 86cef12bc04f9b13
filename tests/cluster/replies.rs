//! Replies to CLUSTER: in one cluster, ours and stock say the same, but for what differs from node to node.

use std::time::Duration;

use highwater::keyspace::Slot;

use crate::member::{Kind, Member};
use crate::peer::words;
use crate::shards::Shards;

use Kind::{Ours, Stock};

/// Fields whose values differ from node to node, and from moment to moment.
const VARYING: &[&str] =
    &["replication-offset", "create-time", "events", "send-buffer-allocated", "send-buffer-used"];

/// A reply as text with a line for each part, the parts of lists of lists in order. Types are shown, what varies is not.
fn shape(reply: &[u8]) -> String {
    let mut at = 0;
    let text = part(reply, &mut at, "");
    assert_eq!(at, reply.len(), "{}", reply.escape_ascii());
    text
}

fn part(reply: &[u8], at: &mut usize, indent: &str) -> String {
    let end = *at + reply[*at..].windows(2).position(|pair| pair == b"\r\n").expect("a line");
    let line = String::from_utf8_lossy(&reply[*at..end]).into_owned();
    let (kind, rest) = line.split_at(1);
    *at = end + 2;
    match kind {
        "$" | "=" => {
            let Ok(length) = rest.parse::<usize>() else { return format!("{indent}{line}\n") };
            let text = String::from_utf8_lossy(&reply[*at..*at + length]).into_owned();
            *at += length + 2;
            format!("{indent}{kind}{text}\n")
        }
        "*" | "%" | "~" => {
            let count = rest.parse::<usize>().expect("a count") * if kind == "%" { 2 } else { 1 };
            let inner = format!("{indent}  ");
            let mut parts: Vec<String> = (0..count).map(|_| part(reply, at, &inner)).collect();
            for index in 1..count {
                let field = parts[index - 1].trim_start_matches([' ', '$', '+']).trim_end();
                if VARYING.contains(&field) {
                    let kind = parts[index].trim_start().chars().next().expect("a type");
                    parts[index] = format!("{inner}{kind}...\n");
                }
            }
            if parts.iter().all(|part| part.trim_start().starts_with(['*', '%'])) {
                parts.sort();
            }
            format!("{indent}{line}\n{}", parts.concat())
        }
        _ => format!("{indent}{line}\n"),
    }
}

/// What a node says in both versions of the protocol, as `shown` shows it.
fn said(member: &Member, line: &str, shown: fn(&[u8]) -> String) -> String {
    let reply = |hello| member.client().run(&[words(hello), words(line)]).remove(1);
    ["HELLO 2", "HELLO 3"].map(|hello| shown(&reply(hello))).concat()
}

/// Waits until both say the same: what they have heard of others may lag a little.
fn agree(ours: &Member, stock: &Member, line: &str, shown: fn(&[u8]) -> String) {
    let both = || [ours, stock].map(|member| said(member, line, shown));
    let mut last = both();
    for _ in 0..400 {
        if last[0] == last[1] {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
        last = both();
    }
    panic!("{line}, ours and stock:\n{}\n{}", last[0], last[1]);
}

/// NODES or REPLICAS in order, without times, and without the word about who says it.
fn nodes(reply: &[u8]) -> String {
    let text = shape(reply).replace("myself,", "").replace("txt:", "txt:\n").replace('$', "$\n");
    let line = |line: &str| {
        let mut words: Vec<&str> = line.trim().split(' ').collect();
        if words.len() >= 8 {
            assert!(words[4..6].iter().all(|time| time.parse::<u64>().is_ok()), "{line}");
            words.drain(4..6);
        }
        words.join(" ") + "\n"
    };
    let mut lines: Vec<String> = text.lines().map(line).collect();
    lines.sort();
    lines.concat()
}

/// What links look like, whosever they are.
fn links(reply: &[u8]) -> String {
    let text = shape(reply);
    let mut links: Vec<String> = Vec::new();
    for line in text.lines().skip(1) {
        if line.starts_with("  *") || line.starts_with("  %") {
            links.push(String::new());
        }
        let is_id = line.len() > 40 && line.trim_start().len() == 41;
        let link = links.last_mut().expect("a link comes first");
        link.push_str(if is_id { "an id" } else { line });
        link.push('\n');
    }
    links.sort();
    links.dedup();
    links.concat()
}

/// Names of the fields of INFO, and the values that do not depend on who is asked.
fn fields(reply: &[u8]) -> String {
    let text = shape(reply);
    let field = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        // Which kinds of messages there were is another matter.
        let counted = name.ends_with("_sent") || name.ends_with("_received");
        match name.strip_prefix("cluster_stats_messages_") {
            Some("sent" | "received") => format!("{name}\n"),
            Some(_) if counted => String::new(),
            _ if name == "cluster_my_epoch" => format!("{name}\n"),
            _ => format!("{name} {value}\n"),
        }
    };
    text.lines().map(field).collect()
}

/// Only the type.
fn kind(reply: &[u8]) -> String {
    char::from(reply[0]).to_string()
}

#[test]
fn descriptions_of_the_cluster_are_those_of_stock() {
    let shards = Shards::make(&[Ours, Stock, Ours, Stock, Ours, Stock], 1, &[]);
    let id = shards.members[2].id();
    // Primaries, then replicas.
    for (ours, stock) in [(0, 1), (4, 3)] {
        let (ours, stock) = (&shards.members[ours], &shards.members[stock]);
        agree(ours, stock, "CLUSTER SLOTS", shape);
        agree(ours, stock, "CLUSTER SHARDS", shape);
        agree(ours, stock, "CLUSTER NODES", nodes);
        agree(ours, stock, &format!("CLUSTER REPLICAS {id}"), nodes);
        agree(ours, stock, &format!("CLUSTER SLAVES {id}"), nodes);
        agree(ours, stock, "CLUSTER LINKS", links);
        agree(ours, stock, "CLUSTER INFO", fields);
        agree(ours, stock, "CLUSTER MYID", kind);
        agree(ours, stock, "CLUSTER KEYSLOT foo", shape);
        agree(ours, stock, "CLUSTER COUNTKEYSINSLOT 1", shape);
        agree(ours, stock, "CLUSTER GETKEYSINSLOT 1 1", shape);
        agree(ours, stock, &format!("CLUSTER COUNT-FAILURE-REPORTS {id}"), shape);
    }
}

/// What is refused. `ME`, `PRIMARY`, `OTHER` and `REPLICA` are ids, `MINE` a slot of who is asked that holds a key, `THEIRS` one of
/// the other's.
const REFUSED: &str = "
    CLUSTER
    CLUSTER NOSUCH
    CLUSTER ADDSLOTS
    CLUSTER ADDSLOTS x
    CLUSTER ADDSLOTS 16384
    CLUSTER ADDSLOTS -1
    CLUSTER ADDSLOTS MINE
    CLUSTER ADDSLOTSRANGE 1
    CLUSTER ADDSLOTSRANGE 1 2 3
    CLUSTER ADDSLOTSRANGE 5 3
    CLUSTER ADDSLOTSRANGE x 3
    CLUSTER ADDSLOTSRANGE MINE MINE
    CLUSTER DELSLOTS 16384
    CLUSTER DELSLOTS MINE MINE
    CLUSTER DELSLOTSRANGE 5 3
    CLUSTER DELSLOTSRANGE 1
    CLUSTER BUMPEPOCH x
    CLUSTER COUNT-FAILURE-REPORTS nosuch
    CLUSTER COUNTKEYSINSLOT x
    CLUSTER COUNTKEYSINSLOT 16384
    CLUSTER FAILOVER
    CLUSTER FAILOVER NOW
    CLUSTER FAILOVER FORCE
    CLUSTER FAILOVER FORCE x
    CLUSTER FLUSHSLOTS
    CLUSTER FLUSHSLOTS x
    CLUSTER FORGET nosuch
    CLUSTER FORGET ME
    CLUSTER FORGET PRIMARY
    CLUSTER GETKEYSINSLOT 16384 1
    CLUSTER GETKEYSINSLOT 1 -1
    CLUSTER GETKEYSINSLOT 1 x
    CLUSTER INFO x
    CLUSTER KEYSLOT
    CLUSTER LINKS x
    CLUSTER MEET 127.0.0.1
    CLUSTER MEET nosuch 7000
    CLUSTER MEET 127.0.0.1 0
    CLUSTER MEET 127.0.0.1 7000 x
    CLUSTER MYID x
    CLUSTER NODES x
    CLUSTER REPLICAS nosuch
    CLUSTER REPLICAS REPLICA
    CLUSTER REPLICATE nosuch
    CLUSTER REPLICATE ME
    CLUSTER REPLICATE REPLICA
    CLUSTER REPLICATE OTHER
    CLUSTER RESET
    CLUSTER RESET HARDER
    CLUSTER RESET HARD x
    CLUSTER SAVECONFIG x
    CLUSTER SET-CONFIG-EPOCH x
    CLUSTER SET-CONFIG-EPOCH -1
    CLUSTER SET-CONFIG-EPOCH 5
    CLUSTER SETSLOT MINE
    CLUSTER SETSLOT x STABLE
    CLUSTER SETSLOT MINE NOSUCH
    CLUSTER SETSLOT MINE NOSUCH x
    CLUSTER SETSLOT MINE IMPORTING OTHER
    CLUSTER SETSLOT THEIRS IMPORTING nosuch
    CLUSTER SETSLOT THEIRS IMPORTING REPLICA
    CLUSTER SETSLOT THEIRS MIGRATING OTHER
    CLUSTER SETSLOT MINE MIGRATING nosuch
    CLUSTER SETSLOT MINE MIGRATING REPLICA
    CLUSTER SETSLOT MINE NODE nosuch
    CLUSTER SETSLOT MINE NODE REPLICA
    CLUSTER SETSLOT MINE NODE OTHER
    CLUSTER SHARDS x
    CLUSTER SLOTS x
    READONLY x
    READWRITE x
    ASKING x
    SELECT 1
    SWAPDB 0 1
    MOVE key 1
    REPLICAOF NO ONE
    REPLICAOF 127.0.0.1 1
    COPY {key}1 {key}2 DB 1
    MGET a b
    WAIT x 1
";

/// Nodes to ask, and what they are asked about.
struct Asked {
    shards: Shards,
    /// A slot with a key of each shard.
    slots: [u16; 3],
}

impl Asked {
    fn start() -> Asked {
        let shards = Shards::make(&[Ours, Stock, Ours, Stock, Ours, Stock], 1, &[]);
        let slots = [0, 1, 2].map(|index| {
            let mut keys = (0..).map(|number| format!("key:{number}"));
            let key = keys.find(|key| shards.owner(key) == index).expect("it has slots");
            assert_eq!(shards.members[index].ask(&format!("SET {key} x")), "+OK\r\n");
            Slot::of(key.as_bytes()).number()
        });
        Asked { shards, slots }
    }

    /// The shard that a node is in, by its primary.
    fn shard(&self, index: usize) -> usize {
        let is_in = |primary: &usize| self.shards.replicas(*primary).contains(&index);
        if index < 3 { index } else { (0..3).find(is_in).expect("it follows one") }
    }

    /// What ours and stock say to the same line, without what differs.
    fn both(&self, line: &str, pair: [usize; 2]) -> [String; 2] {
        let [left, right] = pair.map(|index| self.shard(index));
        let third = (0..3).find(|shard| ![left, right].contains(shard)).expect("one is left");
        let stranger = self.shards.members[self.shards.replicas(third)[0]].id();
        pair.map(|index| {
            let member = &self.shards.members[index];
            let mine = self.slots[self.shard(index)].to_string();
            let word = |word: &str| match word {
                "MINE" => mine.clone(),
                "THEIRS" => self.slots[third].to_string(),
                "OTHER" => self.shards.members[third].id(),
                "REPLICA" => stranger.clone(),
                "ME" => member.id(),
                "PRIMARY" => self.shards.members[self.shard(index)].id(),
                _ => word.to_owned(),
            };
            let line = line.split(' ').map(word).collect::<Vec<_>>().join(" ");
            // 7.0 speaks of TCP where 7.2 does not.
            member.ask(&line).replace(&mine, "MINE").replace("Invalid TCP ", "Invalid ")
        })
    }
}

/// What is not refused by a replica.
const BY_PRIMARIES: &[&str] =
    &["CLUSTER RESET", "CLUSTER FAILOVER", "CLUSTER FAILOVER FORCE", "CLUSTER REPLICATE OTHER"];

#[test]
fn refusals_are_those_of_stock() {
    let asked = Asked::start();
    let mut wrong = Vec::new();
    for line in REFUSED.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let pairs = [[0, 1], [4, 3]];
        for pair in &pairs[..if BY_PRIMARIES.contains(&line) { 1 } else { 2 }] {
            let [ours, stock] = asked.both(line, *pair);
            if ours != stock || !ours.starts_with('-') {
                wrong.push(format!("{line}: {ours:?}, stock {stock:?}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}
