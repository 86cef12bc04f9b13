//! Runs a client, ours or stock's, and compares.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

/// Which client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Ours,
    Stock,
}

/// What a client said, and its exit status.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) status: Option<i32>,
}

/// A client by the name of stock, without anything of the user who runs the tests.
pub(crate) fn command(client: Client) -> Command {
    let mut command = match client {
        Client::Ours => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
            command.arg0("redis-cli");
            command
        }
        Client::Stock => Command::new("redis-cli"),
    };
    for variable in ["REDISCLI_AUTH", "FAKETTY"] {
        command.env_remove(variable);
    }
    command.env("REDISCLI_HISTFILE", "/dev/null").env("REDISCLI_RCFILE", "/dev/null");
    command
}

/// Runs a command with `input` as its standard input.
pub(crate) fn run(mut command: Command, input: &[u8]) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child =
        command.spawn().expect("the client runs: scripts/test installs Debian's redis-tools");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Said {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code(),
    }
}

/// What a client says to words, with `{}` in them for the port.
pub(crate) fn say(client: Client, port: u16, words: &[&str], input: &str) -> Said {
    let mut command = command(client);
    command.args(words.iter().map(|word| word.replace("{}", &port.to_string())));
    run(command, input.as_bytes())
}

/// Our client, asked in one line.
pub(crate) fn ours(port: u16, line: &str, input: &str) -> Said {
    let words: Vec<&str> = line.split(' ').collect();
    say(Client::Ours, port, &[&["-p", "{}"], &words[..]].concat(), input)
}

/// Asserts that both clients say the same, in the order in which they are asked: ours first.
pub(crate) fn check(port: u16, words: &[&str], input: &str) {
    check_but(port, words, input, str::to_owned);
}

/// The same of what `keep` leaves of the output.
pub(crate) fn check_but(port: u16, words: &[&str], input: &str, keep: impl Fn(&str) -> String) {
    let [found, expected] = [Client::Ours, Client::Stock].map(|client| {
        let said = say(client, port, words, input);
        Said { out: keep(&said.out), err: keep(&said.err), ..said }
    });
    assert_eq!(found, expected, "{words:?} with {input:?}");
}
