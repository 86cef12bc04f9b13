//! Who serves what while a slot is open: the same play for two stock nodes and for pairs with ours in them.
//!
//! `m` owns the slot and is giving it away, `i` is taking it over. On `m` are `here` and `too`, on `i` is `there`; `none`
//! is nowhere. All are in one slot.

use crate::member::{Kind, Member};
use crate::peer::{Client, words};
use crate::reshard::{PATIENT, tags};
use crate::server::wait_for;
use crate::shards::Shards;

use Kind::{Ours, Stock};

/// Lines of requests to one node; each line is a connection of its own, its requests are told apart by `;`.
const PLAY: &str = "
    m: GET here; SET here 2; GET here
    m: GET none; SET none 1; EXISTS none
    m: MGET here too; MSET here 1 too 1; DEL nowhere
    m: MGET here none; MGET none here; MSET none 1 here 1; DEL here none
    m: MGET none there
    m: ASKING; GET none
    m: ASKING; MGET here none
    m: MULTI; GET here; SET too 3; EXEC
    m: MULTI; GET here; GET none; EXEC
    m: MULTI; GET here; MGET here none; EXEC
    m: WATCH here; MULTI; GET here; EXEC
    m: RENAME here none; RENAME none other; COPY here none
    m: PUBLISH here 1; SPUBLISH here 1; SPUBLISH none 1
    m: MIGRATE none; MIGRATE here other
    i: GET there; GET none; SET none 1
    i: MGET there none
    i: ASKING; GET there; GET there
    i: ASKING; GET none
    i: ASKING; SET new 1; ASKING; GET new; ASKING; DEL new
    i: ASKING; MGET there none; ASKING; MGET none none; ASKING; MGET there there
    i: ASKING; MSET there 1 none 1
    i: ASKING; MSET none 1 none 2; ASKING; DEL none
    i: ASKING; DEL there none
    i: MULTI; GET there; EXEC
    i: ASKING; MULTI; GET there; SET there 5; EXEC; GET there
    i: ASKING; MULTI; GET there; GET none; EXEC
    i: ASKING; MULTI; GET there; EXEC; GET there
    i: MULTI; ASKING; GET there; EXEC
    i: ASKING; PING; GET there
    i: ASKING; NOSUCH; GET there
    i: ASKING; ASKING; GET there
    i: READONLY; GET there
    i: SPUBLISH there 1; ASKING; SPUBLISH there 1
    i: MIGRATE none; MIGRATE other there
    i: RESTORE none 0 x; RESTORE-ASKING none 0 x; ASKING; RESTORE none 0 x
    m: CLUSTER COUNTKEYSINSLOT 7; CLUSTER GETKEYSINSLOT 7 10
    i: CLUSTER COUNTKEYSINSLOT 7
    m: MIGRATE here; GET here; GET too
    i: ASKING; GET here; ASKING; MGET here there
    m: MIGRATE too REPLACE; GET too; CLUSTER COUNTKEYSINSLOT 7
    i: CLUSTER SETSLOT 7 NODE i; GET here
    m: GET here; CLUSTER SETSLOT 7 NODE i; GET here; GET none
    i: MGET here too there; ASKING; GET none";

/// The line that is played only when `m` has heard of the new owner: what it says before depends on how fast the bus is.
const AFTER_THE_NEWS: &str = "m: GET here; CLUSTER SETSLOT 7 NODE i; GET here; GET none";

/// Words that name keys get the tag of the slot.
const KEYS: &[&str] = &["here", "too", "there", "none", "nowhere", "new", "other"];

fn play(kinds: [Kind; 2]) -> Vec<String> {
    let shards = Shards::make(&[kinds[0], kinds[1], Stock], 0, PATIENT);
    let tag = &tags()[7];
    let (m, i) = (&shards.members[0], &shards.members[1]);
    let key = |name: &str| format!("{{{tag}}}{name}");
    m.ask(&format!("MSET {} 1 {} 1", key("here"), key("too")));
    for (member, how, other) in [(i, "IMPORTING", m), (m, "MIGRATING", i)] {
        let line = format!("CLUSTER SETSLOT 7 {how} {}", other.id());
        assert_eq!(member.ask(&line), "+OK\r\n");
    }
    let set = [words("ASKING"), words(&format!("SET {} 1", key("there")))];
    assert_eq!(i.client().run(&set)[1], b"+OK\r\n");
    let mut said = Vec::new();
    for line in PLAY.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, requests) = line.split_once(": ").expect("a node and requests");
        let (at, other) = if name == "m" { (m, i) } else { (i, m) };
        if line == AFTER_THE_NEWS {
            let get = format!("GET {}", key("none"));
            let moved = format!("-MOVED 7 127.0.0.1:{}\r\n", i.port);
            wait_for("news of the new owner", || (m.ask(&get) == moved).then_some(()));
        }
        let mut client = at.client();
        for request in requests.split("; ") {
            let reply = send(&mut client, request, &key, other, i);
            let named = [(m.port, "<m>"), (i.port, "<i>"), (shards.members[2].port, "<c>")];
            let mut reply = String::from_utf8_lossy(&reply).replace(&format!("{{{tag}}}"), "");
            for (port, name) in named {
                reply = reply.replace(&port.to_string(), name);
            }
            said.push(format!("{line} | {request} -> {}", reply.trim_end().replace("\r\n", " ")));
        }
    }
    said
}

fn send(
    client: &mut Client,
    request: &str,
    key: &impl Fn(&str) -> String,
    other: &Member,
    importer: &Member,
) -> Vec<u8> {
    let mut line: Vec<String> = Vec::new();
    for word in request.split(' ') {
        line.push(if KEYS.contains(&word) { key(word) } else { word.to_owned() });
    }
    if let Some(names) = request.strip_prefix("MIGRATE ") {
        let keys: Vec<String> =
            names.split(' ').filter(|word| KEYS.contains(word)).map(key).collect();
        let replace = if names.contains("REPLACE") { "REPLACE " } else { "" };
        let keys = keys.join(" ");
        line = vec![format!("MIGRATE 127.0.0.1 {} \"\" 0 5000 {replace}KEYS {keys}", other.port)];
    }
    if request.ends_with(" NODE i") {
        line.pop();
        line.push(importer.id());
    }
    client.run(&[words(&line.join(" "))]).remove(0)
}

#[test]
fn keys_of_open_slots_are_served_as_stock_does() {
    let stock = play([Stock, Stock]);
    for kinds in [[Ours, Ours], [Ours, Stock], [Stock, Ours]] {
        let said = play(kinds);
        for (ours, theirs) in said.iter().zip(&stock) {
            assert_eq!(ours, theirs, "{kinds:?}");
        }
        assert_eq!(said.len(), stock.len());
    }
    // The play is about what it is meant to be about.
    for code in
        ["-ASK 7 127.0.0.1:<i>", "-MOVED 7 127.0.0.1:<m>", "-TRYAGAIN", "+NOKEY", "-EXECABORT"]
    {
        assert!(stock.iter().any(|line| line.contains(code)), "{code}: {stock:#?}");
    }
}
