//! The connection and server families: what commands say of themselves, fields of INFO and CLIENT LIST, HELLO, errors.

use highwater::commands::table;

use crate::peer::words;
use crate::random::Pair;
use crate::tree::Tree;

/// Sends one line to both sides: stock's reply, then ours.
fn both(pair: &mut Pair, line: &str) -> (Tree, Tree) {
    let request = [words(line)];
    let (theirs, ours) = (pair.stock.run(&request), pair.ours.run(&request));
    (Tree::read(&theirs[0]), Tree::read(&ours[0]))
}

/// Names of all our commands and subcommands.
fn all_names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for entry in table().entries() {
        names.push(entry.full_name.as_str());
        names.extend(entry.subcommands.iter().map(|subcommand| subcommand.full_name.as_str()));
    }
    names
}

/// Commands that came with 7.2, and one of Valkey.
const NEWER: [&str; 26] = [
    "client|no-touch",
    "client|setinfo",
    "cluster|cancelslotmigrations",
    "cluster|getslotmigrations",
    "cluster|handover",
    "cluster|migrateslots",
    "cluster|migration",
    "cluster|myshardid",
    "cluster|slot-stats",
    "delex",
    "delifeq",
    "digest",
    "hexpire",
    "hexpireat",
    "hexpiretime",
    "hgetdel",
    "hgetex",
    "hpersist",
    "hpexpire",
    "hpexpireat",
    "hpexpiretime",
    "hpttl",
    "hsetex",
    "httl",
    "msetex",
    "waitaof",
];

/// Facts that differ between 7.0 at hand and 7.2: command and fact, stock, ours.
const CHANGED: &[&str] = &[
    "client|setname tips: [] | [\"request_policy:all_nodes\", \"response_policy:all_succeeded\"]",
    "cluster|shards flags: [\"stale\"] | [\"loading\", \"stale\"]",
    "cluster|slots flags: [\"stale\"] | [\"loading\", \"stale\"]",
    "command|getkeys arity: Number(-4) | Number(-3)",
    "command|getkeysandflags arity: Number(-4) | Number(-3)",
    "config|resetstat tips: [] | [\"request_policy:all_nodes\", \"response_policy:all_succeeded\"]",
    "config|rewrite tips: [] | [\"request_policy:all_nodes\", \"response_policy:all_succeeded\"]",
    "move keys: [\"RW\", \"access\", \"update\"] | [\"RW\", \"access\", \"delete\"]",
    "randomkey tips: [\"nondeterministic_output\", \"request_policy:all_shards\"] | [\"nondeterministic_output\", \"request_policy:all_shards\", \"response_policy:special\"]",
    "scan tips: [\"nondeterministic_output\", \"request_policy:special\"] | [\"nondeterministic_output\", \"request_policy:special\", \"response_policy:special\"]",
    "wait categories: [\"@connection\", \"@slow\"] | [\"@blocking\", \"@connection\", \"@slow\"]",
    "wait flags: [\"noscript\"] | [\"blocking\"]",
    "watch flags: [\"allow_busy\", \"fast\", \"loading\", \"noscript\", \"stale\"] | [\"allow_busy\", \"fast\", \"loading\", \"no_multi\", \"noscript\", \"stale\"]",
    "zrank arity: Number(3) | Number(-3)",
    "zrevrank arity: Number(3) | Number(-3)",
];

#[test]
fn commands_describe_themselves_as_in_stock() {
    let mut pair = Pair::start();
    let mut differences = Vec::new();
    for name in all_names() {
        let (theirs, ours) = both(&mut pair, &format!("COMMAND INFO {name}"));
        let (theirs, ours) = (&theirs.list()[0], &ours.list()[0]);
        if *theirs == Tree::Nil {
            assert!(NEWER.contains(&name), "stock has no {name}");
            continue;
        }
        compare_facts(name, theirs.list(), ours.list(), &mut differences);
    }
    differences.sort_unstable();
    let known: Vec<&str> = CHANGED.to_vec();
    let unknown: Vec<&String> =
        differences.iter().filter(|difference| !known.contains(&difference.as_str())).collect();
    assert!(unknown.is_empty(), "stock | ours:\n{unknown:#?}");
    let gone: Vec<&&str> =
        known.iter().filter(|known| !differences.iter().any(|found| found == **known)).collect();
    assert!(gone.is_empty(), "no longer different:\n{gone:#?}");
}

fn compare_facts(name: &str, theirs: &[Tree], ours: &[Tree], differences: &mut Vec<String>) {
    let mut differs = |fact: &str, theirs: String, ours: String| {
        if theirs != ours {
            differences.push(format!("{name} {fact}: {theirs} | {ours}"));
        }
    };
    for (index, fact) in [(0, "name"), (1, "arity"), (3, "first"), (4, "last"), (5, "step")] {
        differs(fact, format!("{:?}", theirs[index]), format!("{:?}", ours[index]));
    }
    for (index, fact) in [(2, "flags"), (6, "categories"), (7, "tips")] {
        differs(
            fact,
            format!("{:?}", theirs[index].sorted()),
            format!("{:?}", ours[index].sorted()),
        );
    }
    let flags = |specs: &Tree| -> String {
        let one = |spec: &Tree| format!("{:?}", spec.field("flags").expect("flags").sorted());
        specs.list().iter().map(one).collect::<Vec<_>>().join(" ")
    };
    differs("keys", flags(&theirs[8]), flags(&ours[8]));
    let places = |specs: &Tree| -> String {
        let one =
            |spec: &Tree| format!("{:?} {:?}", spec.field("begin_search"), spec.field("find_keys"));
        specs.list().iter().map(one).collect::<Vec<_>>().join(" ")
    };
    differs("places", places(&theirs[8]), places(&ours[8]));
}

#[test]
fn documentation_has_the_shape_of_stock() {
    let mut pair = Pair::start();
    let mut differences = Vec::new();
    for name in all_names() {
        let (theirs, ours) = both(&mut pair, &format!("COMMAND DOCS {name}"));
        let Some(theirs) = theirs.list().get(1) else { continue };
        let ours = &ours.list()[1];
        for fact in ["since", "group"] {
            // 7.2 names the release, not the first build that had it.
            if (name, fact) == ("client|pause", "since") {
                continue;
            }
            let (theirs, ours) = (theirs.field(fact), ours.field(fact));
            if theirs != ours {
                differences.push(format!("{fact} of {name}: {theirs:?} | {ours:?}"));
            }
        }
        assert!(ours.field("summary").is_some_and(|summary| !summary.text().is_empty()), "{name}");
        // Keys belong to the same specifications.
        let keys = |docs: &Tree| docs.field("arguments").map_or(0, count_keys);
        // Stock lets the patterns of BY and GET belong to the specification that says nothing of where keys are.
        let has_patterns = name.starts_with("sort");
        if keys(theirs) != keys(ours) && !has_patterns {
            differences.push(format!("keys of {name}: {} | {}", keys(theirs), keys(ours)));
        }
    }
    assert!(differences.is_empty(), "stock | ours:\n{differences:#?}");
}

/// Arguments that are keys, at any depth.
fn count_keys(arguments: &Tree) -> usize {
    let count = |argument: &Tree| {
        usize::from(argument.field("key_spec_index").is_some())
            + argument.field("arguments").map_or(0, count_keys)
    };
    arguments.list().iter().map(count).sum()
}

/// Fields of INFO that came with 7.2, and ours.
const NEWER_FIELDS: [&str; 17] = [
    "expired_subkeys",
    "highwater_version",
    "repl_stream_bytes_from_memory",
    "repl_stream_bytes_from_disk",
    "total_blocking_keys",
    "total_blocking_keys_on_nokey",
    "eventloop_cycles",
    "eventloop_duration_sum",
    "eventloop_duration_cmd_sum",
    "instantaneous_eventloop_cycles_per_sec",
    "instantaneous_eventloop_duration_usec",
    "acl_access_denied_auth",
    "acl_access_denied_cmd",
    "acl_access_denied_key",
    "acl_access_denied_channel",
    "client_query_buffer_limit_disconnections",
    "client_output_buffer_limit_disconnections",
];

#[test]
fn info_has_the_fields_of_stock_in_order() {
    let mut pair = Pair::start_with_log();
    pair.ours.node.state.persistence.aof_enabled = true;
    for line in ["INFO", "INFO all", "INFO everything", "INFO default", "INFO server cpu"] {
        let (theirs, ours) = both(&mut pair, line);
        // What was counted differs; commands have tests of their own.
        let counted = ["cmdstat_", "errorstat_", "latency_percentiles_usec_", "db0"];
        let names = |info: &Tree| -> Vec<String> {
            info.text()
                .lines()
                .map(|line| line.split(':').next().unwrap_or_default().to_owned())
                .filter(|name| !counted.iter().any(|prefix| name.starts_with(prefix)))
                .filter(|name| !NEWER_FIELDS.contains(&name.as_str()))
                .collect()
        };
        assert_eq!(names(&theirs), names(&ours), "{line}");
    }
}

#[test]
fn client_list_has_the_fields_of_stock_in_order() {
    let mut pair = Pair::start();
    let (theirs, ours) = both(&mut pair, "CLIENT INFO");
    let names = |line: &Tree| -> Vec<String> {
        let fields = line.text().trim_end().split(' ');
        fields.map(|field| field.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    let mut expected = names(&theirs);
    // These came with 7.2.
    expected.extend(["lib-name".to_owned(), "lib-ver".to_owned()]);
    assert_eq!(names(&ours), expected);
}

#[test]
fn hello_answers_as_stock() {
    let mut pair = Pair::start();
    for line in ["HELLO", "HELLO 2", "HELLO 3", "HELLO 3 SETNAME me"] {
        let (theirs, ours) = both(&mut pair, line);
        assert_eq!(theirs.names(), ours.names(), "{line}");
        for name in ["server", "proto", "mode", "role", "modules"] {
            assert_eq!(theirs.field(name), ours.field(name), "{line}: {name}");
        }
    }
    assert_eq!(both(&mut pair, "CLIENT GETNAME"), (text("me"), text("me")));
}

fn text(text: &str) -> Tree {
    Tree::Text(text.to_owned())
}

#[test]
fn connection_family_answers_as_stock() {
    let mut pair = Pair::start();
    pair.check(
        "AUTH a\nAUTH default b\nAUTH nobody b\nAUTH a b c\nAUTH
         HELLO 4\nHELLO x\nHELLO 2 auth a\nHELLO 2 foo\nHELLO 2 auth nobody x\nHELLO 2 setname \"a b\"
         ECHO a\nECHO\nPING a b\nSELECT x\nSELECT 16\nSELECT -1\nSELECT 99999999999\nSELECT 0
         CLIENT\nCLIENT foo\nCLIENT GETNAME\nCLIENT SETNAME \"a b\"\nCLIENT SETNAME a b\nCLIENT SETNAME x
         CLIENT GETNAME\nCLIENT SETNAME \"\"\nCLIENT GETNAME\nCLIENT GETREDIR\nCLIENT TRACKINGINFO
         CLIENT TRACKING foo\nCLIENT TRACKING off\nCLIENT NO-EVICT x\nCLIENT NO-EVICT on
         CLIENT REPLY x\nCLIENT REPLY on\nCLIENT KILL foo\nCLIENT KILL ID x\nCLIENT KILL ID 0
         CLIENT KILL ID 99999\nCLIENT KILL TYPE foo\nCLIENT KILL TYPE pubsub\nCLIENT KILL USER nobody
         CLIENT KILL SKIPME x\nCLIENT KILL SKIPME no ID 99999\nCLIENT KILL addr\nCLIENT KILL ID 1 TYPE
         CLIENT UNBLOCK 99999\nCLIENT UNBLOCK x\nCLIENT UNBLOCK x foo\nCLIENT UNBLOCK 1 ERROR\nCLIENT UNBLOCK 1 TIMEOUT x
         CLIENT PAUSE x\nCLIENT PAUSE -1\nCLIENT PAUSE 1 foo\nCLIENT PAUSE 0\nCLIENT UNPAUSE
         CLIENT LIST TYPE foo\nCLIENT LIST ID\nCLIENT LIST ID x\nCLIENT LIST ID 0\nCLIENT LIST foo\nCLIENT LIST TYPE replica
         CLIENT CACHING x\nRESET",
    );
}

#[test]
fn server_family_answers_as_stock() {
    let mut pair = Pair::start();
    pair.check(
        "CONFIG GET\nCONFIG GET nosuch\nCONFIG GET TIMEOUT\nCONFIG SET a\nCONFIG SET maxmemory
         CONFIG foo\nCONFIG RESETSTAT x\nCONFIG RESETSTAT\nCONFIG REWRITE\nINFO nosuch
         ROLE\nREPLICAOF no one\nREPLICAOF a x\nSLAVEOF NO ONE\nWAIT 0 0\nWAIT 0 10\nWAIT 1 -1\nWAIT x 1\nWAIT 1 x
         ACL WHOAMI\nACL USERS\nACL CAT\nACL CAT nosuch\nMODULE LIST
         SHUTDOWN foo\nSHUTDOWN ABORT\nSHUTDOWN SAVE NOSAVE\nBGSAVE foo\nMONITOR x
         SLOWLOG GET -2\nSLOWLOG GET x\nSLOWLOG foo\nSLOWLOG RESET
         LATENCY foo\nLATENCY GRAPH foo\nLATENCY HISTORY foo\nLATENCY LATEST\nLATENCY RESET\nLATENCY RESET x
         LATENCY HISTOGRAM nosuch
         SET k v\nMEMORY foo\nMEMORY PURGE\nMEMORY USAGE nosuch\nMEMORY USAGE k SAMPLES\nMEMORY USAGE k SAMPLES -1
         MEMORY USAGE k SAMPLES x\nMEMORY USAGE k foo 1\nMEMORY MALLOC-STATS x",
    );
}

#[test]
fn debug_answers_as_stock() {
    let mut pair = Pair::start();
    for resp3 in [false, true] {
        pair.set_resp3(resp3);
        pair.check(
            "DEBUG PROTOCOL string\nDEBUG PROTOCOL integer\nDEBUG PROTOCOL double\nDEBUG PROTOCOL bignum
             DEBUG PROTOCOL null\nDEBUG PROTOCOL array\nDEBUG PROTOCOL set\nDEBUG PROTOCOL map
             DEBUG PROTOCOL attrib\nDEBUG PROTOCOL verbatim\nDEBUG PROTOCOL true\nDEBUG PROTOCOL false\nDEBUG PROTOCOL foo",
        );
    }
    pair.set_resp3(false);
    pair.check(
        "DEBUG foo\nDEBUG OBJECT nosuch\nDEBUG LISTPACK nosuch\nDEBUG ERROR \"X y\"\nDEBUG SLEEP x\nDEBUG SLEEP 0
         DEBUG SET-ACTIVE-EXPIRE 1\nDEBUG QUICKLIST-PACKED-THRESHOLD 10\nDEBUG CHANGE-REPL-ID
         DEBUG DIGEST\nDEBUG DIGEST-VALUE a b\nDEBUG RELOAD foo\nSET a 1\nSET b xyz\nPEXPIREAT b 99999999999999
         DEBUG DIGEST\nDEBUG DIGEST-VALUE a b\nSELECT 3\nSET c 1\nDEBUG DIGEST\nDEBUG DIGEST-VALUE",
    );
}

#[test]
fn commands_name_keys_as_stock() {
    let mut pair = Pair::start();
    pair.check(
        "COMMAND GETKEYS XREAD count 1 streams a b 0\nCOMMAND GETKEYS XREAD streams a\nCOMMAND GETKEYS XREADGROUP group g c streams a b c 0 0
         COMMAND GETKEYS GET a\nCOMMAND GETKEYS DEL a b c\nCOMMAND GETKEYS PING x\nCOMMAND GETKEYS nosuch a
         COMMAND GETKEYS OBJECT ENCODING k\nCOMMAND GETKEYS MEMORY USAGE k\nCOMMAND GETKEYS COPY a b
         COMMAND GETKEYSANDFLAGS DEL a b\nCOMMAND GETKEYSANDFLAGS COPY a b\nCOMMAND GETKEYSANDFLAGS GET a
         COMMAND GETKEYSANDFLAGS SET a b\nCOMMAND GETKEYSANDFLAGS SET a GET\nCOMMAND GETKEYSANDFLAGS SET a b EX 10 GET
         COMMAND GETKEYSANDFLAGS BITFIELD a\nCOMMAND GETKEYSANDFLAGS BITFIELD a OVERFLOW SAT GET u8 0
         COMMAND GETKEYSANDFLAGS BITFIELD a get u8 0 set u8 0 1\nCOMMAND GETKEYSANDFLAGS BITFIELD a FOO u8
         COMMAND GETKEYS XGROUP FOO\nCOMMAND GETKEYS CLIENT LIST\nCOMMAND GETKEYS CLUSTER FOO\nCOMMAND GETKEYS XGROUP CREATE s g 0
         COMMAND GETKEYS SSUBSCRIBE a\nCOMMAND GETKEYSANDFLAGS SPUBLISH a b
         COMMAND LIST FILTERBY foo x\nCOMMAND LIST FILTERBY MODULE x\nCOMMAND LIST FILTERBY ACLCAT nosuch
         COMMAND LIST FILTERBY PATTERN ec*\nCOMMAND INFO nosuch\nCOMMAND DOCS nosuch\nCOMMAND foo",
    );
}
