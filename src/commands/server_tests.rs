//! Transcripts of the server family: settings, snapshots, what was slow, DEBUG.

use crate::node::tests::Bench;
use crate::state::output::Shutdown;
use crate::state::{ClientId, Output};

fn check(setup: &str, lines: &str, replies: &str) {
    let mut bench = Bench::new();
    bench.run(setup);
    bench.log();
    assert_eq!(bench.run(lines), replies, "replies to {lines}");
    assert_eq!(bench.log(), "", "log of {lines}");
}

const ME: ClientId = ClientId(1);

#[test]
fn settings_are_read_and_changed() {
    check(
        "",
        "config set maxmemory 5mb timeout 3\nconfig get maxmemory timeout nosuch",
        "+OK\r\n*4\r\n$9\r\nmaxmemory\r\n$7\r\n5242880\r\n$7\r\ntimeout\r\n$1\r\n3\r\n",
    );
    check(
        "",
        "config set maxmemory\nconfig set nosuch 1\nconfig set port x\nconfig rewrite\nconfig foo",
        "-ERR wrong number of arguments for 'config|set' command\r\n\
         -ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'\r\n\
         -ERR CONFIG SET failed (possibly related to argument 'port') - argument couldn't be parsed into an integer\r\n\
         -ERR The server is running without a config file\r\n\
         -ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n",
    );
}

#[test]
fn the_driver_is_told_of_changed_settings() {
    let mut bench = Bench::new();
    bench.run("config set hz 10\nconfig set timeout 7 lazyfree-lazy-expire yes");
    let changed = Output::ConfigChanged(vec!["timeout", "lazyfree-lazy-expire"]);
    assert_eq!(bench.node.take_outputs(), [changed]);
    assert!(bench.node.state.keyspace.settings.lazy_expire, "and the node has followed");
}

#[test]
fn settings_that_may_fail_wait_for_the_driver() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("config set timeout 7 port 7000"), "");
    let Some(Output::FollowSettings(follow)) = bench.node.take_outputs().pop() else {
        panic!("the driver is not asked");
    };
    assert_eq!(follow.names, ["timeout", "port"]);
    let before = [("timeout", "0"), ("port", "6379")];
    let before = before.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
    assert_eq!(follow.before, before);
    bench.node.answer_job(follow.client, b"+OK\r\n".to_vec());
    let refused = bench.run("multi\nconfig set port 7001\nexec\nconfig get port");
    assert!(refused.contains("-ERR Command not allowed inside a transaction\r\n"), "{refused}");
    assert!(refused.contains("7000"), "{refused}");
}

#[test]
fn counters_start_again() {
    let mut bench = Bench::new();
    bench.run("get a\nnosuch\nget");
    assert!(bench.run("info commandstats").contains(
        "cmdstat_get:calls=1,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0\r\n"
    ));
    assert!(bench.run("info errorstats").contains("errorstat_ERR:count=2\r\n"));
    assert!(bench.run("info stats").contains("keyspace_misses:1\r\n"));
    bench.run("config resetstat");
    let text = bench.run("info commandstats errorstats stats");
    assert!(!text.contains("cmdstat_get") && !text.contains("errorstat_"), "{text}");
    assert!(text.contains("keyspace_misses:0\r\n"), "{text}");
}

#[test]
fn info_shows_the_sections_asked_for() {
    let mut bench = Bench::new();
    let mut check = |request: &str, expected: &str| {
        let text = bench.run(request);
        let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        assert_eq!(sections.join(" "), expected, "{request}");
    };
    let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats Cluster Keyspace";
    check("info", default);
    check("info default", default);
    check(
        "info ALL",
        "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace",
    );
    check(
        "info everything",
        "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats Errorstats Latencystats Cluster Keyspace",
    );
    check("info keyspace server", "Server Keyspace");
    check("info nosuch", "");
}

#[test]
fn info_counts_keys() {
    let mut bench = Bench::new();
    bench.run("set a 1\nset b 1\npexpire b 50000\nselect 3\nset c 1");
    let text = bench.run("info keyspace");
    assert!(text.contains("db0:keys=2,expires=1,avg_ttl="), "{text}");
    assert!(text.contains("db3:keys=1,expires=0,avg_ttl=0\r\n"), "{text}");
}

#[test]
fn save_waits_for_the_snapshot() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("set a 1\nsave\nping"), "+OK\r\n", "the rest waits");
    assert_eq!(bench.node.take_outputs(), [Output::StartSnapshot]);
    bench.node.snapshot_ended(true, bench.clock.0);
    let push = |bytes: &str| Output::Push { client: ME, bytes: bytes.into() };
    let resume = Output::Resume { client: ME };
    assert_eq!(bench.node.take_outputs(), [push("+OK\r\n"), resume.clone()]);
    assert_eq!(bench.run("save"), "");
    bench.node.take_outputs();
    bench.node.snapshot_ended(false, bench.clock.0);
    assert_eq!(bench.node.take_outputs(), [push("-ERR\r\n"), resume]);
    assert!(bench.run("info persistence").contains("rdb_last_bgsave_status:err\r\n"));
}

#[test]
fn one_snapshot_at_a_time() {
    check(
        "",
        "bgsave\nbgsave\nsave\nbgrewriteaof\nbgsave foo",
        "+Background saving started\r\n-ERR Background save already in progress\r\n\
         -ERR Background save already in progress\r\n\
         +Background append only file rewriting scheduled\r\n-ERR syntax error\r\n",
    );
    check(
        "",
        "bgrewriteaof\nbgrewriteaof\nbgsave\nbgsave schedule",
        "+Background append only file rewriting started\r\n\
         -ERR Background append only file rewriting already in progress\r\n\
         -ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.\r\n\
         +Background saving scheduled\r\n",
    );
    check(
        "",
        "multi\nbgsave\nbgrewriteaof\nconfig rewrite\nexec",
        "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+Background saving scheduled\r\n\
         +Background append only file rewriting scheduled\r\n-ERR The server is running without a config file\r\n",
    );
    check(
        "multi",
        "save\nshutdown",
        "-ERR Command not allowed inside a transaction\r\n-ERR Command not allowed inside a transaction\r\n",
    );
}

#[test]
fn shutdown_tells_the_driver_how() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("shutdown nosave force now"), "");
    let how = Shutdown { save: Some(false), force: true, now: true, client: Some(ME) };
    assert_eq!(bench.node.take_outputs(), [Output::Shutdown(how)]);
    check(
        "",
        "shutdown foo\nshutdown save nosave\nshutdown abort\nshutdown abort now",
        "-ERR syntax error\r\n-ERR syntax error\r\n-ERR No shutdown in progress.\r\n-ERR syntax error\r\n",
    );
}

#[test]
fn slow_commands_are_kept() {
    let mut bench = Bench::new();
    bench
        .run("config set slowlog-log-slower-than 0\nclient setname me\nset a 1\nauth default hush");
    assert_eq!(
        bench.run("slowlog get 2"),
        "*2\r\n*6\r\n:3\r\n:1000000\r\n:0\r\n*3\r\n$4\r\nauth\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n$0\r\n\r\n$2\r\nme\r\n\
         *6\r\n:2\r\n:1000000\r\n:0\r\n*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n$0\r\n\r\n$2\r\nme\r\n"
    );
    assert_eq!(bench.run("slowlog len\nslowlog reset\nslowlog len"), ":5\r\n+OK\r\n:1\r\n");
    let wrong = "-ERR count should be greater than or equal to -1\r\n";
    assert_eq!(bench.run("slowlog get -2\nslowlog get x"), wrong.repeat(2));
}

#[test]
fn slow_events_are_kept() {
    let mut bench = Bench::new();
    bench.node.state.latency.add("command", 5, 20);
    bench.node.state.latency.add("command", 7, 10);
    assert_eq!(
        bench.run("latency latest\nlatency history command\nlatency history x"),
        "*1\r\n*4\r\n$7\r\ncommand\r\n:7\r\n:10\r\n:20\r\n*2\r\n*2\r\n:5\r\n:20\r\n*2\r\n:7\r\n:10\r\n*0\r\n"
    );
    assert!(bench.run("latency graph command").contains("high 20 ms, low 10 ms"));
    assert_eq!(
        bench.run("latency graph x\nlatency reset x command\nlatency reset"),
        "-ERR No samples available for event 'x'\r\n:1\r\n:0\r\n"
    );
}

#[test]
fn memory_of_keys() {
    let mut bench = Bench::new();
    bench.run("set a 1");
    assert!(bench.run("memory usage a samples 0").starts_with(':'));
    assert_eq!(
        bench.run("memory usage x\nmemory usage a samples\nmemory usage a samples -1\nmemory usage a samples x"),
        "$-1\r\n-ERR syntax error\r\n-ERR syntax error\r\n-ERR value is not an integer or out of range\r\n"
    );
    assert!(bench.run("memory stats").starts_with("*56\r\n"), "one database has keys");
}

#[test]
fn equal_data_has_equal_digests() {
    let digest = |lines: &str| {
        let mut bench = Bench::new();
        bench.run(lines);
        bench.run("debug digest")
    };
    assert_eq!(digest(""), format!("+{}\r\n", "0".repeat(40)));
    assert_eq!(digest("set a 1\nset b 2"), digest("set b 2\nset a 2\nset a 1"));
    assert_ne!(digest("set a 1"), digest("set a 2"));
    assert_ne!(digest("set a 1"), digest("select 1\nset a 1"));
    check("", "debug digest-value x", &format!("*1\r\n+{}\r\n", "0".repeat(40)));
}

#[test]
fn debug_answers_and_refuses() {
    check(
        "set a 12345678901234567890x",
        "debug stringmatch-len a* abc\ndebug error \"FOO bar\"\ndebug jmap\ndebug foo\ndebug object x\ndebug listpack a\ndebug reload merge",
        ":1\r\n-FOO bar\r\n-ERR DEBUG JMAP is not supported by this server\r\n\
         -ERR unknown subcommand or wrong number of arguments for 'foo'. Try DEBUG HELP.\r\n\
         -ERR no such key\r\n-ERR Not a listpack encoded object.\r\n\
         -ERR DEBUG RELOAD loads into an empty dataset only: MERGE and NOFLUSH are not supported\r\n",
    );
    let mut bench = Bench::new();
    bench.run("set a 12345678901234567890x");
    let text = bench.run("debug object a");
    assert!(text.contains("refcount:1 encoding:embstr serializedlength:"), "{text}");
    assert_eq!(bench.run("debug reload nosave"), "");
    let reload = Output::Reload { client: ME, log: false, save: false };
    assert_eq!(bench.node.take_outputs(), [reload]);
}

#[test]
fn a_new_history_has_another_id() {
    let mut bench = Bench::new();
    let before = bench.node.state.stream.id.clone();
    bench.run("debug change-repl-id");
    let after = &bench.node.state.stream.id;
    assert!(after.len() == 40 && *after != before);
}

#[test]
fn a_primary_without_replicas() {
    check(
        "",
        "role\nreplicaof no one\nslaveof 127.0.0.1 6379\nreplicaof a b\nmodule list\nacl whoami\nacl cat nosuch\nacl setuser x",
        "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n+OK\r\n+OK\r\n\
         -ERR Invalid master port\r\n*0\r\n$7\r\ndefault\r\n-ERR Unknown category 'nosuch'\r\n\
         -ERR unknown subcommand 'setuser'. Try ACL HELP.\r\n",
    );
}

#[test]
fn keys_of_requests() {
    check(
        "",
        "command getkeys set a b\ncommand getkeys del a b\ncommand getkeys ping\ncommand getkeys get\ncommand getkeys nosuch x",
        "*1\r\n$1\r\na\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n-ERR The command has no key arguments\r\n\
         -ERR Invalid number of arguments specified for command\r\n-ERR Invalid command specified\r\n",
    );
    check(
        "",
        "command getkeysandflags del a\ncommand info nosuch get",
        "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RM\r\n+delete\r\n\
         *2\r\n$-1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n\
         *3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n\
         $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n\
         $9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n",
    );
}
