//! One command per call.

use crate::both::{Client, check, command, ours, run, say};
use crate::server::Server;

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--enable-debug-command", "yes"]);
    (folder, server)
}

#[test]
fn every_kind_of_reply_in_every_form() {
    let (_folder, server) = server();
    let kinds = "string integer double null array set map verbatim true false push";
    for kind in kinds.split(' ') {
        for form in ["--raw", "--no-raw", "--csv", "--json", "--quoted-json"] {
            for version in ["-2", "-3"] {
                check(server.port, &["-p", "{}", version, form, "debug", "protocol", kind], "");
            }
        }
    }
    for pushes in ["yes", "no"] {
        for form in ["--raw", "--no-raw"] {
            let words =
                ["-p", "{}", "-3", form, "--show-pushes", pushes, "debug", "protocol", "push"];
            check(server.port, &words, "");
        }
    }
}

#[test]
fn nested_replies_in_every_form() {
    let (_folder, server) = server();
    for form in ["--raw", "--no-raw", "--csv", "--json", "--quoted-json"] {
        for version in ["-2", "-3"] {
            for line in [
                "command info get mset object config",
                "command docs set",
                "config get maxmemory*",
                "command getkeysandflags mset a 1 b 2",
            ] {
                let words: Vec<&str> = line.split(' ').collect();
                check(server.port, &[&["-p", "{}", version, form], &words[..]].concat(), "");
            }
        }
    }
}

#[test]
fn bytes_come_out_as_they_went_in() {
    let (_folder, server) = server();
    let all: String = (1..=127).map(char::from).filter(|c| *c != '"').collect();
    check(server.port, &["-p", "{}", "set", "all", &all], "");
    check(server.port, &["-p", "{}", "set", "text", "\u{e9}\u{20ac}"], "");
    check(server.port, &["-p", "{}", "--quoted-input", "set", "nul", "\"a\\x00\\xff\""], "");
    for key in ["all", "text", "nul", "nothing"] {
        for form in ["--raw", "--no-raw", "--csv", "--json", "--quoted-json"] {
            check(server.port, &["-p", "{}", form, "get", key], "");
        }
    }
}

/// Stock's leaves a quote alone there, which is no JSON.
#[test]
fn quotes_are_escaped_in_quoted_json() {
    let (_folder, server) = server();
    assert_eq!(ours(server.port, "set k a\"b", "").out, "OK\n");
    assert_eq!(ours(server.port, "--quoted-json get k", "").out, "\"a\\\\\\\"b\"\n");
}

#[test]
fn options_do_what_they_do_there() {
    let (_folder, server) = server();
    for line in [
        "set a b",
        "get nothing",
        "nonsense",
        "nonsense with arguments",
        "-e nonsense",
        "-e get a",
        "-n 3 set a 3",
        "-n 99 get a",
        "-n x get a",
        "-r 3 get a",
        "-r 2 -i 0.01 get a",
        "-r 0 get a",
        "-r x get a",
        "-r 2 nonsense",
        "-e -r 2 nonsense",
        "-r 2 -D X ping",
        "-d , mget a b a",
        "-d , --no-raw mget a b a",
        "-a x ping -x",
        "-a x --no-auth-warning get a",
        "--user nobody --pass x get a",
        "--user nobody get a",
        "-u redis://127.0.0.1:{} get a",
        "-u redis://127.0.0.1:{}/2 get a",
        "-u redis://127.0.0.1:{}/x get a",
        "-u redis://u:p@127.0.0.1:{} get a",
        "-u redis://%41@127.0.0.1:{} get a",
        "-u http://127.0.0.1:{} get a",
        "--nonsense",
        "-p",
        "-x -X tag set a",
        "-X tag set a",
        "--show-pushes",
        "--verbose get a",
        "--no-raw debug sleep 0.01",
        "--no-raw multi",
        "-3 --no-raw get a",
        "client kill type normal skipme no",
        "quit",
        "--no-raw info nothing",
        "--csv info nothing",
        "--csv client kill nobody",
        "--eval /no/such/file a",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        // Where it says so itself it chooses the port.
        check(server.port, &[&["-p", "{}"], &words[..]].concat(), "");
    }
}

/// Stock's goes on in another database when the password is refused.
#[test]
fn database_is_the_one_asked_for_even_without_a_login() {
    let (_folder, server) = server();
    ours(server.port, "-n 2 set k two", "");
    assert_eq!(ours(server.port, "-n 2 -a wrong --no-auth-warning get k", "").out, "two\n");
}

#[test]
fn texts_are_printed_as_they_are_in_any_form() {
    let (_folder, server) = server();
    for form in ["--raw", "--no-raw", "--csv", "--json"] {
        for line in [
            "info keyspace",
            "cluster info",
            "memory doctor",
            "latency doctor",
            "info keyspace nothing",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            check(server.port, &[&["-p", "{}", form, "-D", "X"], &words[..]].concat(), "");
        }
    }
}

#[test]
fn input_becomes_an_argument() {
    let (_folder, server) = server();
    check(server.port, &["-p", "{}", "-x", "set", "k"], "line\nwith \"quotes\"\n");
    check(server.port, &["-p", "{}", "--no-raw", "get", "k"], "");
    check(server.port, &["-p", "{}", "-X", "TAG", "set", "TAG", "v"], "key");
    check(server.port, &["-p", "{}", "get", "key"], "");
    check(server.port, &["-p", "{}", "-X", "TAG", "set", "k", "v"], "x");
}

#[test]
fn passwords_come_from_three_places() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(|port| {
        let port_word = port.to_string();
        let dir = folder.path().to_str().unwrap();
        Server::run(
            "redis-server",
            port,
            &["--port", &port_word, "--bind", "127.0.0.1", "--dir", dir, "--save", ""],
        )
    });
    assert_eq!(ours(server.port, "config set requirepass secret", "").out, "OK\n");
    let port = server.port.to_string();
    let call = |variable: Option<&str>, words: &[&str]| {
        [Client::Ours, Client::Stock].map(|client| {
            let mut command = command(client);
            command.args(["-p", &port]).args(words);
            if let Some(password) = variable {
                command.env("REDISCLI_AUTH", password);
            }
            run(command, b"")
        })
    };
    for variable in [None, Some("secret"), Some("wrong")] {
        let cases: [&[&str]; 5] = [
            &["get", "k"],
            &["-a", "secret", "get", "k"],
            &["-a", "wrong", "get", "k"],
            &["--user", "default", "--pass", "secret", "get", "k"],
            &["-e", "get", "k"],
        ];
        for words in cases {
            let [found, expected] = call(variable, words);
            assert_eq!(found, expected, "{words:?} with {variable:?}");
        }
    }
    // A check of health that was refused has failed, which stock's does not say.
    let [found, expected] = call(None, &["ping"]);
    assert_eq!((&found.out, &found.err), (&expected.out, &expected.err));
    assert_eq!((found.status, expected.status), (Some(1), Some(0)));
}

#[test]
fn missing_servers_are_told() {
    for words in [
        &["-p", "1", "ping"][..],
        &["-s", "/no/such/socket", "ping"],
        &["-h", "none.invalid", "ping"],
    ] {
        check(0, words, "");
    }
    for mode in ["--stat", "--scan", "--bigkeys", "--hotkeys", "--latency", "--pipe", "--replica"] {
        check(0, &["-p", "1", mode], "");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    check(0, &["-p", "1", "--rdb", file.to_str().unwrap()], "");
}

#[test]
fn own_name_tells_errors_by_the_status() {
    let (_folder, server) = server();
    let port = server.port.to_string();
    let call = |words: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.args(["cli", "-p", &port]).args(words);
        run(command, b"")
    };
    assert_eq!(call(&["set", "k", "v"]).out, "OK\n");
    let failed = call(&["incr", "k"]);
    assert_eq!((failed.status, &*failed.out), (Some(1), ""));
    assert!(failed.err.starts_with("ERR value is not an integer"));
    let said = call(&["--tls", "ping"]);
    assert_eq!((said.status, &*said.err), (Some(1), "highwater cli: TLS is not supported\n"));
    assert!(call(&["-u", "rediss://h"]).err.contains("TLS is not supported"));
    assert!(call(&["--help"]).out.starts_with("Usage: highwater cli "));
    assert!(call(&["--version"]).out.starts_with("highwater cli "));
}

#[test]
fn version_has_the_form_of_stock() {
    let [ours, stock] =
        [Client::Ours, Client::Stock].map(|client| say(client, 0, &["--version"], "").out);
    let form = |text: &str| text.split(' ').next().map(str::to_owned);
    assert_eq!(form(&ours), form(&stock));
}
