//! The modes that walk over all keys, and those that sample.

use crate::both::{Client, check_but, ours, say};
use crate::peer::Stock;
use crate::server::Server;

/// What people type as comment is our own; where nothing orders the lines, they are compared sorted.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn keys_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let input: String = (0..300).map(|at| format!("set \"key {at}\" {at}\n")).collect();
    ours(server.port, "--pipe", &input);
    for line in [
        "--scan",
        "--scan --no-raw",
        "--scan --csv",
        "--scan --json",
        "--scan --pattern *7*",
        "--scan -n 3",
        "--scan --quoted-pattern \"key\\x201\"",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        check_but(server.port, &[&["-p", "{}"], &words[..]].concat(), "", sorted);
    }
    let all = ours(server.port, "--scan --count 1000", "").out;
    assert_eq!(all.lines().count(), 300);
}

#[test]
fn refusals_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    ours(server.port, "config set requirepass x", "");
    for mode in ["--scan", "--bigkeys", "--memkeys", "--hotkeys", "--stat"] {
        check_but(server.port, &["-p", "{}", mode], "", sorted);
    }
}

#[test]
fn large_and_hot_keys_are_found() {
    let stock = Stock::start(&[]);
    let input = "set s value\nset t longer-value\nrpush l a b c\nsadd m a\nzadd z 1 a 2 b\nhset h f v\nxadd x 1-1 f v\nset \"a b\" 1\n";
    ours(stock.port, "--pipe", input);
    for line in [
        "--bigkeys",
        "--bigkeys --pattern s*",
        "--bigkeys -n 3",
        "--memkeys",
        "--memkeys-samples 2",
        "--hotkeys",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        check_but(stock.port, &[&["-p", "{}"], &words[..]].concat(), "", sorted);
    }
    ours(stock.port, "config set maxmemory-policy allkeys-lfu", "");
    ours(stock.port, "-r 300 get s", "");
    // Reading a counter may lower it: both are asked for the hottest key alone.
    let said = ours(stock.port, "--hotkeys", "").out;
    assert!(
        said.contains("hot key found with counter: ") && said.contains("keyname: \"s\"\n"),
        "{said}"
    );
}

#[test]
fn samples_have_their_form() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[]);
    let digits = |text: &str| {
        let text: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        // How many digits there are is left to chance.
        text.split('0').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("0")
    };
    for form in ["--raw", "--csv", "--json"] {
        let [found, expected] = [Client::Ours, Client::Stock].map(|client| {
            digits(&say(client, server.port, &["-p", "{}", form, "--latency", "-i", "0.1"], "").out)
        });
        assert_eq!(found, expected);
    }
    let said = say(Client::Ours, 0, &["--intrinsic-latency", "1"], "").out;
    assert!(
        said.contains(" total runs (avg latency: ")
            && said.contains("x longer than the average latency.\n")
    );
}
