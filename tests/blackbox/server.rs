//! Our binary as a child process, and what tests do to it.

#[path = "wait.rs"]
mod wait;

use std::ffi::OsStr;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::peer::{Client, words};

/// Looks at a condition, [`LOOK`] apart, before a test gives up on it: some twenty seconds.
const LOOKS: usize = 4_000;
const LOOK: Duration = Duration::from_millis(5);

/// A server in a folder; killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    log: tempfile::NamedTempFile,
}

impl Server {
    /// Starts a server whose files are in `folder` and waits until it answers. The log of the data is on unless
    /// `settings` switch it off.
    pub(crate) fn start(folder: &Path, settings: &[&str]) -> Server {
        Server::start_with(|port| Server::spawn(folder, port, settings))
    }

    /// Starts what `spawn` makes of a free port and waits until it answers.
    pub(crate) fn start_with(spawn: impl Fn(u16) -> Server) -> Server {
        // Another process may take the port between the look and the start: then another one is tried.
        for _ in 0..10 {
            let mut server = spawn(free_port());
            if server.answers() {
                return server;
            }
            let said = server.said();
            assert!(said.contains("Failed listening on port"), "it does not start:\n{said}");
        }
        panic!("no port is free")
    }

    /// Starts a server without waiting for anything.
    pub(crate) fn spawn(folder: &Path, port: u16, settings: &[&str]) -> Server {
        let port_word = port.to_string();
        let dir = folder.to_str().expect("temporary folders have plain names");
        let mut arguments = vec!["--port", &port_word, "--bind", "127.0.0.1", "--dir", dir];
        arguments.extend(["--appendonly", "yes", "--save", ""]);
        arguments.extend(settings);
        Server::run("redis-server", port, &arguments)
    }

    /// Runs the program by the name of a link, with just these arguments.
    pub(crate) fn run<S: AsRef<OsStr>>(name: &str, port: u16, arguments: &[S]) -> Server {
        Server::run_with_input(name, port, arguments, "")
    }

    /// Runs the program with `input` as its standard input.
    pub(crate) fn run_with_input<S: AsRef<OsStr>>(
        name: &str,
        port: u16,
        arguments: &[S],
        input: &str,
    ) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
        command.arg0(name).args(arguments).stdin(Stdio::piped());
        let mut server = Server::of(command, port);
        let mut stdin = server.child.stdin.take().expect("it was piped");
        stdin.write_all(input.as_bytes()).expect("a pipe takes a few bytes");
        server
    }

    /// Runs a command that is to listen on `port`; what it says is kept.
    pub(crate) fn of(mut command: Command, port: u16) -> Server {
        let log = tempfile::NamedTempFile::new().expect("a file for the output");
        let handle = || log.reopen().expect("a second handle");
        let (out, err) = (handle(), handle());
        let child = command.stdout(out).stderr(err).spawn().expect("the binary runs");
        Server { child, port, log }
    }

    /// Waits until it answers a PING, which it does once the data are loaded. False: it ended instead.
    pub(crate) fn answers(&mut self) -> bool {
        for _ in 0..LOOKS {
            if self.child.try_wait().expect("it is our child").is_some() {
                return false;
            }
            if let Ok(mut client) = Client::connect(self.port)
                && client.send(b"PING\r\nINFO server\r\n").is_ok()
                && client.reply().is_ok_and(|reply| reply == b"+PONG\r\n")
                && client.reply().is_ok_and(|reply| self.is_from_here(&reply))
            {
                return true;
            }
            std::thread::sleep(LOOK);
        }
        panic!("it does not answer:\n{}", self.said())
    }

    /// Whether this process wrote `info`, not one that took the port.
    fn is_from_here(&self, info: &[u8]) -> bool {
        let line = format!("\r\nprocess_id:{}\r\n", self.pid());
        info.windows(line.len()).any(|window| window == line.as_bytes())
    }

    /// What it wrote to its output.
    pub(crate) fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log.path()).unwrap_or_default()).into_owned()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.port).expect("it listens")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for one thing and returns the reply as text.
    pub(crate) fn ask(&self, line: &str) -> String {
        let reply = self.client().run(&[words(line)]).remove(0);
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// A field of INFO.
    pub(crate) fn info(&self, field: &str) -> String {
        let text = self.ask("INFO everything");
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("no field {field} in\n{text}")).to_owned()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is our child");
    }

    /// SIGTERM; waits for the end.
    pub(crate) fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// SIGSTOP, or SIGCONT.
    pub(crate) fn pause(&self, pauses: bool) {
        self.signal(if pauses { Signal::STOP } else { Signal::CONT });
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process has an id"), signal).expect("it runs");
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        for _ in 0..LOOKS {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            std::thread::sleep(LOOK);
        }
        panic!("it does not end:\n{}", self.said())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the server on port {} said:\n{}", self.port, telling(&self.said()));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last lines of a log, without those that every start has: a failed test of many servers must say what matters before
/// whoever shows it cuts it short.
fn telling(log: &str) -> String {
    const LINES: usize = 60;
    const OF_EVERY_START: [&str; 8] = [
        "oO0OoO0OoO0Oo",
        "Redis version=",
        "Highwater version=",
        "Configuration loaded path=",
        "monotonic clock:",
        "Running mode=",
        "Server initialized",
        "Handshake with node",
    ];
    let tells = |line: &&str| !OF_EVERY_START.iter().any(|words| line.contains(words));
    let lines: Vec<&str> = log.lines().filter(tells).collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Waits until `look` finds something.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait::wait(what, (LOOKS, LOOK), look)
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}
