//! Transcripts of the connection family: who a client is, what it sees of others and does to them.

use crate::node::tests::Bench;
use crate::state::client::Peer;
use crate::state::{ClientId, Output};

fn check(setup: &str, lines: &str, replies: &str) {
    let mut bench = Bench::new();
    bench.run(setup);
    assert_eq!(bench.run(lines), replies, "replies to {lines}");
    assert_eq!(bench.log(), "", "log of {lines}");
}

/// A bench whose node has a password, with a client that has not given it.
fn locked() -> Bench {
    let mut bench = Bench::new();
    bench.run("config set requirepass secret");
    connect(&mut bench);
    bench
}

/// Connects another client; the bench goes on with it. The one before.
fn connect(bench: &mut Bench) -> ClientId {
    let peer = Peer { loopback: true, address: "127.0.0.1:7".to_owned(), ..Peer::default() };
    let other = bench.node.connect(peer, bench.clock.0).unwrap();
    std::mem::replace(&mut bench.client, other)
}

const WRONGPASS: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NOAUTH: &str = "-NOAUTH Authentication required.\r\n";

#[test]
fn nothing_runs_before_the_password() {
    let mut bench = locked();
    assert_eq!(bench.run("ping"), NOAUTH);
    assert_eq!(bench.run("auth x"), WRONGPASS);
    assert_eq!(bench.run("auth nobody secret"), WRONGPASS);
    assert_eq!(bench.run("auth secre"), WRONGPASS);
    assert_eq!(bench.run("auth a b c"), "-ERR syntax error\r\n");
    assert_eq!(bench.run("auth default secret\nping"), "+OK\r\n+PONG\r\n");
    assert_eq!(bench.run("reset\nping\nauth secret"), format!("+RESET\r\n{NOAUTH}+OK\r\n"));
    assert!(bench.run("info stats").contains("acl_access_denied_auth:3\r\n"));
}

#[test]
fn auth_without_a_password_set() {
    check(
        "",
        "auth x\nauth default x\nauth nobody x",
        &format!(
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?\r\n+OK\r\n{WRONGPASS}"
        ),
    );
}

#[test]
fn hello_authenticates_names_and_changes_the_protocol() {
    let mut bench = locked();
    assert!(bench.run("hello").starts_with("-NOAUTH HELLO must be called with"));
    assert_eq!(bench.run("hello 3 auth default x"), WRONGPASS);
    assert_eq!(
        bench.run("hello 3 AUTH default secret SETNAME me"),
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n\
         $2\r\nid\r\n:2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n\
         $7\r\nmodules\r\n*0\r\n"
    );
    assert_eq!(bench.run("client getname\nget x"), "$2\r\nme\r\n_\r\n");
    assert!(bench.run("hello 2").starts_with("*14\r\n"));
}

#[test]
fn hello_refuses_what_it_does_not_know() {
    check(
        "",
        "hello 4\nhello x\nhello 2 auth a\nhello 2 foo\nhello 2 setname \"a b\"",
        "-NOPROTO unsupported protocol version\r\n\
         -ERR Protocol version is not an integer or out of range\r\n\
         -ERR Syntax error in HELLO option 'auth'\r\n\
         -ERR Syntax error in HELLO option 'foo'\r\n\
         -ERR Client names cannot contain spaces, newlines or special characters.\r\n",
    );
}

#[test]
fn select_knows_its_range() {
    check(
        "",
        "select 15\nselect 16\nselect x\nselect -1\nselect 99999999999",
        "+OK\r\n-ERR DB index is out of range\r\n-ERR value is not an integer or out of range\r\n\
         -ERR DB index is out of range\r\n\
         -ERR value is out of range, value must between -2147483648 and 2147483647\r\n",
    );
}

#[test]
fn names_and_libraries_are_plain_words() {
    check(
        "",
        "client setname a\nclient getname\nclient setname \"\"\nclient getname\nclient setname \"a b\"",
        "+OK\r\n$1\r\na\r\n+OK\r\n$-1\r\n-ERR Client names cannot contain spaces, newlines or special characters.\r\n",
    );
    check(
        "",
        "client setinfo LIB-NAME redis-py\nclient setinfo lib-ver \"5 0\"\nclient setinfo foo x",
        "+OK\r\n-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n-ERR Unrecognized option 'foo'\r\n",
    );
}

#[test]
fn client_list_has_the_fields_of_stock() {
    let mut bench = Bench::new();
    bench.run(
        "client setname me\nclient setinfo lib-ver 5.0\nselect 3\nclient no-touch on\nmulti\nget a",
    );
    connect(&mut bench);
    bench.clock.advance_ms(2500);
    let text = bench.run("client list");
    let lines: Vec<&str> = text.lines().skip(1).collect();
    let (before, after) = lines[0].split_once(" tot-mem=").unwrap();
    assert_eq!(
        before,
        "id=1 addr= laddr= fd=0 name=me age=2 idle=2 flags=xT db=3 sub=0 psub=0 ssub=0 multi=1 qbuf=0 \
         qbuf-free=0 argv-mem=0 multi-mem=36 rbs=0 rbp=0 obl=0 oll=0 omem=0"
    );
    let (_, after) = after.split_once(' ').unwrap();
    assert_eq!(after, "events=r cmd=multi user=default redir=-1 resp=2 lib-name= lib-ver=5.0");
    assert!(lines[1].starts_with("id=2 addr=127.0.0.1:7 "), "{}", lines[1]);
    assert!(lines[1].contains(" cmd=client|list "), "{}", lines[1]);
    for (request, shown) in [
        ("client list type normal", 2),
        ("client list type pubsub", 0),
        ("client list id 1 99", 1),
        ("client info", 1),
    ] {
        assert_eq!(bench.run(request).matches("id=").count(), shown, "{request}");
    }
}

#[test]
fn client_list_refuses_wrong_filters() {
    check(
        "",
        "client list type foo\nclient list id\nclient list id x\nclient list foo",
        "-ERR Unknown client type 'foo'\r\n-ERR syntax error\r\n-ERR Invalid client ID\r\n-ERR syntax error\r\n",
    );
}

#[test]
fn kill_closes_others_and_then_oneself() {
    let mut bench = Bench::new();
    let first = connect(&mut bench);
    assert_eq!(bench.run("client kill 9.9.9.9:1"), "-ERR No such client\r\n");
    assert_eq!(bench.run("client kill id 99"), ":0\r\n");
    assert_eq!(bench.run("client kill id 2"), ":0\r\n", "oneself is left out");
    assert_eq!(bench.run("client kill type pubsub"), ":0\r\n");
    assert_eq!(bench.run("client kill id 1"), ":1\r\n");
    assert_eq!(bench.node.take_outputs(), [Output::Close { client: first }]);
    assert_eq!(bench.run("client kill id 1"), ":0\r\n", "it is as good as gone");
    assert_eq!(bench.run("client kill id 2 skipme no\nping"), ":1\r\n", "nothing runs behind it");
}

#[test]
fn kill_refuses_wrong_filters() {
    check(
        "",
        "client kill id 0\nclient kill type foo\nclient kill user foo\nclient kill id 1 skipme x\nclient kill id 1 type",
        "-ERR client-id should be greater than 0\r\n-ERR Unknown client type 'foo'\r\n-ERR No such user 'foo'\r\n-ERR syntax error\r\n-ERR syntax error\r\n",
    );
}

#[test]
fn replies_are_left_out_as_asked() {
    check("", "client reply off\nping\nclient reply on\nping", "+OK\r\n+PONG\r\n");
    check("", "client reply skip\nping\nping", "+PONG\r\n");
    check("", "client reply x", "-ERR syntax error\r\n");
}

#[test]
fn a_pause_of_writes_lets_reads_through_and_ends_early() {
    let mut bench = Bench::new();
    let writer = connect(&mut bench);
    assert_eq!(bench.run("client pause 1000 write\nget a"), "+OK\r\n$-1\r\n");
    let other = std::mem::replace(&mut bench.client, writer);
    assert_eq!(bench.run("set a 1"), "", "it waits");
    bench.client = other;
    assert_eq!(bench.run("client unpause"), "+OK\r\n");
    assert_eq!(bench.node.take_outputs(), [Output::Resume { client: writer }]);
}

#[test]
fn pause_refuses_what_is_no_time() {
    check(
        "",
        "client pause x\nclient pause -1\nclient pause 1 foo\nclient pause 0",
        "-ERR timeout is not an integer or out of range\r\n-ERR timeout is negative\r\n-ERR CLIENT PAUSE mode must be WRITE or ALL\r\n+OK\r\n",
    );
}

#[test]
fn waiting_ends_by_time_or_by_unblock() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("wait 0 0\nwait 1 50\nping"), ":0\r\n", "the second waits");
    bench.clock.advance_ms(49);
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.node.take_outputs(), [Output::Deadline], "the driver knows when");
    bench.clock.advance_ms(1);
    bench.node.tick(bench.clock.0);
    let push = |bytes: &str| Output::Push { client: ClientId(1), bytes: bytes.into() };
    let resume = Output::Resume { client: ClientId(1) };
    assert_eq!(bench.node.take_outputs(), [push(":0\r\n"), resume.clone()]);
    assert_eq!(bench.run("debug sleep 5"), "");
    let sleeper = connect(&mut bench);
    assert_eq!(bench.run("client unblock 1 error\nclient unblock 1"), ":1\r\n:0\r\n");
    let error = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n";
    assert_eq!(bench.node.take_outputs(), [push(error), resume]);
    bench.client = sleeper;
    assert_eq!(bench.run("ping"), "+PONG\r\n");
}

#[test]
fn waitaof_waits_for_the_sync() {
    let mut bench = Bench::new();
    assert_eq!(
        bench.run("waitaof 1 0 0\nwaitaof 2 0 0\nwaitaof 0 -1 0\nwaitaof 0 0 0"),
        "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n\
         -ERR value is out of range, value must between 0 and 1\r\n\
         -ERR value is out of range, value must between 0 and 9223372036854775807\r\n*2\r\n:0\r\n:0\r\n"
    );
    bench.node.state.persistence.aof_enabled = true;
    assert_eq!(bench.run("set a 1\nwaitaof 1 0 0"), "+OK\r\n");
    bench.node.tick(bench.clock.0);
    assert_eq!(bench.node.take_outputs(), [], "not synced yet");
    bench.node.state.persistence.durable = bench.node.state.stream.end;
    bench.node.tick(bench.clock.0);
    let told = Output::Push { client: ClientId(1), bytes: b"*2\r\n:1\r\n:0\r\n".to_vec() };
    assert_eq!(bench.node.take_outputs(), [told, Output::Resume { client: ClientId(1) }]);
}

#[test]
fn tracking_says_that_it_is_not_there() {
    check(
        "",
        "client tracking on\nclient tracking off\nclient caching yes\nclient getredir\nclient trackinginfo",
        "-ERR client side caching is not supported by this server\r\n+OK\r\n\
         -ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled\r\n\
         :-1\r\n*6\r\n$5\r\nflags\r\n*1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
    );
}

#[test]
fn unknown_subcommands_are_refused_at_once() {
    check(
        "",
        "client maint_notifications on\nclient",
        "-ERR unknown subcommand 'maint_notifications'. Try CLIENT HELP.\r\n-ERR wrong number of arguments for 'client' command\r\n",
    );
}

#[test]
fn monitors_see_commands_but_no_secrets() {
    let mut bench = Bench::new();
    assert_eq!(bench.run("monitor\nmonitor"), "+OK\r\n");
    let monitor = connect(&mut bench);
    bench.run(
        "set a \"b c\"\nauth default hush\nhello 2 auth default hush\nconfig set requirepass x",
    );
    let shown: Vec<String> = bench
        .node
        .take_outputs()
        .into_iter()
        .filter_map(|output| match output {
            Output::Push { client, bytes } if client == monitor => {
                Some(String::from_utf8(bytes).unwrap().split_once("] ").unwrap().1.to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(
        shown,
        [
            "\"set\" \"a\" \"b c\"\r\n",
            "\"auth\" \"(redacted)\" \"(redacted)\"\r\n",
            "\"hello\" \"2\" \"auth\" \"(redacted)\" \"(redacted)\"\r\n",
        ]
    );
    bench.client = monitor;
    assert_eq!(bench.run("reset"), "+RESET\r\n");
    assert_eq!(bench.node.state.monitors, 0);
}
