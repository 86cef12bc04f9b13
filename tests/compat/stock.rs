//! A stock server of our own, for the length of a test.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// The program that is compared with.
const PROGRAM: &str = "redis-server";
/// How often a connection is tried before the server counts as dead, 10 ms apart.
const TRIES: usize = 1000;

/// A running server with a folder of its own. Dropped, it is killed and its folder removed.
pub(crate) struct Stock {
    child: Child,
    stream: BufReader<TcpStream>,
    folder: TempDir,
}

/// An answer, as far as these tests tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// A status or a bulk string.
    Text(String),
    /// An error, with its code.
    Error(String),
    /// A number.
    Number(i64),
    /// No value.
    Nil,
    /// Several.
    List(Vec<Reply>),
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// Runs the program to its end, for starts that are expected to fail.
pub(crate) fn run(arguments: &[&str]) -> Output {
    missing(Command::new(PROGRAM).args(arguments).stdin(Stdio::null()).output())
}

fn missing<T>(started: std::io::Result<T>) -> T {
    started.unwrap_or_else(|error| {
        panic!("cannot run {PROGRAM}: {error}. Install Debian's redis-server, or run scripts/test")
    })
}

/// Connects to a server that is starting.
fn connect(address: &str) -> Option<TcpStream> {
    for _try in 0..TRIES {
        if let Ok(stream) = TcpStream::connect(address) {
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

impl Stock {
    /// Starts a server on a free port with `arguments` behind it; without snapshots in the way.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = free_port().to_string();
        let mut command = Command::new(PROGRAM);
        command.args(arguments).args(["--port", &port]);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = missing(command.spawn());
        let address = format!("127.0.0.1:{port}");
        if let Some(stream) = connect(&address) {
            return Self { child, stream: BufReader::new(stream), folder };
        }
        drop(child.kill());
        drop(child.wait());
        panic!("{PROGRAM} {arguments:?} does not listen on {address}");
    }

    /// The folder in which it was started.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn call(&mut self, words: &[&str]) -> Reply {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            write!(request, "${}\r\n{word}\r\n", word.len()).expect("a string takes all");
        }
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server takes requests");
        self.reply()
    }

    /// Settings by name, as CONFIG GET gives them.
    pub(crate) fn settings(&mut self, pattern: &str) -> Vec<(String, String)> {
        let Reply::List(words) = self.call(&["CONFIG", "GET", pattern]) else {
            panic!("CONFIG GET answers with a list")
        };
        let text = |reply: &Reply| match reply {
            Reply::Text(text) => text.clone(),
            other => panic!("not a text: {other:?}"),
        };
        words.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("the server answers");
        let line = line.trim_end();
        let (kind, rest) = line.split_at(1);
        let number = || rest.parse::<i64>().expect("a number follows");
        match kind {
            "+" => Reply::Text(rest.to_owned()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(number()),
            "$" | "*" if number() < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(number()).expect("not negative") + 2];
                self.stream.read_exact(&mut bytes).expect("the text follows");
                bytes.truncate(bytes.len() - 2);
                Reply::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            "*" => Reply::List((0..number()).map(|_| self.reply()).collect()),
            other => panic!("unknown kind of answer: {other}"),
        }
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
