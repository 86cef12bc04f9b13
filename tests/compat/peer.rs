//! A stock server as a child process on a loopback port, and the smallest client that can talk to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The program that is compared with.
pub(crate) const PROGRAM: &str = "redis-server";

/// A request: its words.
pub(crate) type Request = Vec<Vec<u8>>;

/// A stock server with a folder of its own, killed when dropped.
pub(crate) struct Stock {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) client: Client,
}

impl Stock {
    /// Starts a server for requests: on loopback, without snapshots, with DEBUG; `settings` (`--name value ...`) come
    /// behind these.
    ///
    /// # Panics
    /// If there is no such program: a comparison with nobody would pass whatever we do.
    pub(crate) fn start(settings: &[&str]) -> Stock {
        let ours = ["--bind", "127.0.0.1", "--save", "", "--enable-debug-command", "yes"];
        Stock::launch(&[&ours, settings].concat())
    }

    /// Starts a server with just these arguments and a port, for those who look at its settings.
    pub(crate) fn launch(arguments: &[&str]) -> Stock {
        let folder = tempfile::tempdir().expect("a folder");
        // Another process may take the port between the look and the start: then another one is tried.
        for _ in 0..10 {
            let port = free_port();
            let mut command = Command::new(PROGRAM);
            command.args(arguments).args(["--port", &port.to_string()]);
            command.current_dir(folder.path());
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = installed(command.spawn());
            if let Some(client) = wait_until_it_answers(&mut child, port) {
                return Stock { child, port, folder, client };
            }
        }
        panic!("{PROGRAM} does not answer")
    }

    /// Sends `requests` at once and returns the replies.
    pub(crate) fn run(&mut self, requests: &[Request]) -> Vec<Vec<u8>> {
        self.client.run(requests)
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What came of running [`PROGRAM`].
pub(crate) fn installed<T>(run: std::io::Result<T>) -> T {
    run.unwrap_or_else(|error| {
        panic!("cannot run {PROGRAM}: {error}. Install Debian's redis-server, or run scripts/test")
    })
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
    listener.local_addr().expect("it is bound").port()
}

fn wait_until_it_answers(child: &mut Child, port: u16) -> Option<Client> {
    for _ in 0..500 {
        if child.try_wait().expect("it is our child").is_some() {
            return None;
        }
        if let Ok(mut client) = Client::connect(port)
            && client.run(&[words("PING")]) == [b"+PONG\r\n"]
        {
            return Some(client);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().ok();
    child.wait().ok();
    None
}

/// A connection that sends requests and cuts what comes back into replies.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(port: u16) -> std::io::Result<Client> {
        Client::over(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// Speaks over a connection that is there.
    pub(crate) fn over(stream: TcpStream) -> std::io::Result<Client> {
        stream.set_nodelay(true)?;
        let client = Client { stream, buffer: Vec::new() };
        client.set_patience(60_000);
        Ok(client)
    }

    /// How long a reply is waited for, in milliseconds.
    pub(crate) fn set_patience(&self, ms: u64) {
        self.stream.set_read_timeout(Some(Duration::from_millis(ms))).expect("an open socket");
    }

    /// Sends `requests` at once and returns the replies.
    pub(crate) fn run(&mut self, requests: &[Request]) -> Vec<Vec<u8>> {
        let bytes: Vec<u8> = requests.iter().flat_map(encode).collect();
        self.send(&bytes).expect("the peer reads");
        let reply = |request| {
            self.reply().unwrap_or_else(|error| panic!("{error} after {}", shown(request)))
        };
        requests.iter().map(reply).collect()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for the next reply. An end of the connection is an error, too.
    pub(crate) fn reply(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(length) = reply_length(&self.buffer) {
                return Ok(self.buffer.drain(..length).collect());
            }
            let mut chunk = [0; 65536];
            match self.stream.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.buffer.extend_from_slice(&chunk[..count]),
            }
        }
    }
}

/// Bytes of the first reply in `buffer`, RESP2 or RESP3, if it is whole.
pub(crate) fn reply_length(buffer: &[u8]) -> Option<usize> {
    let line = buffer.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&buffer[1..line - 2]).expect("a number").parse::<i64>();
    let elements = match buffer[0] {
        b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => return Some(line),
        b'$' | b'=' | b'!' => {
            let whole = match usize::try_from(number().expect("a length")) {
                Ok(length) => line + length + 2,
                Err(_) => line,
            };
            return (buffer.len() >= whole).then_some(whole);
        }
        b'*' | b'~' | b'>' => number().expect("a count"),
        b'%' => 2 * number().expect("a count"),
        // Attributes stand in front of the reply they belong to.
        b'|' => 2 * number().expect("a count") + 1,
        other => panic!("no reply starts with {:?}", char::from(other)),
    };
    let mut at = line;
    for _ in 0..elements.max(0) {
        at += reply_length(&buffer[at..])?;
    }
    Some(at)
}

/// The contents of a bulk string.
pub(crate) fn bulk(reply: &[u8]) -> &[u8] {
    assert_eq!(reply[0], b'$', "{}", reply.escape_ascii());
    let line = reply.iter().position(|byte| *byte == b'\n').expect("a reply has a line") + 1;
    &reply[line..reply.len() - 2]
}

/// A request as a RESP array.
pub(crate) fn encode(request: &Request) -> Vec<u8> {
    highwater::resp::inline::encode(request)
}

/// A line of words as a request.
pub(crate) fn words(line: &str) -> Request {
    highwater::resp::inline::split_words(line.as_bytes()).expect("balanced quotes")
}

/// A request, or a reply, as a line to read; long ones are cut.
pub(crate) fn shown(request: &Request) -> String {
    request.iter().map(|word| shown_bytes(word)).collect::<Vec<_>>().join(" ")
}

/// Bytes as text to read; long ones are cut.
pub(crate) fn shown_bytes(bytes: &[u8]) -> String {
    let cut = bytes.len().min(300);
    let more =
        if cut < bytes.len() { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("\"{}\"{more}", bytes[..cut].escape_ascii())
}
